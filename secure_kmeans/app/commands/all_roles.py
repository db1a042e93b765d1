"""Commands that run all roles on this machine.

What a refusal does not need is imported where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secure_kmeans.app import demo
from secure_kmeans.app.commands.values import Announce, Announcement, RoleFiles, Run, no_announcement
from secure_kmeans.app.inputs import Options, read_inputs, tables_of_job
from secure_kmeans.app.proposal import propose_job, propose_prediction
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import Clustering, Job, KMeansJob
from secure_kmeans.job.result import Progress, Result, no_progress
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.protocols.base import Protocol
from secure_kmeans.tables import Table, read_table, split_table


def cluster(
    options: Options,
    output: Path | None = None,
    *,
    compare: bool = True,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
) -> Run:
    """Cluster tables on secret shares, all roles on this machine.

    Parameters
    ----------
    options : Options
    output : path, optional
        Folder of the results; ``results/NAME`` if not given.
    compare : bool
        Whether to compare with a run in the clear.
    announce, progress : callable, optional

    Raises
    ------
    DataError, JobError
        Before anything is started.
    RoleError, ProtocolError
    """
    inputs = read_inputs(options)
    job = propose_job(
        list(inputs.tables.values()),
        options.clusters,
        parties=tuple(inputs.tables),
        bounds=inputs.bounds,
        **options.clustering_keys(inputs.columns),
        **options.job_keys(),
    )
    run = _AllRoles(job, inputs.tables, output or Path("results") / inputs.name, announce, progress)
    return run.execute(compare=compare)


def rehearse(
    path: Path,
    tables: Mapping[str, Path] | None = None,
    files: RoleFiles | None = None,
    *,
    compare: bool = True,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
) -> Run:
    """Run all roles of a job file on this machine, for which no identity is needed.

    Parameters
    ----------
    path : path
        The job file. A party's table is ``NAME.csv`` or ``NAME.parquet`` beside it where it is not in ``tables``.
    tables : mapping of party to path, optional
    files : RoleFiles, optional
        ``output``, ``states`` and ``resume`` apply.
    compare : bool
        Whether to compare with a run in the clear.
    announce, progress : callable, optional

    Raises
    ------
    DataError, JobError, StateError
        Before anything is started.
    RoleError, ProtocolError
    """
    files = files or RoleFiles()
    job = read_job(path)
    run = _AllRoles(
        job, tables_of_job(job, path, tables or {}), files.output or Path("results") / path.stem, announce, progress
    )
    return run.execute(compare=compare, states=files.states or Path("state") / path.stem, resume=files.resume)


def predict(
    report: Path,
    data: Sequence[Path],
    output: Path | None = None,
    *,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
) -> Run:
    """Label new rows on secret shares by the model of an earlier run, all roles on this machine.

    Parameters
    ----------
    report : path
        The ``report.json`` of a clustering.
    data : sequence of paths
        One file for each party, or one whose rows are split among the parties.
    output : path, optional
        Folder of the results; ``prediction`` beside the report if not given.
    announce, progress : callable, optional

    Raises
    ------
    DataError, JobError
        Before anything is started.
    RoleError, ProtocolError
    """
    fitted, centroids = read_model(report)
    job = propose_prediction(fitted, centroids)
    if len(data) not in (1, len(job.names)):
        raise JobError(
            f"there are {len(data)} files for {len(job.names)} parties; give one file, or one for each party"
        )
    found = [read_table(path, job.columns) for path in data]
    tables = split_table(found[0], len(job.names)) if len(data) == 1 else found
    by_party = dict(zip(job.names, tables, strict=True))
    run = _AllRoles(job, by_party, output or report.parent / "prediction", announce, progress)
    return run.execute(compare=False)


def read_model(path: Path) -> tuple[KMeansJob, np.ndarray]:
    """Read the job and the centroids, in original units, of the clustering that a report describes.

    Raises
    ------
    DataError
        Where the file is no such report.
    """
    from secure_kmeans.report.report import Report

    try:
        report = Report.load(path)
        keys = report.job.model_dump(exclude={"digest"})
        job = protocol_of(report.protocol or "").Job.model_validate_json(json.dumps(keys))
        centroids = np.array(report.result.model_dump()["cluster_centers"], dtype=np.float64)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: this is not the report of a clustering on secret shares") from None
    fits = isinstance(job, KMeansJob) and centroids.shape == (job.n_clusters, len(job.columns))
    if not fits or not np.isfinite(centroids).all():
        raise DataError(f"{path}: its cluster centers do not fit its job")
    return job, centroids


@dataclass(frozen=True)
class _AllRoles:
    """A run of all roles on this machine; the tables by party, in rank order."""

    job: Job
    tables: dict[str, Table]
    output: Path
    announce: Announce
    progress: Progress

    @property
    def protocol(self) -> Protocol[Any, Any]:
        return protocol_of(self.job.protocol)

    def execute(self, *, compare: bool, states: Path | None = None, resume: bool = False) -> Run:
        """Check, announce, run, compare and write."""
        from secure_kmeans.report.folder import ResultsFolder

        advice = check_tables(self.job, self.tables)
        disclosures = self.protocol.disclosures(self.job)
        with ResultsFolder(self.output) as folder:
            self.announce(Announcement(self.job, disclosures, advice))
            results = run_all_roles(self.job, self.tables, self.progress, states=states, resume=resume)
            clear = self.protocol.in_the_clear(self.job, self.tables, results) if compare else None
            report = self.protocol.report(self.job, results, clear, segments_of(self.job, results))
            self.protocol.write(folder, report, results, self.tables, clear)
            return Run(self.job, report, tuple(results), tuple(folder.publish()), disclosures, advice)


def check_tables(job: Job, tables: Mapping[str, Table]) -> tuple[str, ...]:
    """Check each party's table against a job.

    Returns
    -------
    Advice, one line each, with the parties that it concerns where it does not concern all.

    Raises
    ------
    DataError, JobError
    """
    protocol = protocol_of(job.protocol)
    concerned: dict[str, list[str]] = {}
    for name, table in tables.items():
        for line in protocol.check(job, job.role(name), table):
            concerned.setdefault(line, []).append(name)
    return tuple(
        line if len(names) == len(tables) else f"{', '.join(names)}: {line}" for line, names in concerned.items()
    )


def run_all_roles(
    job: Job,
    tables: Mapping[str, Table],
    progress: Progress = no_progress,
    *,
    states: Path | None = None,
    resume: bool = False,
) -> Sequence[Result]:
    """Start all roles of a job on this machine, and return the parties' results in rank order."""
    from secure_kmeans.roles.local import run_local

    return run_local(job, list(tables.values()), progress, states=states, resume=resume)


def segments_of(job: Job | Clustering, results: Sequence[Result]) -> list[str] | None:
    """The names of the mall's segments, where a run found them."""
    centroids = getattr(results[0].common, "centroids", None)
    if centroids is None or not isinstance(job, Clustering):
        return None
    return demo.segment_names(job.columns, np.array(centroids))
