"""Checks of SMO07's job against numbers of rows: everything must have room before anything is sent."""

from __future__ import annotations

import math

from secure_kmeans.errors import JobError
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.protocols.smo07.job import MOST_ROWS, Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits
from secure_kmeans.tables import check_enough_rows

_MOST_SUM_BITS = 62


def check_all_rows(job: Smo07Job, n_samples: int) -> Limits:
    """Refuse a number of rows of all parties with which a run cannot end; return the bounds of its numbers.

    Raises
    ------
    DataError, JobError
    """
    check_enough_rows(n_samples, job.n_clusters)
    Tolerance.of(job, n_samples)
    grid = math.ceil(1.02 * job.scaling.largest * (1 << job.precision_bits))
    by_column = math.ceil(1.02 * (1 << job.mean_bits(n_samples)))
    limits = Limits(n_samples, grid, by_column)
    if job.mode == "aggregate" and n_samples > MOST_ROWS:
        raise JobError(
            f'mode: "aggregate" counts at most {MOST_ROWS:,} rows in secret, and there are {n_samples:,}; use '
            '"paillier"'
        )
    if n_samples * max(grid, by_column) >= 1 << _MOST_SUM_BITS:
        raise JobError(f"scaling: the sums of {n_samples:,} rows leave 64 bits; agree on narrower bounds")
    if job.mode == "paillier":
        from secure_kmeans.protocols.smo07.paillier_mode import check_room

        check_room(job, limits)
    return limits
