import numpy as np
import pytest

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.initialisation import initial_centroids
from secure_kmeans.plaintext.kmeans import lloyd
from secure_kmeans.public_coins import Coins
from tests.baseline import cluster_in_the_clear

ROWS = np.random.default_rng(4).random((40, 2)) * [100.0, 30.0]
SCALING = Scaling.of(lower=(0.0, 0.0), upper=(100.0, 30.0))


def job_with(**values):
    return Job.of(
        parties=Party.named("a", "b"), columns=("x", "y"), n_clusters=3, scaling=SCALING, precision_bits=10, **values
    )


@pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
def test_rows_are_scaled_and_rounded_to_the_grid(init):
    runs = cluster_in_the_clear(ROWS, 3, SCALING, 10, init=init, n_init=4, seed=9)
    rounded = np.rint(ROWS / 100 * 1024).astype(int)
    assert (rounded / 1024 != ROWS / 100).any()
    coins = Coins.draw(9, init, 40, 3, 4)
    starts = initial_centroids(rounded, init, 3, coins, bits=10)
    assert len(runs) == 4
    for run, start in zip(runs, starts, strict=True):
        expected = lloyd(rounded, start, max_iter=100, tol=1e-8 * 1024**2)
        np.testing.assert_array_equal(run.centroids, expected.centroids / 1024)
        assert run.labels.tolist() == expected.labels.tolist()
        assert run.inertia == expected.inertia / 1024**2


def test_close_to_a_run_in_double_precision():
    (run,) = cluster_in_the_clear(ROWS, 3, SCALING, 24, init=ROWS[:3], tol=0.0)
    real = lloyd(ROWS / 100, ROWS[:3] / 100, max_iter=100, tol=0.0)
    assert run.labels.tolist() == real.labels.tolist()
    # Rows are off by half a unit at most, means by as much and by half of one more.
    assert np.abs(run.centroids - real.centroids).max() <= 2.0**-24


def test_a_given_start_is_scaled_and_rounded_too():
    start = np.array([[1.0, 1.0], [50.0, 10.0], [99.0, 29.0]])
    (run,) = cluster_in_the_clear(ROWS, 3, SCALING, 10, init=start)
    np.testing.assert_array_equal(run.centroids_by_iteration[0], np.rint(start / 100 * 1024) / 1024)


def test_a_jobs_options_count():
    job = job_with(init="random", n_init=4, max_iter=2, tol=0.0)
    runs = run_in_the_clear(job, ROWS, 9)
    expected = cluster_in_the_clear(ROWS, 3, SCALING, 10, init="random", n_init=4, max_iter=2, tol=0.0, seed=9)
    assert len(runs) == 4
    assert [run.inertia for run in runs] == [run.inertia for run in expected]
    assert {run.n_iter for run in runs} == {2}


def test_a_jobs_centroids_are_its_only_start():
    start = ((1.0, 1.0), (50.0, 10.0), (99.0, 29.0))
    runs = run_in_the_clear(job_with(centroids=start, n_init=5, init="random"), ROWS, 9)
    (expected,) = cluster_in_the_clear(ROWS, 3, SCALING, 10, init=np.array(start))
    assert [run.inertia for run in runs] == [expected.inertia]
