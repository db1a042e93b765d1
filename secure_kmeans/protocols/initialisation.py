"""Initial centroids, computed on shares. Nothing is revealed.

``farthest`` is Algorithm 1 of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik),
``k-means++`` the draw of Arthur and Vassilvitskii (2007), ``random`` step 1 of GMV's Algorithm 5. All
three take rows and draws from :mod:`secure_kmeans.protocols.starts`: secret ones, or public ones from a seed. From the
same seed the plaintext's initialisations (:mod:`secure_kmeans.plaintext.initialisation`) take the same rows.

r starts are computed side by side. Symbols: X the rows, C the centroids so far, D the squared distance
of each row to the nearest of them.

Differs from the paper: the distances stay squared, which changes no maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from secure_kmeans.job import Clustering
from secure_kmeans.job.coins import DrawGrid
from secure_kmeans.job.result import Progress
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.distances import squared_distances, squared_norms
from secure_kmeans.protocols.partition import Partition
from secure_kmeans.protocols.starts import Starts

Chosen = Callable[[int, int], None]
"""Callback(centroids so far, of how many)."""

_GROUPS_AT_ONCE: Final = 1 << 17
"""Bounds the memory of a tournament's stage."""

_FEW: Final = 4096
"""The most candidates for which a stage of a tournament takes groups of 8; above, it takes groups of 4."""


def first_centroids(
    sharing: Sharing,
    clustering: Clustering,
    own_rows: np.ndarray,
    partition: Partition,
    X: Shared,
    starts: Starts,
    progress: Progress,
) -> Shared:
    """[SHK] step 1, for all starts.

    Parameters
    ----------
    sharing : Sharing
    clustering : Clustering
    own_rows : float64
        This party's part of the rows, scaled.
    partition : Partition
    X : (n, d) encrypted tensor
    starts : Starts
    progress : Progress

    Returns
    -------
    (r, k, d).
    """
    engine, n = sharing.engine, partition.n

    def chosen(number: int, of: int) -> None:
        if engine.takes_part:
            progress("initialisation", number, of)

    if clustering.init == "random":
        return engine.execute(starts.rows(engine, X))
    if clustering.init == "farthest":
        bits = bits_of_a_difference(clustering, clustering.precision_bits)
        return engine.execute(farthest(engine, X, clustering.n_clusters, starts, bits, chosen))
    grid = DrawGrid.fitting(n, len(clustering.columns), clustering.scaling.largest)
    X_coarse = partition.enter(sharing, sharing.fixed_point.on_grid(own_rows), grid.row_bits)
    bits = bits_of_a_difference(clustering, grid.row_bits)
    return engine.execute(k_means_plus_plus(engine, X, X_coarse, grid, clustering.n_clusters, starts, bits, chosen))


def farthest(engine: Engine, X: Shared, n_clusters: int, starts: Starts, bits: int, chosen: Chosen) -> Step[Shared]:
    """A row of the starts, then each time the row farthest from all centroids so far.

    Parameters
    ----------
    X : (n, d), f fractional bits
    n_clusters : int
    starts : Starts
    bits : int
        That hold the difference of two squared distances.
    chosen : callable
        Called after each centroid.

    Returns
    -------
    (r, k, d). A tie goes to the first row, as ``numpy.argmax`` breaks it.

    Rounds: those of the starting rows; 1 for the norms; for each centroid after the first 2 for the distances, from the
    third on a comparison and a product for the minimum, and a tournament.
    """
    centroid = (yield from starts.rows(engine, X))[:, 0]  # (r, d)      Algorithm 1, line 2
    norms = yield from squared_norms(engine, X)
    centroids, nearest = [centroid], None
    for number in range(2, n_clusters + 1):  #                          line 3
        distance = yield from squared_distances(engine, X, norms, centroid)  # (r, n)   lines 5 and 6
        nearest = distance if nearest is None else (yield from _smaller(engine, nearest, distance, bits))
        centroid = yield from row_of_largest(engine, nearest, X, bits)  #  lines 7 and 8
        centroids.append(centroid)
        chosen(number, n_clusters)
    return crypten.stack(centroids, dim=1)


