"""Files that are the same byte for byte: photographs that a manifest has under two names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewshot_flair.data.manifest import Manifest
from fewshot_flair.words import counted

__all__ = ["Twin", "differently_labelled", "on_both_sides", "twins", "twins_message"]

SHOWN = 1000
"""So many groups are named in a message; they are to be mended all at once."""
_LEARNED = ("train", "pool")


@dataclass(frozen=True)
class Twin:
    """One of several files that are the same photograph: where it stands, its label and its side."""

    source: str
    row: int
    image: str
    label: str
    side: str


def twins(sides: Mapping[str, Manifest], keys: Mapping[str, str]) -> list[list[Twin]]:
    """Group the rows that are the same file byte for byte, two or more a group.

    Parameters
    ----------
    sides : mapping of side to Manifest
        The manifests that are used together: ``{"train": …, "test": …, "pool": …}``.
    keys : mapping of path to key
        Digest of each file (see `fewshot_flair.bank.keys.image_key`); files without one are left out.

    Returns
    -------
    list of lists of Twin
        In the order of the first row of each group.
    """
    by_key: dict[str, list[Twin]] = {}
    for side, manifest in sides.items():
        frame = manifest.frame
        columns = (frame["path"], frame["row"], frame["image"], frame["label"])
        for path, row, image, label in zip(*columns, strict=True):
            if path in keys:
                by_key.setdefault(keys[path], []).append(Twin(manifest.source, int(row), image, label, side))
    return [group for group in by_key.values() if len(group) > 1]


def differently_labelled(groups: Sequence[Sequence[Twin]]) -> list[list[Twin]]:
    """Those groups in which one photograph has two labels; rows without a label contradict nobody."""
    labelled = [[twin for twin in group if twin.label] for group in groups]
    return [group for group in labelled if len({twin.label for twin in group}) > 1]


def on_both_sides(groups: Sequence[Sequence[Twin]]) -> list[list[Twin]]:
    """Those groups in which a photograph that is learned from (train, pool) is tested on too."""
    return [list(group) for group in groups if len({twin.side in _LEARNED for twin in group}) > 1]


def twins_message(groups: Sequence[Sequence[Twin]], what: str) -> str:
    """Name every group: ``2 photographs are there …: a.png (row 2, label x, train) is d.png (row 9, …)``."""
    count = f"{counted(len(groups), 'photograph', 'is', 'are')}"
    lines = [" is ".join(_named(twin) for twin in group) for group in groups[:SHOWN]]
    more = [f"and {len(groups) - SHOWN} more"] if len(groups) > SHOWN else []
    return "\n  ".join([f"{count} there twice, {what}", *lines, *more])


def _named(twin: Twin) -> str:
    place = f"{twin.source}, row {twin.row}" if twin.row else twin.source
    return f"{twin.image!r} ({place}, {f'label {twin.label!r}' if twin.label else 'no label'}, {twin.side})"
