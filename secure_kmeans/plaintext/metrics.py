"""Measures of how much two clusterings agree. SciPy and scikit-learn, slow to import, are imported where needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def match_centroids(centroids: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Number of each centroid's partner among the reference's, one to one, by the Hungarian method.

    Parameters
    ----------
    centroids, reference : (n_clusters, n_features)

    Returns
    -------
    (n_clusters,) ints: the pairing of least total squared distance.
    """
    from scipy.optimize import linear_sum_assignment

    _, partners = linear_sum_assignment(((centroids[:, None] - reference) ** 2).sum(axis=2))
    return np.asarray(partners)


@dataclass(frozen=True)
class Agreement:
    """Agreement of a clustering with a reference.

    Attributes
    ----------
    max_centroid_error : float
        Largest difference of a coordinate, after matching, in the units of the centroids.
    label_agreement : float
        Part of the rows with the same label, after matching.
    adjusted_rand : float
        Hubert and Arabie's index of the two partitions: 1 where they are the same.
    """

    max_centroid_error: float
    label_agreement: float
    adjusted_rand: float

    @classmethod
    def between(
        cls, centroids: np.ndarray, labels: np.ndarray, reference: np.ndarray, reference_labels: np.ndarray
    ) -> Agreement:
        """Compare (n_clusters, n_features) centroids and (n,) labels with those of a reference."""
        from sklearn.metrics import adjusted_rand_score

        partners = match_centroids(centroids, reference)
        return cls(
            max_centroid_error=float(np.abs(centroids - reference[partners]).max()),
            label_agreement=float((partners[labels] == reference_labels).mean()),
            adjusted_rand=float(adjusted_rand_score(reference_labels, labels)),
        )
