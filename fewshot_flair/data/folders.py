"""Folders of photographs: which files are images, what else lies there, and what sub-folders mean."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fewshot_flair.data.tables import SPLITS, SkippedRow, Table
from fewshot_flair.errors import InputError
from fewshot_flair.images.formats import IMAGE_SUFFIXES, format_of

__all__ = ["images_below", "look_through", "read_folder"]

_NO_SUFFIX = re.compile(r"(\.\d*)?$")
"""The suffix of a name that tells nothing, such as a DICOM file named by its number."""


def read_folder(folder: Path, labels_required: bool = True) -> Table:
    """Read a folder with one sub-folder a class, or train/ and test/ folders that hold such sub-folders.

    Photographs in a folder pool/ beside train/ and test/ have no label. Where labels are not required, a
    folder that holds images itself will do. Files are taken in the order of their names, at any depth below
    the class. Row numbers are 0: a folder has none.

    Raises
    ------
    InputError
        If no image is there, or train/ and test/ stand beside a folder that is no side and holds images.
    """
    images, passed_over = look_through(folder)
    inside = [image.relative_to(folder) for image in images]
    sides = {
        name: SPLITS.get(name.casefold())
        for name in {path.parts[0] for path in inside if len(path.parts) > 1}
    }
    split = any(sides.values())
    if labels_required and split and (odd := sorted(name for name, side in sides.items() if not side)):
        known = ", ".join(sorted(name for name, side in sides.items() if side))
        raise InputError(
            f"{folder}: the folder {odd[0]!r} stands beside {known}; only train, test, val and pool can be there, "
            "each with one sub-folder a class (or rename these if they are classes)"
        )
    table = Table([], {"image": [], "label": [], "split": []})
    table.passed_over = {kind: len(files) for kind, files in passed_over.items()}
    if not all(sides.values()):
        split = False
    for path in inside:
        side = sides.get(path.parts[0]) if split else None
        kinds = path.parts[1:-1] if side else path.parts[:-1]
        label = kinds[0] if kinds and side != "pool" else ""
        if labels_required and not label and side != "pool":
            table.bad.append(SkippedRow(0, path.as_posix(), "lies in no sub-folder that would be its class"))
            continue
        table.rows.append(0)
        for role, cell in (("image", path.as_posix()), ("label", label), ("split", side or "")):
            table.columns[role].append(cell)
    if not table.rows:
        raise InputError(
            f"{folder} holds no images in sub-folders; give a manifest file, "
            "or a folder with one sub-folder a class"
        )
    return table


def look_through(folder: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """Find the images at any depth below a folder, and all that is passed over, by kind.

    An image has a suffix of one (IMAGE_SUFFIXES), or none and the first bytes of one. Kinds of what is
    passed over: ``hidden``, ``no suffix``, the suffix itself (``.txt``), ``folder that cannot be read``,
    ``folder linked twice``.

    Returns
    -------
    images : list of Path, in the order of their names
    passed_over : dict of str to list of Path
    """
    images: list[Path] = []
    passed: dict[str, list[Path]] = {}

    def over(kind: str, path: Path) -> None:
        passed.setdefault(kind, []).append(path)

    def unread(error: OSError) -> None:
        over("folder that cannot be read", Path(error.filename))

    top = folder.resolve()
    seen = {top}
    for where, folders, files in os.walk(folder, onerror=unread, followlinks=True):
        for name in list(folders):
            path = Path(where, name)
            real = path.resolve()
            if name.startswith(".") or (path.is_symlink() and (real in seen or top.is_relative_to(real))):
                folders.remove(name)
                over("hidden" if name.startswith(".") else "folder linked twice", path)
            seen.add(real)
        for name in files:
            path = Path(where, name)
            if kind := _no_image(path):
                over(kind, path)
            else:
                images.append(path)
    return sorted(images), {kind: sorted(paths) for kind, paths in sorted(passed.items())}


def images_below(folder: Path) -> list[Path]:
    """Images at any depth below a folder in the order of their names; nothing hidden."""
    return look_through(folder)[0]


def _no_image(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return "hidden"
    try:
        if not path.is_file():
            return "no file"
        if suffix in IMAGE_SUFFIXES or (_NO_SUFFIX.fullmatch(suffix) and format_of(path)):
            return None
    except OSError:
        return "file that cannot be read"
    return "no suffix" if _NO_SUFFIX.fullmatch(suffix) else suffix
