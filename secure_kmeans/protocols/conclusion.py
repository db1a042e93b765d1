"""The end of a k-means run on shares: which clusters are withheld, and the centroids, sizes and labels of the others.

The sizes of the final clusters are compared with ``min_cluster_size`` before anything of the model is opened. Of a
smaller cluster neither centroid nor size is disclosed. Nor is a centroid that is the mean of fewer rows: where a run
ends before its centroids rest, the rows of which a centroid is the mean are not yet those that it labels.

The rows of which each centroid is the mean are averaged once more, now encoded at each column's own precision: in the
loop, a column that is far narrower than the widest has few digits. The loop's centroids are disclosed, too, since rows
were labelled by them. Both are means of the same rows. Means of the rows that they label would be the centroids of the
next iteration, and the two together would show a row that changed its cluster alone. Where the sizes are hidden only
centroids on a coarse grid are disclosed, and rows are labelled by these.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from secure_kmeans.errors import StateError
from secure_kmeans.job import Clustering
from secure_kmeans.job.fixed_point import RING_BITS, FixedPoint
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.model import usual_order
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import RowsOfAnEngine
from secure_kmeans.mpc.packing import RING_BYTES
from secure_kmeans.mpc.rows import LABEL_BYTES
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.mpc.withholding import sizes_below
from secure_kmeans.protocols.lloyd import Lloyd
from secure_kmeans.protocols.partition import Partition

Reveal = Callable[[Shared], np.ndarray]
"""Callback(numbers): records a disclosure and makes it. What this party does not learn is 0."""


@dataclass(frozen=True)
class Concluded:
    """The disclosures of the end of a run; the protocol gives them.

    Attributes
    ----------
    small : Disclosure or None
        Which clusters are withheld; None where neither centroids nor sizes are disclosed.
    sizes : Disclosure or None
        None where they are not disclosed.
    centroids : Reveal or None
        Discloses (m, d) centroids, or parts of them; None where they are not disclosed.
    labels : Reveal
        Discloses (n,) numbers of clusters, each to those that may learn it. Empty where a party learns none.
    centroids_to_all : bool
        Whether all parties learn the same of the centroids.
    """

    small: Disclosure | None
    sizes: Disclosure | None
    centroids: Reveal | None
    labels: Reveal
    centroids_to_all: bool = True


@dataclass(frozen=True)
class Conclusion:
    """What a party holds at the end, in the usual order of the clusters.

    Attributes
    ----------
    centroids : list of lists of float, or None
        A coordinate that this party does not learn is meaningless.
    grid_centroids : list of lists of int, or None
    sizes : list of int, or None
    withheld : list of int
    labels : int64
        Those that this party learns.
    order : list of int
        The loop's number of each cluster.
    model_share : str
        For each cluster this party's share of its grid centroid, and its number in the loop, as
        :class:`~secure_kmeans.job.model.KMeansOwn` has it.
    """

    centroids: list[list[float] | None] | None
    grid_centroids: list[list[int] | None] | None
    sizes: list[int | None] | None
    withheld: list[int]
    labels: np.ndarray
    order: list[int]
    model_share: str


class Conclude:
    """The steps after Lloyd's loop.

    Parameters
    ----------
    sharing : Sharing
    clustering : Clustering
    lloyd : Lloyd
    own_rows : float64
        This party's part of the rows, by columns in units of their ranges, from 0 to 1.
    partition : Partition
    disclosed : Concluded
    """

    def __init__(
        self,
        sharing: Sharing,
        clustering: Clustering,
        lloyd: Lloyd,
        own_rows: np.ndarray,
        partition: Partition,
        disclosed: Concluded,
    ) -> None:
        self.sharing, self.engine = sharing, sharing.engine
        self.clustering, self.lloyd, self.disclosed = clustering, lloyd, disclosed
        self.own_rows, self.partition = own_rows, partition
        self.n = partition.n

    def run(self, best: int) -> Conclusion:
        """Disclose the model of one start, and the labels of the rows."""
        sharing, engine, disclosed = self.sharing, self.engine, self.disclosed
        C = self.lloyd.C[best : best + 1]  # (1, k, d)
        shifts = self.clustering.centroid_shifts(self.n)
        exact = disclosed.centroids is not None and shifts is None
        if shifts is not None and disclosed.centroids is not None:
            C = self._rounded(C, shifts)
            H = self.lloyd.relabelled(C, RING_BITS)
        else:
            H = self.lloyd.assignment_of(best)
        numbers, t = engine.execute(self.lloyd.rows.labels(H))
        T, averaged = self._averaged(best, exact=exact)
        shown = self._shown(t, averaged)
        sizes = None if disclosed.sizes is None else sharing.reveal(t[_index(shown)], disclosed.sizes, size=LABEL_BYTES)
        grid = means = None
        if disclosed.centroids is not None:
            opened = C[0, _index(shown)]
            if exact:
                opened = crypten.cat([opened, self._means(T, shown, best)])
            revealed = disclosed.centroids(opened)
            grid = revealed[: shown.sum()]
            means = revealed[shown.sum() :] if exact else None
        labels = disclosed.labels(numbers)
        return self._in_usual_order(C, shown, grid, means, sizes, labels)

    def _averaged(self, best: int, *, exact: bool) -> tuple[Shared | None, Shared | None]:
        """Sums (1, k, d) and numbers (k,) of the rows of which the centroids are the means.

        The sums are of rows in units of each column's range; None where they are not needed. Both are None where no
        centroid is disclosed.
        """
        if self.disclosed.centroids is None:
            return None, None
        H = self.lloyd.relabelled(self.lloyd.C_before[best : best + 1])
        if not exact:
            return None, self.engine.execute(self.lloyd.rows.labels(H))[1]
        T, t = self.engine.execute(self._rows_by_column().sums(H, RING_BYTES))
        return T, t[0]

    def _rows_by_column(self) -> RowsOfAnEngine:
        """The rows once more, each column in units of its own range."""
        X = self.partition.enter(self.sharing, self.own_rows, self.clustering.mean_bits(self.n))
        rows: RowsOfAnEngine = self.engine.execute(self.engine.enter(X, RING_BITS))
        return rows

    def _shown(self, t: Shared, averaged: Shared | None) -> np.ndarray:
        """The clusters that are not withheld, bool (k,). At a role that does not take part, all.

        Withheld are those of fewer than ``min_cluster_size`` rows by t, or by ``averaged``.
        """
        if self.disclosed.small is None:
            return np.ones(t.size(0), dtype=bool)
        engine, least = self.engine, self.clustering.min_cluster_size
        both = crypten.stack([t] if averaged is None else [t, averaged])
        small = engine.execute(sizes_below(engine, both, range(least, least + 1), self.n))[0]
        either = small[0]
        if averaged is not None:
            either = either + small[1] - engine.execute(engine.multiply(small[0], small[1]))
        shown: np.ndarray = self.sharing.reveal(either, self.disclosed.small) == 0
        return shown

    def _rounded(self, C: Shared, shifts: np.ndarray) -> Shared:
        """The centroids (1, k, d), rounded to multiples of 2^shift in each column."""
        columns = []
        for number, shift in enumerate(shifts.tolist()):
            column = C[0, :, number]
            if shift:
                shifted = self.engine.execute(self.engine.shift_right(column + (1 << shift - 1), shift))
                column = shifted * (1 << shift)
            columns.append(column)
        return crypten.stack(columns, dim=1).unsqueeze(0)

    def _means(self, T: Shared, shown: np.ndarray, best: int) -> Shared:
        """The means of the clusters that are shown, with ``mean_bits`` in units of each column's range.

        Their divisors are the sizes of the last iteration, which are public where they are not too small.
        """
        engine, bits = self.engine, self.clustering.mean_bits(self.n)
        divisors = np.full((1, len(shown)), self.n, dtype=np.int64)
        if engine.takes_part:
            divisors[0, shown] = np.array(self.lloyd.tally.sizes[best][-1])[shown]
        divided = engine.execute(engine.divide(T, RING_BYTES))
        means: Shared = engine.execute(engine.divided(divided, divisors, 1 << bits, self.n))
        return means[0, _index(shown)]

    def _in_usual_order(
        self,
        C: Shared,
        shown: np.ndarray,
        grid: np.ndarray | None,
        means: np.ndarray | None,
        sizes: np.ndarray | None,
        labels: np.ndarray,
    ) -> Conclusion:
        scaling, fixed_point = self.clustering.scaling, self.sharing.fixed_point
        centroids: list[Any] | None = None
        if means is not None:
            bits = self.clustering.mean_bits(self.n)
            centroids = spread(scaling.by_column.invert(FixedPoint(bits).decode(means)), shown)
        elif grid is not None:
            centroids = spread(scaling.invert(fixed_point.decode(grid)), shown)
        known_sizes = None if sizes is None else spread(sizes, shown)
        order = usual_order(known_sizes, centroids if self.disclosed.centroids_to_all else None)
        order = order or list(range(len(shown)))
        position = np.argsort(order)
        return Conclusion(
            centroids=ordered(centroids, order),
            grid_centroids=None if grid is None else ordered(spread(grid, shown), order),
            sizes=ordered(known_sizes, order),
            withheld=np.flatnonzero(~shown[order]).tolist(),
            labels=position[labels],
            order=order,
            model_share=kept_share(crypten.share_of(C)[0], order),
        )


def kept_share(share: np.ndarray, order: Sequence[int], ties: np.ndarray | None = None) -> str:
    """A party's share of the centroids by which rows were labelled, in an order, and the numbers that decide ties.

    Parameters
    ----------
    share : (k, d) int64
    order : sequence of int
    ties : (k,) ints, optional
        By the clusters' numbers in ``share``; if not given, these numbers decide.
    """
    numbers = np.arange(len(share)) if ties is None else ties
    kept = np.concatenate([share[order], numbers[order][:, None]], axis=1)
    return base64.b64encode(kept.astype("<i8").tobytes()).decode()


def read_share(kept: bytes | None, k: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """The share (1, k, d) that was kept, in the order that decides ties, and the numbers of its clusters, (k,).

    Raises
    ------
    StateError
        Where it is not of k clusters and d columns.
    """
    raw = np.frombuffer(kept or b"", dtype=np.uint8)
    if len(raw) != 8 * k * (d + 1):
        raise StateError("there is no share of the model that the job names; name the folder of the run's states")
    rows = raw.view("<i8").reshape(k, d + 1).astype(np.int64)
    order = rows[:, d].argsort(kind="stable")
    return rows[None, order, :d], order


def _index(shown: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(shown))


def spread(values: np.ndarray, shown: np.ndarray) -> list[Any]:
    """A list with None where a cluster is not shown."""
    given = iter(values.tolist())
    return [next(given) if each else None for each in shown]


def ordered(values: list[Any] | None, order: list[int]) -> Any:
    """The values in another order, where there are any."""
    return None if values is None else [values[number] for number in order]
