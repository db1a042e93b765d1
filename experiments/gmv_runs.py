"""The runs behind the figures of GMV's paper: in the clear, on secret shares, and the rounds that an iteration takes.

D. Hurtado Ramirez, J. M. Aunon, "Privacy preserving k-means clustering: a secure multi-party computation approach"
(2020), section 3, figures 2 to 4, and section 4.4, figure 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from sklearn.metrics import adjusted_rand_score

from secure_kmeans.job import Clustering, KMeansJob, Party, Role, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult, KMeansModel, KMeansResult
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import conclude
from secure_kmeans.plaintext.kmeans import nearest_centroids, number_of_best
from secure_kmeans.plaintext.metrics import match_labels
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from secure_kmeans.roles.local import run_local
from secure_kmeans.roles.process import in_processes
from secure_kmeans.tables import Table

MEANS: Final = ((5, 3), (5, -5), (-5, 5), (-3, -5))
SIGMA: Final = 1.0
OF_EACH: Final = 100
"""Points of each Gaussian."""
OF_ALICE: Final = (100, 60, 40, 0)
"""Alice's points of each Gaussian where she has rows; Bob has the others. The paper does not say which 200 she has."""
CLUSTERS: Final = 4
BOUND: Final = 12.0
"""What Alice and Bob agreed on: each coordinate is between its negative and it."""
PARTIES: Final = ("alice", "bob")
COLUMNS: Final = ("x", "y")
COINS: Final = 1
"""Seed of the public coins: the runs on shares and in the clear begin at the same rows."""


# ------------------------------------------------------------------------------------------------------ the points


@dataclass(frozen=True)
class Points:
    """The four Gaussians.

    Attributes
    ----------
    rows : (n, 2)
    groups : (n,) ints
        The Gaussian of each row: the ground truth.
    is_alices : (n,) bools
        Where rows are divided.
    """

    rows: np.ndarray
    groups: np.ndarray
    is_alices: np.ndarray

    @classmethod
    def drawn(cls, seed: int) -> Points:
        """All points, in a random order."""
        chance = np.random.default_rng(seed)
        groups = np.repeat(np.arange(len(MEANS)), OF_EACH)
        rows = np.array(MEANS)[groups] + SIGMA * chance.standard_normal((len(groups), 2))
        is_alices = np.tile(np.arange(OF_EACH), len(MEANS)) < np.array(OF_ALICE)[groups]
        order = chance.permutation(len(groups))
        return cls(rows[order], groups[order], is_alices[order])


# ---------------------------------------------------------------------------------------------------- clusterings


@dataclass(frozen=True)
class Found:
    """A clustering of some rows.

    Attributes
    ----------
    labels : (n,) ints
    centroids : (n_clusters, n_features)
    """

    labels: np.ndarray
    centroids: np.ndarray

    def agreement(self, groups: np.ndarray) -> float:
        """The adjusted Rand index of the labels and the ground truth."""
        return float(adjusted_rand_score(groups, self.labels))

    def numbered_as(self, reference: np.ndarray) -> Found:
        """The same clusters, with the numbers of those labels of which they have most rows in common."""
        partners = match_labels(self.labels, reference, len(self.centroids))
        return Found(partners[self.labels], self.centroids[np.argsort(partners)])


def clustering(job: type[ShkJob | SvkJob] | None, columns: int = 2, clusters: int = CLUSTERS, **keys: Any) -> Any:
    """A job of the given class, or a clustering without a protocol, with what is common to all runs here."""
    common = {
        "n_clusters": clusters,
        "scaling": Scaling.of(lower=(-BOUND,) * columns, upper=(BOUND,) * columns),
        "precision_bits": choose_precision_bits(columns, clusters, 1.0),
    }
    if job is not SvkJob:
        common["columns"] = COLUMNS[:columns]
    return (job or Clustering).of(**common | keys)


def in_the_clear(rows: np.ndarray) -> Found:
    """k-means of these rows by one owner."""
    plan = clustering(None, rows.shape[1])
    runs = run_in_the_clear(plan, rows, COINS)
    model = conclude(plan, rows, runs[number_of_best(runs)])
    return Found(model.labels, np.array(model.centroids, dtype=float))


def labelled(rows: np.ndarray, model: Found) -> Found:
    """Other rows, with the labels of the nearest centroids of a model."""
    labels, _ = nearest_centroids(rows, model.centroids)
    return Found(labels, model.centroids)


def job_by_rows(**keys: Any) -> ShkJob:
    """A job of SHK for Alice and Bob, who have rows."""
    job: ShkJob = clustering(ShkJob, parties=Party.named(*PARTIES), **keys)
    return job


