"""Commands that run all roles on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secure_kmeans.app import demo
from secure_kmeans.app.commands.values import Announce, Announcement, RoleFiles, Run, no_announcement
from secure_kmeans.app.inputs import Options, read_inputs, tables_of_job
from secure_kmeans.app.proposal import propose_job
from secure_kmeans.job import Clustering, Job
from secure_kmeans.job.result import Progress, Result, no_progress
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.protocols.base import Protocol
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.tables import Table


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


@dataclass(frozen=True)
class _AllRoles:
    """A run of all roles on this machine; the tables by party, in rank order."""

    job: Job
    tables: dict[str, Table]
    output: Path
    announce: Announce
    progress: Progress

    @property
    def protocol(self) -> Protocol[Any]:
        return protocol_of(self.job.protocol)

    def execute(self, *, compare: bool, states: Path | None = None, resume: bool = False) -> Run:
        """Check, announce, run, compare and write."""
        advice = tuple(dict.fromkeys(line for name in self.tables for line in self._check(name)))
        if states is not None:
            for name in self.tables:
                self._check_states(states / name, name, resume=resume)
        disclosures = self.protocol.disclosures(self.job)
        with ResultsFolder(self.output) as folder:
            self.announce(Announcement(self.job, disclosures, advice))
            results = run_all_roles(self.job, self.tables, self.progress, states=states, resume=resume)
            clear = self.protocol.in_the_clear(self.job, self.tables, results) if compare else None
            report = self.protocol.report(self.job, results, clear, segments_of(self.job, results))
            self.protocol.write(folder, report, results, self.tables, clear)
            return Run(self.job, report, tuple(results), tuple(folder.publish()), disclosures, advice)

    def _check(self, name: str) -> list[str]:
        return self.protocol.check(self.job, self.job.role(name), self.tables[name])

    def _check_states(self, path: Path, name: str, *, resume: bool) -> None:
        """Refuse a state folder that cannot be used, before any role is started."""
        from secure_kmeans.roles.states import StateFolder

        needed = self.protocol.state_bytes(self.job)
        with StateFolder(path, self.job, name, self.tables[name].digest, needed) as folder:
            if resume:
                folder.to_resume_from()


def run_all_roles(
    job: Job, tables: Mapping[str, Table], progress: Progress | None = None, **how: Any
) -> Sequence[Result]:
    """Start all roles of a job on this machine, and return the parties' results in rank order."""
    from secure_kmeans.roles.local import run_local

    return run_local(job, list(tables.values()), progress, **how)


def segments_of(job: Job | Clustering, results: Sequence[Result]) -> list[str] | None:
    """The names of the mall's segments, where a run found them."""
    common = results[0].common if results else None
    centroids = getattr(common, "centroids", None)
    if centroids is None or not isinstance(job, Clustering):
        return None
    return demo.segment_names(job.columns, np.array(centroids))
