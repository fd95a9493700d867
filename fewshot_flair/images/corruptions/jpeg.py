"""Compression: a photograph as a messenger sends it on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fewshot_flair.images.corruptions.base import CORRUPTIONS, Corruption, Pixels, View

LONGEST = 1024
"""Longer sides are reduced first, as messengers do; else compression would hardly touch a large photograph."""


@CORRUPTIONS.register
@dataclass(frozen=True)
class JPEG(Corruption):
    """Reduced to 1,024 pixels and compressed as JPEG."""

    name = "jpeg"
    summary = "reduced to 1,024 pixels and compressed as JPEG"
    steps = (60, 40, 25, 15, 8)
    """Quality, as libjpeg counts it."""

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """Compress and decode."""
        scale = LONGEST / max(rgb.shape[:2])
        if scale < 1:
            size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(amount)])
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)
