"""Run a tower without gradients, and load it from a weights file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_flair.encoders.weights import load_tensors, read_tensors
from fewshot_flair.errors import InputError

__all__ = ["frozen", "load_tower", "to_device", "to_numpy"]

Tower = TypeVar("Tower", bound=nn.Module)
_changing = threading.Lock()
_inside: list[None] = []
_before: list[tuple[Any, str]] = []


@contextmanager
def frozen(device: str) -> Iterator[None]:
    """No gradients, and float32 in full; on an accelerator out of memory, an error that says what to do."""
    try:
        with torch.inference_mode(), _full_float32():
            yield
    except torch.OutOfMemoryError as error:
        raise InputError(f"{device} is out of memory; give a smaller --batch-size") from error


@contextmanager
def _full_float32() -> Iterator[None]:
    """Multiply float32 as float32: torch lets cuDNN convolve with TF32's 10 bits of mantissa by default."""
    backends: Any = torch.backends
    # From the general to the particular: what is still set after those above are is the caller's own choice, and
    # put back; what follows those above is left to follow them.
    levels = (
        *(backends, backends.cudnn, backends.cudnn.conv, backends.cuda.matmul),
        *(backends.mkldnn, backends.mkldnn.conv, backends.mkldnn.matmul),
    )
    # The settings are the process's: of threads that encode at once the first one changes them, and the last one
    # puts them back.
    with _changing:
        _inside.append(None)
        if len(_inside) == 1:
            for level in levels:
                if level.fp32_precision != "ieee":
                    _before.append((level, level.fp32_precision))
                    level.fp32_precision = "ieee"
    try:
        yield
    finally:
        with _changing:
            _inside.pop()
            while _before and not _inside:
                level, precision = _before.pop()
                level.fp32_precision = precision


def load_tower(
    build: Callable[[], Tower], weights: Path, prefix: str, device: str, *, spare: Collection[str] = ()
) -> Tower:
    """Build a tower with the tensors under a prefix; in evaluation mode, without gradients, on its device."""
    tensors = read_tensors(weights, prefix)
    return to_device(load_tensors(build, tensors, weights, prefix=prefix, spare=spare), device)


def to_device(tower: Tower, device: str) -> Tower:
    """Move a tower for evaluation; InputError where torch has no such device."""
    try:
        return tower.eval().requires_grad_(False).to(device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"device {device!r} cannot be used ({first}); give --device cpu") from error


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor as a float32 array that owns its memory."""
    return tensor.float().cpu().numpy()
