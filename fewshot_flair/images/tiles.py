"""Tiles: overlapping parts of what an encoder's canvas shows, each enlarged to a canvas of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.images.decoding import ImageLike, read_image
from fewshot_flair.images.foreground import foreground_box
from fewshot_flair.images.preparation import ImagePreparation, prepare

__all__ = ["OVERLAP", "Tiles", "View", "view"]

OVERLAP = 0.25
"""Share of a tile's side that it has in common with the next one."""
MOST = 8


@dataclass(frozen=True)
class Tiles:
    """So many rows and columns of tiles; 1 × 1 is the whole canvas itself."""

    rows: int = 1
    columns: int = 1

    @classmethod
    def parse(cls, text: str) -> Tiles:
        """Read ``"2x2"``; InputError where it is nothing like that."""
        found = re.fullmatch(r"([1-9]\d*)\s*[x×]\s*([1-9]\d*)", text.strip().lower())
        if not found or max(map(int, found.groups())) > MOST:
            raise InputError(f"tiles {text!r}: give rows x columns, as 2x2, of 1 to {MOST} each")
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    @property
    def number(self) -> int:
        """How many tiles there are."""
        return self.rows * self.columns


@dataclass(frozen=True)
class View:
    """Where the canvases of a photograph lie in it.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the photograph.
    whole : (float, float, float, float)
        Top, left, height and width, in its pixels, of what the canvas shows; what is outside the photograph is black.
    tiles : list of the same, row by row; the whole alone where there are no tiles.
    """

    shape: tuple[int, int]
    whole: tuple[float, float, float, float]
    tiles: list[tuple[float, float, float, float]]

    def at(self, height: int, width: int) -> View:
        """The same of the photograph at another size."""
        down, across = height / self.shape[0], width / self.shape[1]

        def moved(window: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
            top, left, tall, wide = window
            return top * down, left * across, tall * down, wide * across

        return View((height, width), moved(self.whole), [moved(window) for window in self.tiles])


def view(
    image: ImageLike, preparation: ImagePreparation, tiles: Tiles, *, canvases: bool = True
) -> tuple[View, NDArray[np.float32], NDArray[np.uint8]]:
    """A photograph's canvases, where they lie, and its pixels.

    Parameters
    ----------
    canvases : bool
        Whether they are made; else there are none, and only where they lie is found.

    Returns
    -------
    View
    float32 array of shape (1, 3, S, S), or (1 + tiles, 3, S, S)
        The whole as `prepare` makes it, then each tile.
    uint8 array of shape (H, W, 3)
    """
    rgb = read_image(image)
    top, left, bottom, right = foreground_box(rgb) if preparation.crop else (0, 0, *rgb.shape[:2])
    shown = _shown(bottom - top, right - left, preparation)
    whole = (top + shown[0], left + shown[1], shown[2], shown[3])
    windows = _windows(whole, tiles) if tiles.number > 1 else [whole]
    where = View((rgb.shape[0], rgb.shape[1]), whole, windows)
    if not canvases:
        return where, np.empty((0, 3, preparation.image_size, preparation.image_size), np.float32), rgb
    made = [prepare(image if preparation.fast else rgb, preparation)]
    if tiles.number == 1:
        return where, np.stack(made), rgb
    # what lies outside the foreground is left out of tiles as it is of the whole
    inside = np.zeros_like(rgb)
    inside[top:bottom, left:right] = rgb[top:bottom, left:right]
    enlarged = replace(preparation, crop=False, canvas="stretch", resize=None, fast=False)
    made += [prepare(_cut(inside, window), enlarged) for window in windows]
    return where, np.stack(made), rgb


def _shown(height: int, width: int, preparation: ImagePreparation) -> tuple[float, float, float, float]:
    """Top, left, height and width of what the canvas shows of a picture of that size."""
    if preparation.canvas == "pad":
        return 0.0, 0.0, float(max(height, width)), float(max(height, width))
    if preparation.canvas == "stretch":
        return 0.0, 0.0, float(height), float(width)
    kept = preparation.image_size / (preparation.resize or preparation.image_size)
    sides = (height, width)
    if preparation.canvas == "center-crop":
        sides = (min(height, width), min(height, width))
    tall, wide = kept * sides[0], kept * sides[1]
    return (height - tall) / 2, (width - wide) / 2, tall, wide


def _windows(
    whole: tuple[float, float, float, float], tiles: Tiles
) -> list[tuple[float, float, float, float]]:
    top, left, height, width = whole
    tall = height / (tiles.rows - (tiles.rows - 1) * OVERLAP)
    wide = width / (tiles.columns - (tiles.columns - 1) * OVERLAP)
    down, across = tall * (1 - OVERLAP), wide * (1 - OVERLAP)
    return [
        (top + i * down, left + j * across, tall, wide)
        for i in range(tiles.rows)
        for j in range(tiles.columns)
    ]


def _cut(rgb: NDArray[np.uint8], window: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """The pixels of a window, black outside the picture."""
    top, left = round(window[0]), round(window[1])
    bottom, right = max(top + 1, round(window[0] + window[2])), max(left + 1, round(window[1] + window[3]))
    out = np.zeros((bottom - top, right - left, 3), np.uint8)
    part = rgb[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    down, across = max(-top, 0), max(-left, 0)
    out[down : down + part.shape[0], across : across + part.shape[1]] = part
    return out
