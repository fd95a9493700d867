"""Photographs of a prepared data set that are there twice: the same file, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_flair.bank.memo import keys_of_files
from fewshot_flair.words import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_pairs", "pairs_told"]


def find_pairs(
    root: Path, rows: pd.DataFrame, near: bool, told: Callable[[int, int], None]
) -> tuple[pd.DataFrame, list[str]]:
    """The pairs, as `Prepared.pairs` has them, and the photographs that could not be looked at.

    Parameters
    ----------
    rows : DataFrame
        With ``image`` (relative to `root`), ``label`` and ``split``.
    near : bool
        Whether pictures that are nearly the same are looked for too.
    """
    import pandas as pd

    from fewshot_flair.datasets.likeness import alike_pairs, fingerprints

    images = list(dict.fromkeys(rows["image"]))  # a protocol's table may name one twice
    keys = keys_of_files([str(root / image) for image in images])
    digests = [keys.get(str(root / image), image) for image in images]
    first: dict[str, int] = {}
    pairs = [(j, i, 1.0, True) for i, digest in enumerate(digests) if (j := first.setdefault(digest, i)) != i]
    unread: list[str] = []
    if near:
        prints = fingerprints([root / image for image in images], lambda done: told(done, len(images)))
        pairs += [(i, j, r, False) for i, j, r in alike_pairs(prints) if digests[i] != digests[j]]
        unread = [image for image, each in zip(images, prints, strict=True) if each is None]
    entry = rows.drop_duplicates("image").set_index("image")
    table = pd.DataFrame(
        [
            {
                "image": images[i],
                "other": images[j],
                "likeness": round(r, 4),
                "same_bytes": same,
                "labels_differ": bool(entry["label"][images[i]] != entry["label"][images[j]]),
                "sides_differ": bool(entry["split"][images[i]] != entry["split"][images[j]]),
            }
            for i, j, r, same in pairs
        ],
        columns=["image", "other", "likeness", "same_bytes", "labels_differ", "sides_differ"],
    )
    return table, unread


def pairs_told(pairs: pd.DataFrame) -> list[str]:
    """A sentence on each kind of pair that was found."""
    said = []
    for same, what in ((True, "the same, byte for byte"), (False, "nearly the same")):
        own = pairs[pairs["same_bytes"] == same]
        if not len(own):
            continue
        first = own.iloc[0]
        worse = [
            f"{int(own[column].sum())} {text}"
            for column, text in (
                ("labels_differ", "with two labels"),
                ("sides_differ", "on two sides of the split"),
            )
            if own[column].any()
        ]
        said.append(
            f"{counted(len(own), 'pair')} of photographs {what}{', of them ' + ', '.join(worse) if worse else ''}; the "
            f"first is {first['image']} and {first['other']}"
        )
    return said
