"""An assembly: which data sets a network is pre-trained on, from what, how, and what it is tested on meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fewshot_flair.encoders.config import CLINICAL_BERT, BertConfig, ResNetConfig
from fewshot_flair.strict import Strict, check_names_differ
from fewshot_flair.text.knowledge import TEMPLATE

__all__ = ["Assembly", "HeldOut", "Recipe", "SourceSet", "Start"]

NOTHING = "nothing"
"""Of `Start.vision` and `Start.text`: random weights."""
IMAGENET = "timm/resnet50.tv_in1k"
Short = Annotated[str, Field(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=1, le=10**6)]
Concepts = str | list[str]


class SourceSet(Strict):
    """One data set to learn from. Fields that `Manifest.read` has too mean the same.

    Attributes
    ----------
    name : str
        What tables call it.
    manifest : str
        Table or folder, relative to the assembly's file.
    category_columns : list of str, optional
        Columns that hold categories: a name or a Python list of names in each cell, or only 0 and 1, where the
        column's name is the category. By default the column of the label.
    concepts : dict of str to str or list of str
        What a label means: one or more categories, as the dictionary names them if it has them. ``""`` leaves the
        label out. Of several columns ``COLUMN=VALUE`` stands for one's value. A label without an entry is a
        category by its own name.
    weight : float
        How often an epoch shows each photograph: 2 is twice, 0.5 a half of them, drawn anew.
    splits : list of str
        Which sides of the manifest's split are learnt from; rows without a side are always.
    """

    name: Short
    manifest: str
    images: str | None = None
    image_column: str = "image"
    category_columns: list[str] | None = Field(default=None, min_length=1)
    patient_column: str = "patient_id"
    encoding: str | None = None
    sheet: str | None = None
    scale: Literal["dr"] | None = None
    skip_bad: bool = False
    concepts: dict[str, Concepts] = Field(default={})
    weight: float = Field(default=1.0, gt=0, le=1000)
    splits: list[Literal["train", "val", "test", "pool"]] = Field(
        default=["train", "val", "pool"], min_length=1
    )

    @field_validator("concepts")
    @classmethod
    def _can_be_shown(cls, value: dict[str, Concepts]) -> dict[str, Concepts]:
        for label, named in value.items():
            for name in [named] if isinstance(named, str) else named:
                if not name.isprintable():
                    raise ValueError(f"{label!r}: {name!r} holds a character that cannot be shown")
        return value


class HeldOut(Strict):
    """One data set whose zero-shot figure is measured while the network trains; never learnt from.

    Its test rows count, or all where it has no split. The other fields are those of `Manifest.read`.
    """

    name: Short
    manifest: str
    images: str | None = None
    classes: list[str] | None = None
    image_column: str = "image"
    label_column: str = "label"
    encoding: str | None = None
    sheet: str | None = None
    scale: Literal["dr"] | None = None
    skip_bad: bool = False


class VisionSize(Strict):
    """Shape of an image tower that begins with random weights (see `ResNetConfig`); ResNet-50 by default."""

    block: Literal["bottleneck", "basic"] = "bottleneck"
    depths: list[Count] = Field(default=[3, 4, 6, 3])
    widths: list[Count] = Field(default=[64, 128, 256, 512])

    def config(self) -> ResNetConfig:
        """The network's configuration; InputError where no network has it."""
        return ResNetConfig(self.block, tuple(self.depths), tuple(self.widths))


class TextSize(Strict):
    """Shape of a text tower that begins with random weights (see `BertConfig`); BERT-base by default."""

    hidden_size: Count = 768
    layers: int = Field(default=12, ge=2, le=200)
    heads: Count = 12
    intermediate_size: Count = 3072
    dropout: float = Field(default=0.1, ge=0, lt=1)

    def config(self, vocab_size: int) -> BertConfig:
        """The network's configuration; InputError where no network has it."""
        return BertConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate_size,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
        )


