"""Read weights files: their digest, names and shapes without torch, and tensors without running code."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_flair.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["check_tensors", "file_digest", "load_tensors", "read_scalar", "read_shapes", "read_tensors"]


NUMPY_FLOATS = ("F16", "F32", "F64")


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a weights file's tensors; of a safetensors file, without importing torch.

    Raises
    ------
    MissingFileError
        If the file is not there, truncated or damaged.
    InputError
        If a pickled checkpoint holds more than tensors.
    """
    if path.suffix != ".safetensors":
        return {name: tuple(tensor.shape) for name, tensor in read_tensors(path).items()}
    with _open_safetensors(path, "numpy") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118


def read_scalar(path: Path, name: str) -> float:
    """One number of a weights file."""
    if path.suffix != ".safetensors":
        tensors = read_tensors(path, prefix=name)
        if name not in tensors:
            raise _lacks(path, [name])
        return float(tensors[name])
    with _open_safetensors(path, "numpy") as stored:
        if name not in stored.keys():  # noqa: SIM118
            raise _lacks(path, [name])
        if stored.get_slice(name).get_dtype() in NUMPY_FLOATS:
            return float(stored.get_tensor(name).reshape(()))
    # numpy has no bfloat16: the one case in which a number is worth importing torch for.
    return float(read_tensors(path, prefix=name)[name])


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of a weights file whose names begin with a prefix, in their own dtype.

    Raises
    ------
    MissingFileError, InputError
        As `read_shapes`.
    """
    if path.suffix == ".safetensors":
        with _open_safetensors(path, "pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys() if name.startswith(prefix)}  # noqa: SIM118
    import torch

    content = _unpickle(path)
    # Fine-tuning scripts keep the network's tensors beside the optimiser's.
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not tensors by name; give a state dict")
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    return {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _unpickle(path: Path) -> Any:
    import argparse

    import torch

    if not path.is_file():
        raise MissingFileError(f"no weights file {path}")
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
        raise _damaged(path, error) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _open_safetensors(path: Path, framework: str) -> Any:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MissingFileError(f"no weights file {path}")
    try:
        return safe_open(path, framework=framework)
    except (SafetensorError, OSError) as error:
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


def load_tensors(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: Path,
    *,
    prefix: str = "",
    spare: Collection[str] = (),
) -> None:
    """Copy tensors into a module, all of them and no others (see `check_tensors`); float ones as float32.

    `prefix` is what the names in the file have before the module's.
    """
    expected = {prefix + name: tuple(t.shape) for name, t in module.state_dict().items()}
    check_tensors({n: tuple(t.shape) for n, t in tensors.items()}, expected, source, spare=spare)
    state = {
        name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name in expected
    }
    module.load_state_dict(state)
