"""What SHK refuses, and that nothing but the numbers of rows is disclosed before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.protocols.kmeans_checks import check_all_tables, check_rows
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.tables import Table
from tests.threads import run_protocol


def job_for(d: int = 1, **keys: Any) -> ShkJob:
    usual = {
        "parties": Party.named("north", "south"),
        "columns": tuple(f"x{number}" for number in range(d)),
        "n_clusters": 2,
        "scaling": Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        "precision_bits": 24,
        "min_cluster_size": 1,
    }
    return ShkJob.of(**usual | keys)


def tables_of(job: ShkJob, north: Any, south: Any) -> dict[str, Table]:
    return {
        name: Table(name, job.columns, np.array(rows, dtype=float))
        for name, rows in (("north", north), ("south", south))
    }


def test_fewer_rows_than_clusters_end_the_run_after_the_numbers_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[str] = []
    record = Ledger.record

    def noting(self: Ledger, disclosure: Any, *arguments: Any, **named: Any) -> None:
        recorded.append(disclosure.what)
        record(self, disclosure, *arguments, **named)

    monkeypatch.setattr(Ledger, "record", noting)
    job = job_for(n_clusters=5)
    with pytest.raises(DataError, match="4 rows do not suffice for 5 clusters"):
        run_protocol(job, tables_of(job, [[0.1], [0.2]], [[0.8], [0.9]]))
    assert set(recorded) == {"number of rows of each party"}


@pytest.mark.parametrize(
    ("keys", "rows", "message"),
    [
        ({"n_clusters": 3}, 2, "2 rows do not suffice for 3 clusters"),
        ({"hide_counts": True}, 1 << 24, "rows can be counted in secret"),
        ({}, 1 << 28, "no room to divide sums of"),
        ({"init": "k-means++"}, 1 << 26, "has no room in the ring"),
        ({"tol": 0.5, "precision_bits": 8}, 1 << 31, "no room for the variance"),
    ],
)
def test_a_number_of_rows_that_the_ring_has_no_room_for(keys: dict[str, Any], rows: int, message: str) -> None:
    job = job_for(**keys)
    with pytest.raises((DataError, JobError), match=message):
        check_rows(job, rows, hidden=job.hide_counts)


def test_bounds_so_wide_that_the_rows_lose_their_digits_are_refused_where_all_tables_are_known() -> None:
    job = job_for(scaling=Scaling.of(lower=(0.0,), upper=(1e9,)))
    tables = tables_of(job, [[0.1], [0.2]], [[0.8], [0.9]])
    with pytest.raises(JobError, match="lose their digits"):
        SHK.check_together(job, tables)
    check_all_tables(job_for(), list(tables.values()))


@pytest.mark.parametrize("method", ["uniform", "minmax", "none"])
def test_losses_keep_their_digits_whatever_the_bounds(method: str) -> None:
    """Two columns of which one hardly counts for the bounds: the losses are those of the plaintext."""
    rows = np.array([[0.1, 5e8], [0.2, 5e8], [0.8, 5e8], [0.9, 5e8]])
    upper = (1.0, 1.0) if method == "none" else (1.0, 1e9)
    rows = rows if method != "none" else rows / [1, 1e9]
    job = job_for(
        2,
        scaling=Scaling.of(method=method, lower=(0.0, 0.0), upper=upper),
        centroids=((0.15, rows[0, 1]), (0.85, rows[0, 1])),
        reveal_mean_distance=True,
    )
    model = run_protocol(job, tables_of(job, rows[:2], rows[2:]))[0][0].common
    if method == "uniform":  # the first column has no digits left in the distances, and all rows are in one cluster
        expected = float(((rows[:, 0] - rows[:, 0].mean()) ** 2).sum())
        distance = float(np.abs(rows[:, 0] - rows[:, 0].mean()).mean())
    else:
        expected, distance = 4 * 0.05**2, 0.1
    assert math.isclose(model.inertia, expected, rel_tol=1e-9)
    assert math.isclose(model.mean_distance, distance, rel_tol=1e-9)
