"""Words that every message may need."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "shot"), counted(4, "shot")
    ('1 shot', '4 shots')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
