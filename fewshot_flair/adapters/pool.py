"""The rows that episodes are drawn from, checked once, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.adapters.batch import EpisodeBatch, TextArrays, unit
from fewshot_flair.adapters.namespaces import Namespace, namespace_of
from fewshot_flair.adapters.validation import check_features, check_text, check_weights, encode_labels
from fewshot_flair.episodes.episode import padded
from fewshot_flair.errors import InputError
from fewshot_flair.text.prototypes import TextPrototypes

__all__ = ["Pool"]


class Method(Protocol):
    """What of an adapter decides what may be in its pool (see `adapters.base.Adapter`)."""

    name: ClassVar[str]
    features: ClassVar[str]
    needs_text: ClassVar[bool]
    uses_unlabeled: ClassVar[bool]
    text: TextPrototypes | None
    device: str


@dataclass(frozen=True, eq=False)
class Pool:
    """Checked features, labels and text, ready to be cut into batches.

    Attributes
    ----------
    X : (n, D)
    codes : int64 (n,)
    weight : (n,)
    classes : (C,)
    unlabeled : (M, D) or None
        Images without labels that every episode may use.
    """

    X: NDArray
    codes: NDArray[np.int64]
    weight: NDArray
    classes: NDArray
    namespace: Namespace
    text: TextArrays | None
    unlabeled: NDArray | None

    @classmethod
    def checked(
        cls,
        adapter: Method,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_unlabeled: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        classes: Sequence[Any] | None = None,
        device: str | None = None,
    ) -> Pool:
        """What `adapter.fit` was given; raises InputError in the same words for every adapter."""
        check_text(adapter.name, adapter.text)
        if adapter.needs_text and adapter.text is None:
            raise InputError(
                f"{adapter.name} needs text prototypes: create_adapter({adapter.name!r}, "
                "text=TextPrototypes(classes, prototypes, logit_scale)), or take an adapter without text "
                "(logistic, ss)"
            )
        features = check_features(adapter, X, reset=True)
        labels = encode_labels(adapter.name, y, adapter.text, classes)
        if len(labels.codes) != len(features):
            raise InputError(f"{adapter.name}: {len(features)} rows in X and {len(labels.codes)} labels in y")
        weight = check_weights(adapter.name, sample_weight, len(features))
        if not weight.sum():
            raise InputError(f"{adapter.name}: all sample weights are zero; nothing is left to fit")
        namespace = namespace_of(adapter.device if device is None else device)
        return cls(
            X=features,
            codes=labels.codes,
            weight=weight.astype(features.dtype),
            classes=labels.classes,
            namespace=namespace,
            text=_text_arrays(adapter, features, namespace) if adapter.needs_text else None,
            unlabeled=_unlabeled(adapter, X_unlabeled, features.dtype),
        )

    def batch(
        self,
        indices: Sequence[NDArray[np.int64]],
        unlabeled: Sequence[NDArray[np.int64]] | None = None,
        common: int = 0,
    ) -> EpisodeBatch:
        """Support sets, and their unlabelled rows, as padded tensors on the device."""
        put = self.namespace.put
        x, weight, index = self._gathered(indices)
        onehot = np.eye(len(self.classes), dtype=x.dtype)[self.codes[index]] * (weight > 0)[:, :, None]
        u = u_weight = None
        one_pool = False
        if unlabeled is not None:
            one_pool = all(np.array_equal(rows, unlabeled[0]) for rows in unlabeled)
            u, u_mask, _ = self._gathered(unlabeled[:1] if one_pool else unlabeled)
            u_weight = (u_mask > 0).astype(x.dtype)
        elif self.unlabeled is not None:
            one_pool, u = True, self.unlabeled[None]
            u_weight = np.ones(u.shape[:2], dtype=x.dtype)
        if u is not None and u_weight is not None:
            u = np.broadcast_to(u, (len(indices), *u.shape[1:]))
            u_weight = np.broadcast_to(u_weight, u.shape[:2])
        return EpisodeBatch(
            xp=self.namespace.xp,
            x=put(x),
            weight=put(weight),
            onehot=put(onehot),
            rows=put(index),
            text=self.text,
            unlabeled=None if u is None else put(u),
            unlabeled_weight=None if u_weight is None else put(u_weight),
            common=common,
            one_pool=one_pool,
        )

    def _gathered(self, rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray, NDArray, NDArray[np.int64]]:
        index, mask = padded(rows)
        x = self.X[index]
        if not mask.all():
            x[~mask] = 0
        return x, np.where(mask, self.weight[index], 0).astype(self.X.dtype), index


def _text_arrays(adapter: Method, features: NDArray, namespace: Namespace) -> TextArrays:
    text = adapter.text
    assert isinstance(text, TextPrototypes)
    cells = features.shape[1] // text.n_features if adapter.features == "local" else 1
    if text.n_features * max(1, cells) != features.shape[1]:
        raise InputError(
            f"{adapter.name}: X has {features.shape[1]} features and the text prototypes have "
            f"{text.n_features}; give the {adapter.features} features of the encoder that made the prototypes"
        )
    prototypes = namespace.put(np.asarray(text.prototypes, dtype=features.dtype))
    samples = sample_onehot = None
    if text.samples is not None:
        samples = namespace.put(np.asarray(text.samples, dtype=features.dtype))
        onehot = np.eye(text.n_classes, dtype=features.dtype)[np.asarray(text.sample_classes)]
        sample_onehot = namespace.put(onehot)
    unit_prototypes = unit(namespace.xp, prototypes)
    return TextArrays(prototypes, unit_prototypes, text.scale, samples, sample_onehot)


def _unlabeled(adapter: Method, X_unlabeled: ArrayLike | None, dtype: np.dtype) -> NDArray | None:
    if X_unlabeled is None:
        return None
    if not adapter.uses_unlabeled:
        raise InputError(f"{adapter.name} cannot use unlabelled images; ss-text-u can")
    return check_features(adapter, X_unlabeled, reset=False, what="X_unlabeled").astype(dtype, copy=False)
