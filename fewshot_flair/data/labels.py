"""What a label or a patient is called: spellings that mean one thing, and labels that are doubtful."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from fewshot_flair.data.lookalikes import invisible
from fewshot_flair.words import counted

__all__ = [
    "Spellings",
    "clean",
    "doubt",
    "loosely",
    "misspelling_hints",
    "patient_name",
    "plain_number",
    "slips",
    "spell",
]

_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_JOINED = re.compile("_|(?<=[^\\W_])[-\u2010-\u2015](?=[^\\W_])")
_NUMBER = re.compile(r"([+-]?)0*([0-9]+)(?:\.([0-9]*?)0*)?")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([ T].*)?"
    r"|\d{1,2}[- ](jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*([- ,]+\d{2,4})?"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ]\d{1,4}(, *\d{4})?",
    re.IGNORECASE,
)
_NO_LABEL = {
    *("na", "n/a", "n.a.", "n. a.", "nan", "<na>", "null", "?", "??", ".", "-", "--", "\u2013", "\u2014"),
    *("#n/a", "#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!", "#spill!", "#calc!"),
}
"""What stands in a cell for nothing, and what spreadsheets write where a formula has no value."""
_NO_PATIENT = _NO_LABEL | {"none", "unknown", "nat"}
_GO_ON = "name it in --classes if it is one class, or choose another column (--label-column)"
Spellings = Mapping[str, Sequence[str]]
"""By class, the ways to write it that were met, where there were several."""


def clean(text: str) -> str:
    """A text in Unicode form C, with single plain spaces and nothing invisible in it.

    Examples
    --------
    >>> clean("mild\u00a0 dr\u200b")
    'mild dr'
    """
    if text.isascii() and "  " not in text:
        return text.strip()
    shown = "".join(c for c in _INVISIBLE.sub("", text) if not invisible(c))
    return " ".join(unicodedata.normalize("NFC", shown).split())


def patient_name(text: str) -> str:
    """A patient's identifier, cleaned; a whole number without ``.0``; empty for ``NA``, ``unknown`` and the like."""
    name = re.sub(r"^([0-9]+)\.0+$", r"\1", clean(text))
    return "" if name.casefold() in _NO_PATIENT else name


def spell(labels: Sequence[str], classes: Sequence[str] | None = None) -> tuple[list[str], Spellings]:
    """Write every class in one way, where what differs cannot mean anything.

    Labels are one class if they differ only in Unicode form, in spaces (no-break, doubled, zero-width) or in
    how a number is written (``1``, ``1.0``, ``01``). The class is written as in `classes`, else in the
    shortest of the ways that were met.

    Returns
    -------
    labels : list of n str
    merged : dict of str to list of str
        By class, all ways to write it, where several were met.
    """
    wanted = {plain_number(clean(str(name))): str(name) for name in classes or ()}
    by_key: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        by_key.setdefault(plain_number(clean(label)), []).append(label)
    written: dict[str, str] = {}
    merged = {}
    for key, found in by_key.items():
        name = wanted.get(key, min(map(clean, found), key=len))
        written |= dict.fromkeys(found, name)
        if len(found) > 1 and name:
            merged[name] = found
    return [written[label] for label in labels], merged


def plain_number(label: str) -> str:
    """A number in its shortest spelling (``1`` for ``01`` and ``1.0``); any other label as it is."""
    number = _NUMBER.fullmatch(label)
    if not number:
        return label
    sign, whole, part = number.groups()
    value = f"{whole}.{part}" if part else whole
    return f"-{value}" if sign == "-" and value != "0" else value


def loosely(label: str) -> str:
    """A label without regard to case, character forms, and hyphens or underscores for spaces."""
    return clean(_JOINED.sub(" ", unicodedata.normalize("NFKC", label).casefold().replace("\u2212", "-")))


def doubt(label: str, labels: set[str]) -> str | None:
    """Say why a label may not be the name of one class; None where nothing speaks against it."""
    if not label.isprintable():
        return f"has the label {label!r}, which holds a character that cannot be shown; write it without"
    if label.casefold() in _NO_LABEL:
        return f"has the label {label!r}, which reads like none; leave the cell empty, or {_GO_ON}"
    if _DATE.fullmatch(label):
        return f"has the label {label!r}, which is a date; {_GO_ON}"
    parts = [part.strip() for part in re.split(r"[;|]", label)]
    others = [part.strip() for part in re.split(r"[,/+&]", label)]
    if len([part for part in parts if part]) > 1 or (len(others) > 1 and labels.issuperset(others)):
        return f"has the label {label!r}, which looks like several in one cell; {_GO_ON}"
    return None


def slips(labels: Iterable[str]) -> dict[str, str]:
    """Labels that are most likely a slip of the pen, each with the common label that it is one letter from.

    One or two rows have it, at least ten times as many have the other, and the two differ by one letter more, less,
    other or swapped, in a word of five letters or more (``moderat DR``), or by one space; not by a number, a single
    letter or within an abbreviation (``stage A``, ``CRVO``), which often tell classes apart.
    """
    counts = Counter(label for label in labels if label)
    found = {}
    for label, n in counts.items():
        if n > 2:
            continue
        common = [other for other, m in counts.items() if m >= 10 * n and _one_slip(label, other)]
        if common:
            found[label] = max(common, key=lambda other: counts[other])
    return found


def _one_slip(one: str, other: str) -> bool:
    first, second = loosely(one), loosely(other)
    if abs(len(first) - len(second)) > 1:
        return False
    if first.replace(" ", "") == second.replace(" ", ""):
        return len(first) >= 5
    pairs = list(zip(first.split(), second.split(), strict=False))
    differ = [pair for pair in pairs if pair[0] != pair[1]]
    if len(first.split()) != len(second.split()) or len(differ) != 1:
        return False
    a, b = sorted(differ[0], key=len)
    if len(b) < 5 or not (a + b).isalpha():
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        return a[start:] == b[start + 1 :]
    swapped = a[start : start + 2] == b[start : start + 2][::-1] and a[start + 2 :] == b[start + 2 :]
    return a[start + 1 :] == b[start + 1 :] or swapped


def misspelling_hints(counts: Mapping[str, int]) -> list[str]:
    """Ask of each very rare class whether it is a common one, misspelt.

    Parameters
    ----------
    counts : mapping of str to int
        Images of each class, over all sides.

    Returns
    -------
    list of str
        Sentences such as ``class 'glaucom' has 1 image; is it 'glaucoma', misspelt?``
    """
    hints = []
    for name, n in counts.items():
        common = [other for other, m in counts.items() if m > 5 * n and not _NUMBER.fullmatch(other)]
        near = get_close_matches(name, common, n=1, cutoff=0.93) if 0 < n < 4 else []
        if near:
            hints.append(f"class {name!r} has {counted(n, 'image')}; is it {near[0]!r}, misspelt?")
    return hints
