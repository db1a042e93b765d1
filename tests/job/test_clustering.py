from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Clustering, Scaling
from tests.job.refusing import refusal
from tests.jobs import a_job

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
        ({"columns": ("x", "y", "z")}, "scaling: bounds for 2 columns, but there are 3"),
        ({"columns": ("x", "x")}, "columns: every column needs a name of its own"),
        ({"columns": ("x", "")}, "columns: every column needs a name of its own"),
        ({"centroids": ((0.0, 0.0),)}, "centroids: there must be 2 rows of 2 numbers"),
        ({"centroids": ((0.0,), (1.0,))}, "centroids: there must be 2 rows of 2 numbers"),
        ({"centroids": ((0.0, 1.0), (1.0,))}, "centroids: there must be 2 rows of 2 numbers"),
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
        ("tol", 1.0000001),
        ("tol", float("nan")),
        ("tol", float("inf")),
        ("min_cluster_size", 0),
        ("min_cluster_size", 5.0),
        ("min_cluster_size", True),
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
    assert clustering_with(min_cluster_size=1).min_cluster_size == 1
    assert clustering_with(tol=1.0).tol == 1.0


def test_the_strict_defaults() -> None:
    clustering = clustering_with()
    assert (clustering.tol, clustering.min_cluster_size, clustering.centroid_shifts(100)) == (0.0, 5, None)


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
        assert message == f'centroids: centroid 1 lies outside the bounds of column "{column}"'

    def test_a_start_at_the_bounds_and_a_rounding_beyond_them_are_not(self) -> None:
        start = ((0.0, 1.0), (1.005, -0.005))
        assert clustering_with(centroids=start).centroids == start

    def test_the_first_centroid_outside_the_bounds_is_named(self) -> None:
        clustering = clustering_with()
        model = np.array([[0.0, 0.0], [0.5, 1e6], [1e6, 0.0]])
        assert clustering.outside(model) == 'centroid 1 lies outside the bounds of column "y"'
        assert clustering.outside(model[:1]) == ""

    def test_a_given_start_is_the_only_one(self) -> None:
        assert clustering_with(n_init=7).restarts == 7
        assert clustering_with(n_init=7, centroids=((0.0, 0.0), (1.0, 1.0))).restarts == 1


class TestPublicStarts:
    def test_a_seed_makes_the_starts_public(self) -> None:
        assert a_job(seed=1).starts_are_public
        assert not a_job().starts_are_public

    def test_no_row_is_the_beginning_of_a_given_start(self) -> None:
        job = a_job(seed=1, n_init=1000, centroids=((0.0, 0.0), (1.0, 1.0)))
        assert (job.starts_are_public, job.restarts) == (False, 1)

    def test_a_prediction_starts_nowhere(self) -> None:
        assert not a_job(task="predict", model="0" * 64).starts_are_public


class TestModel:
    SESSION = "0123456789abcdef" * 4

    def test_a_prediction_names_one(self) -> None:
        job = a_job(task="predict", model=self.SESSION)
        assert (job.task, job.model) == ("predict", self.SESSION)
        assert refusal(a_job, task="predict").startswith("model: a prediction needs the session of the run")

    def test_a_fit_names_none(self) -> None:
        assert a_job().model is None
        assert refusal(a_job, model=self.SESSION) == "model: a fit takes no model; leave it out"

    @pytest.mark.parametrize("model", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", 7])
    def test_is_a_session_in_hexadecimal(self, model: object) -> None:
        message = refusal(a_job, task="predict", model=model)
        assert message.startswith("model: ")
