from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Clustering, Init, KMeansJob, Party, Scaling
from secure_kmeans.job.coins import Coins
from secure_kmeans.plaintext.baseline import run_in_the_clear, run_on_scaled
from secure_kmeans.plaintext.initialisation import initial_centroids
from secure_kmeans.plaintext.kmeans import lloyd

ROWS = np.random.default_rng(4).random((40, 2)) * [100.0, 30.0]
START = ((1.0, 1.0), (50.0, 10.0), (99.0, 29.0))
KEYS: dict[str, Any] = {
    "columns": ("x", "y"),
    "n_clusters": 3,
    "scaling": Scaling.of(lower=(0.0, 0.0), upper=(100.0, 30.0)),
    "precision_bits": 10,
}


def clustering_with(**values: Any) -> Clustering:
    return Clustering.of(**(KEYS | values))


@pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
def test_rows_are_scaled_and_rounded_to_the_grid(init: Init) -> None:
    runs = run_in_the_clear(clustering_with(init=init, n_init=4), ROWS, 9)
    rounded = np.rint(ROWS / 100 * 1024).astype(int)
    assert (rounded / 1024 != ROWS / 100).any()
    coins = Coins.draw(9, init, 40, 3, 4)
    starts = initial_centroids(rounded, init, 3, coins, bits=10)
    assert len(runs) == 4
    for run, start in zip(runs, starts, strict=True):
        expected = lloyd(rounded, start, max_iter=100, tol=0)
        np.testing.assert_array_equal(run.centroids, expected.centroids / 1024)
        assert run.labels.tolist() == expected.labels.tolist()
        assert run.inertia == expected.inertia / 1024**2


def test_hand_computed() -> None:
    rows = np.array([[1.0, 1.0], [1.0, 2.0], [4.0, 1.0], [4.0, 2.0]])
    scaling = Scaling.of(lower=(0.0, 0.0), upper=(4.0, 4.0))
    clustering = clustering_with(n_clusters=2, scaling=scaling, centroids=((1.0, 1.0), (4.0, 2.0)))
    (run,) = run_in_the_clear(clustering, rows, 0)
    assert run.centroids.tolist() == [[0.25, 0.375], [1.0, 0.375]]
    assert run.labels.tolist() == [0, 0, 1, 1]
    assert (run.inertia, run.n_iter, run.converged) == (4 * 0.125**2, 2, True)


def test_close_to_a_run_in_double_precision() -> None:
    start = tuple(map(tuple, ROWS[:3].tolist()))
    (run,) = run_in_the_clear(clustering_with(precision_bits=24, centroids=start, tol=0.0), ROWS, 0)
    real = lloyd(ROWS / 100, ROWS[:3] / 100, max_iter=100, tol=0.0)
    assert run.labels.tolist() == real.labels.tolist()
    # Rows are off by half a unit at most, means by as much and by half of one more.
    assert np.abs(run.centroids - real.centroids).max() <= 2.0**-24


def test_a_given_start_is_the_only_one_and_is_scaled_and_rounded() -> None:
    (run,) = run_in_the_clear(clustering_with(centroids=START, n_init=5, init="random"), ROWS, 9)
    np.testing.assert_array_equal(run.centroids_by_iteration[0], np.rint(np.array(START) / 100 * 1024) / 1024)


def test_limits_count() -> None:
    runs = run_in_the_clear(clustering_with(init="random", n_init=4, max_iter=2, tol=0.0), ROWS, 9)
    assert [run.n_iter for run in runs] == [2, 2, 2, 2]
    assert len({run.inertia for run in runs}) > 1


def test_a_tolerance_is_a_part_of_the_mean_variance() -> None:
    # 20 bits, so that the bound's own roundings stay far below the gaps between the movements.
    clustering = clustering_with(init="random", n_init=1, precision_bits=20, tol=0.01)
    (run,) = run_in_the_clear(clustering, ROWS, 9)
    (rested,) = run_in_the_clear(clustering_with(init="random", n_init=1, precision_bits=20), ROWS, 9)
    bound = 0.01 * (ROWS / 100).var(axis=0).mean()
    centroids = rested.centroids_by_iteration
    moved = [((after - before) ** 2).sum() for before, after in pairwise(centroids)]
    expected = next(number for number, movement in enumerate(moved, start=1) if movement <= bound)
    assert (run.n_iter, run.converged) == (expected, True)
    assert 1 < run.n_iter < rested.n_iter


def test_the_job_of_a_protocol_is_a_clustering() -> None:
    job = KMeansJob.of(**(KEYS | {"protocol": "any", "parties": Party.named("a", "b"), "init": "random", "n_init": 4}))
    runs = run_in_the_clear(job, ROWS, 9)
    expected = run_in_the_clear(clustering_with(init="random", n_init=4), ROWS, 9)
    assert [run.inertia for run in runs] == [run.inertia for run in expected]


def test_rows_that_are_scaled_already() -> None:
    clustering = clustering_with(init="k-means++", n_init=2)
    for run, expected in zip(
        run_on_scaled(clustering, clustering.scaling.apply(ROWS), 9), run_in_the_clear(clustering, ROWS, 9), strict=True
    ):
        np.testing.assert_array_equal(run.centroids, expected.centroids)
        assert run.inertia == expected.inertia


def test_rows_are_scaled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled: list[int] = []
    apply = Scaling.apply

    def counted(scaling: Scaling, rows: np.ndarray) -> np.ndarray:
        scaled.append(len(rows))
        return apply(scaling, rows)

    monkeypatch.setattr(Scaling, "apply", counted)
    run_in_the_clear(clustering_with(n_init=4), ROWS, 9)
    assert scaled == [40]
