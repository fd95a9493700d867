"""What a corruption is: a photograph to a worse one, by a strength of 1 to 5."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError
from fewshot_flair.images.foreground import foreground_box
from fewshot_flair.registry import OWN, Registry

__all__ = [
    "CORRUPTIONS",
    "Corruption",
    "Pixels",
    "View",
    "corruption_of",
    "list_corruptions",
    "names_corruption",
]

CORRUPTIONS: Registry[Corruption] = Registry("corruption")
"""All corruptions by name; its `register` adds a class of your own."""
BUILT_IN = ("illumination", "blur", "colour", "jpeg", "artefacts", "field")
STRENGTHS = 5

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """Where the fundus is in a photograph.

    Attributes
    ----------
    x, y : float32 arrays of shape (W,) and (H,)
        Columns and rows from its centre, in radii.
    radius : float
        Half the longer side of its box, px.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    radius: float

    @classmethod
    def of(cls, rgb: Pixels) -> View:
        """Find it, as photographs are cropped to it for an encoder."""
        top, left, bottom, right = foreground_box(rgb)
        radius = max(bottom - top, right - left, 2) / 2
        x = (np.arange(rgb.shape[1], dtype=np.float32) - (left + right - 1) / 2) / radius
        y = (np.arange(rgb.shape[0], dtype=np.float32) - (top + bottom - 1) / 2) / radius
        return cls(x, y, radius)

    @property
    def squared(self) -> NDArray[np.float32]:
        """Squared distance of each pixel from the centre, in radii: (H, W)."""
        return self.y[:, None] ** 2 + self.x[None, :] ** 2


@dataclass(frozen=True)
class Corruption:
    """Base of all corruptions: a subclass writes `spoil`, and says in `steps` what each strength is.

    Parameters
    ----------
    strength : int
        1 (hardly seen) to 5 (hardly of use).
    """

    strength: int = 3

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    steps: ClassVar[tuple[float, ...]] = ()
    """A number for each strength."""

    def __post_init__(self) -> None:
        if self.strength not in range(1, STRENGTHS + 1):
            raise InputError(
                f"corruption {self.name}: strength {self.strength!r} is not one of 1, 2, 3, 4, 5"
            )

    def spoil(self, rgb: Pixels, view: View, amount: float, rng: np.random.Generator) -> Pixels:
        """The worse photograph, uint8 [H, W, 3]; `amount` is the number of the strength in `steps`."""
        raise NotImplementedError

    def __call__(self, rgb: Pixels) -> Pixels:
        """Spoil a photograph, uint8 [H, W, 3]; what is drawn at random depends on its pixels alone."""
        digest = hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())
        return self.spoil(rgb, View.of(rgb), self.steps[self.strength - 1], rng)

    @property
    def label(self) -> str:
        """What tables call it: ``blur:3``."""
        return f"{self.name}:{self.strength}"


def list_corruptions() -> list[type[Corruption]]:
    """The corruptions that `corruption_of` knows."""
    for module in BUILT_IN:
        importlib.import_module(f"fewshot_flair.images.corruptions.{module}")
    return list(CORRUPTIONS.known.values())


def corruption_of(text: str) -> Corruption:
    """A corruption by name and strength, as ``"blur:3"``; 3 where no strength is given.

    Raises
    ------
    InputError
        If there is no such corruption (the message says which there are) or strength.
    """
    list_corruptions()
    name, colon, strength = text.strip().partition(":")
    if colon and not strength.strip().isdecimal():
        raise InputError(f"corruption {text!r}: give a strength from 1 to 5, as {name}:3")
    return CORRUPTIONS.get(name, OWN)(int(strength) if colon else 3)


def names_corruption(text: str) -> bool:
    """Whether a text is meant as a corruption and not as a file: ``"blur"``, ``"blur:3"``, and also ``"fog:2"``."""
    name, colon, _ = text.strip().partition(":")
    list_corruptions()
    # one letter is a drive
    return name in CORRUPTIONS.known or bool(colon and len(name) > 1 and not {"/", "\\"} & set(name))


def shown(picture: NDArray[np.float32]) -> Pixels:
    """Levels 0 to 255 as numbers of any size to whole ones."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
