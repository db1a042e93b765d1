"""Sizes and sums of the others' rows in each cluster, from public centroids: a step of the attack on them.

The new centroid of a cluster is the mean of the rows that were nearest to the old one. Where values are whole numbers
it is a fraction whose denominator is the cluster's size, or a part of it. Of the sizes that are possible for each
cluster, those are left that add up to the number of all rows, with sums that add up to the totals of the columns. A
party knows its own rows and their labels, and subtracts them. The leader of the mode "paillier" need not solve for the
sizes: it sees them, and the sums.
"""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from centroids_in_the_clear import Iteration, Run

SLACK: Final = 1.5
"""Units of the fixed point that a centroid can be off: half a unit for the mean, half a unit for the rows, rounding."""
MOST_WAYS: Final = 2_000_000
"""Ways to choose sizes that are tried in an iteration; with more, nothing is known of it."""


@dataclass(frozen=True)
class Seen:
    """What an attacker knows of the other parties' rows in one iteration.

    Attributes
    ----------
    known : (k,) bool
        Of which clusters.
    sizes, sums : (k,) and (k, d) int64
        Of the others' rows; 0 where they are not known.
    """

    known: np.ndarray
    sizes: np.ndarray
    sums: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """Sizes and sums, (k, 1 + d)."""
        return np.column_stack([self.sizes, self.sums])


def seen_by_leader(run: Run, iteration: Iteration) -> Seen:
    """All sizes and sums, less those of the leader's own rows."""
    del run
    known = np.full(len(iteration.sizes), True)
    return Seen(known, iteration.sizes - iteration.own_sizes, iteration.sums - iteration.own_sums)


def seen_by_party(run: Run, iteration: Iteration, *, knows_totals: bool = True) -> Seen:
    """The sizes and sums in which all :func:`ways` agree; none without the totals of the columns."""
    k, d = iteration.before.shape
    found = ways(run, iteration) if knows_totals else None
    if found is None:
        return Seen(np.full(k, False), np.zeros(k, np.int64), np.zeros((k, d), np.int64))
    true = np.column_stack([iteration.sizes, iteration.sums])
    known = (found == found[0]).all(axis=(0, 2)) & (found[0, :, 0] >= 0)
    assert (found[0][known] == true[known]).all(), "what all ways agree in is true"
    sizes = np.where(known, found[0, :, 0] - iteration.own_sizes, 0)
    return Seen(known, sizes, np.where(known[:, None], found[0, :, 1:] - iteration.own_sums, 0))


def totals_of(run: Run) -> np.ndarray | None:
    """The totals of the columns, (d,), as a party finds them where they are not disclosed; None where it does not.

    They are the same in all iterations of all starts. Of each iteration in which all centroids moved, the sizes that
    add up to the number of rows leave some totals.
    """
    left: set[tuple[int, ...]] | None = None
    for iteration in itertools.chain.from_iterable(run.starts):
        if not (iteration.after != iteration.before).any(axis=1).all():
            continue
        low, high = _boxes(run, iteration)
        means = [_means(run, iteration, j, low[j], high[j]) for j in range(len(low))]
        if (chosen := _combined(means, np.array([run.n]))) is not None:
            possible = set(map(tuple, chosen.sum(axis=1)[:, 1:].tolist()))
            left = possible if left is None else left & possible
    assert left is None or tuple(run.totals.tolist()) in left, "the true totals are possible"
    return np.array(left.pop()) if left is not None and len(left) == 1 else None


