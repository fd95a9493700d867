"""Where the arithmetic runs: NumPy on the CPU, torch on an accelerator, through the array API standard.

Methods are written once, with the functions of the standard (https://data-apis.org/array-api). On a CPU
they run on NumPy: for arrays as small as these it is as quick as torch, and importing torch costs more
than a second, more than all fits of a usual run.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

__all__ = ["Array", "Namespace", "namespace_of", "put_beside", "to_numpy"]

Array = Any
"""A NumPy array or a torch tensor."""


@dataclass(frozen=True)
class Namespace:
    """The array functions of one device.

    Attributes
    ----------
    xp : module
        ``array_api_compat.numpy`` or ``array_api_compat.torch``.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, …
    """

    xp: Any
    device: str

    def put(self, array: NDArray) -> Array:
        """The same numbers on this device."""
        return put_beside(self.xp.empty(0, device=self.device), array)


def namespace_of(device: str) -> Namespace:
    """The namespace of a device; raises InputError where there is no such device."""
    if device == "cpu":
        return Namespace(importlib.import_module("array_api_compat.numpy"), "cpu")
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used ({reason}); use device='cpu'") from error
    return Namespace(importlib.import_module("array_api_compat.torch"), device)


def to_numpy(array: Array) -> NDArray:
    """The same numbers as a NumPy array."""
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def put_beside(here: Array, array: NDArray) -> Array:
    """The same numbers on the device where `here` is."""
    if isinstance(here, np.ndarray):
        return array
    import torch

    # a pool that episodes share is a view that cannot be written to, which torch warns of
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(here.device)
