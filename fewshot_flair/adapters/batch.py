"""An episode is a batch row: padded support sets of many seeds, as every adapter sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fewshot_flair.adapters.namespaces import Array
from fewshot_flair.errors import InputError

__all__ = ["EpisodeBatch", "TextArrays", "unit"]


def inverse_norms(xp: Any, rows: Array) -> Array:
    """One over the L2 norm of each row, (..., 1); 1 for a row of zeros."""
    norms = xp.sqrt(xp.vecdot(rows, rows)[..., None])
    return 1 / xp.where(norms > 0, norms, xp.ones_like(norms))


def unit(xp: Any, rows: Array) -> Array:
    """L2-normalised rows; a row of zeros stays zeros."""
    return rows * inverse_norms(xp, rows)


@dataclass(frozen=True, eq=False)
class TextArrays:
    """Text prototypes on the batch's device.

    Attributes
    ----------
    prototypes : (C, D)
    unit : (C, D)
        L2-normalised prototypes.
    scale : float
        s = exp(logit_scale).
    samples : (S, D) or None
        Single description embeddings.
    sample_onehot : (S, C) or None
    """

    prototypes: Array
    unit: Array
    scale: float
    samples: Array | None = None
    sample_onehot: Array | None = None


@dataclass(frozen=True, eq=False)
class EpisodeBatch:
    """Support sets of B episodes, padded to N rows; the arrays are NumPy's or torch's.

    Attributes
    ----------
    xp : module
        The array functions to use, those of the array API standard.
    x : (B, N, D)
        Features as they came (hats, the normalised ones, are `unit_x`); padding is 0.
    weight : (B, N)
        1 for a shot, 0 for padding; sample weights where they were given.
    onehot : (B, N, C)
        Padding is 0 in every class.
    text : TextArrays or None
    rows : int (B, N)
        Which row of the pool each shot is; of no meaning in padding.
    unlabeled : (B, M, D) or None
    unlabeled_weight : (B, M) or None
        1 for a row, 0 for padding.
    common : int
        So many leading rows are the same in all episodes, with the same labels and weights.
    one_pool : bool
        Whether the unlabelled rows are the same in all episodes.

    Notes
    -----
    A weight of 2 is the same as the row twice, for every adapter that uses `mass`, `counts`, `total`
    and `class_sums` instead of counting rows.
    """

    xp: Any
    x: Array
    weight: Array
    onehot: Array
    rows: Array
    text: TextArrays | None = None
    unlabeled: Array | None = None
    unlabeled_weight: Array | None = None
    common: int = 0
    one_pool: bool = False

    @property
    def size(self) -> int:
        """Number of episodes B."""
        return int(self.x.shape[0])

    @property
    def n_shots(self) -> int:
        """Rows N, padding included."""
        return int(self.x.shape[1])

    @property
    def n_features(self) -> int:
        """Width D."""
        return int(self.x.shape[2])

    @property
    def n_classes(self) -> int:
        """Number of classes C, those without shots included."""
        return int(self.onehot.shape[2])

    @cached_property
    def unit_x(self) -> Array:
        """L2-normalised support features x̂, (B, N, D)."""
        return unit(self.xp, self.x)

    @cached_property
    def mass(self) -> Array:
        """What each row weighs in each class: `onehot` times `weight`, class by class, (B, C, N)."""
        return self.xp.matrix_transpose(self.onehot) * self.weight[:, None, :]

    @cached_property
    def counts(self) -> Array:
        """n_c, the summed weight of each class, (B, C)."""
        return self.xp.sum(self.mass, axis=-1)

    @cached_property
    def total(self) -> Array:
        """N, the summed weight of each episode, (B,)."""
        return self.xp.sum(self.weight, axis=-1)

    @cached_property
    def present(self) -> Array:
        """Whether a class has shots, bool (B, C)."""
        return self.counts > 0

    @cached_property
    def class_sums(self) -> Array:
        """Σ_{i∈c} x_i, (B, C, D)."""
        return self.mass @ self.x

    @cached_property
    def safe_counts(self) -> Array:
        """n_c with 1 in place of 0, for divisions, (B, C)."""
        return self.xp.where(self.present, self.counts, self.xp.ones_like(self.counts))

    @cached_property
    def class_means(self) -> Array:
        """Mean of each class's shots, 0 where there are none, (B, C, D)."""
        return self.class_sums / self.safe_counts[:, :, None]

    @property
    def prototypes(self) -> TextArrays:
        """The text prototypes, of an adapter that cannot do without."""
        if self.text is None:
            raise InputError(
                "this adapter needs text prototypes: create_adapter(name, text=TextPrototypes(…))"
            )
        return self.text

    def per_episode(self, array: Array) -> Array:
        """An array repeated for every episode: (…) becomes (B, …)."""
        return self.xp.broadcast_to(array[None, ...], (self.size, *array.shape))