def k_means_plus_plus(
    engine: Engine,
    X: Shared,
    X_coarse: Shared,
    grid: DrawGrid,
    n_clusters: int,
    starts: Starts,
    bits: int,
    chosen: Chosen,
) -> Step[Shared]:
    """As :func:`farthest`, but the next row is drawn with probability proportional to D.

    A draw u in [0, 1) picks the first row i with ``D_0 + ... + D_i > u (D_0 + ... + D_{n-1})``,
    found by one comparison for each row: the bits go from 0 to 1 once, their differences are the one-hot.
    Where all D are 0 the last row is taken.

    Parameters
    ----------
    X : (n, d), f fractional bits
    X_coarse : (n, d)
        The same rows with ``grid.row_bits`` fractional bits, from which the distances are taken: with fewer
        bits, ``D`` times the draw fits the ring and nothing has to be truncated.
    grid : DrawGrid
    bits : int
        That hold the difference of two squared distances of coarse rows.

    Returns
    -------
    (r, k, d).

    Rounds: those of the starting rows; 1 for the norms; for each centroid after the first 2 for the distances, from the
    third on a comparison and a product for the minimum, those of the draw, a comparison, and a product.
    """
    d = X.size(1)
    both = crypten.cat([X, X_coarse], dim=1)
    centroid = (yield from starts.rows(engine, both))[:, 0]  # (r, 2 d)
    norms = yield from squared_norms(engine, X_coarse)
    centroids, nearest = [centroid[:, :d]], None
    for number in range(2, n_clusters + 1):
        distance = yield from squared_distances(engine, X_coarse, norms, centroid[:, d:])
        nearest = distance if nearest is None else (yield from _smaller(engine, nearest, distance, bits))
        reached = nearest.cumsum(1)  # (r, n): D_0 + ... + D_i
        aims = yield from starts.times_draws(engine, reached[:, -1:], number - 2, grid)
        passed = yield from engine.less_than(aims, reached * (1 << grid.draw_bits))
        last = engine.public(np.ones((reached.size(0), 1), dtype=np.int64))
        passed = crypten.cat([passed[:, :-1], last], dim=1)
        one_hot = crypten.cat([passed[:, :1], passed[:, 1:] - passed[:, :-1]], dim=1)
        centroid = yield from engine.matmul(one_hot, both)
        centroids.append(centroid[:, :d])
        chosen(number, n_clusters)
    return crypten.stack(centroids, dim=1)


def row_of_largest(engine: Engine, values: Shared, rows: Shared, bits: int) -> Step[Shared]:
    """The row that belongs to the largest value; at a tie the first such row.

    Parameters
    ----------
    values : (r, n)
    rows : (n, d)
    bits : int
        That hold the difference of two values.

    Returns
    -------
    (r, d). Neither the row's number nor its value is opened.

    Rounds: for each stage of the tournament those of an argmin and one product. A stage leaves one candidate in eight
    (of at most 4096) or one in four.
    """
    r, n = values.size()
    d = rows.size(1)
    candidates = crypten.cat([values.unsqueeze(2), rows.expand(r, n, d)], dim=2)
    while (m := candidates.size(1)) > 1:
        group = min(m, 8 if r * m <= _FEW else 4)
        if m % group:  # copies of the last one, which no tie prefers
            last = candidates[:, -1:].expand(r, -m % group, 1 + d)
            candidates = crypten.cat([candidates, last], dim=1)
        groups = candidates.reshape(-1, group, 1 + d)
        winners = []
        for start in range(0, groups.size(0), _GROUPS_AT_ONCE):
            block = groups[start : start + _GROUPS_AT_ONCE]
            best = yield from engine.argmin_one_hot(-block[:, :, 0].t(), bits)
            winners.append((yield from engine.multiply(best.t().unsqueeze(2), block)).sum(1))
        candidates = crypten.cat(winners).reshape(r, -1, 1 + d)
    return candidates[:, 0, 1:]


def _smaller(engine: Engine, left: Shared, right: Shared, bits: int) -> Step[Shared]:
    """Elementwise minimum; ``left`` at a tie. Rounds: those of a comparison, and one product."""
    return left + (yield from engine.multiply((yield from engine.less_than(right, left, bits)), right - left))
