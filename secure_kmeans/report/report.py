"""What a run found, what it cost and who learned what: ``report.json`` and the files beside it.

The layout of ``report.json`` is a public interface, described in ``docs/report.md``. It has a version; a
change that could break a reader raises it.
"""

from __future__ import annotations

import csv
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from secure_kmeans.data import Table
from secure_kmeans.job import Job, Scaling
from secure_kmeans.ledger import Disclosure
from secure_kmeans.local import LocalRun
from secure_kmeans.mall import segment_names
from secure_kmeans.outcome import Ended, Outcome
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd, nearest_centroids
from secure_kmeans.plaintext.losses import inertia, mean_distance_terms
from secure_kmeans.plaintext.metrics import Agreement

Matrix = list[list[float]]
_SPARE_BYTES: Final = 4 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlaintextPart(_Part):
    """The plaintext run from the same start, rounded as the encrypted one, and what it reaches without rounding.

    Original units; ``inertia_by_iteration`` are those at the start of each iteration.
    """

    cluster_centers: Matrix
    counts: list[int]
    inertia: float
    inertia_in_double_precision: float
    mean_distance: float
    n_iter: int
    converged: bool
    counts_by_iteration: list[list[int]]
    inertia_by_iteration: list[float]


class AgreementPart(_Part):
    """Encrypted against plaintext, after matching the centroids one to one."""

    max_centroid_error: float
    label_agreement: float
    adjusted_rand: float


class Timing(_Part):
    """Seconds: of the whole run with the start of its processes, and of one iteration on average."""

    total_s: float
    per_iteration_s: float


class Traffic(_Part):
    """What one role waited for and sent."""

    rounds: int
    bytes_sent: int


class Report(_Part):
    """Everything that ``report.json`` says. Cluster numbers count from 0, in the order of ``cluster_centers``."""

    version: Literal[1] = 1
    protocol: Literal["shk", "plaintext"]
    engine: Literal["secure", "crypten", "numpy"]
    parties: list[str]
    columns: list[str]
    n_samples: dict[str, int]
    n_features: int
    n_clusters: int
    init: str
    n_init: int
    max_iter: int
    tol: float
    seed: int | None
    scaling: Scaling
    precision_bits: int
    best_restart: int
    n_iter: int
    converged: bool
    cluster_centers: Matrix
    cluster_names: list[str] | None
    counts: list[int] | None
    counts_by_iteration: list[list[int]]
    inertia: float | None
    mean_distance: float | None
    plaintext: PlaintextPart | None
    agreement: AgreementPart | None
    timing: Timing
    communication: dict[str, Traffic]
    ledger: list[Disclosure]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a ``report.json``."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))


def plaintext_part(job: Job, tables: Sequence[Table], run: KMeansRun) -> PlaintextPart:
    """A plaintext run in original units."""
    rows = np.concatenate([table.rows for table in tables])
    scaled = job.scaling.apply(rows)
    centroids = job.scaling.invert(run.centroids)

    def inertia_with(start: np.ndarray) -> float:
        return inertia(rows, nearest_centroids(scaled, start)[0], job.scaling.invert(start))

    unrounded = lloyd(scaled, run.centroids_by_iteration[0], max_iter=job.max_iter, tol=job.tol)
    return PlaintextPart(
        cluster_centers=centroids.tolist(),
        counts=run.sizes.tolist(),
        inertia=inertia(rows, run.labels, centroids),
        inertia_in_double_precision=inertia(rows, unrounded.labels, job.scaling.invert(unrounded.centroids)),
        mean_distance=mean_distance_terms(rows, run.labels, centroids, run.sizes),
        n_iter=run.n_iter,
        converged=run.converged,
        counts_by_iteration=run.sizes_by_iteration,
        inertia_by_iteration=[inertia_with(start) for start in run.centroids_by_iteration],
    )


def report_of_party(job: Job, ended: Ended) -> Report:
    """The report that one party can write of a run on machines of their own: no plaintext, its own times.

    Parameters
    ----------
    job : Job
    ended : Ended
    """
    assert ended.outcome is not None
    return _report(job, ended.outcome, ended.communication, ended.outcome.total_s, None, None)


def report_of_run(job: Job, run: LocalRun, tables: Sequence[Table], baseline: KMeansRun | None) -> Report:
    """The report of an encrypted run.

    Parameters
    ----------
    job : Job
    run : LocalRun
    tables : sequence of Table
        The parties' tables, for the plaintext part alone.
    baseline : KMeansRun, optional
        The plaintext run from the same start.
    """
    outcome = run.outcomes[0]
    labels = np.concatenate([party.labels for party in run.outcomes]).astype(int)
    agreement = None
    if baseline is not None:
        scaled = job.scaling.apply(np.array(outcome.centroids))
        agreement = AgreementPart(**vars(Agreement.between(scaled, labels, baseline.centroids, baseline.labels)))
    part = None if baseline is None else plaintext_part(job, tables, baseline)
    return _report(job, outcome, run.communication, run.total_s, part, agreement)


