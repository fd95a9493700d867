"""Photographs of retinas as they come, made of others: cameras, crops and colours; and spoilt ones."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from drawn import Picture, Rng

from fewshot_flair.images.foreground import crop_foreground


def grey(rng: Rng, picture: Picture) -> Picture:
    """Red-free: the green channel, or a mixture, in grey, its contrast stretched or not."""
    share = (0, 1, 0) if rng.random() < 0.7 else (0.3, 0.6, 0.1)
    level = picture @ np.array(share)
    if rng.random() < 0.5:
        level = level * min(1.6, 235 / max(1, np.percentile(level, 99)))
    return np.repeat(level.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def wide_border(rng: Rng, picture: Picture) -> Picture:
    """Much black around it."""
    h, w = picture.shape[:2]
    t, b, le, r = (int(rng.uniform(0.05, 0.5) * side) for side in (h, h, w, w))
    return cv2.copyMakeBorder(picture, t, b, le, r, cv2.BORDER_CONSTANT)


def square_crop(rng: Rng, picture: Picture) -> Picture:
    """A square within the field: no black is left, or only corners."""
    part = crop_foreground(picture)
    h, w = part.shape[:2]
    side = int(min(h, w, max(h, w) * rng.uniform(0.66, 0.8)))
    top, left = (h - side) // 2, (w - side) // 2
    return np.ascontiguousarray(part[top : top + side, left : left + side])


def close_up(rng: Rng, picture: Picture) -> Picture:
    """A narrower field, at the disc, the macula or elsewhere, in its own round frame."""
    part = crop_foreground(picture)
    h, w = part.shape[:2]
    radius = int(min(h, w) * rng.uniform(0.3, 0.42))
    y, x = (int(rng.uniform(radius, side - radius)) if side > 2 * radius else side // 2 for side in (h, w))
    part = part[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius]
    mask = np.zeros(part.shape[:2], np.uint8)
    cv2.circle(mask, (part.shape[1] // 2, part.shape[0] // 2), int(min(part.shape[:2]) / 2 * 0.98), 1, -1)
    return part * mask[..., None]


def burnt_text(rng: Rng, picture: Picture) -> Picture:
    """Name, date and eye written near the border."""
    h, w = picture.shape[:2]
    out = picture.copy()
    for _ in range(rng.integers(1, 4)):
        at = (
            int(rng.uniform(0, 0.6) * w),
            int(rng.choice([rng.uniform(0.03, 0.1), rng.uniform(0.9, 0.98)]) * h),
        )
        words = "".join(rng.choice(list("ODS 0123456789-:ABCDER"), 14))
        cv2.putText(
            out, words, at, 0, w / 1400, (255, 255, int(rng.choice([0, 255]))), max(1, w // 700), cv2.LINE_AA
        )
    return out


def ultra_wide(rng: Rng, picture: Picture) -> Picture:
    """Greenish and oval, its far periphery smooth, as scanning lasers of two colours give it."""
    part = crop_foreground(picture).astype(np.float32)
    h, w = part.shape[:2]
    pad = int(rng.uniform(0.05, 0.3) * max(h, w))
    part = cv2.copyMakeBorder(part, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(part, (0, 0), 0.08 * w)
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    x = (x - part.shape[1] / 2) / (part.shape[1] / 2)
    y = (y - part.shape[0] / 2) / (part.shape[0] / 2)
    near = np.clip((0.75 - np.hypot(x * (w + 2 * pad) / w, y * (h + 2 * pad) / h)) / 0.2, 0, 1)[..., None]
    part = near * part + (1 - near) * soft
    red, green = part[..., 0], part[..., 1]
    green = green * rng.uniform(0.8, 1.1) * red.mean() / max(1.0, green.mean())
    oval = (x**2 + y**2 < 0.96)[..., None]
    return (np.dstack([red * rng.uniform(0.5, 1), green, 0.15 * green]) * oval).clip(0, 255).astype(np.uint8)


def _scatter(
    rng: Rng, picture: Picture, count: int, size: tuple[float, float], tone: tuple[float, ...], soft: float
) -> Picture:
    h, w = picture.shape[:2]
    layer = np.zeros((h, w), np.float32)
    for _ in range(count):
        centre = (int(rng.uniform(0.1, 0.9) * w), int(rng.uniform(0.1, 0.9) * h))
        axes = tuple(max(1, int(rng.uniform(*size) * w)) for _ in range(2))
        cv2.ellipse(layer, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.4, 0.9)), -1)
    layer = cv2.GaussianBlur(layer, (0, 0), max(0.6, soft * w))[..., None] * (
        picture.max(2, keepdims=True) > 20
    )
    return (
        ((1 - layer) * picture + layer * picture.mean() * 2.2 * np.array(tone)).clip(0, 255).astype(np.uint8)
    )


def laser_scars(rng: Rng, picture: Picture) -> Picture:
    """Many pale or dark round scars."""
    pale = _scatter(rng, picture, int(rng.integers(60, 260)), (0.008, 0.016), (1.1, 0.8, 0.4), 0.003)
    return _scatter(rng, pale, int(rng.integers(20, 80)), (0.003, 0.008), (0.3, 0.2, 0.1), 0.002)


def bleeding(rng: Rng, picture: Picture) -> Picture:
    """Large dark red bleeding, or many blots."""
    if rng.random() < 0.5:
        return _scatter(rng, picture, int(rng.integers(1, 4)), (0.06, 0.22), (0.5, 0.08, 0.03), 0.015)
    return _scatter(rng, picture, int(rng.integers(30, 150)), (0.005, 0.03), (0.5, 0.08, 0.03), 0.004)


def other_colours(rng: Rng, picture: Picture) -> Picture:
    """Another camera's white balance and tone curve."""
    gains = np.array([rng.uniform(0.8, 1.15), rng.uniform(0.8, 1.25), rng.uniform(0.6, 1.8)])
    level = (picture / 255.0) ** rng.uniform(0.7, 1.4)
    mixed = level + rng.uniform(-0.4, 0.3) * (level.mean(2, keepdims=True) - level)
    return (255 * mixed * gains).clip(0, 255).astype(np.uint8)


