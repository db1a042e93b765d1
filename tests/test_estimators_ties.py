"""``predict`` of the rows of the fit is ``labels_``, also where rows are equally near to several centroids."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from secure_kmeans import PlaintextKMeans, SecureKMeans
from tests.estimators_in_threads import roles_in_threads

KNOWN: Final = np.array([[1, 5, 1, 4, 0, 2, 2, 3, 2, 3, 3, 5, 6, 1, 6, 6, 5]], dtype=float).T


@st.composite
def tables(draw: st.DrawFn, fewest: int = 1) -> np.ndarray:
    """Few different whole numbers in at most two columns, so that many rows are equally near to two means."""
    columns = draw(st.integers(fewest, 2))
    row = st.tuples(*[st.integers(0, 6)] * columns)
    return np.array(draw(st.lists(row, min_size=4, max_size=24)), dtype=float)


def fit_and_predict(model: Any, rows: np.ndarray) -> tuple[list[int], list[int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows)
    return model.labels_.tolist(), model.predict(rows).tolist()


@given(
    tables(),
    st.integers(1, 4),
    st.sampled_from(["farthest", "k-means++", "random"]),
    st.integers(0, 1000),
    st.sampled_from([1, 1, 3]),
    st.sampled_from([1, 2, 100]),
)
def test_in_the_clear(rows: np.ndarray, n_clusters: int, init: Any, seed: int, least: int, max_iter: int) -> None:
    model = PlaintextKMeans(
        n_clusters, init=init, n_init=2, random_state=seed, min_cluster_size=least, max_iter=max_iter
    )
    labels, predicted = fit_and_predict(model, rows)
    assert labels == predicted


@settings(max_examples=30)
@given(
    tables(),
    st.integers(1, 4),
    st.integers(0, 1000),
    st.sampled_from(
        [{}, {}, {"disclose_centroids": "nobody"}, {"min_cluster_size": 3}, {"hide_counts": True}, {"max_iter": 1}]
    ),
)
def test_on_shares(rows: np.ndarray, n_clusters: int, seed: int, options: dict[str, Any]) -> None:
    with roles_in_threads():
        labels, predicted = fit_and_predict(SecureKMeans(n_clusters, n_init=2, random_state=seed, **options), rows)
    assert labels == predicted


@settings(max_examples=30)
@given(
    tables(fewest=2),
    st.integers(1, 4),
    st.integers(0, 1000),
    st.sampled_from(
        [
            {},
            {"disclose_centroids": "all"},
            {"disclose_centroids": "all", "min_cluster_size": 3},
            {"hide_labels": True, "disclose_labels": "all"},
            {"hide_labels": True, "disclose_labels": [1], "disclose_centroids": "nobody"},
            {"hide_labels": True, "disclose_labels": [0]},
            {"max_iter": 1},
        ]
    ),
)
def test_on_shares_by_columns(rows: np.ndarray, n_clusters: int, seed: int, options: dict[str, Any]) -> None:
    with roles_in_threads():
        model = SecureKMeans(n_clusters, split="columns", n_init=2, random_state=seed, **options)
        labels, predicted = fit_and_predict(model, rows)
    assert labels == predicted


@pytest.mark.parametrize("options", [{}, {"disclose_centroids": "nobody"}, {"min_cluster_size": 5}])
def test_a_known_case(options: dict[str, Any]) -> None:
    with roles_in_threads():
        labels, predicted = fit_and_predict(SecureKMeans(3, random_state=202, **options), KNOWN)
    assert labels == predicted
    assert sorted(np.bincount(labels)) == [4, 6, 7]


def test_the_known_case_in_the_clear() -> None:
    labels, predicted = fit_and_predict(PlaintextKMeans(3, random_state=202), KNOWN)
    assert labels == predicted
    assert np.bincount(labels).tolist() == [7, 6, 4]
