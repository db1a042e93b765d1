"""The elbow of the two-party paper, section 6.1: losses for 1 to 10 clusters, in the clear and on secret shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from secure_kmeans.app.commands.all_roles import check_tables, run_all_roles, segments_of
from secure_kmeans.app.commands.values import Announce, Announcement, no_announcement
from secure_kmeans.app.inputs import Inputs, Options, read_inputs
from secure_kmeans.app.proposal import propose_clustering, propose_job
from secure_kmeans.errors import JobError
from secure_kmeans.job import Clustering, Scaling
from secure_kmeans.job.coins import fresh_seed
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.model import KMeansModel
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.plaintext.baseline import run_on_scaled
from secure_kmeans.plaintext.conclusion import conclude
from secure_kmeans.plaintext.kmeans import KMeansRun, number_of_best
from secure_kmeans.plaintext.losses import inertia, mean_distance_terms
from secure_kmeans.protocols import USUAL, protocol_of
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.tables import check_bounds
from secure_kmeans.words import key

if TYPE_CHECKING:
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.report.kmeans import ElbowPoint
    from secure_kmeans.report.report import Report

MOST_CLUSTERS: Final = 10


@dataclass(frozen=True)
class Elbow:
    """What an elbow leaves.

    Attributes
    ----------
    points : tuple of ElbowPoint
    seed : int
        Of the public coins of all runs.
    reports : tuple of Report
        Of the runs on secret shares, with their ledgers.
    files : tuple of paths
    disclosures : tuple of Disclosure
        All that each run on secret shares could disclose.
    advice : tuple of str
    """

    points: tuple[ElbowPoint, ...]
    seed: int
    reports: tuple[Report, ...] = ()
    files: tuple[Path, ...] = ()
    disclosures: tuple[Disclosure, ...] = ()
    advice: tuple[str, ...] = ()


def elbow(
    options: Options,
    output: Path | None = None,
    *,
    encrypted: bool = True,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
) -> Elbow:
    """Run each number of clusters from 1 to 10, in the clear and, if wanted, on secret shares.

    Both start from the same rows. Each run on secret shares discloses its two losses besides the usual.

    Parameters
    ----------
    options : Options
        ``clusters`` is ignored.
    output : path, optional
        Folder of the results; ``results/NAME_elbow`` if not given.
    encrypted : bool
    announce, progress : callable, optional
        ``announce`` is called once, and only for runs on secret shares.

    Raises
    ------
    DataError, JobError
        Before anything is started.
    RoleError, ProtocolError
    """
    from secure_kmeans.report.folder import ResultsFolder

    if encrypted and options.protocol != USUAL:
        raise JobError(
            f"protocol: an encrypted elbow shows the mean-distance loss, which {options.protocol} does not disclose; "
            f"set {key('protocol')} to {USUAL}"
        )
    if options.file_of_centroids is not None:
        raise JobError("init: a file of centroids fixes the number of clusters; the elbow needs another start")
    inputs = read_inputs(options, split=encrypted)
    runs = _Runs(inputs, options, fresh_seed() if options.seed is None else options.seed)
    with ResultsFolder(output or Path("results") / f"{inputs.name}_elbow") as folder:
        found = runs.on_shares(folder, announce, progress) if encrypted else runs.in_the_clear(progress)
        _write(folder, found.points)
        return Elbow(found.points, found.seed, found.reports, tuple(folder.publish()), found.disclosures, found.advice)


@dataclass(frozen=True)
class _Runs:
    """The runs of one elbow."""

    inputs: Inputs
    options: Options
    seed: int

    @property
    def most(self) -> int:
        return min(MOST_CLUSTERS, sum(map(len, self.inputs.tables.values())))

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate([table.rows for table in self.inputs.tables.values()])

    def _scaled(self, scaling: Scaling) -> np.ndarray:
        return np.concatenate([table.scaled(scaling) for table in self.inputs.tables.values()])

    def _keys(self) -> dict[str, Any]:
        return {"bounds": self.inputs.bounds} | self.options.clustering_keys(self.inputs.columns)

    def in_the_clear(self, progress: Progress) -> Elbow:
        """All numbers of clusters in the clear."""
        tables = list(self.inputs.tables.values())
        clusterings = [
            propose_clustering(tables, clusters, min_cluster_size=1, **self._keys()) for clusters in self._numbers()
        ]
        for table in tables:
            check_bounds(table, clusterings[0].scaling)
        rows = self.rows
        scaled = self._scaled(clusterings[0].scaling)
        points = []
        for clustering in clusterings:
            runs = run_on_scaled(clustering, scaled, self.seed)
            points.append(_point(clustering, rows, runs[number_of_best(runs)]))
            progress(f"K = {clustering.n_clusters}", clustering.n_clusters, self.most)
        return Elbow(tuple(points), self.seed)

    def on_shares(self, folder: ResultsFolder, announce: Announce, progress: Progress) -> Elbow:
        """All numbers of clusters on secret shares, with the start that won there in the clear."""
        tables = self.inputs.tables
        jobs = [self._job(clusters) for clusters in self._numbers()]
        protocol = protocol_of(jobs[0].protocol)
        advice = check_tables(jobs[0], tables)
        disclosures = protocol.disclosures(jobs[-1])
        announce(Announcement(jobs[-1], disclosures, advice, runs=len(jobs)))
        rows = self.rows
        scaled = self._scaled(jobs[0].scaling)
        points, reports = [], []
        for job in jobs:
            results = run_all_roles(job, tables)
            model = results[0].common
            assert isinstance(model, KMeansModel)
            run = run_on_scaled(job, scaled, self.seed)[model.best_restart]
            points.append(_point(job, rows, run, model))
            reports.append(protocol.report(job, results, None, segments_of(job, results)))
            folder.write_report(reports[-1], f"report_{job.n_clusters:02}.json")
            progress(f"K = {job.n_clusters}", job.n_clusters, self.most)
        return Elbow(tuple(points), self.seed, tuple(reports), (), disclosures, advice)

    def _numbers(self) -> range:
        return range(1, self.most + 1)

    def _job(self, clusters: int) -> ShkJob:
        keys = self._keys() | self.options.job_keys() | {"seed": self.seed, "reveal_mean_distance": True}
        return propose_job(list(self.inputs.tables.values()), clusters, parties=tuple(self.inputs.tables), **keys)


def _point(
    clustering: Clustering, rows: np.ndarray, run: KMeansRun, encrypted: KMeansModel | None = None
) -> ElbowPoint:
    from secure_kmeans.report.kmeans import ElbowPoint

    model = conclude(clustering, rows, run)
    return ElbowPoint(
        clustering.n_clusters,
        inertia(rows, model.labels, model.centroids),
        mean_distance_terms(rows, model.labels, model.centroids, model.sizes),
        None if encrypted is None else encrypted.inertia,
        None if encrypted is None else encrypted.mean_distance,
    )


def _write(folder: ResultsFolder, points: Sequence[ElbowPoint]) -> None:
    from secure_kmeans.report.kmeans import ElbowPoint, draw_elbow

    folder.write_csv("elbow.csv", [field.name for field in fields(ElbowPoint)], [astuple(point) for point in points])
    draw_elbow(folder.aside / "elbow.png", points)
