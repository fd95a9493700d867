"""Reading ``.npz`` files that anyone may have made: nothing is unpickled, and nothing is inflated unlooked at."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fewshot_flair.errors import InputError, MissingFileError

__all__ = ["read_arrays"]

SMALL_BYTES = 64 * 2**20
MOST_INFLATION = 200
"""Above SMALL_BYTES, an array may be so many times larger than what is stored of it; features hardly shrink."""


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray]:
    """Those of the named arrays that an .npz file has: real numbers or text, of the sizes that it states.

    Raises
    ------
    MissingFileError, InputError
        If there is no such file, it is no .npz file or damaged, or one of the arrays is pickled, of another type, or
        inflates to far more than is stored.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: there is no such file; give an .npz of features")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {name: _read(archive, members[name], path) for name in names if name in members}
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path.name} holds more numbers than this machine's memory") from error
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{path.name} is damaged or no .npz file ({error}); a single array (.npy) or a pickle is not opened"
        ) from error
    except Exception as error:  # a damaged file raises whatever its decompression likes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path.name} is damaged ({reason})") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray:
    name = member.filename.removesuffix(".npy")
    if member.file_size > max(SMALL_BYTES, MOST_INFLATION * member.compress_size):
        raise InputError(
            f"{path.name}: array {name!r} inflates from {member.compress_size:,} to {member.file_size:,} bytes, as no "
            "features do; save it anew with np.savez"
        )
    with archive.open(member) as file:
        shape, dtype = _header(file)
        start = file.tell()
    if dtype.hasobject:
        raise InputError(
            f"{path.name}: array {name!r} is pickled, and unpickling would run whatever code it "
            "holds; save it as plain numbers (np.asarray(x, dtype=float)) and try again"
        )
    if dtype.kind not in "fiubU":
        raise InputError(f"{path.name}: array {name!r} is of type {dtype}; real numbers or text are needed")
    if math.prod(shape) * dtype.itemsize != member.file_size - start:
        raise InputError(
            f"{path.name} is damaged: array {name!r} is not as long as its shape {shape} asks for; save it anew"
        )
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
