"""Losses: how far rows lie from their centroids."""

from __future__ import annotations

import numpy as np


def inertia(X: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> float:
    """Sum of the squared distances of each row to the centroid of its label, in the units of ``X`` squared."""
    return float(((X - centroids[labels]) ** 2).sum())


def mean_distance_terms(X: np.ndarray, labels: np.ndarray, centroids: np.ndarray, sizes: np.ndarray) -> float:
    """Sum of each row's distance to its centroid, divided by the size of its cluster.

    Over all rows it is the loss of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik), section 6.1:
    ``sum_j mean of |x - c_j| over cluster j``. The paper's formula lacks the norm.

    Parameters
    ----------
    X : (n, n_features)
    labels : (n,)
    centroids : (n_clusters, n_features)
    sizes : (n_clusters,)
        Of the whole clusters, with the rows that are not in ``X``.
    """
    distances = np.sqrt(((X - centroids[labels]) ** 2).sum(axis=1))
    return float((distances / sizes[labels]).sum())
