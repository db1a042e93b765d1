"""Measures of how much two clusterings agree. SciPy and scikit-learn, slow to import, are imported where needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def match_centroids(centroids: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Number of each centroid's partner among the reference's, one to one, by the Hungarian method.

    Parameters
    ----------
    centroids, reference : (n_clusters, n_features)
        NaN where a centroid is not known. What is left over after the known ones is paired in any order.

    Returns
    -------
    (n_clusters,) ints: the pairing of least total squared distance. Equal ones keep their numbers.
    """
    if np.array_equal(centroids, reference, equal_nan=True):
        return np.arange(len(centroids))
    from scipy.optimize import linear_sum_assignment

    squared = ((centroids[:, None] - reference) ** 2).sum(axis=2)
    far = 2 * (np.nanmax(squared, initial=0.0) + 1) * len(centroids)
    _, partners = linear_sum_assignment(np.nan_to_num(squared, nan=far))
    return np.asarray(partners)


def match_labels(labels: np.ndarray, reference: np.ndarray, n_clusters: int) -> np.ndarray:
    """Number of each cluster's partner among the reference's, one to one: the pairing with most rows in common.

    Of several such pairings it is one in which most clusters keep their number. So with equal labels all of them do,
    and SciPy is not imported.

    Parameters
    ----------
    labels, reference : (n,) ints
    n_clusters : int

    Returns
    -------
    (n_clusters,) ints
    """
    if np.array_equal(labels, reference):
        return np.arange(n_clusters)
    from scipy.optimize import linear_sum_assignment

    common = np.zeros((n_clusters, n_clusters))
    np.add.at(common, (labels, reference), 1)
    kept = np.eye(n_clusters) / (2 * n_clusters)  # all together less than a row
    _, partners = linear_sum_assignment(common + kept, maximize=True)
    return np.asarray(partners)


@dataclass(frozen=True)
class Agreement:
    """Agreement of a clustering with a reference.

    Attributes
    ----------
    max_centroid_error : float or None
        Largest difference of a coordinate, after matching, in the units of the centroids; None where none is known.
    label_agreement : float
        Part of the rows with the same label, after matching.
    adjusted_rand : float
        Hubert and Arabie's index of the two partitions: 1 where they are the same.
    """

    max_centroid_error: float | None
    label_agreement: float
    adjusted_rand: float

    @classmethod
    def between(
        cls, centroids: np.ndarray, labels: np.ndarray, reference: np.ndarray, reference_labels: np.ndarray
    ) -> Agreement:
        """Compare (n_clusters, n_features) centroids and (n,) labels with those of a reference; NaN: not known.

        Equal labels have an index of 1, so that the usual run does not import scikit-learn for it.
        """
        adjusted_rand = 1.0
        if not np.array_equal(labels, reference_labels):
            from sklearn.metrics import adjusted_rand_score

            adjusted_rand = float(adjusted_rand_score(reference_labels, labels))
        partners = match_labels(labels, reference_labels, len(reference))
        errors = np.abs(centroids - reference[partners])
        return cls(
            max_centroid_error=None if np.isnan(errors).all() else float(np.nanmax(errors)),
            label_agreement=float((partners[labels] == reference_labels).mean()),
            adjusted_rand=adjusted_rand,
        )
