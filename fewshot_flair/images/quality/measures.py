"""What is measured in a field of view: light, colour, structure at each scale, dark lines that branch."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fewshot_flair.images.quality.field import Field

__all__ = ["measure"]

Floats = NDArray[Any]
_WIDTHS = (1.0, 1.8, 3.0)
"""Standard deviations, in pixels at working size, of the lines that are looked for."""
_SCALES = (0.6, 1.2, 2.4, 4.8, 9.6, 19.2)
"""Standard deviations of the blurs between which the bands of scales lie."""
_NETWORK = 0.92
"""The network is the strongest lines: those above this quantile."""


def measure(field: Field) -> dict[str, float]:
    """Every measure of a field, by name; plain numbers, whatever the photograph's size."""
    pixels = field.rgb[field.inside].astype(np.float32)
    flat, ground = _flattened(field)
    values = {
        "framed": field.framed,
        "fill": field.fill,
        "roundness": field.roundness,
        "seen": field.seen,
        "aspect": field.aspect,
        "share": field.share,
        "diameter": field.diameter,
        **_light(pixels),
        **_colour(pixels),
        **_structure(flat, ground[field.inside], field.inside),
        **_lines(flat, field.inside),
    }
    return {name: float(value) for name, value in values.items()}


def _quantiles(values: Floats, *shares: float) -> list[float]:
    """Of every few values where there are many."""
    some = np.sort(values[:: 1 + values.size // 16384])
    return [float(some[round(share * (some.size - 1))]) for share in shares]


def _light(pixels: Floats) -> dict[str, float]:
    brightest = pixels.max(axis=1)
    low, middle, high = _quantiles(brightest, 0.05, 0.5, 0.95)
    return {
        "level": middle,
        "level_low": low,
        "level_high": high,
        "clipped": np.mean(pixels[:, 1] >= 250),
        "black": np.mean(brightest < 12),
    }


def _colour(pixels: Floats) -> dict[str, float]:
    red, green, blue = np.log(pixels.T + 4)
    redness, blueness = red - green, blue - green
    low, middle, high = _quantiles(redness, 0.1, 0.5, 0.9)
    low_blue, middle_blue, high_blue = _quantiles(blueness, 0.1, 0.5, 0.9)
    centred = pixels - pixels.mean(axis=0)
    covariance = centred.T @ centred / len(pixels) + np.eye(3) * 1e-3
    spread = np.sqrt(np.diag(covariance))
    return {
        "redness": middle,
        "blueness": middle_blue,
        "redness_spread": high - low,
        "blueness_spread": high_blue - low_blue,
        "ordered": np.mean((pixels[:, 0] + 3 >= pixels[:, 1]) & (pixels[:, 1] + 3 >= pixels[:, 2])),
        "red_with_green": covariance[0, 1] / (spread[0] * spread[1]),
        "green_with_blue": covariance[1, 2] / (spread[1] * spread[2]),
    }


def _flattened(field: Field) -> tuple[Floats, Floats]:
    """Green over its own mean around each pixel of the field, less 1 and 0 outside; and that mean."""
    green, weight = field.rgb[..., 1].astype(np.float32), field.inside.astype(np.float32)
    # Wide blurs on a copy of a quarter of the size.
    size = tuple(max(1, side // 4) for side in green.shape[::-1])
    small = cv2.resize(cv2.merge([green * weight, weight]), size, interpolation=cv2.INTER_AREA)
    wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3.5), green.shape[::-1], interpolation=cv2.INTER_LINEAR)
    ground = wide[..., 0] / np.maximum(wide[..., 1], 1e-3)
    return np.asarray((green - ground) / (ground + 8) * weight), ground


def _structure(flat: Floats, light: Floats, inside: NDArray[np.bool_]) -> dict[str, float]:
    """Contrast, its skewness and tails, the energy of each band of scales, and how the light changes over the field."""
    inner = flat[inside]
    spread = float(inner.std()) + 1e-4
    squared = inner * inner
    values = {
        "contrast": np.log(spread),
        "skew": np.clip(np.mean(squared * inner) / spread**3, -6, 6),
        "tails": np.log(np.mean(squared * squared) / spread**4 + 1e-3),
    }
    blurred = [cv2.GaussianBlur(flat, (0, 0), sigma) for sigma in _SCALES]
    energies = [
        np.log(float((a - b)[inside].std()) + 1e-4) for a, b in zip([flat, *blurred], blurred, strict=False)
    ]
    values |= {f"band_{i}": energy for i, energy in enumerate(energies)}
    values |= {f"slope_{i}": energies[i + 1] - energies[i] for i in range(len(energies) - 1)}
    soft = blurred[0]
    values |= {
        "sharpness": np.exp(energies[1] - energies[3]),
        "grain": np.exp(energies[0] - energies[2]),
    }
    slopes = cv2.magnitude(cv2.Sobel(soft, -1, 1, 0), cv2.Sobel(soft, -1, 0, 1))[inside]
    middle, most, top = _quantiles(slopes, 0.5, 0.9, 0.99)
    values |= {
        "edges": np.log(middle + 1e-3),
        "detail": middle,
        "edges_tail": np.log((top + 1e-3) / (most + 1e-3)),
    }
    low, middle, high = _quantiles(light + 8, 0.1, 0.5, 0.9)
    (spot,) = _quantiles(blurred[4][inside], 0.997)
    return values | {"light_spread": np.log((high - low) / middle + 1e-2), "brightest_spot": spot}


def _lines(flat: Floats, inside: NDArray[np.bool_]) -> dict[str, float]:
    """Dark and bright lines: how many, of which width, how straight on from pixel to pixel, in which directions."""
    dark, bright = np.zeros_like(flat), np.zeros_like(flat)
    along, across = np.zeros_like(flat), np.zeros_like(flat)
    means = []
    for sigma in _WIDTHS:
        smooth = cv2.GaussianBlur(flat, (0, 0), sigma)
        xx, yy = cv2.Sobel(smooth, -1, 2, 0), cv2.Sobel(smooth, -1, 0, 2)
        xy = cv2.Sobel(smooth, -1, 1, 1)
        mean, half = (xx + yy) / 2, (xx - yy) / 2
        turn = cv2.magnitude(half, xy)
        # Of a line one curvature is large and the other small; of a spot both are large.
        uneven = turn - 2 * np.abs(np.abs(mean) - turn)
        line = np.maximum(0, uneven + mean) * (sigma**2 / 4)
        means.append(np.log(float(line[inside].mean()) + 1e-5))
        better = line > dark
        np.copyto(along, half / (turn + 1e-9), where=better)
        np.copyto(across, xy / (turn + 1e-9), where=better)
        np.maximum(dark, line, out=dark)
        np.maximum(bright, (uneven - mean) * (sigma**2 / 4), out=bright)
    # Directions as doubled angles, so that a line's two ways are one; fourfold for lines and their normals.
    inner, cosine, sine = dark[inside], along[inside], across[inside]
    total = float(inner.sum()) + 1e-6
    near = cv2.GaussianBlur(cv2.merge([along * dark, across * dark, dark]), (0, 0), 4.0)[inside]
    straight = np.hypot(near[:, 0], near[:, 1]) / (near[:, 2] + 1e-6)
    lines_dark, lines_bright = (np.log(float(part[inside].mean()) + 1e-5) for part in (dark, bright))
    return {
        "lines_dark": lines_dark,
        "lines_bright": lines_bright,
        "dark_over_bright": lines_dark - lines_bright,
        "lines_over_contrast": lines_dark - np.log(float(flat[inside].std()) + 1e-4),
        "coherence": straight @ inner / total,
        "one_way": np.hypot(inner @ cosine, inner @ sine) / total,
        "two_ways": np.hypot(inner @ (cosine**2 - sine**2), inner @ (2 * cosine * sine)) / total,
        "thin": means[1] - means[0],
        "thick": means[2] - means[1],
        **_network(dark, inside),
    }


def _network(dark: Floats, inside: NDArray[np.bool_]) -> dict[str, float]:
    """How far the strongest lines hang together."""
    middle, strong, top = _quantiles(dark[inside], 0.5, _NETWORK, 0.99)
    strongest = ((dark > max(strong, 1e-4)) & inside).view(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(strongest, connectivity=8)
    pieces = stats[1:] if count > 1 else np.zeros((1, 5))
    spans = np.sort(np.hypot(pieces[:, cv2.CC_STAT_WIDTH], pieces[:, cv2.CC_STAT_HEIGHT]))
    areas = np.sort(pieces[:, cv2.CC_STAT_AREA])
    return {
        "network": np.log(spans[-5:].sum() / np.sqrt(np.count_nonzero(inside) + 1) + 1e-2),
        "network_share": areas[-5:].sum() / (areas.sum() + 1),
        "pieces": np.log(count),
        "line_peak": np.log((top + 1e-4) / (strong + 1e-4)),
        "line_rest": np.log((strong + 1e-4) / (middle + 1e-4)),
    }
