"""The demo clinic: rendered patients of a long-tailed clinic, for learning the tool without a download.

No photograph of it shows a person: all are drawn by `fewshot_flair.rendering`. Its camera and its
population are ones that the mini model has not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from fewshot_flair.cache import cache_folder
from fewshot_flair.errors import InputError
from fewshot_flair.rendering.rendered import RenderedClinic, render_clinics

__all__ = ["demo_clinic"]


def demo_clinic(folder: str | Path | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Render the demo clinic, or find it where it was rendered before.

    Parameters
    ----------
    folder : path, optional
        Where it belongs; the default is a folder in `cache_folder`. It appears there whole or not at all:
        a rendering that is killed leaves nothing that is used later.
    progress : callable, optional
        Called now and then with the photographs done and all photographs.

    Returns
    -------
    Path
        The manifest, a CSV of columns image, patient_id, eye, label, split, clinic; 560 JPEG photographs
        of 280 patients.

    Raises
    ------
    InputError
        If `folder` holds something else.
    """
    clinic = _clinic()
    digest = _digest(clinic)
    folder = cache_folder() / f"demo-clinic-{digest}" if folder is None else Path(folder)
    manifest = folder / "manifest.csv"
    if _stamp(folder) == digest:
        return manifest
    try:
        render_clinics(folder, [clinic], progress, version=digest)
    except (InputError, OSError):
        # Another process was first; its clinic is the same to the byte.
        if _stamp(folder) != digest:
            raise
    return manifest


def _clinic() -> RenderedClinic:
    """The clinic, whose colours, tones and size lie outside the ranges that the pre-training drew from."""
    from fewshot_flair.rendering import CameraRange, Population

    return RenderedClinic(
        name="rendered demo clinic",
        population=Population(
            grades=(0.54, 0.14, 0.19, 0.07, 0.06),
            other_conditions=0.06,
            redness=(0.20, 0.36),
            lesion_size=(0.9, 1.15),
            lesion_contrast=(0.85, 1.2),
        ),
        cameras=CameraRange(
            diameter=(330, 350),
            full_circle=0.0,
            cut=(0.84, 0.88),
            aspect=(1.25, 1.3),
            disc_centred=0.05,
            exposure=(1.2, 1.6),
            gamma=(1.36, 1.5),
            red=(0.95, 1.05),
            green=(0.76, 0.84),
            blue=(1.3, 1.45),
            saturation=(0.26, 0.34),
            vignette=(0.45, 0.65),
            blur=(0.7, 1.2),
            sharpen=(0.0, 0.2),
            noise=(0.012, 0.02),
        ),
        patients=280,
        seed=20_260,
        train_share=0.62,
    )


def _stamp(folder: Path) -> str | None:
    path = folder / "version.txt"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _digest(clinic: RenderedClinic) -> str:
    """Changes with anything that could change a byte of the clinic."""
    from fewshot_flair import rendering
    from fewshot_flair.rendering import rendered

    sources = [*sorted(Path(rendering.__file__).parent.glob("*.py")), Path(rendered.__file__)]
    text = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(text + repr(asdict(clinic)).encode()).hexdigest()[:12]
