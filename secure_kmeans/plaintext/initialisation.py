"""Initial centroids in the clear: the rows that the public coins select.

Counterparts in the clear of :mod:`secure_kmeans.protocols.initialisation`: the same coins give the same rows. Rows are
integers in units of the fixed point. So the squared distances of both are exact, and ties are broken alike.
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.job import Init
from secure_kmeans.job.coins import Coins, DrawGrid
from secure_kmeans.job.fixed_point import FixedPoint


def initial_centroids(
    X: np.ndarray, init: Init, n_clusters: int, coins: Coins, *, bits: int, largest: float = 1.0
) -> np.ndarray:
    """The first centroids of every restart.

    Parameters
    ----------
    X : (n_samples, n_features) int64
        In units of the fixed point.
    init : "farthest", "k-means++" or "random"
        See :mod:`.points` for the other starts.
    n_clusters : int
    coins : Coins
    bits : int
        Fractional bits of the fixed point.
    largest : float
        Bound of the scaled values. The grid of "k-means++" depends on it.

    Returns
    -------
    (n_init, n_clusters, n_features) int64
    """
    if init == "random":
        return np.stack([X[rows] for rows in coins.rows])
    if init == "farthest":
        return np.stack([X[farthest_rows(X, n_clusters, start)] for start in coins.rows[:, 0]])
    grid = DrawGrid.fitting(X.shape[0], X.shape[1], largest)
    coarse = FixedPoint(grid.row_bits).encode(FixedPoint(bits).decode(X))
    draws = zip(coins.rows[:, 0], coins.draws, strict=True)
    return np.stack([X[k_means_plus_plus_rows(coarse, n_clusters, start, draw, grid)] for start, draw in draws])


def farthest_rows(X: np.ndarray, n_clusters: int, start: int) -> list[int]:
    """Row numbers: ``start``, then each time the row whose nearest chosen row is farthest; ties go to the first.

    Algorithm 1 of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik).
    """
    rows = [int(start)]
    nearest = ((X - X[start]) ** 2).sum(axis=1)
    while len(rows) < n_clusters:
        rows.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((X - X[rows[-1]]) ** 2).sum(axis=1))
    return rows


def k_means_plus_plus_rows(
    coarse: np.ndarray, n_clusters: int, start: int, draws: np.ndarray, grid: DrawGrid
) -> list[int]:
    """Row numbers: ``start``, then each time a row drawn with probability proportional to its squared distance.

    Arthur and Vassilvitskii (2007), in integers. The draw u in [0, 1) takes the first row at which the running
    sum of squared distances passes u times the whole sum. Where all distances are 0 it takes the last row.

    Parameters
    ----------
    coarse : (n_samples, n_features) int64
        In units of ``grid.row_bits`` fractional bits.
    draws : (n_clusters - 1,) uint64
        Uniform words: u is a word divided by 2^64.
    grid : DrawGrid
    """
    rows = [int(start)]
    nearest = ((coarse - coarse[start]) ** 2).sum(axis=1)
    for draw in grid.round(draws[: n_clusters - 1]):
        reached = np.cumsum(nearest)
        passed = (reached << grid.draw_bits) > reached[-1] * draw
        rows.append(int(passed.argmax()) if passed.any() else len(coarse) - 1)
        nearest = np.minimum(nearest, ((coarse - coarse[rows[-1]]) ** 2).sum(axis=1))
    return rows
