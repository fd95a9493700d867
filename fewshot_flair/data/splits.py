"""A train/test split that keeps the classes' proportions and never parts a patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_flair.errors import InputError

__all__ = ["joined_groups", "patient_split"]


def patient_split(
    y: NDArray[np.int64], groups: NDArray[np.int64], test_fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw the test rows, whole groups at a time, with every class near its share.

    Groups are shuffled by the seed, then taken rarest class first; each goes to the test side if that
    brings the classes' test counts nearer to ``test_fraction`` of each class (squared distance, relative
    to the class's size), so that a class of few patients is parted as fairly as one of many.

    Parameters
    ----------
    y : int array [n]
        Class of each row.
    groups : int array [n]
        Group (patient) of each row, as codes 0…G−1.
    test_fraction : float
        Share of each class to test on, between 0 and 1.
    seed : int
        Seed of the shuffle; the same seed and rows give the same split.

    Returns
    -------
    bool array [n]
        True where the row is for testing.

    Raises
    ------
    InputError
        If the fraction is not strictly between 0 and 1, or there are too few groups for two sides.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test_fraction is {test_fraction}; it must lie between 0 and 1, such as 0.4")
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    if n_groups < 2:
        raise InputError(f"a split needs at least two patients; the manifest has {n_groups}")
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.zeros((n_groups, len(classes)))
    np.add.at(counts, (groups, codes), 1)
    sizes = counts.sum(axis=0)
    target = test_fraction * sizes
    order = np.random.default_rng(seed).permutation(n_groups)
    rarity = np.where(counts > 0, sizes, np.inf).min(axis=1)
    order = order[np.argsort(rarity[order], kind="stable")]

    test = np.zeros(n_groups, dtype=bool)
    held = np.zeros(len(classes))
    for group in order:
        gain = (((held - target) / sizes) ** 2 - ((held + counts[group] - target) / sizes) ** 2).sum()
        if gain > 0:
            test[group] = True
            held += counts[group]
    if not test.any():
        raise InputError(
            f"{n_groups} patients are too few to test on {test_fraction:.0%} of them; "
            "raise the fraction or add patients"
        )
    return test[groups]


def joined_groups(groups: NDArray[np.int64], keys: Sequence[str]) -> NDArray[np.int64]:
    """Make patients who share a photograph one group, so that a split does not part its copies.

    Parameters
    ----------
    groups : int array [n]
        Patient of each row.
    keys : sequence of n str
        Digest of each row's file; rows of the same digest belong together. An empty key joins nothing.

    Returns
    -------
    int array [n]
        Groups as codes 0…G−1 in the order of their first rows.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first: dict[str, int] = {}
    pairs = [(int(g), first.setdefault(key, int(g))) for g, key in zip(groups, keys, strict=True) if key]
    n = int(groups.max()) + 1 if len(groups) else 0
    one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (one, other)), shape=(n, n))
    component = connected_components(graph, directed=False)[1][groups]
    codes = {old: new for new, old in enumerate(dict.fromkeys(component.tolist()))}
    return np.array([codes[c] for c in component.tolist()], dtype=np.int64)
