"""The contract of a frozen encoder: images to features, texts to embeddings, and a fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_flair.errors import InputError
from fewshot_flair.images.preparation import ImageLike, ImagePreparation, prepare
from fewshot_flair.text.knowledge import descriptions, prompts
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = [
    *("ENGINES", "PRECISIONS", "Encoder", "ImageFeatures"),
    *("as_list", "check_engine", "check_precision"),
]

PRECISIONS = ("float32", "bfloat16")
ENGINES = {"torch": "", "onnxruntime": "onnx", "openvino": "openvino"}
"""What can run a vision tower, and the extra that brings it."""
FINGERPRINT_FORMAT = 2
_SAME = 1e-5
"""Prototypes that differ by less are the same, but for the rounding of batches of other lengths."""


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Features of n images.

    Attributes
    ----------
    backbone : float32 array of shape (n, D)
        Pooled output of the vision tower, neither projected nor normalised.
    embedding : float32 array of shape (n, E), or None
        Unit vectors in the space shared with texts; None for encoders without a text tower.
    local : float32 array of shape (n, h, w, D), or None
        The map before pooling, in the backbone's space; None where it was not asked for.
    local_embedding : float32 array of shape (n, h, w, E), or None
        That map carried through the projection, not of unit length.
    """

    backbone: NDArray[np.float32]
    embedding: NDArray[np.float32] | None = None
    local: NDArray[np.float32] | None = None
    local_embedding: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.backbone)


