"""The photographs of an assembly: their categories, and those that are there twice or held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.bank.memo import keys_of_files
from fewshot_flair.data.manifest import Manifest
from fewshot_flair.datasets.likeness import alike_pairs, fingerprints
from fewshot_flair.errors import InputError
from fewshot_flair.files import digest_of
from fewshot_flair.pretraining.categories import read_set
from fewshot_flair.pretraining.image_sets import Sample
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from fewshot_flair.images.preparation import ImagePreparation
    from fewshot_flair.pretraining.assembly import Assembly, HeldOut

__all__ = ["AssembledImages", "Photographs", "assemble"]

DUPLICATE_COLUMNS = (
    "image",
    "set",
    "other",
    "other_set",
    "likeness",
    "same_bytes",
    "categories_differ",
    "left_out",
)


@dataclass(frozen=True)
class Photographs:
    """What is learnt from and tested on.

    Attributes
    ----------
    paths : list of n str
    sets : int array [n]
        Place of each photograph's set among those of the assembly.
    categories : list of K str
        In the order in which they are first met.
    relation : bool array [n, K]
        Which categories are true of each.
    held_out : list of (HeldOut, Manifest)
        The rows to test on.
    duplicates : DataFrame
        Pairs of photographs that are the same or nearly, and what was done: ``image``, ``set``, ``other``,
        ``other_set``, ``likeness``, ``same_bytes``, ``categories_differ``, ``left_out`` (the path, or empty).
    said : list of str
        What a user should know.
    digest : str
        Of the files' bytes and their categories, in order.
    keys : list of n str
        Digests of the files' bytes.
    """

    paths: list[str]
    sets: NDArray[np.int64]
    categories: list[str]
    relation: NDArray[np.bool_]
    held_out: list[tuple[HeldOut, Manifest]]
    duplicates: pd.DataFrame
    said: list[str]
    digest: str
    keys: list[str]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass
class _Row:
    path: str
    place: int
    name: str
    categories: list[str] = field(default_factory=list)


def assemble(
    assembly: Assembly, told: Callable[[str, int, int], None] = lambda what, done, total: None
) -> Photographs:
    """Read the tables of an assembly, and find the photographs that are there twice.

    A photograph of a held-out set is never learnt from. Of the files that are the same byte for byte the first
    alone is, unless ``duplicates = "keep"``.

    Parameters
    ----------
    told : callable
        Told what is being done, how much of it is done, and of how much.

    Raises
    ------
    InputError
        If a table cannot be read, a file has gone, or nothing is left to learn from.
    """
    said: list[str] = []
    rows: list[_Row] = []
    for place, source in enumerate(assembly.sets):
        found = read_set(assembly, source)
        said += found.said
        paths = found.manifest.frame["path"]
        of_path: dict[str, _Row] = {}  # a table may have a row for each category of a photograph
        for i, categories in found.rows:
            row = of_path.setdefault(str(paths[i]), _Row(str(paths[i]), place, source.name))
            row.categories = list(dict.fromkeys(row.categories + categories))
        rows += of_path.values()
    held_out = [(each, _test_rows(assembly, each)) for each in assembly.held_out]
    kept_out = [
        _Row(str(path), -1, f"held out: {each.name}", [str(label)])
        for each, manifest in held_out
        for path, label in zip(manifest.frame["path"], manifest.frame["label"], strict=True)
    ]
    # held-out ones first: they stay, and what is the same leaves training
    everything = kept_out + rows
    told("reading the files", 0, len(everything))
    keys = keys_of_files([row.path for row in everything])
    if gone := next((row.path for row in everything if row.path not in keys), None):
        raise InputError(f"{gone} cannot be read; put it back, or take its row out of the table")
    pairs = _same_pairs(everything, keys)
    if assembly.near_duplicates:
        prints = fingerprints(
            [Path(row.path) for row in everything],
            lambda done: told("looking for photographs that are nearly the same", done, len(everything)),
        )
        pairs += [
            (i, j, r, False)
            for i, j, r in alike_pairs(prints)
            if keys[everything[i].path] != keys[everything[j].path]
            and max(everything[i].place, everything[j].place) >= 0
        ]
    dropped = _dropped(everything, pairs, keep=assembly.duplicates == "keep")
    duplicates = _table(everything, pairs, dropped)
    said += _told(everything, pairs, dropped)
    rows = [row for i, row in enumerate(everything) if row.place >= 0 and i not in dropped]
    if not rows:
        raise InputError("nothing is left to learn from: every photograph of the sets is held out")
    if assembly.start.flair is not None:
        said += [text for each, manifest in held_out for text in _seen(assembly, each, manifest)]
    categories = list(dict.fromkeys(name for row in rows for name in row.categories))
    column = {name: k for k, name in enumerate(categories)}
    relation = np.zeros((len(rows), len(categories)), bool)
    for i, row in enumerate(rows):
        relation[i, [column[name] for name in row.categories]] = True
    return Photographs(
        [row.path for row in rows],
        np.array([row.place for row in rows], np.int64),
        categories,
        relation,
        held_out,
        duplicates,
        said,
        digest_of([[keys[row.path], row.place, row.categories] for row in rows]),
        [keys[row.path] for row in rows],
    )


class AssembledImages:
    """The photographs of an assembly as `pretrain` and the loader take them (see `ImageSet`)."""

    def __init__(self, photographs: Photographs, preparation: ImagePreparation) -> None:
        self._paths, self._preparation = photographs.paths, preparation
        self.categories, self.relation = photographs.categories, photographs.relation

    def __len__(self) -> int:
        return len(self._paths)

    def sample(self, index: int) -> Sample:
        """The `index`-th photograph, prepared."""
        from fewshot_flair.images.preparation import prepare

        pixels = prepare(self._paths[index], self._preparation)
        return Sample(np.rint(255.0 * pixels.transpose(1, 2, 0)).astype(np.uint8), self.relation[index])


def _test_rows(assembly: Assembly, held_out: HeldOut) -> Manifest:
    options = held_out.model_dump(exclude={"name", "manifest", "images"})
    images = None if held_out.images is None else assembly.place(held_out.images)
    manifest = Manifest.read(assembly.place(held_out.manifest), images=images, **options)
    return manifest.split("test") if manifest.has_split else manifest.take(manifest.y >= 0)


def _seen(assembly: Assembly, held_out: HeldOut, manifest: Manifest) -> list[str]:
    """What is to be said of a held-out set that the published FLAIR was trained on already."""
    from fewshot_flair.experiment.choices import DataSet
    from fewshot_flair.experiment.pretrained import known_set, pretrained_on

    data = DataSet(name=held_out.name, manifest=assembly.place(held_out.manifest))
    known, how = known_set(data, manifest)
    return [f"held out {held_out.name}: {text}" for text in pretrained_on(known, how, "flair")]


def _same_pairs(rows: Sequence[_Row], keys: dict[str, str]) -> list[tuple[int, int, float, bool]]:
    first: dict[str, int] = {}
    pairs = []
    for i, row in enumerate(rows):
        earlier = first.setdefault(keys[row.path], i)
        if earlier != i and (row.place >= 0 or rows[earlier].place >= 0):
            pairs.append((earlier, i, 1.0, True))
    return pairs


def _dropped(rows: Sequence[_Row], pairs: Sequence[tuple[int, int, float, bool]], *, keep: bool) -> set[int]:
    """Places of the rows that are not learnt from: of a pair the second, where it must or should leave."""
    return {j for i, j, _, same in pairs if rows[j].place >= 0 and (rows[i].place < 0 or (same and not keep))}


def _table(
    rows: Sequence[_Row], pairs: Sequence[tuple[int, int, float, bool]], dropped: set[int]
) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            (
                rows[i].path, rows[i].name, rows[j].path, rows[j].name, round(r, 4), same,
                set(rows[i].categories) != set(rows[j].categories), rows[j].path if j in dropped else "",
            )
            for i, j, r, same in pairs
        ],
        columns=list(DUPLICATE_COLUMNS),
    )  # fmt: skip


def _told(
    rows: Sequence[_Row], pairs: Sequence[tuple[int, int, float, bool]], dropped: set[int]
) -> list[str]:
    said = []
    for same, what in ((True, "the same, byte for byte"), (False, "nearly the same")):
        own = [(i, j) for i, j, _, s in pairs if s == same]
        if not own:
            continue
        held = len({j for i, j in own if rows[i].place < 0 and j in dropped})
        across = sum(rows[i].place >= 0 and rows[i].place != rows[j].place for i, j in own)
        other = sum(set(rows[i].categories) != set(rows[j].categories) for i, j in own if rows[i].place >= 0)
        i, j = own[0]
        left = len({j for _, j in own if j in dropped})
        said.append(
            f"{counted(len(own), 'pair')} of photographs {what} ({across} across two sets, {other} with other "
            f"categories, {held} with a held-out photograph); {counted(left, 'photograph')} left out of training; the "
            f"first pair is {rows[i].path} ({rows[i].name}) and {rows[j].path} ({rows[j].name})"
        )
    return said
