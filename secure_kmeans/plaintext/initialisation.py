"""Where the centroids start: the rows that the public coins lead to.

Plain counterparts of :mod:`secure_kmeans.protocols.initialisation`: the same coins give the same rows. Rows are
integers, in units of the fixed point, so the squared distances of both are exact and ties are broken alike.
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.fixed_point import FixedPoint
from secure_kmeans.job import Init
from secure_kmeans.public_coins import Coins, DrawGrid


def initial_centroids(
    X: np.ndarray, init: Init, n_clusters: int, coins: Coins, *, bits: int, largest: float = 1.0
) -> np.ndarray:
    """The first centroids of every restart.

    Parameters
    ----------
    X : (n_samples, n_features) int64
        In units of the fixed point.
    init : "farthest", "k-means++" or "random"
    n_clusters : int
    coins : Coins
    bits : int
        Fractional bits of the fixed point.
    largest : float
        Bound of the scaled values, on which the grid depends that "k-means++" draws on.

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
    """Row numbers: ``start``, then each time the row farthest from the nearest of those before; ties to the first.

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

    Arthur and Vassilvitskii (2007), in integers: the draw u in [0, 1) takes the first row at which the running
    sum of squared distances passes u times the whole sum; the last row where all distances are 0.

    Parameters
    ----------
    coarse : (n_samples, n_features) int64
        In units of ``grid.row_bits`` fractional bits.
    draws : (n_clusters - 1,) floats in [0, 1)
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
