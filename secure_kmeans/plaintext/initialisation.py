"""Where the centroids start: the rows that the public coins lead to.

Plain counterparts of :mod:`secure_kmeans.protocols.initialisation`: the same coins give the same rows. On
rows that lie on the fixed point's grid the squared distances of both are exact (for up to 32 columns), so
even ties are broken alike.
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.job import Init
from secure_kmeans.public_coins import Coins, DrawGrid


def initial_centroids(X: np.ndarray, init: Init, n_clusters: int, coins: Coins, largest: float = 1.0) -> np.ndarray:
    """The first centroids of every restart.

    Parameters
    ----------
    X : (n_samples, n_features) float64, scaled
    init : "farthest", "k-means++" or "random"
    n_clusters : int
    coins : Coins
    largest : float
        Bound of ``|X|``, on which the grid depends that "k-means++" draws on.

    Returns
    -------
    (n_init, n_clusters, n_features) float64
    """
    if init == "random":
        return np.stack([X[rows] for rows in coins.rows])
    if init == "farthest":
        return np.stack([X[farthest_rows(X, n_clusters, start)] for start in coins.rows[:, 0]])
    grid = DrawGrid.fitting(X.shape[0], X.shape[1], largest)
    draws = zip(coins.rows[:, 0], coins.draws, strict=True)
    return np.stack([X[k_means_plus_plus_rows(X, n_clusters, start, draw, grid)] for start, draw in draws])


def farthest_rows(X: np.ndarray, n_clusters: int, start: int) -> list[int]:
    """Row numbers: ``start``, then each time the row farthest from the nearest of those before; ties to the first.

    Algorithm 1 of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik).
    """
    rows = [int(start)]
    nearest = np.full(len(X), np.inf)
    while len(rows) < n_clusters:
        nearest = np.minimum(nearest, ((X - X[rows[-1]]) ** 2).sum(axis=1))
        rows.append(int(nearest.argmax()))
    return rows


def k_means_plus_plus_rows(X: np.ndarray, n_clusters: int, start: int, draws: np.ndarray, grid: DrawGrid) -> list[int]:
    """Row numbers: ``start``, then each time a row drawn with probability proportional to its squared distance.

    Arthur and Vassilvitskii (2007), in integers: the draw u in [0, 1) takes the first row at which the running
    sum of squared distances passes u times the whole sum; the last row where all distances are 0.

    Parameters
    ----------
    draws : (n_clusters - 1,) floats in [0, 1)
    grid : DrawGrid
    """
    coarse = np.rint(X * (1 << grid.row_bits)).astype(np.int64)
    rows = [int(start)]
    nearest = np.full(len(X), np.iinfo(np.int64).max)
    for draw in grid.round(draws[: n_clusters - 1]):
        nearest = np.minimum(nearest, ((coarse - coarse[rows[-1]]) ** 2).sum(axis=1))
        reached = np.cumsum(nearest)
        passed = (reached << grid.draw_bits) > reached[-1] * draw
        rows.append(int(passed.argmax()) if passed.any() else len(X) - 1)
    return rows
