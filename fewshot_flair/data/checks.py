"""What makes a manifest's row unusable, found without decoding an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fewshot_flair.data.grades import grade_meant
from fewshot_flair.data.labels import doubt, slips
from fewshot_flair.data.locate import Locator
from fewshot_flair.data.lookalikes import alike, told
from fewshot_flair.data.tables import SPLITS, SkippedRow, Table
from fewshot_flair.errors import InputError
from fewshot_flair.images.formats import FORMAT_NAMES, format_of
from fewshot_flair.words import agreeing, counted

__all__ = [
    *("BadRowsError", "Found", "Rules", "bad_rows", "find_images", "image_folder"),
    *("image_problem", "image_problems", "parted_patients", "repeats", "unlabelled_tests"),
]

SHOWN = 20
NOT_THERE = "is not there"


class BadRowsError(InputError):
    """Rows of a manifest that cannot be used, all of them, in `rows` (a list of SkippedRow)."""

    def __init__(self, source: str, rows: Sequence[SkippedRow], besides: Sequence[str] = ()) -> None:
        self.rows = list(rows)
        lines = [sentence(source, row) for row in self.rows]
        if len(lines) == 1 and not besides:
            super().__init__(f"{lines[0]} (or go on without it: --skip-bad)")
            return
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"and {len(lines) - SHOWN} more"]
        it = agreeing(len(self.rows), "it", "them")
        head = (
            f"{source}: {counted(len(self.rows), 'bad row')}; mend {it}, or go on without {it} (--skip-bad)"
        )
        super().__init__("\n  ".join([head, *lines, *besides]))


def sentence(source: str, row: SkippedRow) -> str:
    """Say what is wrong with a row: ``clinic.csv, row 17: image 'a/b.jpg' is not there; …``."""
    place = f"{source}, row {row.row}" if row.row else source
    return f"{place}: {f'image {_short(row.image)} ' if row.image else ''}{row.reason}"


def _short(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:100]!r}…{text[-60:]!r}"


def image_problem(path: Path) -> str | None:
    """Say why a file cannot be an image, from its first bytes alone; None where it looks like one.

    A file that is cut off further on passes here and is found when it is decoded.
    """
    try:
        if format_of(path):
            return None
        empty = path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return NOT_THERE
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        return f"is a name that no file can have ({error})"
    return "is an empty file" if empty else f"is not an image file of a known format ({FORMAT_NAMES})"


def image_problems(paths: Sequence[Path]) -> list[str | None]:
    """Check many files (see image_problem), some at once: on a network drive each takes a round trip."""
    if len(paths) < 64:
        return [image_problem(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(image_problem, paths, chunksize=64))


def image_folder(path: str | Path) -> Path:
    """The folder that image paths start from, in full; InputError where there is none."""
    try:
        if Path(path).is_dir():
            return Path(path).resolve()
    except (OSError, ValueError):
        pass
    raise InputError(
        f"{str(path)[:200]!r} is not a folder; --images names the folder that image paths start from"
    )


@dataclass
class Found:
    """Each row's file and what is wrong with it; `renamed` holds (as written, as found) where these differ."""

    paths: list[Path]
    problems: list[str | None]
    renamed: list[tuple[str, str]] = field(default_factory=list)


