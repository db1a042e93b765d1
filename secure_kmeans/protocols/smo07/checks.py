"""Checks of SMO07's job against numbers of rows: everything must have room before anything is sent.

Also advice on tables so small that the centroids of every iteration can show single rows of them.
"""

from __future__ import annotations

import math
from typing import Final

from secure_kmeans.errors import JobError
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.protocols.smo07.job import MOST_ROWS, Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits
from secure_kmeans.tables import check_enough_rows
from secure_kmeans.words import counted, key

_MOST_SUM_BITS = 62

USUAL_ITERATIONS: Final = 10
"""How many iterations a start takes, for an estimate before a run."""

ROWS_FOR_A_SUM: Final = 4
"""With fewer rows for each sum that follows from the centroids, the attack of docs/threat-model.md finds rows."""


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


def sums_of_a_run(job: Smo07Job) -> int:
    """About how many independent sums over some of the rows follow from the centroids of all iterations."""
    return job.restarts * min(job.max_iter, USUAL_ITERATIONS) * max(1, job.n_clusters - 1)


def advice_on_rows(job: Smo07Job, rows: int) -> list[str]:
    """Advice to a party whose rows the others could find, one line each.

    Parameters
    ----------
    job : Smo07Job
    rows : int
        Of this party. Those of all are not known yet; they are taken to have equally many.
    """
    sums, together = sums_of_a_run(job), rows * len(job.parties)
    if together >= ROWS_FOR_A_SUM * sums:
        return []
    run = f"{counted(job.restarts, 'start')} of {counted(job.n_clusters, 'cluster')}"
    fewer = f"iterations ({key('max_iter')})"
    if job.restarts > 1:
        fewer = f"starts ({key('n_init')}) or {fewer}"
    return [
        f"{counted(rows, 'row')} for {run}: from the centroids of every iteration the other parties can find many of "
        f"these rows exactly. Use fewer {fewer}, or more rows; or another {key('protocol')}, "
        '"shk", which shows none before the end'
    ]
