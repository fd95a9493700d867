"""Names that read alike: the same letters, digits and numbers in another case, sign, spacing or alphabet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["alike", "invisible", "lookalike_key", "told"]

SHOWN = 20
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that show nothing, though Unicode counts them as letters, marks or symbols."""
_SIGNS = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u0060\u02bc", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
)
_OTHER_ALPHABETS = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408"
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u04bb\u0501\u051b\u051d"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf",
    "ABEKMHOPCTYXSIJ" + "aeopcyxsijhdqw" + "ABEZHIKMNOPTYXo",
)
"""Cyrillic and Greek letters that look like a Latin one."""
_DECIMAL = re.compile(r"([+-]?)(\d+)(?:[.,](\d+))?(?:e([+-]?\d{1,2}))?")
_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")
_BETWEEN = re.compile(r"_|(?<=[^\W_])\s*-\s*(?=[^\W_])")
_SPACES = re.compile(r"(?<!\d)\s+|\s+(?!\d)")


def invisible(character: str) -> bool:
    """Whether a character shows nothing at all and changes nothing but letters' forms (spaces and controls do not)."""
    code = ord(character)
    return character in _BLANK or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF


def lookalike_key(text: str) -> str:
    """What names that read alike have in common.

    Names read alike if they differ only in case, in Unicode's forms, in spaces, hyphens and underscores, in the shape
    of quotes and dashes, in a full stop or comma at the end, in zeros before a number, or in how a number is written.
    Spaces and hyphens between two digits tell names apart (``1-2`` is not ``12``).

    Examples
    --------
    >>> lookalike_key("Grade_01") == lookalike_key("grade 1"), lookalike_key("1,0") == lookalike_key("1e0")
    (True, True)
    >>> lookalike_key("1-2") == lookalike_key("12")
    False
    """
    plain = text.casefold().translate(_SIGNS) if text.isascii() else _latin(text)
    plain = plain.strip().rstrip(".,;:!").strip()
    if number := _DECIMAL.fullmatch(plain):
        return _number(*number.groups())
    plain = _SPACES.sub("", _BETWEEN.sub(" ", plain).strip())
    return _ZEROS.sub("", " ".join(plain.split()))


def _latin(text: str) -> str:
    """A text in small letters, its digits and signs those of ASCII, without what shows nothing."""
    shown = "".join(c for c in text if not invisible(c) and unicodedata.category(c) != "Cf")
    plain = unicodedata.normalize("NFKC", shown.translate(_SIGNS)).casefold().translate(_SIGNS)
    plain = unicodedata.normalize("NFC", plain.replace("i\u0307", "i"))
    return "".join(str(unicodedata.decimal(c)) if unicodedata.category(c) == "Nd" else c for c in plain)


def _number(sign: str, whole: str, part: str | None, power: str | None) -> str:
    digits = f"{whole}.{part or ''}"
    if power:
        digits = f"{float(f'{digits}e{power}'):.15g}"
    whole, _, part = digits.partition(".")
    value = (whole.lstrip("0") or "0") + (f".{rest}" if (rest := part.rstrip("0")) else "")
    return f"-{value}" if sign == "-" and value != "0" else value


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that read alike (see `lookalike_key`), or look alike in letters of two alphabets.

    Such names may or may not mean the same, so that their owner is asked.
    """
    first: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(names):
        keys = {lookalike_key(name)}
        if not name.isascii():
            keys.add(lookalike_key(name.translate(_OTHER_ALPHABETS)))
        other = next((first[key] for key in sorted(keys) if key in first), name)
        for key in keys:
            first.setdefault(key, name)
        if other != name:
            pairs.append((other, name))
    return pairs


def told(pairs: Sequence[tuple[str, str]]) -> str:
    """The pairs of names, at most SHOWN; those that print the same with what tells them apart as escapes."""
    shown = ", ".join(f"{_shown(one, other)} and {_shown(other, one)}" for one, other in pairs[:SHOWN])
    return shown + (f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")


def _shown(name: str, other: str) -> str:
    same = lookalike_key(name) != lookalike_key(other)  # they differ in the alphabet alone
    return ascii(name) if same or any(map(invisible, name)) else repr(name)
