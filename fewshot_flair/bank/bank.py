"""The feature bank: features keyed by what the image is and by what made them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.bank.index import KeyIndex
from fewshot_flair.bank.keys import Keys, as_keys, hex_keys
from fewshot_flair.bank.shards import Shard, row_checks, write_shard
from fewshot_flair.bank.source import FeatureSource, Source, description, differences, read_description
from fewshot_flair.cache import cache_folder
from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.files import replace_file
from fewshot_flair.words import agreeing, counted

if TYPE_CHECKING:
    from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["RECENT_ROWS", "FeatureBank", "bank_folder", "text_is_sound"]

RECENT_ROWS = 4096
"""Shards below this many rows are young: they are indexed apart and joined before long."""


class FeatureBank:
    """Features on disk, memory-mapped; opened with `FeatureBank.open`.

    Rows are added in immutable shards that appear whole or not at all, so that several processes may add
    at once and a killed one leaves nothing half-written. A row whose key is already there is harmless.

    Attributes
    ----------
    folder : Path
        Holds ``bank.json``, ``shards/`` and ``text/``.
    source : FeatureSource
        Name, fingerprint and feature widths of what made the features.
    """

    def __init__(self, folder: Path, source: FeatureSource) -> None:
        self.folder = folder
        self.source = source
        self.unreadable: list[Path] = []
        self._shards: dict[str, Shard] = {}
        self._indexes: dict[tuple[str, ...], KeyIndex] = {}
        self.refresh()

    @classmethod
    def open(cls, path: str | Path | None = None, source: Source | None = None) -> FeatureBank:
        """Open a bank, or make it if it isn't there yet.

        Parameters
        ----------
        path : str or Path, optional
            A bank's own folder, or the cache folder in which the source's bank lives (as
            ``banks/NAME-FINGERPRINT``); by default `cache_folder`.
        source : Encoder or FeatureSource, optional
            What makes the features. Without it `path` must be an existing bank.

        Raises
        ------
        MissingFileError
            If there is neither a bank at `path` nor a source to make one for.
        InputError
            If the bank there was made by something else; the message names what differs.
        """
        root = cache_folder() if path is None else Path(path)
        if source is None or (root / "bank.json").is_file():
            bank = cls(root, read_description(root))
            if source is not None and source.fingerprint_id != bank.source.fingerprint_id:
                raise InputError(
                    f"the bank at {root} holds features of {bank.source.name!r}, not of these settings of "
                    f"{source.name!r}: {differences(bank.source.fingerprint, source.fingerprint)}; "
                    "give another --cache, or the settings it was made with"
                )
            return bank
        folder = bank_folder(root, source)
        made = FeatureSource(source.name, dict(source.fingerprint), dict(source.feature_dims))
        there = _known(folder)
        if there is None or there.fingerprint_id != made.fingerprint_id:
            _make_folder(folder)
            replace_file(folder / "bank.json", [description(made)])
        elif there.feature_dims != made.feature_dims:
            raise InputError(
                f"the bank at {folder} holds {_widths(there)}, and these are {_widths(made)} of the same "
                "fingerprint; give another --cache"
            )
        else:
            made = there
        return cls(folder, made)

    def __reduce__(self) -> tuple[Any, ...]:
        # another process opens the files anew; maps and indexes stay here
        return type(self).open, (self.folder,)

    @property
    def feature_dims(self) -> Mapping[str, int]:
        """Width of each kind of feature, such as ``{"backbone": 2048, "embedding": 512}``."""
        return self.source.feature_dims

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return f"<FeatureBank {self.folder}: {len(self)} images, {dict(self.feature_dims)}>"

    def __contains__(self, key: str) -> bool:
        try:
            return bool(self._find(as_keys([key]))[0] >= 0)
        except InputError:  # not a key at all
            return False

    def reopen(self) -> None:
        """Forget what is known about the shards (such as which rows are damaged) and look anew."""
        self._shards, self._indexes = {}, {}
        self.refresh()

    def forget_indexes(self) -> None:
        """Find rows anew, as some of the open shards were marked as damaged."""
        self._indexes = {}

    def refresh(self) -> None:
        """Look for rows that other processes added since."""
        for _ in range(20):
            try:
                self._list_shards()
            except FileNotFoundError:
                continue  # joined into a larger shard between listing and opening: list again
            return
        raise InputError(f"{self.folder}: shards vanish faster than they can be opened; is a disk failing?")

    def _list_shards(self) -> None:
        shards, unreadable = {}, []
        for path in sorted(filter(Shard.is_one, (self.folder / "shards").glob("*.safetensors"))):
            known = self._shards.get(path.name)
            try:
                shards[path.name] = known or Shard(path, self.feature_dims)
            except ValueError:
                unreadable.append(path)
            if known is not None and known.look_at_mark():
                if not path.exists():  # its note went because it was joined into a larger shard: list again
                    raise FileNotFoundError(path)
                self._indexes = {}  # another process has marked rows of it as damaged since
        self._shards, self.unreadable = shards, unreadable

    @property
    def shards(self) -> list[Shard]:
        """The open shards, largest first: the order in which they are asked for a key."""
        return sorted(self._shards.values(), key=lambda shard: (-shard.n, shard.path.name))

    @property
    def _parts(self) -> list[KeyIndex]:
        # Two indexes, so that a growing bank re-sorts only its young rows.
        old = [shard for shard in self.shards if shard.n >= RECENT_ROWS]
        young = [shard for shard in self.shards if shard.n < RECENT_ROWS]
        indexes = {}
        for shards in (old, young):
            names = tuple(shard.path.name for shard in shards)
            indexes[names] = self._indexes.get(names) or KeyIndex(shards)
        self._indexes = indexes
        return [index for index in indexes.values() if index.shards]

    def _find(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Position of each key in the parts laid end to end, −1 where it is absent."""
        found = np.full(len(keys), -1, np.int64)
        offset = 0
        for part in self._parts:
            open_ = np.flatnonzero(found < 0)
            places = part.find(keys[open_])
            found[open_] = np.where(places >= 0, places + offset, -1)
            offset += int(part.starts[-1])
        return found

    def winning_rows(self, shard: Shard) -> NDArray[np.int64]:
        """Rows of a shard that answer for their key: not damaged, and the first of those with that key."""
        offset = 0
        for part in self._parts:
            if shard in part.shards:
                start = offset + int(part.starts[part.shards.index(shard)])
                found = self._find(shard.column("keys"))
                return np.flatnonzero((found == start + np.arange(shard.n)) & _sound(shard))
            offset += int(part.starts[-1])
        raise ValueError(f"{shard.path.name} is not in this bank")

    def rows_of(self, keys: Keys) -> list[tuple[Shard, NDArray[np.int64]]]:
        """The rows that answer for keys, by shard and in ascending order; keys that are absent have none."""
        found = np.unique(self._find(as_keys(keys)))
        rows, offset = [], 0
        for part in self._parts:
            bounds = np.searchsorted(found, offset + part.starts)
            for shard, start, first, last in zip(part.shards, part.starts, bounds, bounds[1:], strict=False):
                if last > first:
                    rows.append((shard, found[first:last] - offset - int(start)))
            offset += int(part.starts[-1])
        return rows

    def keys(self) -> NDArray[np.uint8]:
        """Keys of all rows, each once: uint8 of shape (n, 32)."""
        parts = [shard.column("keys")[_sound(shard)] for shard in self.shards]
        stored = np.concatenate([np.empty((0, 32), np.uint8), *parts])
        return np.unique(stored.view("V32").reshape(-1)).view(np.uint8).reshape(-1, 32)

    def missing(self, keys: Keys) -> list[str]:
        """Those of `keys` (hex, or uint8 of shape (n, 32)) that the bank lacks, each once, in order."""
        wanted = as_keys(keys)
        return list(dict.fromkeys(hex_keys(wanted[self._find(wanted) < 0])))

    def read(self, keys: Keys, column: str) -> NDArray[np.float32]:
        """Features of images, in the order of `keys`.

        They are given as they lie on the disk; `verify` finds bytes that are not as they were written, and `check_rows`
        those of some images.

        Parameters
        ----------
        keys : n hex digests, or uint8 array of shape (n, 32)
        column : "backbone" or "embedding"; "local" where the bank has it

        Returns
        -------
        float32 array of shape (n, width)

        Raises
        ------
        InputError
            If the bank has no such column, or lacks one of the images.
        """
        if column not in self.feature_dims:
            raise InputError(
                f"the bank of {self.source.name} has no {column!r} features; "
                f"it has {', '.join(self.feature_dims)}"
            )
        wanted = as_keys(keys)
        found = self._find(wanted)
        if (found < 0).any():
            absent = hex_keys(wanted[found < 0])
            is_are = agreeing(len(absent), "is", "are")
            raise InputError(
                f"{self.folder}: {len(absent)} of {counted(len(wanted), 'image')} {is_are} not in the bank "
                f"(the first has key {absent[0][:12]}…); encode them first (fewshot-flair cache)"
            )
        out = np.empty((len(wanted), self.feature_dims[column]), np.float32)
        offset = 0
        for part in self._parts:
            mine = np.flatnonzero((found >= offset) & (found < offset + part.starts[-1]))
            if len(mine) == len(out) > 0:
                return part.gather(found - offset, column).astype(np.float32, copy=False)
            if len(mine):
                out[mine] = part.gather(found[mine] - offset, column)
            offset += int(part.starts[-1])
        return out

    def append(
        self,
        keys: Keys,
        backbone: ArrayLike | None = None,
        embedding: ArrayLike | None = None,
        local: ArrayLike | None = None,
    ) -> None:
        """Add rows; when this returns they are on the disk, whole.

        Parameters
        ----------
        keys : n hex digests, or uint8 array of shape (n, 32)
        backbone, embedding, local : array-like of shape (n, width)
            Each where the bank has it (`feature_dims`), and only there; local ones are kept in half precision.

        Raises
        ------
        InputError
            If shapes do not fit the bank, or a feature is not finite.
        """
        stored = as_keys(keys)
        pairs = {"backbone": backbone, "embedding": embedding, "local": local}
        given = {name: values for name, values in pairs.items() if values is not None}
        if set(given) != set(self.feature_dims):
            raise InputError(
                f"the bank of {self.source.name} holds {' and '.join(self.feature_dims)}; "
                f"these rows have {' and '.join(given)}"
            )
        if not len(stored):
            return
        with np.errstate(over="ignore"):  # too large for the type: found as not finite below
            features = {
                name: np.asarray(values, dtype=np.float16 if name == "local" else np.float32)
                for name, values in given.items()
            }
        for name, values in features.items():
            shape = (len(stored), self.feature_dims[name])
            if values.shape != shape:
                raise InputError(f"{name} features have shape {values.shape}; {shape} is needed")
            if not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
                raise InputError(f"the {name} feature of row {row} ({hex_keys(stored)[row]}) is not finite")
        columns: dict[str, NDArray] = {"keys": stored, "checks": row_checks(stored, features), **features}
        path = write_shard(
            self.folder / "shards", len(stored), self.feature_dims, lambda name: [columns[name]]
        )
        try:
            self._shards[path.name] = Shard(path, self.feature_dims)
        except FileNotFoundError:  # another process has joined it into a larger one already
            self.refresh()

    def text(self, key: str) -> TextPrototypes | None:
        """Text prototypes stored under `key` (any string), or None; damaged ones count as absent."""
        from fewshot_flair.text.prototypes import TextPrototypes

        for path in sorted((self.folder / "text").glob(f"{_text_name(key)}-*.safetensors")):
            if text_is_sound(path):
                return TextPrototypes.load(path)
        return None

    def store_text(self, key: str, text: TextPrototypes) -> None:
        """Store text prototypes under `key`, so that a later run needs no text tower."""
        _make_folder(self.folder / "text")
        raw = text.to_bytes()
        name = f"{_text_name(key)}-{hashlib.sha256(raw).hexdigest()[:16]}.safetensors"
        replace_file(self.folder / "text" / name, [raw])

    def copy_text(self, path: Path) -> None:
        """Take over another bank's text file, as long as it is sound and not here already."""
        target = self.folder / "text" / path.name
        if text_is_sound(path) and not target.exists():
            _make_folder(target.parent)
            replace_file(target, [path.read_bytes()])


def bank_folder(cache: str | Path | None, source: Source) -> Path:
    """Where a source's bank lies in a cache folder."""
    root = cache_folder() if cache is None else Path(cache)
    return root / "banks" / f"{_plain(source.name)}-{source.fingerprint_id[:16]}"


def text_is_sound(path: Path) -> bool:
    """Whether a text file's bytes are those its name was made of."""
    digest = path.stem.rsplit("-", 1)[-1]
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] == digest


def _known(folder: Path) -> FeatureSource | None:
    """What a bank's folder says of itself; None where it is not there, or damaged and to be written anew."""
    try:
        return read_description(folder)
    except (InputError, MissingFileError):
        return None


def _widths(source: FeatureSource) -> str:
    return ", ".join(f"{kind} {width}" for kind, width in source.feature_dims.items())


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:80] or "encoder"


def _text_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _sound(shard: Shard) -> NDArray[np.bool_]:
    sound = np.ones(shard.n, dtype=bool)
    sound[shard.damaged] = False
    return sound


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be made ({error.strerror}); give a folder you may write to with --cache"
        ) from error
