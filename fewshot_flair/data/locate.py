"""Finding the file that a table means: another suffix, case or Unicode form, or backslashes in its path."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath

from fewshot_flair.images.formats import IMAGE_SUFFIXES

__all__ = ["Locator"]

MOST_SEARCHES = 50
"""So many missing files are compared with every name of their folder; in a long table most lack for one reason."""


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


class Locator:
    """Finds files below a folder by names that are not quite theirs; every folder is listed once.

    Parameters
    ----------
    root : Path
        What relative paths start from.
    deep : bool
        Whether a file may lie deeper below it, or less deep, than its path says.
    """

    def __init__(self, root: Path, *, deep: bool = False) -> None:
        self.root = root
        self.deep = deep
        self._listed: dict[Path, dict[str, list[str]]] = {}
        self._searches = 0
        self._below: dict[str, list[tuple[tuple[str, ...], Path]]] | None = None

    def plain(self, written: str) -> Path:
        """The file of that very name, also where folders are separated by backslashes as on Windows."""
        if "\\" in written and not _exists(self.root / written):
            written = written.replace("\\", "/")
        return self.root / written

    def find(self, written: str) -> Path | None:
        """The only file that fits: of the same name in other case or Unicode form, or with another image's suffix.

        Where `deep` is set also a file whose path below the folder ends as the one that is written, or that ends the
        one that is written: ``25_REFUGE/train/Images/g0001.jpg`` is found as ``train/Images/g0001.jpg``.
        """
        folder = self._folder(written)
        if folder is not None:
            for fitting in (self._fitting(folder, written), self._same_stem(folder, written)):
                if fitting:
                    return folder / fitting[0] if len(fitting) == 1 else None
        return self._deep(written) if self.deep else None

    def _deep(self, written: str) -> Path | None:
        parts = _parts(written)
        if not parts:
            return None
        if self._below is None:
            self._below = {}
            for path in _images_below(self.root):
                own = _parts(path.relative_to(self.root).as_posix())
                self._below.setdefault(own[-1], []).append((own, path))
        found = []
        for own, path in self._below.get(parts[-1], []):
            n = min(len(own), len(parts))
            if own[-n:] == parts[-n:]:
                found.append(path)
        exact = [path for path in found if _fold(path.name) == _fold(PurePosixPath(written).name)]
        found = exact or found
        return found[0] if len(found) == 1 else None

    def like(self, written: str) -> list[str]:
        """Names of files, at most three, that may be meant: several that fit, another suffix or zeros before it."""
        folder = self._folder(written)
        if folder is None:
            return []
        found = self._fitting(folder, written) or self._similar(folder, written)
        above = PurePosixPath(written.replace("\\", "/")).parent
        return [(above / name).as_posix() for name in found[:3]]

    def _folder(self, written: str) -> Path | None:
        """The folder of a file, each part found as it is or as the only one in other case or Unicode form."""
        path = PurePosixPath(written.replace("\\", "/"))
        here = Path(path.anchor) if path.anchor else self.root
        for part in path.parts[bool(path.anchor) : -1]:
            if not _exists(here / part):
                same = self._names(here).get(_fold(part), [])
                if len(same) != 1:
                    return None
                part = same[0]
            here = here / part
        return here

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """What a folder holds, by folded name, and images also by their folded stem."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            for name in _listing(folder):
                names.setdefault(_fold(name), []).append(name)
                if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    names.setdefault(_fold(Path(name).stem), []).append(name)
            self._listed[folder] = names
        return self._listed[folder]

    def _fitting(self, folder: Path, written: str) -> list[str]:
        name = PurePosixPath(written.replace("\\", "/")).name
        found = self._names(folder).get(_fold(name), []) if name else []
        return [other for other in found if not name.startswith(".")]

    def _same_stem(self, folder: Path, written: str) -> list[str]:
        """Images of the same name with another suffix."""
        path = PurePosixPath(written.replace("\\", "/"))
        found = self._names(folder).get(_fold(path.stem), []) if path.suffix.lower() in IMAGE_SUFFIXES else []
        return _images(found)

    def _similar(self, folder: Path, written: str) -> list[str]:
        stem = _fold(PurePosixPath(written.replace("\\", "/")).stem)
        names = self._names(folder)
        self._searches += 1
        if same := names.get(stem):
            return same
        if self._searches > MOST_SEARCHES:
            return []
        return [name for other, found in names.items() if _alike(stem, other) for name in _images(found)]


def _parts(written: str) -> tuple[str, ...]:
    """The folders and the stem of a path, folded."""
    path = PurePosixPath(written.replace("\\", "/"))
    parts = path.with_suffix("").parts if path.suffix.lower() in IMAGE_SUFFIXES else path.parts
    return tuple(_fold(part) for part in parts if part != "/")


def _images_below(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in _images(sorted(names)):
            if not name.startswith("."):
                yield Path(folder, name)


def _images(names: Iterable[str]) -> list[str]:
    return [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def _alike(stem: str, other: str) -> bool:
    """Whether two stems hold the same numbers, but for zeros before them, and much the same letters."""
    if _numbers(stem) != _numbers(other):
        return False
    letters, others = (re.sub(r"[\W\d_]", "", name) for name in (stem, other))
    return letters == others or SequenceMatcher(None, letters, others).ratio() > 0.75


def _numbers(stem: str) -> list[str]:
    return [digits.lstrip("0") for digits in re.findall(r"[0-9]+", stem)]


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(item.name for item in folder.iterdir())
    except (OSError, ValueError):
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
