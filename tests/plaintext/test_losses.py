import numpy as np
import pytest

from secure_kmeans.plaintext.losses import inertia, mean_distance_terms

X = np.array([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0], [10.0, 2.0], [10.0, 6.0]])
LABELS = np.array([0, 0, 1, 1, 1])
CENTROIDS = np.array([[0.0, 0.0], [10.0, 2.0]])
SIZES = np.array([2, 3])
UNKNOWN = [[0.0, 0.0], None]
"""Cluster 1 is withheld."""


def test_inertia() -> None:
    assert inertia(X, LABELS, CENTROIDS) == 0 + 25 + 4 + 0 + 16


def test_mean_distance() -> None:
    # (0 + 5) / 2 + (2 + 0 + 4) / 3; the last operations round.
    assert mean_distance_terms(X, LABELS, CENTROIDS, SIZES) == pytest.approx(4.5, rel=1e-15)


def test_labels_count_not_what_is_nearest() -> None:
    assert inertia(X[:1], np.array([1]), CENTROIDS) == 104.0
    assert mean_distance_terms(X[1:2], np.array([0]), CENTROIDS + 3.0, SIZES) == 0.5


def test_parts_of_the_rows_add_up() -> None:
    parts = [slice(0, 1), slice(1, 4), slice(4, 5)]
    assert sum(inertia(X[part], LABELS[part], CENTROIDS) for part in parts) == 45.0
    terms = sum(mean_distance_terms(X[part], LABELS[part], CENTROIDS, SIZES) for part in parts)
    assert terms == pytest.approx(4.5, rel=1e-15)


def test_no_rows_add_nothing() -> None:
    nothing, nobody = np.empty((0, 2)), np.empty(0, dtype=np.int64)
    assert inertia(nothing, nobody, CENTROIDS) == 0.0
    assert mean_distance_terms(nothing, nobody, CENTROIDS, SIZES) == 0.0


def test_rows_of_a_withheld_cluster_add_nothing() -> None:
    assert inertia(X, LABELS, UNKNOWN) == 25.0
    assert mean_distance_terms(X, LABELS, UNKNOWN, [2, None]) == 2.5
    assert inertia(X, np.ones(5, dtype=int), UNKNOWN) == 0.0
    assert mean_distance_terms(X, np.ones(5, dtype=int), UNKNOWN, [5, None]) == 0.0


def test_nan_stands_for_a_withheld_cluster_in_an_array() -> None:
    unknown = np.array([[0.0, 0.0], [np.nan, np.nan]])
    assert inertia(X, LABELS, unknown) == inertia(X, LABELS, UNKNOWN)
    assert mean_distance_terms(X, LABELS, unknown, [2, None]) == mean_distance_terms(X, LABELS, UNKNOWN, [2, None])


def test_all_clusters_withheld() -> None:
    assert inertia(X, LABELS, [None, None]) == 0.0
    assert mean_distance_terms(X, LABELS, [None, None], [None, None]) == 0.0


def test_an_empty_cluster_adds_nothing() -> None:
    centroids = np.vstack([CENTROIDS, [[99.0, 99.0]]])
    sizes = np.array([2, 3, 0])
    assert mean_distance_terms(X, LABELS, centroids, sizes) == pytest.approx(4.5, rel=1e-15)