def other_light(rng: Rng, picture: Picture) -> Picture:
    """Half as light, or half as light again."""
    return (
        (picture * rng.choice([rng.uniform(0.45, 0.8), rng.uniform(1.2, 1.5)])).clip(0, 255).astype(np.uint8)
    )


def turned(rng: Rng, picture: Picture) -> Picture:
    """Turned by a right angle, mirrored, or both."""
    out = np.rot90(picture, int(rng.integers(4)))
    return np.ascontiguousarray(out[:, ::-1] if rng.random() < 0.5 else out)


def cloudy(rng: Rng, picture: Picture) -> Picture:
    """A hazy medium: less contrast, softer."""
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 0.004 * picture.shape[1]))
    veil = cv2.GaussianBlur(picture, (0, 0), 0.06 * picture.shape[1])
    return (
        cv2.addWeighted(soft, 1, veil, 0, 0)
        if rng.random() < 0.3
        else cv2.addWeighted(soft, 0.55, veil, 0.45, 0)
    )


VARIANTS: dict[str, Callable[[Rng, Picture], Picture]] = {
    variant.__name__.replace("_", " "): variant
    for variant in (
        grey,
        wide_border,
        square_crop,
        close_up,
        burnt_text,
        ultra_wide,
        laser_scars,
        bleeding,
        other_colours,
        other_light,
        turned,
        cloudy,
    )
}


def _light(share: float) -> Callable[[Rng, Picture], Picture]:
    return lambda rng, picture: (picture * float(share)).clip(0, 255).astype(np.uint8)


def _blurred(share: float) -> Callable[[Rng, Picture], Picture]:
    return lambda rng, picture: cv2.GaussianBlur(picture, (0, 0), share * crop_foreground(picture).shape[1])


def _shifted(share: float) -> Callable[[Rng, Picture], Picture]:
    """The field slides out of the photograph."""

    def shift(rng: Rng, picture: Picture) -> Picture:
        away = int(share * picture.shape[1])
        return np.ascontiguousarray(np.concatenate([picture[:, away:], np.zeros_like(picture[:, :away])], 1))

    return shift


def _covered(share: float) -> Callable[[Rng, Picture], Picture]:
    """A lid or the iris before it: one side of the field is dark."""

    def cover(rng: Rng, picture: Picture) -> Picture:
        h, w = picture.shape[:2]
        lit = picture.max(2) > 20
        rows = np.flatnonzero(lit.any(1))
        edge = rows[0] + share * (rows[-1] - rows[0])
        shade = np.clip(
            (np.arange(h)[:, None] - edge + 6 * np.sin(np.arange(w) / w * 6)[None]) / (0.02 * h) + 0.5,
            0.02,
            1,
        )
        return (picture * shade[..., None]).astype(np.uint8)

    return cover


def _jpeg(quality: int) -> Callable[[Rng, Picture], Picture]:
    def compress(rng: Rng, picture: Picture) -> Picture:
        code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])

    return compress


def _small(side: int) -> Callable[[Rng, Picture], Picture]:
    def shrink(rng: Rng, picture: Picture) -> Picture:
        scale = side / max(picture.shape[:2])
        return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

    return shrink


def _cast(gains: tuple[float, float, float]) -> Callable[[Rng, Picture], Picture]:
    return lambda rng, picture: (picture * np.array(gains)).clip(0, 255).astype(np.uint8)


def _noisy(spread: float) -> Callable[[Rng, Picture], Picture]:
    return lambda rng, picture: (picture + rng.normal(0, spread, picture.shape)).clip(0, 255).astype(np.uint8)


def _inverted(rng: Rng, picture: Picture) -> Picture:
    return 255 - picture


def _turned(angle: float) -> Callable[[Rng, Picture], Picture]:
    def turn(rng: Rng, picture: Picture) -> Picture:
        h, w = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1)
        return np.asarray(cv2.warpAffine(picture, matrix, (w, h), flags=cv2.INTER_LINEAR))

    return turn


SPOILT: dict[str, Callable[[Rng, Picture], Picture]] = {
    **{f"dark, {share} of the light": _light(share) for share in (0.5, 0.25, 0.12, 0.06)},
    **{f"bright, {share} times the light": _light(share) for share in (1.5, 2.5, 4)},
    **{f"blurred, sigma {share:.1%} of the field": _blurred(share) for share in (0.004, 0.008, 0.016, 0.03)},
    **{f"off-centre by {share:.0%}": _shifted(share) for share in (0.15, 0.3, 0.5)},
    **{f"covered to {share:.0%}": _covered(share) for share in (0.2, 0.35, 0.5, 0.7)},
    "inverted": _inverted,
    **{f"JPEG of quality {quality}": _jpeg(quality) for quality in (30, 10, 3)},
    "blue cast": _cast((0.5, 0.8, 2.5)),
    "green cast": _cast((0.6, 1.5, 0.8)),
    "turned by 20 degrees": _turned(20),
    "turned by 180 degrees": _turned(180),
    **{f"{side} pixels wide": _small(side) for side in (400, 200, 100, 50)},
    **{f"noise of {spread} levels": _noisy(spread) for spread in (10, 30, 60)},
}
