"""k-means in the clear: the baseline that the secure run is compared with. NumPy only.

Lloyd's algorithm (1982), with the conventions of SHK: ties go to the lowest index, an empty cluster keeps
its centroid, and the run stops when the squared movements of all centroids add up to no more than ``tol``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from secure_kmeans.job import Init
from secure_kmeans.plaintext.initialisation import initial_centroids
from secure_kmeans.public_coins import Coins

_DISTANCES_AT_ONCE: Final = 1 << 22


@dataclass(frozen=True)
class KMeansRun:
    """One run of Lloyd's algorithm.

    Attributes
    ----------
    centroids : (n_clusters, n_features) float64
    labels : (n_samples,) int64
        By the final centroids.
    sizes : (n_clusters,) int64
    inertia : float
        Sum of squared distances to the nearest of the final centroids.
    n_iter : int
    converged : bool
    sizes_by_iteration : list of (n_clusters,) lists
    centroids_by_iteration : list of (n_clusters, n_features)
        With which each iteration began.
    """

    centroids: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    inertia: float
    n_iter: int
    converged: bool
    sizes_by_iteration: list[list[int]] = field(default_factory=list)
    centroids_by_iteration: list[np.ndarray] = field(default_factory=list)


def nearest_centroids(X: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centroid of each row, the lowest index at a tie, and its squared distance.

    Parameters
    ----------
    X : (n_samples, n_features)
    centroids : (n_clusters, n_features)

    Returns
    -------
    labels : (n_samples,) int64
    squared : (n_samples,) float64
        From differences, not from norms: exact where the differences are.
    """
    labels = np.empty(len(X), dtype=np.int64)
    squared = np.empty(len(X))
    block = max(1, _DISTANCES_AT_ONCE // centroids.size)
    for start in range(0, len(X), block):
        rows = slice(start, start + block)
        distances = ((X[rows, None, :] - centroids) ** 2).sum(axis=2)
        labels[rows] = distances.argmin(axis=1)
        squared[rows] = distances.min(axis=1)
    return labels, squared


def lloyd(X: np.ndarray, centroids: np.ndarray, *, max_iter: int, tol: float) -> KMeansRun:
    """Lloyd's algorithm from given centroids.

    Parameters
    ----------
    X : (n_samples, n_features) float64
    centroids : (n_clusters, n_features) float64
    max_iter : int
        At least 1.
    tol : float
        Bound of the sum of the squared movements of all centroids, in the units of ``X`` squared.
    """
    converged = False
    all_sizes: list[list[int]] = []
    starts: list[np.ndarray] = []
    while len(all_sizes) < max_iter and not converged:
        starts.append(centroids)
        labels, _ = nearest_centroids(X, centroids)
        sizes = np.bincount(labels, minlength=len(centroids))
        sums = np.stack([np.bincount(labels, weights=column, minlength=len(centroids)) for column in X.T], axis=1)
        means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centroids)
        converged = bool(((means - centroids) ** 2).sum() <= tol)
        centroids = means
        all_sizes.append(sizes.tolist())
    labels, squared = nearest_centroids(X, centroids)
    sizes = np.bincount(labels, minlength=len(centroids))
    return KMeansRun(centroids, labels, sizes, float(squared.sum()), len(all_sizes), converged, all_sizes, starts)


def k_means(
    X: np.ndarray,
    n_clusters: int,
    *,
    init: Init | np.ndarray = "farthest",
    n_init: int = 1,
    max_iter: int = 100,
    tol: float = 1e-8,
    seed: int = 0,
    largest: float = 1.0,
) -> list[KMeansRun]:
    """Every restart's run, in the order of the coins; :func:`number_of_best` picks one.

    Parameters
    ----------
    X : (n_samples, n_features) float64, scaled
    n_clusters : int
    init : "farthest", "k-means++", "random" or (n_clusters, n_features) centroids
        With centroids there is one run.
    n_init, max_iter, tol
    seed : int
        Of the public coins.
    largest : float
        Bound of ``|X|``: part of the grid on which "k-means++" draws.
    """
    if isinstance(init, np.ndarray):
        starts = init[None]
    else:
        coins = Coins.draw(seed, init, len(X), n_clusters, n_init)
        starts = initial_centroids(X, init, n_clusters, coins, largest)
    return [lloyd(X, start, max_iter=max_iter, tol=tol) for start in starts]


def number_of_best(runs: list[KMeansRun]) -> int:
    """Which run has the least inertia; the first of those that found the same, give or take a last digit."""
    inertias = np.array([run.inertia for run in runs])
    return int(np.argmax(inertias <= inertias.min() * (1 + 1e-9)))
