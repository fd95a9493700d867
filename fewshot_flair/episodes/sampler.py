"""Draw few-shot support sets from a pool of labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewshot_flair.episodes.episode import Episodes
from fewshot_flair.episodes.scenarios import Scenario, resolve_scenario, shared_out
from fewshot_flair.errors import InputError

__all__ = ["PROTOCOLS", "EpisodeSampler"]

PROTOCOLS = ("fewshot-flair", "sstext-2025")


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
        return self._counts(codes, names, seed)

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
        codes, names = _coded(y, n_classes, classes)
        return self._draw(codes, self._counts(codes, names, seed), seed)[0]

    def sample_many(
        self,
        y: ArrayLike,
        seeds: Iterable[int],
        n_classes: int | None = None,
        classes: Sequence[str] | None = None,
        unlabeled: int = 0,
        groups: ArrayLike | None = None,
    ) -> Episodes:
        """Support sets of many seeds, for `fewshot_flair.adapters.fit_episodes`.

        `groups` (array-like of shape (n,), such as patients) makes a group the unit of a shot: n_c groups
        are drawn for class c, and each gives all its images of that class.

        `unlabeled` is how many further images of the pool each episode gets without their labels, in
        the proportions of what its support set leaves, as the semi-supervised paper draws them (SS-Text-U);
        the other parameters are those of `sample`.
        """
        codes, names = _coded(y, n_classes, classes)
        seeds = tuple(int(seed) for seed in seeds)
        if not seeds:
            raise InputError("there are no seeds; give one an episode")
        units = None if groups is None else _group_codes(groups, len(codes))
        drawn = [self._draw(codes, self._counts(codes, names, seed, units), seed, units) for seed in seeds]
        support = tuple(rows for rows, _ in drawn)
        if unlabeled < 1:
            return Episodes(seeds, support)
        rest = (self._draw_rest(left, unlabeled, seed) for (_, left), seed in zip(drawn, seeds, strict=True))
        return Episodes(seeds, support, tuple(rest))

    def _counts(
        self,
        codes: NDArray[np.int64],
        names: Sequence[str],
        seed: int,
        units: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        if units is not None:
            codes = np.unique(np.stack([codes, units]), axis=1)[0]
        pool = np.bincount(codes, minlength=len(names)).astype(np.int64)
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
            fewer = f"at most {fits} shots" if fits else "another scenario"
            other = "" if self.scenario.name == "realistic" else "the realistic scenario, "
            raise InputError(
                f"too few {'images' if units is None else 'patients'} for {self.shots} shots in the "
                f"{self.scenario.name} scenario: "
                f"class {lacking}; use {fewer}, {other}or allow fewer (--allow-fewer)"
            )
        return np.minimum(counts, pool)

    def _draw(
        self,
        codes: NDArray[np.int64],
        counts: NDArray[np.int64],
        seed: int,
        units: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """The support rows, and each class's rows that are left, in the order of its shuffle."""
        if units is None:
            orders = [self._shuffled(np.flatnonzero(codes == c), seed, c) for c in range(len(counts))]
        else:
            orders, counts = self._grouped(codes, counts, seed, units)
        support = np.concatenate([order[:count] for order, count in zip(orders, counts, strict=True)])
        return support, [order[count:] for order, count in zip(orders, counts, strict=True)]

    def _grouped(
        self, codes: NDArray[np.int64], counts: NDArray[np.int64], seed: int, units: NDArray[np.int64]
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Each class's rows, group after group in the order of its shuffle, and how many the counts take."""
        orders, taken = [], []
        for c, count in enumerate(counts):
            rows = np.flatnonzero(codes == c)
            order = self._shuffled(np.unique(units[rows]), seed, c)
            groups = [rows[units[rows] == unit] for unit in order]
            orders.append(np.concatenate([*groups, np.zeros(0, np.int64)]))
            taken.append(sum(len(group) for group in groups[:count]))
        return orders, np.array(taken, dtype=np.int64)

    def _draw_rest(self, left: list[NDArray[np.int64]], size: int, seed: int) -> NDArray[np.int64]:
        pool = np.array([len(rows) for rows in left])
        if size > pool.sum():
            raise InputError(
                f"{size} unlabelled images are asked for, the support set leaves {pool.sum()}; ask for fewer"
            )
        trim = self.protocol == "fewshot-flair"
        counts = np.minimum(shared_out(pool / pool.sum(), size, 0, trim), pool)
        # The published code shuffles what its first shuffle left, so the order before matters.
        return np.concatenate(
            [self._shuffled(rows, seed, c)[:n] for c, (rows, n) in enumerate(zip(left, counts, strict=True))]
        )

    def _shuffled(self, rows: NDArray[np.int64], seed: int, c: int) -> NDArray[np.int64]:
        if self.protocol == "fewshot-flair":
            return np.random.default_rng([seed, c]).permutation(rows)
        shuffled = rows.copy()
        np.random.RandomState(seed).shuffle(shuffled)
        return shuffled


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
