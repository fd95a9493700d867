"""Words that every message may need."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["agreeing", "counted", "nearest"]


def counted(n: int, noun: str, one: str = "", several: str = "") -> str:
    """A number with its noun, and with the verb that goes with it where both forms are given.

    Examples
    --------
    >>> counted(1, "shot"), counted(4, "shot"), counted(1, "row", "is", "are")
    ('1 shot', '4 shots', '1 row is')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'} {agreeing(n, one, several)}".rstrip()


def agreeing(n: int, one: str, several: str) -> str:
    """The verb or pronoun that goes with a number of things.

    Examples
    --------
    >>> agreeing(1, "was", "were"), agreeing(0, "was", "were")
    ('was', 'were')
    """
    return one if n == 1 else several


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
