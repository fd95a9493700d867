"""Texts for categories, drawn anew each epoch, and a vocabulary made from all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fewshot_flair.files import replace_file
from fewshot_flair.text.knowledge import TEMPLATE, descriptions

__all__ = ["Captions", "build_vocabulary"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Captions:
    """All texts of some categories.

    Parameters
    ----------
    categories : sequence of str
        Names; those in the expert-knowledge dictionary have descriptions besides the template.
    template : str
        "[CLS]" stands for the category.

    Attributes
    ----------
    texts : list of list of str
        For each category: the template with its name, its bare name, then its descriptions.
    """

    def __init__(self, categories: Sequence[str], template: str = TEMPLATE):
        self.categories = list(categories)
        self.texts = [
            list(dict.fromkeys([template.replace("[CLS]", name), name, *descriptions(name)]))
            for name in self.categories
        ]

    def draw(self, rng: np.random.Generator, category: int) -> str:
        """One text of a category: the template or one of its descriptions, as likely as another."""
        choices = self.texts[category]
        return choices[int(rng.integers(len(choices)))]


def build_vocabulary(texts: Iterable[str], path: str | Path) -> Path:
    """Write a cased WordPiece vocabulary that spells every word of `texts` as one piece.

    Other words fall apart into their letters, each of which is a piece too.

    Parameters
    ----------
    texts : iterable of str
        What the model is to read.
    path : path
        The vocab.txt to write.

    Returns
    -------
    Path
        `path`.
    """
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)})
    signs = [chr(c) for c in range(33, 127)]
    tails = [f"##{chr(c)}" for c in (*range(48, 58), *range(65, 91), *range(97, 123))]
    pieces = dict.fromkeys([*_SPECIAL, *signs, *tails, *words])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, [("\n".join(pieces) + "\n").encode()])
