"""Draw few-shot support sets from a pool of labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.episodes.episode import Episodes
from fewshot_flair.episodes.prevalences import Prevalence
from fewshot_flair.episodes.scenarios import Scenario, resolve_scenario
from fewshot_flair.errors import InputError
from fewshot_flair.words import counted

__all__ = ["PROTOCOLS", "EpisodeSampler"]

Rows = list[NDArray[np.int64]]
Shuffle = Callable[[int, Rows], Rows]

PROTOCOLS = ("fewshot-flair", "sstext-2025")
"""The ways to draw images: this package's own, and that of SS-Text as published."""


class EpisodeSampler:
    """Seeded k-shot support sets in a scenario.

    Parameters
    ----------
    shots : int
        Shots a class, at least 1; the budget of an episode is ``shots * C`` images.
    scenario : str or Scenario
        ``"standard"`` (as many of every class), ``"relaxed"`` (the pool's proportions, at least one of
        every class) or ``"realistic"`` (the pool's proportions), or a scenario of your own.
    protocol : str
        Which images are drawn. ``"fewshot-flair"``: one generator for each (seed, class), and an
        episode with more shots holds those with fewer; adding a class leaves the draws of the others
        as they were. ``"sstext-2025"``: the published draws of SS-Text, index for index (numpy's legacy
        generator, seeded anew with the episode's seed for every class).
    allow_fewer : bool
        Take what there is where a class has fewer images than the scenario asks for, instead of raising.

    Examples
    --------
    >>> y = [0, 0, 0, 1, 1, 2]
    >>> sampler = EpisodeSampler(1)
    >>> [int(y[i]) for i in sampler.sample(y, seed=3)]
    [0, 1, 2]
    >>> len(sampler.sample_many(y, seeds=range(20)))
    20
    """

    def __init__(
        self,
        shots: int,
        scenario: str | Scenario = "standard",
        protocol: str = "fewshot-flair",
        allow_fewer: bool = False,
    ) -> None:
        if int(shots) != shots or shots < 1:
            raise InputError(f"shots is {shots}; give a whole number of at least 1")
        if protocol not in PROTOCOLS:
            raise InputError(f"no sampling protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
        self.shots = int(shots)
        self.scenario = resolve_scenario(scenario)
        self.protocol = protocol
        self.allow_fewer = allow_fewer

    def __repr__(self) -> str:
        return (
            f"EpisodeSampler(shots={self.shots}, scenario={self.scenario!r}, protocol={self.protocol!r}, "
            f"allow_fewer={self.allow_fewer})"
        )

    def counts(
        self,
        y: ArrayLike,
        seed: int = 0,
        n_classes: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """How many shots of each class an episode holds: int64 array of shape (C,).

        Parameters are those of `sample`, which has as many rows.
        """
        codes, names = _coded(y, n_classes, classes)
        return self._counts(_held(codes, len(names)), names, seed)

    def sample(
        self,
        y: ArrayLike,
        seed: int = 0,
        n_classes: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """Rows of one support set.

        Parameters
        ----------
        y : array-like of shape (n,)
            The pool's labels: integer codes 0…C−1, or class names.
        seed : int
            The episode's seed, not negative.
        n_classes : int, optional
            C, where the pool's codes do not reach the last class.
        classes : sequence of C str, optional
            Class names in order; without them names in `y` are taken in sorted order.

        Returns
        -------
        int64 array of shape (N,)
            Indices into `y`, class by class in ascending order.

        Raises
        ------
        InputError
            If a class has fewer images than the scenario asks for (unless `allow_fewer`), a label is
            not among the classes, or the pool is empty.
        """
        return self.sample_many(y, [seed], n_classes, classes).indices[0]

    def sample_many(
        self,
        y: ArrayLike,
        seeds: Iterable[int],
        n_classes: int | None = None,
        classes: Sequence[str] | None = None,
        unlabeled: int = 0,
        groups: ArrayLike | None = None,
        prevalence: ArrayLike | None = None,
    ) -> Episodes:
        """Support sets of many seeds, for `fewshot_flair.adapters.fit_episodes`.

        Parameters
        ----------
        y, n_classes, classes
            Those of `sample`.
        seeds : iterable of int
            One an episode.
        unlabeled : int
            Further images of the pool that each episode gets without their labels. Where a class has
            fewer left than its share, it gives those: episodes may have fewer, as their lengths say.
        groups : array-like of shape (n,), optional
            The unit of a shot, such as the patient: n_c groups are drawn for class c, and each gives all its
            images of that class.
        prevalence : array-like of shape (C,), optional
            Proportions of the unlabelled images, scaled to sum to 1; the semi-supervised paper (SS-Text-U)
            takes the test set's. By default those of what the support set leaves.

        Raises
        ------
        InputError
            As `sample`, or if there is no seed or the prevalence is not one number a class, none negative.
        """
        codes, names = _coded(y, n_classes, classes)
        seeds = tuple(int(seed) for seed in seeds)
        if not seeds:
            raise InputError("there are no seeds; give one an episode")
        trim = self.protocol == "fewshot-flair"
        wanted = None if prevalence is None else Prevalence(tuple(np.ravel(prevalence).tolist()), trim=trim)
        by_class = [np.flatnonzero(codes == c) for c in range(len(names))]
        units = None if groups is None else _group_codes(groups, len(codes))
        held = _held(codes, len(names), units)
        shuffle = _shuffler(self.protocol)
        support, free = [], []
        for seed in seeds:
            counts = self._counts(held, names, seed, "images" if units is None else "patients")
            if units is None:
                orders = shuffle(seed, by_class)
            else:
                orders, counts = _grouped(by_class, counts, units, partial(shuffle, seed))
            support.append(np.concatenate([rows[:n] for rows, n in zip(orders, counts, strict=True)]))
            if unlabeled > 0:
                left = [rows[n:] for rows, n in zip(orders, counts, strict=True)]
                shares = _shares(np.array([len(rows) for rows in left]), unlabeled, wanted, trim)
                # The published code shuffles what its first shuffle left, so the order before matters.
                again = shuffle(seed, left)
                free.append(np.concatenate([rows[:n] for rows, n in zip(again, shares, strict=True)]))
        return Episodes(seeds, tuple(support), tuple(free) if unlabeled > 0 else None)

    def _counts(
        self, pool: NDArray[np.int64], names: Sequence[str], seed: int, unit: str = "images"
    ) -> NDArray[np.int64]:
        counts = self.scenario.counts(pool, self.shots, seed)
        short = np.flatnonzero(counts > pool)
        if short.size and not self.allow_fewer:
            lacking = ", ".join(f"{names[int(c)]!r} has {pool[c]} of {counts[c]}" for c in short)
            fits = next(
                (
                    k
                    for k in range(self.shots - 1, 0, -1)
                    if (self.scenario.counts(pool, k, seed) <= pool).all()
                ),
                0,
            )
            fewer = f"at most {counted(fits, 'shot')}" if fits else "another scenario"
            other = "" if self.scenario.name == "realistic" else "the realistic scenario, "
            raise InputError(
                f"too few {unit} for {counted(self.shots, 'shot')} in the {self.scenario.name} scenario: "
                f"class {lacking}; use {fewer}, {other}or allow fewer (--allow-fewer)"
            )
        return np.minimum(counts, pool)


def _held(
    codes: NDArray[np.int64], n_classes: int, units: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Images, or groups, of each class in the pool: (C,)."""
    if units is not None:
        codes = np.unique(np.stack([codes, units]), axis=1)[0]
    return np.bincount(codes, minlength=n_classes).astype(np.int64)


def _shares(left: NDArray[np.int64], size: int, wanted: Prevalence | None, trim: bool) -> NDArray[np.int64]:
    """How many unlabelled images each class gives: its share of `size`, or what it has left."""
    if not left.any():
        return left
    wanted = wanted or Prevalence(tuple(left.tolist()), trim=trim)
    return np.minimum(wanted.shared(size, len(left)), left)


def _shuffler(protocol: str) -> Shuffle:
    """The function (seed, rows of each class) that gives each class's rows in the order of their draw."""
    if protocol == "fewshot-flair":
        return lambda seed, parts: [
            np.random.default_rng([seed, c]).permutation(rows) for c, rows in enumerate(parts)
        ]
    legacy = np.random.RandomState(0)

    def published(seed: int, parts: Rows) -> Rows:
        orders: dict[int, NDArray[np.int64]] = {}  # seeded anew, classes of a size are shuffled alike
        for size in {len(rows) for rows in parts}:
            legacy.seed(seed)
            orders[size] = legacy.permutation(size)
        return [rows[orders[len(rows)]] for rows in parts]

    return published


def _grouped(
    by_class: Rows, counts: NDArray[np.int64], units: NDArray[np.int64], shuffle: Callable[[Rows], Rows]
) -> tuple[Rows, NDArray[np.int64]]:
    """Each class's rows, group after group in the order of its shuffle, and how many the counts take."""
    orders, taken = [], []
    for rows, order, count in zip(
        by_class, shuffle([np.unique(units[rows]) for rows in by_class]), counts, strict=True
    ):
        groups = [rows[units[rows] == unit] for unit in order]
        orders.append(np.concatenate([*groups, np.zeros(0, np.int64)]))
        taken.append(sum(len(group) for group in groups[:count]))
    return orders, np.array(taken, dtype=np.int64)


def _group_codes(groups: ArrayLike, n: int) -> NDArray[np.int64]:
    labels = np.asarray(groups).reshape(-1)
    if len(labels) != n:
        raise InputError(f"{len(labels)} groups for {n} images; give one an image")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _coded(
    y: ArrayLike, n_classes: int | None, classes: Sequence[str] | None
) -> tuple[NDArray[np.int64], list[str]]:
    """Labels as codes, and the names of the classes they count into."""
    labels = np.asarray(y).reshape(-1)
    if not labels.size:
        raise InputError("the pool of labelled images is empty; there is nothing to draw shots from")
    if labels.dtype.kind in "OUS":
        names = [str(name) for name in (classes if classes is not None else np.unique(labels.astype(str)))]
        order = {name: c for c, name in enumerate(names)}
        unknown = next((str(label) for label in labels if str(label) not in order), None)
        if unknown is not None:
            raise InputError(f"label {unknown!r} is not one of the classes {names}")
        return np.array([order[str(label)] for label in labels], dtype=np.int64), names
    codes = labels.astype(np.int64)
    if not np.array_equal(codes, labels) or codes.min() < 0:
        raise InputError("labels must be class names or whole numbers from 0")
    size = len(classes) if classes is not None else n_classes or int(codes.max()) + 1
    if codes.max() >= size:
        raise InputError(f"label {codes.max()} is not one of the {size} classes (codes 0 to {size - 1})")
    return codes, [str(name) for name in classes] if classes is not None else [str(c) for c in range(size)]
