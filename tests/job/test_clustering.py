from typing import Any

import pytest

from secure_kmeans.job import Clustering, Scaling
from tests.job.refusing import refusal

KEYS: dict[str, Any] = {
    "columns": ("x", "y"),
    "n_clusters": 2,
    "scaling": Scaling.of(lower=(0.0, 0.0), upper=(1.0, 1.0)),
    "precision_bits": 20,
}


def clustering_with(**values: Any) -> Clustering:
    return Clustering.of(**(KEYS | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"task": "predict", "centroids": ((0.0, 0.0), (1.0, 1.0))},
            "centroids: a job's prediction takes its model from the parties' states; leave them out. "
            "`secure-kmeans predict REPORT` labels rows by the public centroids of a report",
        ),
        ({"columns": ("x", "y", "z")}, "bounds for 2 columns, but there are 3"),
        ({"columns": ("x", "x")}, "every column needs a name of its own"),
        ({"columns": ("x", "")}, "every column needs a name of its own"),
        ({"centroids": ((0.0, 0.0),)}, "centroids must have 2 rows of 2 numbers"),
        ({"centroids": ((0.0,), (1.0,))}, "centroids must have 2 rows of 2 numbers"),
        ({"centroids": ((0.0, 1.0), (1.0,))}, "centroids must have 2 rows of 2 numbers"),
        (
            {"scaling": {"lower": (1.0, 0.0), "upper": (0.0, 0.0)}},
            "scaling: column 1: its lower bound is above its upper bound",
        ),
    ],
)
def test_values_that_do_not_fit_together(values: dict[str, Any], message: str) -> None:
    assert refusal(clustering_with, **values) == message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "secretname"),
        ("init", "secretname"),
        ("columns", ()),
        ("n_clusters", 0),
        ("n_clusters", 2.5),
        ("n_clusters", "2"),
        ("n_clusters", True),
        ("n_init", 0),
        ("n_init", 1001),
        ("max_iter", 0),
        ("tol", -1e-9),
        ("tol", "1"),
        ("tol", float("nan")),
        ("tol", float("inf")),
        ("precision_bits", 7),
        ("precision_bits", 31),
        ("secret", "secretname"),
    ],
)
def test_a_value_that_is_not_allowed(key: str, value: object) -> None:
    message = refusal(clustering_with, **{key: value})
    assert message.startswith(f"{key}: ")
    assert "secretname" not in message


def test_limits_that_are_allowed() -> None:
    clustering = clustering_with(n_clusters=1, n_init=1000, max_iter=1, tol=0.0, precision_bits=30)
    assert (clustering.n_clusters, clustering.n_init, clustering.tol) == (1, 1000, 0.0)
    assert clustering_with(precision_bits=8).precision_bits == 8


@pytest.mark.parametrize("key", KEYS)
def test_a_key_without_a_default_is_needed(key: str) -> None:
    message = refusal(Clustering.of, **{name: value for name, value in KEYS.items() if name != key})
    assert message.startswith(f"{key}: ")


class TestCentroids:
    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_are_finite(self, number: float) -> None:
        assert refusal(clustering_with, centroids=((0.0, 0.0), (0.0, number))).startswith("centroids.1.1: ")

    @pytest.mark.parametrize(("x", "y", "column"), [(1.02, 0.0, "x"), (0.0, -0.02, "y"), (1e6, 0.0, "x")])
    def test_a_start_outside_the_bounds_is_refused(self, x: float, y: float, column: str) -> None:
        message = refusal(clustering_with, centroids=((0.0, 0.0), (x, y)))
        assert message == f'centroid 1 lies outside the bounds of column "{column}"'

    def test_a_start_at_the_bounds_and_a_rounding_beyond_them_are_not(self) -> None:
        start = ((0.0, 1.0), (1.005, -0.005))
        assert clustering_with(centroids=start).centroids == start

    def test_a_given_start_is_the_only_one(self) -> None:
        assert clustering_with(n_init=7).restarts == 7
        assert clustering_with(n_init=7, centroids=((0.0, 0.0), (1.0, 1.0))).restarts == 1