def find_images(table: Table, root: Path, check: bool, images_given: bool) -> Found:
    """Find each row's image below `root`.

    Parameters
    ----------
    check : bool
        Look at the files; where False only those with a backslash in their path are looked for.
    images_given : bool
        Whether the user named the folder, so that a message does not advise to.
    """
    written = table.columns["image"]
    locator = Locator(root, deep=images_given)
    paths = [locator.plain(name) for name in written]
    if table.files is not None:
        # the table held the images; a path stands where it held none
        paths = [file if file.is_absolute() else root / file for file in table.files]
    found = Found(paths, image_problems(paths) if check else [None] * len(paths))
    where = "below the folder that --images names" if images_given else ""
    advice = f" {where}" if where else "; paths are relative to the manifest (use --images DIR)"
    for i, problem in enumerate(found.problems):
        if problem != NOT_THERE or not written[i]:
            continue
        other = locator.find(written[i])
        if other is not None:
            found.paths[i], found.problems[i] = other, image_problem(other)
            moved = other.parent != paths[i].parent and other.is_relative_to(root)
            found.renamed.append((written[i], other.relative_to(root).as_posix() if moved else other.name))
        elif names := locator.like(written[i]):
            found.problems[i] = f"{NOT_THERE}; did you mean {' or '.join(names)}?"
        else:
            found.problems[i] = NOT_THERE + advice
    _refuse_shared(written, found)
    return found


def _refuse_shared(written: Sequence[str], found: Found) -> None:
    """A file that was found for two names is neither's for sure."""
    if not found.renamed:
        return
    names: dict[Path, set[str]] = {}
    for name, path in zip(written, found.paths, strict=True):
        names.setdefault(path, set()).add(name)
    searched = {name for name, _ in found.renamed}
    for i, (name, path) in enumerate(zip(written, found.paths, strict=True)):
        if len(names[path]) > 1 and name in searched and not found.problems[i]:
            others = ", ".join(map(repr, sorted(names[path] - {name})[:3]))
            found.problems[i] = f"{NOT_THERE}; the only file of that name, {path}, is also that of {others}"
            found.paths[i] = Path(name)
            searched.discard(name)
    found.renamed = [pair for pair in found.renamed if pair[0] in searched]


@dataclass(frozen=True)
class Rules:
    """What a row must be: whether it needs a label on the test side, and the classes where they are named."""

    labels_required: bool
    classes: Sequence[str] | None = None


def bad_rows(table: Table, found: Found, rules: Rules, again: Container[int]) -> dict[int, SkippedRow]:
    """Find every row that cannot be used, by its place in the table; all reasons of a row in one.

    Parameters
    ----------
    again : container of int
        What `repeats` found: these rows are no contradiction.
    """
    bad: dict[int, SkippedRow] = {}
    wrong_labels = _label_problems(table.columns["label"], rules)
    wrong_sides = _side_problems(table, rules)
    copies = _copies(table, found, again)
    for i, written in enumerate(table.columns["image"]):
        reasons = []
        if not written:
            reasons.append("names no image")
        elif i in copies:
            reasons.append(copies[i])
        elif "\0" in written:
            reasons.append("holds a NUL character, as no file's name does; write the file's name")
        elif problem := found.problems[i]:
            reasons.append(problem)
        reasons += [
            problem
            for problem in (wrong_labels.get(table.columns["label"][i]), wrong_sides.get(i))
            if problem
        ]
        if reasons:
            bad[i] = SkippedRow(table.rows[i], written, "; it ".join(reasons))
    return bad


def repeats(table: Table, found: Found) -> dict[int, int]:
    """Rows that say again what another row says of the very same file, and that row, by their places in the table."""
    roles = [role for role in ("label", "patient_id", "eye", "split", "clinic") if table.columns.get(role)]
    first: dict[Path, int] = {}
    again: dict[int, int] = {}
    for i, path in enumerate(found.paths if table.files is None else ()):
        earlier = first.setdefault(path, i)
        if earlier != i and all(table.columns[role][i] == table.columns[role][earlier] for role in roles):
            again[i] = earlier
    return again


def _copies(table: Table, found: Found, again: Container[int]) -> dict[int, str]:
    """Rows whose very file another row has, with other entries; of two labels nobody can tell which is right."""
    labels = table.columns["label"]
    first: dict[Path, int] = {}
    copies: dict[int, str] = {}
    for i, path in enumerate(found.paths if table.files is None else ()):
        earlier = first.setdefault(path, i)
        if earlier == i or not table.columns["image"][i] or i in again:
            continue
        differs = labels[i] != labels[earlier] and labels[i] and labels[earlier]
        there, here = repr(labels[earlier]), repr(labels[i])
        copies[i] = f"is already in row {table.rows[earlier]}" + (
            f", with label {there} there and {here} here" if differs else ", with other entries"
        )
        if differs:
            copies.setdefault(
                earlier, f"is in row {table.rows[i]} too, with label {here} there and {there} here"
            )
    return copies