class Encoder(ABC):
    """A frozen model. Nothing but `encode_*` and `prototypes` loads its weights.

    Attributes
    ----------
    name : str
        What `load_encoder` calls it.
    preparation : ImagePreparation
        What `prepare` does to a photograph.
    precision : {"float32", "bfloat16"}
        Arithmetic of the vision tower.
    device : str
        Where the towers run, as torch names it.
    engine : {"torch", "onnxruntime", "openvino"}
        What runs the vision tower.
    """

    name: str
    preparation: ImagePreparation
    precision: str
    device: str
    engine: str = "torch"
    template: str
    local_map: str = ""
    """What the local map is: "exact" where its mean is the feature (and that of the projected map the embedding
    before it gets unit length), "patch tokens" where it is not tied to it; empty where there is none."""

    @property
    @abstractmethod
    def feature_dims(self) -> dict[str, int]:
        """Widths, ``{"backbone": D, "embedding": E}``; without "embedding" for vision-only encoders."""

    @property
    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """All that decides the features (weights' digest, preparation, precision, texts), as JSON takes it."""

    @abstractmethod
    def encode_prepared(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """Encode images that `prepare` made, float32 of shape (B, 3, S, S)."""

    def encode_with_map(self, batch: NDArray[np.float32]) -> ImageFeatures:
        """As `encode_prepared`, in one pass, with the local map; InputError where the encoder has none."""
        raise InputError(f"encoder {self.name!r} gives no local features; use one that does (docs/local.md)")

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower, and so an embedding."""
        return "embedding" in self.feature_dims

    @property
    def fingerprint_id(self) -> str:
        """Hexadecimal SHA-256 of the fingerprint's canonical JSON, as the settings are now."""
        canonical = json.dumps(self.fingerprint, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def logit_scale(self) -> float:
        """Natural logarithm of the inverse temperature, clamped as the model does before use."""
        raise self._no_text()

    def prepare(self, image: ImageLike) -> NDArray[np.float32]:
        """Decode, crop, resize and normalise one photograph to float32 [3, S, S]; safe in threads."""
        return prepare(image, self.preparation)

    def encode_images(
        self,
        images: ImageLike | Iterable[ImageLike],
        crop: bool = True,
        batch_size: int = 8,
        local: bool = False,
    ) -> ImageFeatures:
        """Encode photographs.

        Parameters
        ----------
        images : one or more paths, PIL images or uint8 arrays of shape (H, W, 3)
        crop : bool
            Crop to the fundus first, as data sets are prepared.
        batch_size : int
            Images a forward pass.
        local : bool
            Give the map before pooling too, from the same pass (see `ImageFeatures` and `local_map`).

        Returns
        -------
        ImageFeatures
            One row an image, in order.

        Raises
        ------
        MissingFileError, InputError
            If a photograph cannot be read, or the weights cannot be loaded.
        """
        ready = self.prepare  # a changed encoder changes them there
        if crop != self.preparation.crop:
            ready = partial(prepare, preparation=replace(self.preparation, crop=crop))
        items = as_list(images)
        if not items:
            raise InputError(f"{self.name}: no images to encode; give at least one")
        parts = []
        for start in range(0, len(items), batch_size):
            batch = np.stack([ready(image) for image in items[start : start + batch_size]])
            parts.append(self.encode_with_map(batch) if local else self.encode_prepared(batch))

        def joined(name: str) -> NDArray[np.float32] | None:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return ImageFeatures(**{field.name: joined(field.name) for field in fields(ImageFeatures)})  # type: ignore[arg-type]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, as they are and as one batch, to unit embeddings float32 [n, E]."""
        raise self._no_text()

    def prototypes(
        self, classes: Sequence[str] | Mapping[str, Sequence[str]], knowledge: bool = True
    ) -> TextPrototypes:
        """Class prototypes: the mean of the embeddings of a class's descriptions, each in the template.

        Parameters
        ----------
        classes : sequence of str, or mapping of class name to descriptions
            In the order of the classifier's columns. A mapping's descriptions are used as they are.
        knowledge : bool
            For a sequence: describe classes by the expert-knowledge dictionary, then by their name; else
            by their name alone.

        Returns
        -------
        TextPrototypes
            Means kept as they are (norm below 1), with the single embeddings as samples. One class is one
            batch of texts, as in FLAIR's release.

        Warns
        -----
        RuntimeWarning
            If classes have the same prototype, so that the text cannot tell them apart.
        """
        if not self.has_text:
            raise self._no_text()
        described = _described(classes, knowledge)
        texts = {name: prompts(lines, self.template) for name, lines in described.items()}
        samples = [self.encode_texts(lines) for lines in texts.values()]
        means = np.stack([part.mean(axis=0) for part in samples])
        self._warn_of_twins(texts, means)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it was told, with the reason
            return TextPrototypes(
                classes=list(described),
                prototypes=means,
                logit_scale=self.logit_scale,
                samples=np.concatenate(samples),
                sample_classes=np.repeat(np.arange(len(samples)), [len(part) for part in samples]),
                descriptions=described,
            )

    def unread(self, texts: Sequence[str]) -> list[str]:
        """What of these texts the text tower does not read: unknown words, or all after so many tokens."""
        raise self._no_text()

    def _warn_of_twins(self, texts: Mapping[str, Sequence[str]], means: NDArray[np.float32]) -> None:
        names, seen = list(texts), set[int]()
        for i, mean in enumerate(means):
            same = [j for j in range(i, len(names)) if np.abs(means[j] - mean).max() < _SAME]
            if len(same) == 1 or i in seen:
                continue
            seen.update(same)
            twins = [names[j] for j in same]
            if len({tuple(texts[name]) for name in twins}) == 1:
                reasons = ["the texts are the same"]
            else:
                reasons = self.unread([text for name in twins for text in texts[name]])
            why = "; ".join(reasons) or "it does not read what differs between them"
            warnings.warn(
                f"the text tower of {self.name} cannot tell {' and '.join(map(repr, twins))} apart: their texts give "
                f"the same prototype ({why}); describe these classes in other words",
                RuntimeWarning,
                stacklevel=3,
            )

    def _no_text(self) -> InputError:
        return InputError(
            f"encoder {self.name!r} has no text tower; use adapters that need no text, or an encoder that has "
            "one (fewshot-flair encoders lists them)"
        )


def _described(classes: Sequence[str] | Mapping[str, Sequence[str]], knowledge: bool) -> dict[str, list[str]]:
    if isinstance(classes, str):
        raise InputError(f"prototypes: give a list of class names, not the single string {classes!r}")
    if isinstance(classes, Mapping):
        for name, texts in classes.items():
            if isinstance(texts, str) or not texts:
                raise InputError(f"prototypes: class {name!r} needs a list of at least one description")
        described = {str(name): [str(text) for text in texts] for name, texts in classes.items()}
    else:
        names = [str(name) for name in classes]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"prototypes: class {twice!r} is named twice; class names must differ")
        described = {name: descriptions(name) if knowledge else [name] for name in names}
    if not described:
        raise InputError("prototypes: no classes; give at least one")
    return described


def as_list(images: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
    """One image, or many, as a list."""
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        return [images] if images.ndim < 4 else list(images)
    return list(images)


def check_precision(precision: str | None) -> str:
    """The precision, "float32" where none is given; InputError for one that doesn't exist."""
    if precision is None:
        return "float32"
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    return precision


def check_engine(engine: str, precision: str | None, device: str) -> str:
    """The engine; InputError where there is no such one, or it is not installed, or cannot do what is asked.

    Parameters
    ----------
    precision, device : str
        What the vision tower is to be computed in, and where.
    """
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is not one of {', '.join(ENGINES)}")
    if engine == "torch":
        return engine
    if precision not in (None, "float32"):
        raise InputError(
            f"engine {engine} computes in float32 here, not in {precision}; leave one of the two out"
        )
    if device != "cpu":
        raise InputError(
            f"engine {engine} runs on the processor here, not on {device}; leave --engine or --device out"
        )
    if find_spec(engine) is None:
        raise InputError(
            f"engine {engine} is not installed: pip install 'fewshot-flair[{ENGINES[engine]}]', or leave --engine out"
        )
    return engine
