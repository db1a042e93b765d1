"""Losses: how far rows lie from their centroids. Rows of a cluster whose centroid is not known are left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Centroids = Sequence[Sequence[float] | None] | np.ndarray
"""(n_clusters, n_features), original units; None in the place of a centroid that is not known."""


def _distances(X: np.ndarray, labels: np.ndarray, centroids: Centroids) -> np.ndarray:
    """Squared distance of each row to the centroid of its label, (n,); NaN where that is not known."""
    unknown = np.full(X.shape[1], np.nan)
    known = np.array([unknown if centroid is None else centroid for centroid in centroids], dtype=float)
    squared: np.ndarray = ((X - known[labels]) ** 2).sum(axis=1)
    return squared


def inertia(X: np.ndarray, labels: np.ndarray, centroids: Centroids) -> float:
    """Sum of the squared distances of each row to the centroid of its label, in the units of ``X`` squared."""
    return float(np.nansum(_distances(X, labels, centroids)))


def mean_distance_terms(
    X: np.ndarray, labels: np.ndarray, centroids: Centroids, sizes: Sequence[int | None] | np.ndarray
) -> float:
    """Sum of each row's distance to its centroid, divided by the size of its cluster.

    Over all rows it is the loss of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik), section 6.1:
    ``sum_j mean of |x - c_j| over cluster j``. The paper's formula lacks the norm.

    Parameters
    ----------
    X : (n, n_features)
    labels : (n,)
    centroids : (n_clusters, n_features)
    sizes : (n_clusters,)
        Of the whole clusters, with the rows that are not in ``X``; None where a cluster is withheld.
    """
    divisors = np.array([np.nan if size is None else size for size in sizes], dtype=float)
    return float(np.nansum(np.sqrt(_distances(X, labels, centroids)) / divisors[labels]))