def ways(run: Run, iteration: Iteration) -> np.ndarray | None:
    """All ways to choose sizes and sums of the clusters that agree with what a party knows.

    A centroid that stayed where it was is a mean, or that of a cluster with too few rows to move. Of one such cluster
    size and sum are what the others leave of all rows.

    Returns
    -------
    (ways, k, 1 + d) int64, the size before the sum, of all parties; -1 where several clusters share what is left. None
    where there are too many ways.
    """
    k, d = iteration.before.shape
    low, high = _boxes(run, iteration)
    means = [_means(run, iteration, j, low[j], high[j]) for j in range(k)]
    all_rows = np.concatenate([[run.n], run.totals])
    least, own = run.job.fewest_to_move, iteration.own_sizes
    stayed = [j for j in range(k) if (iteration.after[j] == iteration.before[j]).all() and own[j] < least]
    found = []
    for kept in map(list, itertools.chain.from_iterable(itertools.combinations(stayed, m) for m in range(k + 1))):
        moved = sorted(set(range(k)) - set(kept), key=lambda j: len(means[j]))
        of_moved = [means[j] for j in moved]
        chosen = _part(of_moved, run.n, 1 + d) if kept else _combined(of_moved, all_rows)
        if chosen is None:
            return None
        left = all_rows - chosen.sum(axis=1)
        sizes, sums = left[:, 0] - own[kept].sum(), left[:, 1:] - iteration.own_sums[kept].sum(axis=0)
        lowest, highest = low[kept].min(axis=0, initial=1 << 20), high[kept].max(axis=0, initial=-1)
        fits = (sizes >= 0) & (left[:, 0] <= len(kept) * (least - 1)) & _in_box(sizes, sums, lowest, highest)
        way = np.full((int(fits.sum()), k, 1 + d), -1, dtype=np.int64)
        way[:, moved] = chosen[fits]
        if len(kept) == 1:
            way[:, kept[0]] = left[fits]
        found.append(way)
    together = np.concatenate(found)
    assert len(together), "the true sizes are one way"
    return together


def _combined(means: list[np.ndarray], all_rows: np.ndarray) -> np.ndarray | None:
    """All choices of one size and sum of each cluster, (ways, clusters, 1 + d), that make up all rows.

    Parameters
    ----------
    means : list of (m, 1 + d)
        Of each cluster the possible sizes, in their order, and sums.
    all_rows : (1,) or (1 + d,)
        The number of all rows; and their totals, where these are known.

    Returns
    -------
    None where there are too many.
    """
    *first, last = means
    if (chosen := _part(first, int(all_rows[0]), last.shape[1])) is None:
        return None
    if not len(last):
        return np.zeros((0, len(means), last.shape[1]), dtype=np.int64)
    left = all_rows - chosen.sum(axis=1)[:, : len(all_rows)]
    at = np.searchsorted(last[:, 0], left[:, 0]).clip(max=len(last) - 1)
    fits = (last[at][:, : len(all_rows)] == left).all(axis=1)
    return np.concatenate([chosen[fits], last[at][fits][:, None]], axis=1)


def _part(means: list[np.ndarray], n: int, width: int) -> np.ndarray | None:
    """All choices of one size and sum of each cluster with at most n rows; None where there are too many."""
    chosen = np.zeros((1, 0, width), dtype=np.int64)
    for of in means:
        if len(chosen) * len(of) > MOST_WAYS:
            return None
        before = np.repeat(chosen, len(of), axis=0)
        chosen = np.concatenate([before, np.tile(of, (len(chosen), 1))[:, None]], axis=1)
        chosen = chosen[chosen[:, :, 0].sum(axis=1) <= n]
    return chosen


def _means(run: Run, iteration: Iteration, j: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The sizes, in their order, and sums of which a cluster's new centroid is the mean, (m, 1 + d)."""
    own = int(iteration.own_sizes[j])
    sizes = np.arange(max(1, run.job.fewest_to_move, own), run.n + 1)
    exact = sizes[:, None] * iteration.after[j] * run.unit
    sums = np.rint(exact).astype(np.int64)
    fits = (np.abs(exact - sums) <= SLACK * sizes[:, None] * run.unit).all(axis=1)
    fits &= _in_box(sizes - own, sums - iteration.own_sums[j], low, high)
    return np.asarray(np.column_stack([sizes, sums])[fits])


def _in_box(sizes: np.ndarray, sums: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether so many rows between ``low`` and ``high`` can have these sums; none can where there is no such point."""
    if (high < low).any():
        return np.asarray((sizes == 0) & (sums == 0).all(axis=1))
    return np.asarray(((sizes[:, None] * low <= sums) & (sums <= sizes[:, None] * high)).all(axis=1))


def _boxes(run: Run, iteration: Iteration) -> tuple[np.ndarray, np.ndarray]:
    """The box around the points that are nearest to each centroid, (k, d) each; ``high < low`` where there are none."""
    members = [run.points[iteration.of_point == j] for j in range(len(iteration.before))]
    low = np.stack([of.min(axis=0, initial=1 << 20) for of in members])
    return low, np.stack([of.max(axis=0, initial=-1) for of in members])
