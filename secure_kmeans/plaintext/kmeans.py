"""Lloyd's algorithm (1982) in the clear: the baseline that a secure run is compared with.

Ties go to the lowest index. An empty cluster keeps its centroid; so does one of fewer rows than ``least``, where a
protocol asks for it. The run stops when the squared movements of all
centroids add up to no more than ``tol``. These are the conventions of the secure protocols, too.

Rows may be reals or integers. A secure run computes with integers in units of the fixed point: distances are exact,
means are rounded to the nearest integer, and the two runs agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

_DISTANCES_AT_ONCE: Final = 1 << 22
"""Numbers of one block of differences: 32 MiB."""


@dataclass(frozen=True)
class KMeansRun:
    """One run of Lloyd's algorithm.

    Attributes
    ----------
    centroids : (n_clusters, n_features)
        Of the rows' type and units.
    labels : (n_samples,) int64
        By the final centroids.
    sizes : (n_clusters,) int64
    inertia : float
        Sum of squared distances to the nearest of the final centroids, in the units of the rows squared.
    n_iter : int
    converged : bool
    sizes_by_iteration : list of (n_clusters,) lists
    centroids_by_iteration : list of (n_clusters, n_features)
        Those at the start of each iteration.
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
    squared : (n_samples,), of the type of ``X``
        From differences, not from norms: exact where the differences are.
    """
    labels = np.empty(len(X), dtype=np.int64)
    squared = np.empty(len(X), dtype=X.dtype)
    block = max(1, _DISTANCES_AT_ONCE // centroids.size)
    for start in range(0, len(X), block):
        rows = slice(start, start + block)
        distances = ((X[rows, None, :] - centroids) ** 2).sum(axis=2)
        labels[rows] = distances.argmin(axis=1)
        squared[rows] = distances.min(axis=1)
    return labels, squared


def lloyd(X: np.ndarray, centroids: np.ndarray, *, max_iter: int, tol: float, least: int = 1) -> KMeansRun:
    """Lloyd's algorithm from given centroids.

    Parameters
    ----------
    X : (n_samples, n_features) float64 or int64
    centroids : (n_clusters, n_features) of the same type
    max_iter : int
        At least 1.
    tol : float
        Bound of the sum of the squared movements of all centroids, in the units of ``X`` squared; 0: until no centroid
        moves.
    least : int
        A cluster of fewer rows keeps its centroid.
    """
    converged = False
    all_sizes: list[list[int]] = []
    starts: list[np.ndarray] = []
    while len(all_sizes) < max_iter and not converged:
        starts.append(centroids)
        labels, _ = nearest_centroids(X, centroids)
        sizes = np.bincount(labels, minlength=len(centroids))
        means = _means(X, labels, sizes, centroids, least)
        converged = bool(((means - centroids) ** 2).sum() <= tol)
        centroids = means
        all_sizes.append(sizes.tolist())
    labels, squared = nearest_centroids(X, centroids)
    sizes = np.bincount(labels, minlength=len(centroids))
    return KMeansRun(
        centroids, labels, sizes, float(squared.sum(dtype=float)), len(all_sizes), converged, all_sizes, starts
    )


def _means(X: np.ndarray, labels: np.ndarray, sizes: np.ndarray, centroids: np.ndarray, least: int) -> np.ndarray:
    """The mean of each cluster, or its old centroid where it has fewer rows than ``least``.

    Means of integers are rounded to the nearest.
    """
    sums = np.zeros_like(centroids)
    np.add.at(sums, labels, X)
    divisors = np.maximum(sizes, 1)[:, None]
    means = (sums + divisors // 2) // divisors if np.issubdtype(X.dtype, np.integer) else sums / divisors
    return np.where(sizes[:, None] >= least, means, centroids)


def number_of_best(runs: list[KMeansRun]) -> int:
    """Number of the run of least inertia; the first of those that are equal but for rounding."""
    inertias = np.array([run.inertia for run in runs])
    return int(np.argmax(inertias <= inertias.min() * (1 + 1e-12)))
