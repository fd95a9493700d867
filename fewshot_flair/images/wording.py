"""An image preparation in words, for whoever must repeat it elsewhere."""

from __future__ import annotations

from fewshot_flair.images.preparation import ImagePreparation

__all__ = ["preparation_steps"]


def preparation_steps(preparation: ImagePreparation) -> list[str]:
    """What `prepare` does to a photograph, a sentence a step, in order."""
    size, shortest = preparation.image_size, preparation.resize or preparation.image_size
    filtered = f"{preparation.interpolation}, antialiased as Pillow's resize"
    crop = (
        "Crop to the fundus: Li's minimum cross-entropy threshold on the red channel's 8-bit levels, pixels above it, "
        "the largest component of 8 neighbours, its bounding box; a photograph of one colour stays whole."
    )
    canvas = {
        "pad": f"Resize so that the longest side is {size} pixels ({filtered}); zeros to the right and below fill a "
        f"square of {size} × {size}.",
        "stretch": f"Resize both sides to {size} pixels ({filtered}).",
        "center-crop": f"Resize so that the shortest side is {shortest} pixels ({filtered}); keep the middle "
        f"{size} × {size}.",
        "stretch-crop": f"Resize both sides to {shortest} pixels ({filtered}); keep the middle {size} × {size}.",
    }
    mean, std = (
        ", ".join(f"{value:g}" for value in values) for values in (preparation.mean, preparation.std)
    )
    steps = [
        "Decode to 8-bit RGB, turned as the file's orientation says.",
        *(["Decode large JPEGs at reduced size (the fast preparation)."] if preparation.fast else []),
        *([crop] if preparation.crop else []),
        canvas[preparation.canvas],
        *(["Round the resized levels to 8 bits."] if preparation.round_pixels else []),
        "Divide the levels by 255.",
        f"Order the channels {preparation.channels.upper()}, channels first.",
    ]
    if any(preparation.mean) or set(preparation.std) != {1.0}:
        steps.append(f"Subtract the mean ({mean}) and divide by the deviation ({std}), channel by channel.")
    return steps
