"""The end of a run: what is disclosed of clusters whose centroids have not come to rest, and of small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import conclude
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.tables import Table
from tests.threads import run_protocol

UNSETTLED = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [10.0], [11.0], [12.0]])
"""From the starts 0 and 3 the second cluster loses one row in each of the first iterations."""


def job_for(rows: np.ndarray, starts: Any, **options: Any) -> ShkJob:
    d, k = rows.shape[1], len(starts)
    return ShkJob.of(
        parties=Party.named("a", "b"),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=k,
        centroids=starts,
        scaling=Scaling.of(lower=(0.0,) * d, upper=(12.0,) * d),
        precision_bits=choose_precision_bits(d, k, 1.0),
        **options,
    )


def found_by(job: ShkJob, rows: np.ndarray) -> Any:
    """What all parties learn, which is what the run in the clear concludes."""
    parts = np.array_split(rows, 2)
    tables = {name: Table(name, job.columns, part) for name, part in zip(job.names, parts, strict=True)}
    results, _ = run_protocol(job, tables)
    [run] = run_in_the_clear(job, rows, 0)
    expected, found = conclude(job, rows, run), results[0].common
    assert found.centroids == expected.centroids
    assert found.grid_centroids == expected.grid_centroids
    assert found.withheld == expected.withheld
    if not job.hide_counts:
        assert (found.sizes, found.sizes_by_iteration) == (expected.sizes, expected.sizes_by_iteration)
    assert [label for result in results for label in result.own.labels] == expected.labels.tolist()
    return found


@pytest.mark.parametrize("max_iter", [1, 2, 3])
def test_the_means_are_those_of_the_same_rows_as_the_loop_s_centroids(max_iter: int) -> None:
    """Means of the rows that the centroids label would be those of the next iteration.

    Where one row changes its cluster between the two, their sums differ by that row.
    """
    found = found_by(job_for(UNSETTLED, ((0.0,), (3.0,)), max_iter=max_iter, min_cluster_size=1), UNSETTLED)
    assert not found.converged or max_iter == 3
    grid = np.array(found.grid_centroids) * 12 / 2.0**24
    np.testing.assert_allclose(found.centroids, grid, atol=12 * 2.0**-24)


def test_a_run_whose_centroids_rest_discloses_the_means_of_the_rows_that_they_label() -> None:
    found = found_by(job_for(UNSETTLED, ((0.0,), (3.0,)), min_cluster_size=1), UNSETTLED)
    assert found.converged
    np.testing.assert_allclose(found.centroids, [[2.0], [11.0]], atol=1e-9)
    assert found.sizes == [5, 3]


@pytest.mark.parametrize("hide_counts", [False, True])
def test_a_centroid_that_is_the_mean_of_few_rows_is_withheld_although_many_are_near_it_now(
    *, hide_counts: bool
) -> None:
    """The only iteration makes a centroid of the row 9 alone; three rows are nearest to it in the end."""
    rows = np.array([[0.0], [0.0], [0.0], [6.0], [6.5], [6.5], [9.0]])
    starts = (3.0,), (10.6,)
    hidden = {"hide_counts": True, "resolution": (0.5,)} if hide_counts else {}
    found = found_by(job_for(rows, starts, max_iter=1, min_cluster_size=3, **hidden), rows)
    assert found.withheld == [1]
    assert (found.centroids[1], found.grid_centroids[1]) == (None, None)


def test_several_starts_that_stop_at_different_times_keep_their_own_earlier_centroids() -> None:
    rows = np.random.default_rng(3).integers(0, 40, (60, 2)).astype(float)
    job = ShkJob.of(
        parties=Party.named("a", "b"),
        columns=("x", "y"),
        n_clusters=4,
        n_init=5,
        init="random",
        seed=2,
        tol=0.3,
        min_cluster_size=2,
        scaling=Scaling.of(lower=(0.0, 0.0), upper=(40.0, 40.0)),
        precision_bits=24,
    )
    tables = {name: Table(name, job.columns, part) for name, part in zip(job.names, np.split(rows, [31]), strict=True)}
    found = run_protocol(job, tables)[0][0].common
    runs = run_in_the_clear(job, rows, 2)
    assert len({run.n_iter for run in runs}) > 1, "the starts were meant to stop at different times"
    expected = conclude(job, rows, runs[found.best_restart])
    assert (found.centroids, found.sizes) == (expected.centroids, expected.sizes)