class Start(Strict):
    """What the weights are before training.

    Attributes
    ----------
    flair : str, optional
        A FLAIR to go on from: hub id, folder (both published layouts) or file. Then the next four are not given.
    text_encoder : str, optional
        With `flair`: where the text tower's config.json and vocab.txt are, if not beside it.
    vision, text : str
        A hub id, folder or file of a ResNet in torchvision's layout, and a hub id or folder of a BERT; ``"nothing"``
        begins with random weights of the sizes given.
    vision_size, text_size : table, optional
        With ``"nothing"``.
    embedding : int
        Width of the common space (not with `flair`).
    """

    flair: str | None = None
    text_encoder: str | None = None
    vision: str = IMAGENET
    text: str = CLINICAL_BERT
    vision_size: VisionSize | None = None
    text_size: TextSize | None = None
    embedding: int = Field(default=512, ge=1, le=65536)

    @model_validator(mode="after")
    def _one_beginning(self) -> Start:
        given = self.model_fields_set
        if self.flair is not None and (
            also := sorted(given & {"vision", "text", "vision_size", "text_size", "embedding"})
        ):
            raise ValueError(f"flair already says what {' and '.join(also)} are; leave those out")
        if self.flair is None and self.text_encoder is not None:
            raise ValueError("text_encoder goes with flair; text names the BERT to begin with")
        for tower in ("vision", "text"):
            if getattr(self, f"{tower}_size") is not None and getattr(self, tower) != NOTHING:
                raise ValueError(f'{tower}_size is for {tower} = "{NOTHING}"; weights have their own size')
        return self


class Recipe(Strict):
    """How the network is trained; the defaults are FLAIR's published settings.

    Attributes
    ----------
    image_size : int
        Side of the canvas, px.
    batch_size : int
        Photographs a step, those of all processes together.
    learning_rate, weight_decay : float
        Of AdamW. The rate rises over `warm_up_epochs` and falls as a cosine to zero.
    clip : float
        Largest norm of the gradient.
    precision : {"auto", "float32", "bfloat16"}
        "auto" is bfloat16 (autocast) on a CUDA device that has it, else float32.
    camera : bool
        Randomise the camera beside the published augmentation (see `augment`).
    fast : bool
        Decode large JPEGs at reduced size, many times as fast (see `ImagePreparation`).
    seed : int
        Decides the order, the texts, the augmentation and random weights.
    """

    image_size: int = Field(default=512, ge=16, le=4096)
    epochs: int = Field(default=15, ge=1, le=10_000)
    batch_size: int = Field(default=128, ge=2, le=1_000_000)
    learning_rate: float = Field(default=5e-4, gt=0, le=10)
    weight_decay: float = Field(default=1e-5, ge=0, le=10)
    warm_up_epochs: float = Field(default=1.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    camera: bool = False
    fast: bool = True
    seed: int = Field(default=0, ge=0, lt=2**32)


class Assembly(Strict):
    """Data sets, initial weights, recipe and held-out sets, as one TOML file says them.

    Attributes
    ----------
    sets : list of SourceSet
        ``[[sets]]``.
    held_out : list of HeldOut
        ``[[held_out]]``.
    start : Start
    recipe : Recipe
    template : str
        Prompt; "[CLS]" stands for the category.
    duplicates : {"first", "keep"}
        Of files that are the same byte for byte the first alone is learnt from, or all of them.
    near_duplicates : bool
        Look for photographs that are nearly the same too; they are told of, and those of a held-out set are not
        learnt from. Takes a few milliseconds to tens of them a photograph.
    folder, text
        Where the file lies and what it says; set by `read`.
    """

    sets: list[SourceSet] = Field(min_length=1, max_length=1000)
    held_out: list[HeldOut] = Field(default=[], max_length=1000)
    start: Start = Start()
    recipe: Recipe = Recipe()
    template: str = TEMPLATE
    duplicates: Literal["first", "keep"] = "first"
    near_duplicates: bool = False
    folder: Path = Path()
    text: str = ""

    @model_validator(mode="after")
    def _names_differ(self) -> Assembly:
        if "[CLS]" not in self.template:
            raise ValueError(f"template {self.template!r} has no '[CLS]' where the category goes")
        check_names_differ({"sets": [s.name for s in self.sets], "held_out": [s.name for s in self.held_out]})
        return self

    @classmethod
    def read(cls, path: str | Path) -> Assembly:
        """Read a TOML file; paths in it are relative to it.

        Raises
        ------
        MissingFileError
            If there is no such file.
        InputError
            If it is not TOML, or an entry is unknown, missing or out of range; all are named.
        """
        return cls._read(Path(path), f"no assembly {path}; give a TOML file (docs/pretraining.md)")

    def place(self, name: str) -> str:
        """A path of the file, from where one is."""
        return str(self.folder / name)

    def source(self, name: str) -> str:
        """A path of weights as `place` has it, or a hub id as it is where there is no such path."""
        return self.place(name) if (self.folder / name).exists() else name

    def decides(self) -> dict[str, Any]:
        """Every setting that decides the weights, as JSON takes it: a checkpoint belongs to one such."""
        return self.model_dump(mode="json", exclude={"folder", "text", "held_out", "near_duplicates"})