def _label_problems(labels: Sequence[str], rules: Rules) -> dict[str, str]:
    """What is wrong with a label, by the label."""
    distinct = set(labels) - {""}
    if rules.classes is None:
        if not rules.labels_required:
            return {}
        counts = Counter(labels)
        misspelt = {
            label: f"has the label {label!r} ({counted(counts[label], 'row')}); is it {other!r} "
            f"({counted(counts[other], 'row')}), misspelt? Mend it; or, if it is a class of its own, name all classes "
            "(--classes)"
            for label, other in slips(labels).items()
        }
        reasons = {label: doubt(label, distinct) for label in distinct}
        return misspelt | {label: reason for label, reason in reasons.items() if reason}
    known = ", ".join(f'"{name}"' if "," in name else name for name in rules.classes)
    by_case = {name.casefold(): name for name in rules.classes}
    wrong = {}
    for label in distinct.difference(rules.classes):
        quotes = " (a name with a comma stands in double quotes)" if "," in label else ""
        near = by_case.get(label.casefold().replace("_", " "))
        meant = f"; is it {near!r}?" if near else grade_meant(label, rules.classes)
        wrong[label] = f"has the unknown label {label!r}; the classes are {known}{quotes}{meant}"
    return wrong


def _side_problems(table: Table, rules: Rules) -> dict[int, str]:
    sides, labels = table.columns.get("split", []), table.columns["label"]
    if not any(sides):
        return {}
    labelled_split = any(side and label for side, label in zip(sides, labels, strict=True))
    problems = {}
    for i, side in enumerate(sides):
        kind = SPLITS.get(side.casefold(), "" if not side else None)
        if kind is None or (kind == "" and labels[i] and labelled_split):
            problems[i] = f"has split {side!r}; write train, test or val" + ("" if labels[i] else " or pool")
        elif kind == "pool" and labels[i] and rules.labels_required:
            problems[i] = (
                f"is in the pool of rows without label and has the label {labels[i]!r}; empty one of the two"
            )
    return problems


def unlabelled_tests(table: Table, bad: Container[int]) -> dict[int, SkippedRow]:
    """Rows to test on that have no label, by their place in the table: nothing can be measured on them."""
    left_out = {}
    for i, side in enumerate(table.columns.get("split", ())):
        kind = SPLITS.get(side.casefold())
        if kind in ("test", "val") and i not in bad and not table.columns["label"][i]:
            reason = f"is on the {kind} side and has no label"
            left_out[i] = SkippedRow(table.rows[i], table.columns["image"][i], reason)
    return left_out


def parted_patients(patients: Iterable[tuple[str, str]]) -> str | None:
    """Name the patients on more than one side of the split, given (patient, side) of each row; None if none is."""
    sides: dict[str, set[str]] = {}
    for patient, side in patients:
        if patient:
            sides.setdefault(patient, set()).add(side)
    parted = [f"{patient} ({', '.join(sorted(where))})" for patient, where in sides.items() if len(where) > 1]
    if parted:
        more = f" and {len(parted) - SHOWN} more" if len(parted) > SHOWN else ""
        return (
            f"patients on more than one side of the split: {', '.join(parted[:SHOWN])}{more}; "
            "put all images of a patient on one side"
        )
    if pairs := alike(sides):
        return (
            f"patients {told(pairs)} read alike (see whether each pair is one person); write one person in one way, "
            "and two in ways that differ in more than case, spaces, signs or zeros"
        )
    return None