def job_by_columns(**keys: Any) -> SvkJob:
    """A job of SVK for Alice and Bob, who have a column each, in the same order of rows as the paper has it."""
    parties = tuple(ColumnsParty(name=name, columns=(column,)) for name, column in zip(PARTIES, COLUMNS, strict=True))
    job: SvkJob = clustering(SvkJob, parties=parties, align="none", **keys)
    return job


def tables_by_rows(rows: np.ndarray, is_alices: np.ndarray) -> list[Table]:
    """Alice's rows and Bob's."""
    return [Table(name, COLUMNS, rows[own]) for name, own in zip(PARTIES, (is_alices, ~is_alices), strict=True)]


def tables_by_columns(rows: np.ndarray) -> list[Table]:
    """Alice's column and Bob's."""
    return [
        Table(name, (column,), rows[:, [number]])
        for number, (name, column) in enumerate(zip(PARTIES, COLUMNS, strict=True))
    ]


def together_by_rows(points: Points, progress: Progress = no_progress) -> Found:
    """Alice's and Bob's rows, clustered on secret shares by SHK, all roles in processes of their own."""
    results = run_local(job_by_rows(seed=COINS), tables_by_rows(points.rows, points.is_alices), progress)
    labels = np.empty(len(points.rows), dtype=np.int64)
    for result, own in zip(results, (points.is_alices, ~points.is_alices), strict=True):
        assert isinstance(result, KMeansResult)
        labels[own] = result.own.labels
    model = results[0].common
    assert isinstance(model, KMeansModel)
    return Found(labels, np.array(model.centroids, dtype=np.float64))


def together_by_columns(points: Points, progress: Progress = no_progress) -> Found:
    """Alice's and Bob's columns, clustered on secret shares by SVK. Each has the centroids in one column."""
    parts: list[ColumnsOwn] = []
    for result in run_local(job_by_columns(seed=COINS), tables_by_columns(points.rows), progress):
        assert isinstance(result, ColumnsResult)
        parts.append(result.own)
    assert parts[0].rows == list(range(len(points.rows))), "the rows were meant to keep their order"
    centroids = np.hstack([np.array(part.centroids, dtype=np.float64) for part in parts])
    return Found(np.array(parts[0].labels), centroids)


# ---------------------------------------------------------------------------------------------------------- rounds

MakeJob: TypeAlias = Callable[..., KMeansJob]

OURS: Final[dict[str, tuple[MakeJob, dict[str, Any]]]] = {
    "shk, sizes revealed": (job_by_rows, {"min_cluster_size": 1}),
    "shk, small sizes hidden": (job_by_rows, {}),
    "shk, all sizes hidden": (job_by_rows, {"hide_counts": True}),
    "svk, labels revealed": (job_by_columns, {}),
    "svk, labels hidden": (job_by_columns, {"hide_labels": True}),
}
"""The jobs whose rounds are counted. The second and the fourth are what a job has that says nothing about it."""

THEIRS: Final[dict[str, Callable[[int], int]]] = {
    "shk, sizes revealed": lambda k: 2 * k + 20,
    "shk, all sizes hidden": lambda k: 2 * k + 20 + 130,
    "svk, labels revealed": lambda k: 9 * k,
}
"""Rounds for an iteration with k clusters, by section 4.4 of the paper."""


def rounds_of(name: str, clusters: int, rows: np.ndarray) -> int:
    """The rounds of the second iteration of a run, as Alice counts them; all roles in processes of their own."""
    make, keys = OURS[name]
    job = make(clusters=clusters, init="random", n_init=1, max_iter=3, **keys)
    halves = np.arange(len(rows)) % 2 == 0
    tables = tables_by_rows(rows, halves) if isinstance(job, ShkJob) else tables_by_columns(rows)
    marks = dict(in_processes(job, partial(_marks, job, dict(zip(PARTIES, tables, strict=True))))[0])
    assert 2 in marks, "the run was meant to take two iterations or more"
    return int(marks[2] - marks[1])


def _marks(job: KMeansJob, tables: dict[str, Table], role: Role, mesh: Mesh) -> list[tuple[int, int]]:
    """One role's part: the number of each iteration, and the rounds waited for until its end; none at the dealer."""
    marks: list[tuple[int, int]] = []
    protocol = protocol_of(job.protocol)
    protocol.run(
        Context(
            job=job,
            role=role,
            table=tables.get(role.name),
            mesh=mesh,
            ledger=Ledger(protocol.disclosures(job)),
            progress=no_progress,
            resumed=None,
            keep=lambda iteration, _state: marks.append((iteration, mesh.traffic.rounds)),
        )
    )
    return marks
