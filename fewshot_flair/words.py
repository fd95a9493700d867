"""Words that every message may need."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["counted", "nearest"]


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "shot"), counted(4, "shot")
    ('1 shot', '4 shots')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def nearest(name: object, known: Iterable[str]) -> str:
    """A question for the known name that is most like another; empty where none is.

    Examples
    --------
    >>> nearest("splt", ["split", "cross"]), nearest("x", ["split"])
    ("did you mean 'split'?", '')
    """
    from difflib import get_close_matches

    near = get_close_matches(str(name), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""
