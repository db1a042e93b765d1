"""A stand-in for the run of all roles: the same results, computed in the clear in this process."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from secure_kmeans.job.ledger import ALL, OWNER, Entry, When
from secure_kmeans.job.model import KMeansModel, KMeansOwn, KMeansResult
from secure_kmeans.job.result import Costs, Progress
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.shk.job import DEALER, ShkJob
from secure_kmeans.report.kmeans import InTheClear
from secure_kmeans.tables import Table

SECRET = 11
"""The seed where the job has none. No result names it."""


def run_in_this_process(
    job: ShkJob,
    tables: Sequence[Table],
    progress: Progress | None = None,
    *,
    states: Path | None = None,
    resume: bool = False,
    models: Sequence[bytes] = (),
) -> list[KMeansResult]:
    """Results as those of :func:`secure_kmeans.roles.local.run_local`, with a ledger of all that is announced."""
    del states, resume
    by_party = dict(zip(job.names, tables, strict=True))
    model, labels = _predicted(job, by_party, models) if job.task == "predict" else _fitted(job, by_party)
    n_iter = 0 if model is None else model.n_iter
    if progress is not None:
        progress("iterations", 1, job.max_iter)
    return [
        KMeansResult(
            role=name,
            n_samples={party: len(table) for party, table in by_party.items()},
            common=model,
            own=KMeansOwn(labels=labels[name], seconds_by_iteration=[0.01] * n_iter),
            ledger=_ledger(job, name, n_iter),
            started=datetime(2026, 1, 2, tzinfo=UTC),
            seconds=0.5,
            session="ab" * 32,
            costs={role.name: Costs(rounds=3, bytes_sent=1000) for role in job.roles},
        )
        for name in job.names
    ]


def _predicted(job: ShkJob, tables: dict[str, Table], models: Sequence[bytes]) -> tuple[None, dict[str, list[int]]]:
    shares = [np.frombuffer(share, dtype="<i8").reshape(job.n_clusters, -1) for share in models]
    grid = np.sum(shares, axis=0)[:, :-1].tolist()
    return None, {party: label_rows(job, grid, table.rows).tolist() for party, table in tables.items()}


def shares_of(grid: Sequence[Sequence[int]], parties: int) -> list[bytes]:
    """Shares of a model whose clusters are in the order of the run, as the parties keep them."""
    model, shares = np.array(grid), np.random.default_rng(1).integers(-(2**62), 2**62, (parties, *np.shape(grid)))
    shares[0] += model - shares.sum(axis=0)
    numbers = np.arange(len(model))[:, None]
    return [np.concatenate([share, numbers], axis=1).astype("<i8").tobytes() for share in shares]


def _fitted(job: ShkJob, tables: dict[str, Table]) -> tuple[KMeansModel, dict[str, list[int]]]:
    clear = InTheClear.of(job, tables, SECRET if job.seed is None else job.seed)
    found = clear.section
    model = KMeansModel(
        centroids=found.cluster_centers,
        grid_centroids=clear.model.grid_centroids,
        withheld=found.withheld,
        sizes=None if job.hide_counts else found.counts,
        inertia=found.inertia if job.discloses_inertia else None,
        mean_distance=found.mean_distance if job.reveal_mean_distance else None,
        n_iter=found.n_iter,
        converged=found.converged,
        best_restart=clear.restart,
        seed=None if job.centroids is not None else job.seed,
        sizes_by_iteration=[] if job.hide_counts else found.counts_by_iteration,
    )
    return model, clear.labels


def _ledger(job: ShkJob, name: str, n_iter: int) -> list[Entry]:
    entries = []
    for disclosure in protocol_of(job.protocol).disclosures(job):
        to = name if disclosure.to == OWNER else disclosure.to
        assert to in (ALL, name, DEALER)
        iterations = range(1, n_iter + 1) if disclosure.when is When.EACH else [None]
        entries += [Entry(what=disclosure.what, to=to, iteration=iteration) for iteration in iterations]
    return entries
