"""One party's whole part in a job: from its own table to its own outcome."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from secure_kmeans.data import Table, check_bounds, check_reach
from secure_kmeans.fixed_point import largest_that_fits
from secure_kmeans.job import DEALER, Job
from secure_kmeans.ledger import ALL, What
from secure_kmeans.mpc.session import Session
from secure_kmeans.outcome import Outcome, Progress, show_nothing
from secure_kmeans.plaintext.losses import inertia, mean_distance_terms
from secure_kmeans.protocols import shk
from secure_kmeans.protocols.resumption import Keep, State, keep_nothing


def check_table(job: Job, table: Table) -> None:
    """Refuse a table that does not fit the job, before anything is sent.

    Raises
    ------
    DataError
    """
    if job.task == "predict":
        check_reach(table, job.scaling, largest_that_fits(job.precision_bits, len(job.columns), job.n_clusters))
    else:
        check_bounds(table, job.scaling)


def run_party(
    job: Job,
    rank: int,
    table: Table,
    progress: Progress,
    keep: Keep = keep_nothing,
    resumed: State | None = None,
) -> Outcome:
    """Take part in a job.

    Parameters
    ----------
    job : Job
    rank : int
        This party's place in ``job.parties``; the dealer's is their number. CrypTen must be connected already.
    table : Table
        This party's own rows, which :func:`check_table` let pass.
    progress : callable
    keep : callable, optional
        Told the state after each iteration.
    resumed : State, optional
        Where to go on from.

    Raises
    ------
    ProtocolError
    """
    began = time.perf_counter()
    assert job.engine != "numpy"
    session = Session(job.names, rank, job.precision_bits, job.engine)
    if job.bounds_from_data:
        session.ledger.record(What.COLUMN_BOUNDS, ALL)
    progress("set-up", 2, 2)
    if job.task == "predict":
        results = {"labels": shk.predict(session, job, job.scaling.apply(table.rows)).tolist()}
    else:
        results = _fit(session, job, table, progress, keep, resumed)
    return Outcome(
        party=session.name,
        n_samples=session.n_samples,
        ledger=session.ledger.entries,
        rounds=session.traffic.rounds,
        bytes_sent=session.traffic.bytes_sent,
        total_s=time.perf_counter() - began,
        **results,
    )


def walk_as_dealer(job: Job) -> None:
    """The dealer's part: the same walk, with no rows, and nothing comes of it."""
    nobody = Table(DEALER, job.columns, np.empty((0, len(job.columns))))
    run_party(job, len(job.parties), nobody, show_nothing)


def _fit(
    session: Session,
    job: Job,
    table: Table,
    progress: Progress,
    keep: Keep,
    resumed: State | None,
) -> dict[str, Any]:
    clustering = shk.fit(session, job, job.scaling.apply(table.rows), progress, keep, resumed)
    centroids = job.scaling.invert(clustering.centroids)
    return {
        "labels": clustering.labels.tolist(),
        "centroids": centroids.tolist(),
        "sizes": None if clustering.sizes is None else clustering.sizes.tolist(),
        "inertia": _joint_inertia(session, job, table, clustering.labels, centroids) if job.reveal_inertia else None,
        "mean_distance": _joint_mean_distance(session, job, table, clustering, centroids)
        if job.reveal_mean_distance
        else None,
        "n_iter": clustering.n_iter,
        "converged": clustering.converged,
        "best_restart": clustering.best_restart,
        "seed": clustering.seed,
        "sizes_by_iteration": clustering.sizes_by_iteration,
        "seconds": clustering.seconds,
    }


def _joint_inertia(session: Session, job: Job, table: Table, labels: np.ndarray, centroids: np.ndarray) -> float:
    """All parties' sum of squared distances, in original units: each adds up its own, the total is revealed."""
    longest = float(job.scaling.diagonal)
    own = inertia(table.rows, labels, centroids) / longest**2
    return session.reveal_sum(own, bound=session.total_samples, what=What.INERTIA) * longest**2


def _joint_mean_distance(
    session: Session, job: Job, table: Table, clustering: shk.Clustering, centroids: np.ndarray
) -> float:
    """The two-party paper's loss over all rows, in original units, as :func:`_joint_inertia`."""
    longest = float(job.scaling.diagonal)
    assert clustering.sizes is not None
    own = mean_distance_terms(table.rows, clustering.labels, centroids, clustering.sizes) / longest
    return session.reveal_sum(own, bound=len(centroids), what=What.MEAN_DISTANCE) * longest