def _report(
    job: Job,
    outcome: Outcome,
    communication: Mapping[str, Mapping[str, int]],
    total_s: float,
    plaintext: PlaintextPart | None,
    agreement: AgreementPart | None,
) -> Report:
    return Report(
        n_samples=outcome.n_samples,
        seed=outcome.seed,
        best_restart=outcome.best_restart,
        n_iter=outcome.n_iter,
        converged=outcome.converged,
        cluster_centers=outcome.centroids,
        counts=outcome.sizes,
        counts_by_iteration=outcome.sizes_by_iteration,
        inertia=outcome.inertia,
        mean_distance=outcome.mean_distance,
        plaintext=plaintext,
        agreement=agreement,
        timing=Timing(total_s=total_s, per_iteration_s=float(np.mean(outcome.seconds))),
        communication={role: Traffic(**sent) for role, sent in communication.items()},
        ledger=outcome.ledger,
        cluster_names=segment_names(job.columns, np.array(outcome.centroids)),
        **_agreed(job),
    )


def report_of_plaintext(
    job: Job, tables: Sequence[Table], run: KMeansRun, *, seed: int, number: int, total_s: float
) -> Report:
    """The report of a plaintext run alone: nobody is protected, so nothing is disclosed or sent.

    Parameters
    ----------
    number : int
        Of the restart that ``run`` is.
    """
    part = plaintext_part(job, tables, run)
    return Report(
        n_samples={party: len(table) for party, table in zip(job.names, tables, strict=True)},
        seed=None if job.centroids is not None else seed,
        best_restart=number,
        plaintext=None,
        agreement=None,
        timing=Timing(total_s=total_s, per_iteration_s=total_s / max(1, run.n_iter)),
        communication={},
        ledger=[],
        cluster_names=segment_names(job.columns, np.array(part.cluster_centers)),
        **part.model_dump(exclude={"inertia_by_iteration", "inertia_in_double_precision"}),
        **_agreed(job),
    )


def _agreed(job: Job) -> dict[str, Any]:
    return {
        "protocol": job.protocol,
        "engine": job.engine,
        "parties": list(job.names),
        "columns": list(job.columns),
        "n_features": len(job.columns),
        "n_clusters": job.n_clusters,
        "init": job.init if job.centroids is None else "given",
        "n_init": 1 if job.centroids is not None else job.n_init,
        "max_iter": job.max_iter,
        "tol": job.tol,
        "scaling": job.scaling,
        "precision_bits": job.precision_bits,
    }


@dataclass(frozen=True)
class ElbowPoint:
    """The losses of one number of clusters, original units; None where it was not run encrypted."""

    clusters: int
    inertia: float
    mean_distance: float
    encrypted_inertia: float | None
    encrypted_mean_distance: float | None


class ResultsFolder:
    """Where a run's files go. They are written aside and appear together when :meth:`publish` is called.

    Parameters
    ----------
    path : path
        Made where it is missing; files of the same names are replaced.
    needed : int
        Bytes that the results may take.

    Raises
    ------
    OSError
        Where nothing, or not enough, can be written there: told before the run.
    """

    def __init__(self, path: str | Path, needed: int = 0) -> None:
        self.path = Path(path)
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=self.path):
            pass
        if shutil.disk_usage(self.path).free < needed + _SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    @cached_property
    def aside(self) -> Path:
        """Where files wait until they are published."""
        return Path(tempfile.mkdtemp(prefix=".writing-", dir=self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if "aside" in vars(self):
            shutil.rmtree(self.aside, ignore_errors=True)
        with suppress(OSError):  # it holds the results of a run that did not fail
            for folder in self._made:
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
            error.filename = str(self.path)

    def write_tables(self, report: Report, labels: Mapping[str, Sequence[int]]) -> None:
        """``report.json``, ``centroids.csv`` and each party's ``labels_<party>.csv``."""
        self.write_report(report)
        names = report.cluster_names or [""] * report.n_clusters
        sizes: Sequence[int | str] = report.counts or [""] * report.n_clusters
        clusters = zip(names, sizes, report.cluster_centers, strict=True)
        self.write_csv(
            "centroids.csv",
            ["cluster", "name", "size", *report.columns],
            [[number, name, size, *center] for number, (name, size, center) in enumerate(clusters)],
        )
        self.write_labels(labels)

    def write_report(self, report: Report) -> None:
        """``report.json``."""
        (self.aside / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def write_labels(self, labels: Mapping[str, Sequence[int]]) -> None:
        """Each party's ``labels_<party>.csv``."""
        for party, own in labels.items():
            self.write_csv(
                f"labels_{party}.csv", ["row", "cluster"], [[row, label] for row, label in enumerate(own, start=1)]
            )

    def write_csv(self, name: str, header: list[str], rows: list[list[object]]) -> None:
        """One table in UTF-8, lines ended by a newline."""
        with (self.aside / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])

    def _remove_labels_of_earlier_run(self) -> None:
        with suppress(OSError, ValueError):
            for party in Report.load(self.path / "report.json").parties:
                (self.path / f"labels_{party}.csv").unlink(missing_ok=True)

    def publish(self) -> list[Path]:
        """Move every file to its place, the report last, and name them; labels of an earlier run's parties go."""
        self._remove_labels_of_earlier_run()
        files = sorted(self.aside.iterdir(), key=lambda file: (file.name == "report.json", file.name))
        return [file.rename(self.path / file.name) for file in files]
