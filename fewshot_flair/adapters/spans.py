"""Where weights of linear heads are iterated: in the span of the shots, or in their own columns.

Weights that gradient descent reaches are combinations of the shots and of where they started. With N shots of
width D, an iteration on the Gram matrix costs (N + C)² products a class, one in the columns 2 N D: the span
wins unless there are far more shots than columns, as when a whole training set is fitted. There the shots are gone
through in blocks that stay in the processor's cache between the two products of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from array_api_compat import device

from fewshot_flair.adapters.batch import EpisodeBatch
from fewshot_flair.adapters.namespaces import Array

__all__ = ["Columns", "CommonSpan", "Span", "search_space"]

BLOCK_BYTES = 2**20
"""Shots of one block: small enough for a core's second cache, large enough for calls not to count."""


def search_space(batch: EpisodeBatch, start: Array) -> CommonSpan | Span | Columns:
    """The cheaper place for weights that start at `start` (B, C, D) and learn from the unit shots."""
    size = batch.n_shots + batch.n_classes
    if batch.common and batch.common == batch.n_shots - 1:
        return CommonSpan(batch.xp, batch.unit_x, start)
    if size * size <= 2 * batch.n_shots * batch.n_features:
        return Span(batch.xp, batch.unit_x, start)
    return Columns(batch.xp, batch.unit_x, start)


class _OneBlock:
    """A space that all shots are in at once."""

    def blocks(self, coefficients: Array) -> Iterator[tuple[slice, Array, Array]]:
        """All shots, their products with the weights, and squared norms of the weights (see `Columns.blocks`)."""
        yield (slice(None), *self.products(coefficients))

    def products(self, coefficients: Array) -> tuple[Array, Array]:
        """Products of weights and shots, (B, C, N), and squared norms of the weights, (B, C, 1)."""
        raise NotImplementedError


class Span(_OneBlock):
    """Coefficients (B, C, N + C) on the shots and the starting points."""

    def __init__(self, xp: Any, x: Array, start: Array) -> None:
        self._xp, self._n = xp, x.shape[1]
        self._basis = xp.concat([x, start], axis=1)
        self._gram = self._basis @ xp.matrix_transpose(self._basis)
        n_classes = start.shape[1]
        self.origin = xp.zeros_like(self._gram[:, :n_classes, :])
        for c in range(n_classes):
            self.origin[:, c, self._n + c] = 1

    def products(self, coefficients: Array) -> tuple[Array, Array]:
        """Products of weights and shots, (B, C, N), and squared norms of the weights, (B, C, 1)."""
        products = coefficients @ self._gram
        squares = self._xp.vecdot(coefficients, products)[:, :, None]
        return products[:, :, : self._n], squares

    def add(self, velocity: Array, slope: Array, rows: slice = slice(None)) -> None:
        """Add the shots of a block times `slope` (B, C, rows) to `velocity`, in place."""
        velocity[:, :, : self._n][:, :, rows] += slope

    def weights(self, coefficients: Array) -> Array:
        """The weights (B, C, D)."""
        return coefficients @ self._basis


class CommonSpan(_OneBlock):
    """Coefficients (B, C, C + N) as in `Span`, where all shots but an episode's last are the same in all episodes.

    Products with the starting points and shots in common are one product of two matrices; the last shot's are added.
    """

    def __init__(self, xp: Any, x: Array, start: Array) -> None:
        self._xp, self._n = xp, x.shape[1]
        self._own = x[:, -1:]
        self._common = xp.concat([start[0], x[0, :-1], xp.zeros_like(x[0, :1])], axis=0)
        self._gram = self._common @ xp.matrix_transpose(self._common)
        self._with_own = self._own @ xp.matrix_transpose(self._common)
        self._with_own[:, :, -1] = xp.vecdot(self._own, self._own)
        size, n_classes = x.shape[0], start.shape[1]
        self.origin = xp.zeros((size, n_classes, n_classes + self._n), dtype=x.dtype, device=device(x))
        for c in range(n_classes):
            self.origin[:, c, c] = 1

    def products(self, coefficients: Array) -> tuple[Array, Array]:
        """Products of weights and shots, (B, C, N), and squared norms of the weights, (B, C, 1)."""
        xp = self._xp
        size, n_classes, width = coefficients.shape
        found = xp.reshape(xp.reshape(coefficients, (-1, width)) @ self._gram, (size, n_classes, width))
        found += coefficients[:, :, -1:] * self._with_own
        found[:, :, -1] = xp.vecdot(coefficients, self._with_own)
        squares = xp.vecdot(coefficients, found)[:, :, None]
        return found[:, :, n_classes:], squares

    def add(self, velocity: Array, slope: Array, rows: slice = slice(None)) -> None:
        """Add the shots of a block times `slope` (B, C, rows) to `velocity`, in place."""
        velocity[:, :, -self._n :][:, :, rows] += slope

    def weights(self, coefficients: Array) -> Array:
        """The weights (B, C, D)."""
        return coefficients @ self._common + coefficients[:, :, -1:] * self._own


class Columns:
    """The weights themselves, (B, C, D)."""

    def __init__(self, xp: Any, x: Array, start: Array) -> None:
        self._xp, self._x = xp, x
        size, n, width = x.shape
        length = max(64, BLOCK_BYTES // (4 * width))
        self._blocks = []
        for first in range(0, n, length):
            rows = slice(first, min(first + length, n))
            # a transposed view takes BLAS twice as long to multiply by a few rows of weights
            turned = xp.zeros((size, width, rows.stop - first), dtype=x.dtype, device=device(x))
            turned[...] = xp.matrix_transpose(x[:, rows])
            self._blocks.append((rows, turned))
        self.origin = start

    def blocks(self, coefficients: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Blocks of shots, their products with the weights (B, C, rows), and squared norms of the weights (B, C, 1)."""
        squares = self._squares(coefficients)
        for rows, turned in self._blocks:
            yield rows, coefficients @ turned, squares

    def products(self, coefficients: Array) -> tuple[Array, Array]:
        """Products of weights and shots, (B, C, N), and squared norms of the weights, (B, C, 1)."""
        products = self._xp.concat([coefficients @ turned for _, turned in self._blocks], axis=2)
        return products, self._squares(coefficients)

    def _squares(self, coefficients: Array) -> Array:
        return self._xp.vecdot(coefficients, coefficients)[:, :, None]

    def add(self, velocity: Array, slope: Array, rows: slice = slice(None)) -> None:
        """Add the shots of a block times `slope` (B, C, rows) to `velocity`, in place."""
        velocity += slope @ self._x[:, rows]

    def weights(self, coefficients: Array) -> Array:
        """The weights (B, C, D)."""
        return coefficients
