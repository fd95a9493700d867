"""What makes a manifest's row unusable, found without decoding an image."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fewshot_flair.data.tables import SPLITS, SkippedRow, Table
from fewshot_flair.errors import InputError
from fewshot_flair.images.formats import FORMAT_NAMES, format_of

__all__ = ["BadRowsError", "bad_rows", "image_problem", "image_problems", "resolve"]

SHOWN = 20


class BadRowsError(InputError):
    """Rows of a manifest that cannot be used, all of them, in `rows` (a list of SkippedRow)."""

    def __init__(self, source: str, rows: Sequence[SkippedRow]) -> None:
        self.rows = list(rows)
        lines = [sentence(source, row) for row in self.rows]
        if len(lines) == 1:
            super().__init__(f"{lines[0]} (or go on without it: --skip-bad)")
            return
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"and {len(lines) - SHOWN} more"]
        head = f"{source}: {len(self.rows)} bad rows; mend them, or go on without them (--skip-bad)"
        super().__init__("\n  ".join([head, *lines]))


def sentence(source: str, row: SkippedRow) -> str:
    """Say what is wrong with a row: ``clinic.csv, row 17: image 'a/b.jpg' is not there; …``."""
    place = f"{source}, row {row.row}" if row.row else source
    return f"{place}: {f'image {row.image!r} ' if row.image else ''}{row.reason}"


def image_problem(path: Path) -> str | None:
    """Say why a file cannot be an image, from its first bytes alone; None where it looks like one.

    A file that is cut off further on passes here and is found when it is decoded.
    """
    try:
        if format_of(path):
            return None
        empty = path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return "is not there; paths are relative to the manifest (use --images DIR)"
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


def resolve(table: Table, root: Path) -> list[Path]:
    """Find each row's image below `root`, without looking at the disk but for backslashes."""
    found = []
    for written in table.columns["image"]:
        # Tables made on Windows separate folders with backslashes, which no other system does.
        plain = "\\" not in written or (root / written).exists()
        found.append(root / (written if plain else written.replace("\\", "/")))
    return found


def bad_rows(
    table: Table, paths: list[Path], check_images: bool, labels_required: bool, classes: Sequence[str] | None
) -> dict[int, SkippedRow]:
    """Find every row that cannot be used, by its place in the table; all reasons of a row in one."""
    columns = table.columns
    problems = image_problems(paths) if check_images else [None] * len(paths)
    allowed = None if classes is None else set(map(str, classes))
    splits = columns.get("split", [])
    has_split = any(splits)
    first: dict[Path, int] = {}
    bad = {}
    for i, (written, label) in enumerate(zip(columns["image"], columns["label"], strict=True)):
        reasons = []
        earlier = first.setdefault(paths[i], i)
        if not written:
            reasons.append("names no image")
        elif earlier != i:
            other = columns["label"][earlier]
            differs = f", with label {other!r} there and {label!r} here" if other != label else ""
            reasons.append(f"is already in row {table.rows[earlier]}{differs}")
            if differs and earlier not in bad:
                # nobody can tell which of the two is right
                again = f"is in row {table.rows[i]} too, with label {label!r} there and {other!r} here"
                bad[earlier] = SkippedRow(table.rows[earlier], columns["image"][earlier], again)
        elif "\0" in written:
            reasons.append("holds a NUL character, as no file's name does; write the file's name")
        elif problem := problems[i]:
            reasons.append(problem)
        if not label:
            reasons += ["has an empty label"] if labels_required else []
        elif allowed is not None and label not in allowed:
            known = [f'"{name}"' if "," in str(name) else str(name) for name in classes or ()]
            quotes = " (a name with a comma stands in double quotes)" if "," in label else ""
            reasons.append(f"has the unknown label {label!r}; the classes are {', '.join(known)}{quotes}")
        if has_split and splits[i].casefold() not in SPLITS:
            reasons.append(f"has split {splits[i]!r}; write train, test or val")
        if reasons:
            bad[i] = SkippedRow(table.rows[i], written, "; it ".join(reasons))
    return bad
