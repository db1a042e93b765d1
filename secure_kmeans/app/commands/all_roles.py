"""Commands that run all roles on this machine.

Modules that a refusal does not need are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secure_kmeans.app import demo
from secure_kmeans.app.commands.models import STATES, models_of, refuse_to_resume, write_prediction_job
from secure_kmeans.app.commands.values import Announce, Announcement, RoleFiles, Run, no_announcement
from secure_kmeans.app.inputs import Options, is_prediction, read_inputs, tables_of_job
from secure_kmeans.app.proposal import propose_columns_job, propose_job, propose_smo07_job
from secure_kmeans.job import SEEDS, Clustering, Job, KMeansJob
from secure_kmeans.job.coins import fresh_seed
from secure_kmeans.job.model import KMeansModel
from secure_kmeans.job.result import Progress, Result, no_progress
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.protocols.base import Protocol
from secure_kmeans.tables import Table


def cluster(
    options: Options,
    output: Path | None = None,
    *,
    compare: bool = True,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
) -> Run:
    """Cluster tables, encrypted, all roles on this machine.

    Parameters
    ----------
    options : Options
    output : path, optional
        Folder of the results; ``results/NAME`` if not given.
    compare : bool
        Whether to compare with a run in the clear, unless the tables are read in chunks.
    announce, progress : callable, optional

    Raises
    ------
    DataError, JobError
        Before anything is started.
    RoleError, ProtocolError
    """
    inputs = read_inputs(options, progress=progress)
    compare = compare and options.chunk_rows is None
    seed = options.seed
    if compare and seed is None and options.file_of_centroids is None:
        seed = fresh_seed()  # the run in the clear has to begin in the same places
    keys = options.clustering_keys(inputs.columns) | options.job_keys() | {"seed": seed, "bounds": inputs.bounds}
    tables, parties = list(inputs.tables.values()), tuple(inputs.tables)
    job: Job
    if inputs.align is None:
        propose = propose_smo07_job if options.protocol == "smo07" else propose_job
        job = propose(tables, options.clusters, parties=parties, **keys)
    else:
        alignment: dict[str, Any] = {"align": inputs.align, "identifiers": inputs.identifiers}
        job = propose_columns_job(tables, options.clusters, parties=parties, **alignment, **keys)
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
        ``output``, ``states``, ``resume`` and ``chunk_rows`` apply. A prediction takes the parties' shares of the model
        from ``states``, or from the folders in ``state``.
    compare : bool
        Whether to compare with a run in the clear, unless the tables are read in chunks.
    announce, progress : callable, optional

    Raises
    ------
    DataError, JobError, StateError
        Before anything is started.
    RoleError, ProtocolError
    """
    files = files or RoleFiles()
    job = read_job(path)
    compare = compare and files.chunk_rows is None
    if compare:
        job = _with_public_starts(job)
    refuse_to_resume(job, files.resume)
    named = tables_of_job(job, path, tables or {}, files.chunk_rows, progress)
    output = files.output or Path("results") / path.stem
    if is_prediction(job):
        return run_of_tables(job, named, output, models_of(job, files.states), announce, progress)
    run = _AllRoles(job, named, output, announce, progress)
    states = files.states or STATES / path.stem
    return run.execute(compare=compare, states=states, resume=files.resume, name=path.stem)


def run_of_tables(
    job: Job, tables: dict[str, Table], output: Path, models: Sequence[bytes], announce: Announce, progress: Progress
) -> Run:
    """Run all roles of a job that takes a model.

    Parameters
    ----------
    job : Job
    tables : dict of str to Table
        By party, in rank order.
    output : path
    models : sequence of bytes
        Each party's share of the model, in rank order.
    announce, progress : callable
    """
    return _AllRoles(job, tables, output, announce, progress, models).execute(compare=False)


def _with_public_starts(job: Job) -> Job:
    """The same job, but with a public seed that follows from it: a run in the clear can begin at the same rows."""
    comparable = isinstance(job, KMeansJob) and job.task == "fit" and job.centroids is None
    if not comparable or job.seed is not None:
        return job
    return job.model_copy(update={"seed": int.from_bytes(job.digest[:8], "big") % SEEDS})


@dataclass(frozen=True)
class _AllRoles:
    """A run of all roles on this machine; the tables by party, in rank order."""

    job: Job
    tables: dict[str, Table]
    output: Path
    announce: Announce
    progress: Progress
    models: Sequence[bytes] = ()

    @property
    def protocol(self) -> Protocol[Any, Any]:
        return protocol_of(self.job.protocol)

    def execute(self, *, compare: bool, states: Path | None = None, resume: bool = False, name: str = "") -> Run:
        """Check, announce, run, compare and write; ``name`` is that of the job file of a run with states."""
        from secure_kmeans.report.folder import ResultsFolder

        advice = check_tables(self.job, self.tables)
        disclosures = self.protocol.disclosures(self.job)
        with ResultsFolder(self.output) as folder:
            self.announce(Announcement(self.job, disclosures, advice))
            results = run_all_roles(
                self.job, self.tables, self.progress, states=states, resume=resume, models=self.models
            )
            clear = self.protocol.in_the_clear(self.job, self.tables, results) if compare else None
            report = self.protocol.report(self.job, results, clear, segments_of(self.job, results))
            self.protocol.write(folder, report, results, self.tables, clear)
            kept = states is not None and write_prediction_job(folder, name, self.job, results)
            return Run(
                self.job, report, tuple(results), tuple(folder.publish()), disclosures, advice, states if kept else None
            )


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
    protocol.check_together(job, tables)
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
    models: Sequence[bytes] = (),
) -> Sequence[Result]:
    """Start all roles of a job on this machine, and return the parties' results in rank order."""
    from secure_kmeans.roles.local import run_local

    return run_local(job, list(tables.values()), progress, states=states, resume=resume, models=models)


def segments_of(job: Job | Clustering, results: Sequence[Result]) -> list[str] | None:
    """The names of the mall's segments, where a run found them."""
    model = results[0].common
    if not isinstance(model, KMeansModel) or not isinstance(job, Clustering):
        return None
    from secure_kmeans.report.sections import centers_array

    return demo.segment_names(job.columns, centers_array(model.centroids, job.n_clusters, len(job.columns)))
