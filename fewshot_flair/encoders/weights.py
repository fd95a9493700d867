"""Read weights files: their digest, names and shapes without torch, and tensors without running code."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fewshot_flair.encoders.shards import INDEX, is_safetensors, read_index, shard_files
from fewshot_flair.errors import FewshotFlairError, InputError, MissingFileError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "check_tensors",
    "file_digest",
    "load_tensors",
    "read_scalar",
    "read_shapes",
    "read_tensors",
    "refused",
]


NUMPY_FLOATS = ("F16", "F32", "F64")
Module = TypeVar("Module", bound="nn.Module")


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes; of an index, of its own and its files' digests."""
    stat = path.stat()
    own = _digest(path, stat.st_size, stat.st_mtime_ns)
    if not path.name.endswith(INDEX):
        return own
    return hashlib.sha256("".join([own, *map(file_digest, shard_files(path))]).encode()).hexdigest()


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a weights file, or of the files that an index names.

    Of safetensors, without importing torch.

    Raises
    ------
    MissingFileError
        If a file is not there, truncated or damaged.
    InputError
        If a pickled checkpoint holds more than tensors, or an index and its files disagree.
    """
    if path.name.endswith(INDEX):
        return _sharded(path, read_shapes)
    if not is_safetensors(path):
        return {name: tuple(tensor.shape) for name, tensor in read_tensors(path).items()}
    with _safetensors(path, "numpy") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118


def read_scalar(path: Path, name: str) -> float:
    """One number of a weights file."""
    if path.name.endswith(INDEX):
        shard = read_index(path).get(name)
        if shard is None:
            raise _lacks(path, [name])
        return read_scalar(path.with_name(shard), name)
    if is_safetensors(path):
        with _safetensors(path, "numpy") as stored:
            if name not in stored.keys():  # noqa: SIM118
                raise _lacks(path, [name])
            if stored.get_slice(name).get_dtype() in NUMPY_FLOATS:
                return _number(path, name, stored.get_tensor(name))
    # numpy has no bfloat16: the one case in which a number is worth importing torch for.
    tensors = read_tensors(path, prefix=name)
    if name not in tensors:
        raise _lacks(path, [name])
    return _number(path, name, tensors[name])


def _number(path: Path, name: str, tensor: Any) -> float:
    if tuple(tensor.shape) not in ((), (1,)):
        raise InputError(f"{path}: {name} has shape {list(tensor.shape)}, and should be one number")
    return float(tensor.reshape(()))


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Tensors whose names begin with a prefix, in their own dtype, of a weights file or an index's files.

    Raises
    ------
    MissingFileError, InputError
        As `read_shapes`.
    """
    if path.name.endswith(INDEX):
        tensors = _sharded(path, read_tensors)
    elif is_safetensors(path):
        with _safetensors(path, "pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys() if name.startswith(prefix)}  # noqa: SIM118
    else:
        tensors = _unpickled_tensors(path)
    return {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _sharded(index: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What the files of an index hold, by tensor; InputError where that is not what the index says."""
    stated = read_index(index)
    found: dict[str, Any] = {}
    for file in shard_files(index):
        held = read(file)
        expected = {name for name, place in stated.items() if place == file.name}
        if held.keys() != expected:
            raise InputError(
                f"{file} and {index.name} disagree about {_some(held.keys() ^ expected)}; fetch both again"
            )
        found |= held
    return found


def _unpickled_tensors(path: Path) -> dict[str, Tensor]:
    import torch

    content = _unpickle(path)
    # Fine-tuning scripts keep the network's tensors beside the optimiser's.
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not tensors by name; give a state dict")
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    # A view can claim any shape; networks are built after the shapes of what is really there.
    spread = [
        n for n, t in tensors.items() if t.layout != torch.strided or t.nbytes > t.untyped_storage().nbytes()
    ]
    if spread:
        raise InputError(f"{path}: {_some(spread)} claim more numbers than the file holds; fetch it again")
    return tensors


def _unpickle(path: Path) -> Any:
    import argparse

    import torch

    if not path.is_file():
        raise MissingFileError(f"no weights file {path}")
    with _damage_named(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > path.stat().st_size:
                raise InputError(
                    f"{path} is a compressed archive of {unpacked} bytes, which torch does not write; save the "
                    "weights with torch.save, or as safetensors"
                )
        try:
            # A namespace is plain data that masked auto-encoders' checkpoints carry; nothing else is let in.
            with torch.serialization.safe_globals([argparse.Namespace]):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if "Weights only load failed" in str(error) and "nsupported" in str(error):
                raise InputError(
                    f"{path} holds Python objects besides tensors, and reading them could run code; "
                    "save its state dict alone, or as safetensors"
                ) from error
            raise


@contextmanager
def _safetensors(path: Path, framework: str) -> Iterator[Any]:
    from safetensors import safe_open

    if not path.is_file():
        raise MissingFileError(f"no weights file {path}")
    with _damage_named(path), safe_open(path, framework=framework) as stored:
        yield stored


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except FewshotFlairError:
        raise
    except Exception as error:  # a damaged file raises whatever its reader likes, MemoryError too
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> MissingFileError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return MissingFileError(
        f"{path} is truncated or damaged ({path.stat().st_size} bytes; {reason[:120]}); fetch the file again"
    )


def _lacks(path: Path, names: Collection[str]) -> InputError:
    return InputError(f"{path} lacks {_some(names)}; is it the model that was asked for?")


def _some(names: Collection[str]) -> str:
    names = sorted(names)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(names)} tensor{'s' * (len(names) > 1)} ({shown})"


def check_tensors(
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    source: Path,
    *,
    spare: Collection[str] = (),
) -> None:
    """Compare a file's tensors with the network's.

    Parameters
    ----------
    found, expected : mapping of name to shape
    source : Path
        The file, for the message.
    spare : collection of str
        Names that a file may hold without the network having them.

    Raises
    ------
    InputError
        One sentence naming the missing, misshapen and left-over tensors.
    """
    missing = expected.keys() - found.keys()
    over = found.keys() - expected.keys() - set(spare)
    shapes = [n for n in sorted(expected.keys() & found.keys()) if tuple(found[n]) != tuple(expected[n])]
    faults = []
    if missing:
        faults.append(f"lacks {_some(missing)}")
    if shapes:
        name = shapes[0]
        more = f", and {len(shapes) - 1} more of another shape" if len(shapes) > 1 else ""
        faults.append(f"has {name} of shape {list(found[name])} instead of {list(expected[name])}{more}")
    if over:
        faults.append(f"has {_some(over)} that the network does not")
    if faults:
        raise InputError(
            f"{source} {'; '.join(faults)}; check that weights, config.json and text encoder belong together"
        )


@contextmanager
def refused(place: Path) -> Iterator[None]:
    """Raise InputError, naming a file, for whatever a library raises at settings that are no model's."""
    try:
        yield
    except FewshotFlairError:
        raise
    except Exception as error:  # settings that are wrong raise whatever their network likes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{place} or what lies beside it describes no model ({reason:.300})") from error


def load_tensors(
    build: Callable[[], Module],
    tensors: Mapping[str, Tensor],
    source: Path,
    *,
    prefix: str = "",
    spare: Collection[str] = (),
) -> Module:
    """Build a module with these tensors, all of them and no others (see `check_tensors`); float ones as float32.

    `prefix` is what the names in the file have before the module's. Shapes are compared before the module takes
    memory: a configuration could ask for any.
    """
    import torch

    with refused(source), torch.device("meta"):
        expected = {prefix + name: tuple(t.shape) for name, t in build().state_dict().items()}
    check_tensors({n: tuple(t.shape) for n, t in tensors.items()}, expected, source, spare=spare)
    state = {
        name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name in expected
    }
    module = build()
    module.load_state_dict(state)
    return module
