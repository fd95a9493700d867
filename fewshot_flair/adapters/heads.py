"""What fitting leaves: heads, which turn features into logits for all episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from fewshot_flair.adapters.batch import inverse_norms, unit
from fewshot_flair.adapters.namespaces import Array, put_beside, to_numpy

__all__ = ["NEVER", "Head", "KernelHead", "LinearHead", "cosine_head"]

NEVER = -1e4
"""Logit of a class that a method without text cannot know: its probability is 0, and nothing is infinite."""

CHUNK = 2**24
"""Numbers that a head may hold at once between features and logits: 64 MiB of float32."""


@dataclass(frozen=True, eq=False)
class Head:
    """Base of all heads: a frozen dataclass whose arrays have the episode as their first axis.

    Fields that are not arrays (floats, bools, strings) are the same for all episodes. A subclass only
    writes `_logits`; selecting, joining and storing work on the fields.
    """

    kinds: ClassVar[dict[str, type[Head]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Head.kinds[cls.__name__] = cls

    def _logits(self, x: Array) -> Array:
        raise NotImplementedError

    def _numbers_per_row(self) -> int:
        """Numbers held for each query row in `_logits`, for bounding memory."""
        return sum(int(np.prod(array.shape[:2])) for array in self.arrays().values())

    def logits(self, X: NDArray) -> NDArray:
        """Logits of query features.

        Parameters
        ----------
        X : array of shape (n, D)

        Returns
        -------
        array of shape (B, n, C)
        """
        here = next(iter(self.arrays().values()))
        rows = max(1, CHUNK // self._numbers_per_row())
        starts = range(0, max(len(X), 1), rows)
        parts = [to_numpy(self._logits(put_beside(here, X[start : start + rows]))) for start in starts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def arrays(self) -> dict[str, Array]:
        """The fields that are arrays."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if hasattr(value, "shape")}

    def settings(self) -> dict[str, Any]:
        """The fields that are not arrays."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.arrays()}

    def take(self, episodes: slice) -> Head:
        """The head of some of its episodes."""
        return replace(self, **{name: array[episodes] for name, array in self.arrays().items()})

    @staticmethod
    def joined(heads: Sequence[Head]) -> Head:
        """One head of the episodes of several, which must be alike."""
        if len(heads) == 1:
            return heads[0]
        first = heads[0]
        xp = array_namespace(next(iter(first.arrays().values())))
        arrays = {name: [head.arrays()[name] for head in heads] for name in first.arrays()}
        return replace(
            first, **{name: xp.concat(_alike(xp, parts), axis=0) for name, parts in arrays.items()}
        )


@dataclass(frozen=True, eq=False)
class LinearHead(Head):
    """``x̂·w_c + b_c``, or ``x·w_c + b_c`` where features are not normalised first.

    Attributes
    ----------
    weights : (B, C, D)
    bias : (B, C)
    normalize : bool
    """

    weights: Array
    bias: Array
    normalize: bool = True

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        size, n_classes, width = self.weights.shape
        flat = x @ xp.matrix_transpose(xp.reshape(self.weights, (size * n_classes, width)))
        if self.normalize:  # after the product, which has fewer columns than the features
            flat *= inverse_norms(xp, x)
        flat += xp.reshape(self.bias, (-1,))
        return xp.permute_dims(xp.reshape(flat, (x.shape[0], size, n_classes)), (1, 0, 2))


def cosine_head(xp: Any, weights: Array, scale: float, bias: Array | None = None) -> LinearHead:
    """Cosine head ``s · x̂·ŵ_c`` of weights (B, C, D)."""
    bias = xp.zeros_like(weights[:, :, 0]) if bias is None else bias
    return LinearHead(scale * unit(xp, weights), bias)


@dataclass(frozen=True, eq=False)
class KernelHead(Head):
    """``x̂·w_c + Σ_i exp(−β(1 − x̂·k_i)) v_ic``: a linear head and a cache of shots.

    With unit keys the kernel is the radial one of bandwidth β/2, as ``‖x̂ − k‖² = 2(1 − x̂·k)``.

    Attributes
    ----------
    weights : (B, C, D)
    keys : (B, N, D)
    values : (B, N, C)
        0 in padding.
    beta : float
    rows : int (B, N), or None
        Which row of the pool each key is. Episodes share rows, so each is compared with a query only
        once. None where keys are no rows of the pool.
    """

    weights: Array
    keys: Array
    values: Array
    beta: float
    rows: Array | None = None

    def _numbers_per_row(self) -> int:
        return int(self.keys.shape[0] * (self.keys.shape[1] + 2 * self.weights.shape[1]))

    def _logits(self, x: Array) -> Array:
        xp = array_namespace(x)
        size, n_classes, width = self.weights.shape
        x = unit(xp, x)
        linear = x @ xp.matrix_transpose(xp.reshape(self.weights, (size * n_classes, width)))
        linear = xp.permute_dims(xp.reshape(linear, (x.shape[0], size, n_classes)), (1, 0, 2))
        if self.rows is None or size == 1:
            return linear + self._near(xp, x, self.keys) @ self.values
        keys, values = self._shared
        cached = self._near(xp, x, keys) @ values
        return linear + xp.permute_dims(xp.reshape(cached, (x.shape[0], size, n_classes)), (1, 0, 2))

    def _near(self, xp: Any, x: Array, keys: Array) -> Array:
        """Kernel of queries (n, D) and keys (…, N, D): (…, n, N)."""
        near = x @ xp.matrix_transpose(keys)
        near -= 1
        near *= self.beta
        return xp.exp(near)

    @cached_property
    def _shared(self) -> tuple[Array, Array]:
        """The distinct keys, (U, D), and every episode's values of each, (U, B · C)."""
        values = to_numpy(self.values)
        held = values.any(axis=2)  # padding, whose row number means nothing, holds zeros
        distinct, first, which = np.unique(to_numpy(self.rows)[held], return_index=True, return_inverse=True)
        spread = np.zeros((len(distinct), len(values), values.shape[2]), dtype=values.dtype)
        np.add.at(spread, (which, np.nonzero(held)[0]), values[held])
        keys = to_numpy(self.keys).reshape(-1, self.keys.shape[2])[np.flatnonzero(held)[first]]
        return put_beside(self.keys, keys), put_beside(self.keys, spread.reshape(len(distinct), -1))


def _alike(xp: Any, parts: list[Array]) -> list[Array]:
    """Arrays padded with zeros to the same shape but for the first axis."""
    shape = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim)]
    if all(list(part.shape[1:]) == shape for part in parts):
        return parts
    padded = []
    for part in parts:
        whole = xp.zeros((part.shape[0], *shape), dtype=part.dtype, device=device(part))
        whole[tuple(slice(0, n) for n in part.shape)] = part
        padded.append(whole)
    return padded
