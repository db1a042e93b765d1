"""A job file and what a person does with it: all its roles here, one of them, or a look beforehand."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import numpy as np

from secure_kmeans.console import operator_log, print_check, print_labels, print_summary
from secure_kmeans.data import Table, read_table
from secure_kmeans.errors import DataError, IdentityError, JobError, RoleError, SecureKMeansError
from secure_kmeans.job import DEALER, Job, read_job, split_address
from secure_kmeans.net.identity import Identity, load_identity
from secure_kmeans.net.meeting import Attendance, listen, meet
from secure_kmeans.outcome import Ended, Outcome, show_nothing
from secure_kmeans.party import check_table
from secure_kmeans.plan import coarse_columns
from secure_kmeans.plots import Panel
from secure_kmeans.report import Report, ResultsFolder, report_of_party
from secure_kmeans.role import RoleLife, describe, digest_of
from secure_kmeans.state import StateFolder
from secure_kmeans.workflow import draw, encrypted_job

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where one role's files are; see ``python launcher.py JOB.toml --help``.

    Attributes
    ----------
    table, identity, state, output, log : path or None
    listen : str or None
        The address to listen on, where it is not the job's.
    wait : float or None
        Seconds.
    resume : bool
    """

    table: Path | None = None
    identity: Path | None = None
    state: Path | None = None
    output: Path | None = None
    log: Path | None = None
    listen: str | None = None
    wait: float | None = None
    resume: bool = False


def run_all(path: Path, tables: Mapping[str, Path], place: Place, *, skip_plaintext: bool) -> Report:
    """All roles of a job on this machine: a rehearsal, for which no identity is needed.

    Parameters
    ----------
    path : path
        The job file; a party's table is ``NAME.csv`` or ``NAME.parquet`` beside it, if not in ``tables``.
    tables : mapping of party to path
    place : Place
    skip_plaintext : bool
    """
    job = read_job(path)
    if job.task == "predict":
        raise JobError(f"{path}: a prediction is run by each party with --party")
    if unknown := set(tables) - set(job.names):
        raise JobError(f'--table: the job has no party "{min(unknown)}"; it has {", ".join(job.names)}')
    found = [read_table(tables.get(name) or _beside(path, name), job.columns) for name in job.names]
    state = place.state or Path("state") / path.stem
    for name, table in zip(job.names, found, strict=True):
        check_table(job, table)
        with StateFolder(state / name, job, name, digest_of(table)) as folder:
            if place.resume:
                folder.to_resume_from()
    return encrypted_job(
        job,
        found,
        place.output or Path("results") / path.stem,
        skip_plaintext=skip_plaintext,
        state=state,
        resume=place.resume,
    )


def _beside(path: Path, name: str) -> Path:
    candidates = [path.with_name(f"{name}.{suffix}") for suffix in ("csv", "parquet", "pq")]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise DataError(f'{candidates[0]}: there is no such file; name the table of "{name}" with --table {name}=FILE')


def run_one(path: Path, role: str, place: Place) -> None:
    """One role of a job, on its own machine.

    Raises
    ------
    JobError, DataError, IdentityError, StateError
        Before anything is sent.
    RoleError, ProtocolError
    """
    job = read_job(path)
    with operator_log(role, place.log), _terminable():
        identity = _checked(job, role, place)
        table = None if role == DEALER else _own_table(job, place.table)
        log.info("job %s, digest %s", path, job.digest.hex()[:16])
        with contextlib.ExitStack() as stack:
            life = RoleLife(job, role, table, show_nothing, None, place.resume)
            results = None
            if table is not None:
                output = place.output or Path("results") / path.stem / role
                folder = stack.enter_context(ResultsFolder(output, needed=64 * len(table)))
                where = place.state or Path("state") / path.stem / role
                life.state = stack.enter_context(StateFolder(where, job, role, digest_of(table)))
                results = _Results(job, role, table, folder)
                life.secure = results.secure
            try:
                ended = _live(life, identity, place, stack.close)
            except (SecureKMeansError, KeyboardInterrupt, OSError):
                raise
            except Exception as error:
                raise RoleError(role, describe(error)) from error  # its own message might hold a value
            if results is not None:
                results.publish(ended)
            if life.state is not None:
                life.state.clear()


def _checked(job: Job, role: str, place: Place) -> Identity:
    """The identity of a role that can take part."""
    job.check_places()
    _check_role(job, role)
    if place.listen is not None:
        if role == job.roles[0]:
            raise JobError(f'--listen: "{role}" is the first party, which dials all others and listens for nobody')
        try:
            split_address(place.listen)
        except ValueError as error:
            raise JobError(f"--listen: {error}") from None
    if place.identity is None:
        raise IdentityError("--identity: name the folder that new-identity made")
    identity = load_identity(place.identity)
    expected = job.place(role).fingerprint
    if identity.fingerprint != expected:
        raise IdentityError(
            f'{place.identity}: its fingerprint is {identity.fingerprint}, the job names {expected} for "{role}"; '
            "put the right one into everybody's job, or name another identity"
        )
    return identity


def _check_role(job: Job, role: str) -> None:
    if role not in job.roles:
        raise JobError(f'--party: the job has no role "{role}"; it has {", ".join(job.roles)}')


def _own_table(job: Job, path: Path | None) -> Table:
    if path is None:
        if job.task == "predict":
            return Table("no table", job.columns, np.empty((0, len(job.columns))))
        raise DataError("--table: name the file with this party's rows")
    table = read_table(path, job.columns)
    check_table(job, table)
    return table


def _live(life: RoleLife, identity: Identity, place: Place, clean_up: Callable[[], None]) -> Ended:
    """Meet the others and take part."""

    def give_up(error: RoleError) -> None:
        """The thread that works is stuck: end without it."""
        log.error("%s", error)
        if place.log is not None:
            sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        clean_up()
        os._exit(1)

    job, role = life.job, life.role
    listener = None if role == job.roles[0] else listen(place.listen or job.place(role).address or "")
    return life.run(
        lambda resume, held: meet(
            Attendance(job, role, identity, resume, held, listener, wait=place.wait, give_up=give_up)
        )
    )


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """A polite end (SIGTERM) is told to the other roles like an interrupt."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


class _Results:
    """What a party writes of a run: aside while the others still compute, in its place once all are done."""

    def __init__(self, job: Job, role: str, table: Table, folder: ResultsFolder) -> None:
        self._job, self._role, self._table, self._folder = job, role, table, folder

    def secure(self, outcome: Outcome) -> None:
        """Write everything aside; a full disk is told to the others now, when the run can still be resumed."""
        labels = {self._role: outcome.labels}
        if self._job.task == "predict":
            self._folder.write_labels(labels)
            return
        report = report_of_party(self._job, Ended(outcome, {}))
        self._folder.write_tables(report, labels)
        title = f"Own rows of {self._role}, clusters of all"
        panel = Panel(title, np.array(outcome.centroids), np.array(outcome.labels))
        try:
            draw(self._folder, report, labels, [panel], [self._table.rows])
        except Exception as error:  # a picture does not decide over a result
            log.warning("the pictures could not be drawn: %s", describe(error))

    def publish(self, ended: Ended) -> None:
        """All roles are done."""
        if self._job.task == "predict":
            print_labels(self._folder.publish(), len(self._table))
            return
        report = report_of_party(self._job, ended)
        self._folder.write_report(report)
        print_summary(report, self._folder.publish(), coarse_columns(self._job, [self._table]))


def check(path: Path, role: str | None, place: Place) -> None:
    """What a role can know beforehand: whether job, table and identity fit each other. No network.

    Raises
    ------
    JobError, DataError, IdentityError
        For the first thing that does not fit.
    """
    job = read_job(path)
    findings = [f"{path}: a job of {', '.join(job.names)}, digest {job.digest.hex()}"]
    identity = None
    if place.identity is not None:
        job.check_places()
        identity = load_identity(place.identity)
        if role is None:
            known = {job.place(name).fingerprint: name for name in job.roles}
            role = known.get(identity.fingerprint)
        if role is None:
            raise IdentityError(
                f"{place.identity}: its fingerprint is {identity.fingerprint}, which the job does not name; send it to "
                "whoever writes the job"
            )
        _checked(job, role, place)
        findings.append(f'{place.identity}: the identity of "{role}" in this job')
    elif role is not None:
        _check_role(job, role)
    warnings: list[str] = []
    if place.table is not None:
        table = _own_table(job, place.table)
        findings.append(f"{place.table}: {len(table):,} rows, {len(table.columns)} columns, all within the bounds")
        warnings = _warnings(job, table)
    if not identity:
        warnings.append("no identity was checked: name it with --identity")
    print_check(job, findings, warnings)


def _warnings(job: Job, table: Table) -> list[str]:
    warnings = []
    if coarse := coarse_columns(job, [table]):
        warnings.append(f"columns that lose most of their values in the fixed point: {', '.join(coarse)}")
    if len(table) < job.n_clusters:
        warnings.append(f"{len(table)} rows for {job.n_clusters} clusters: some cluster will hold none of them")
    return warnings


def parse_tables(values: Sequence[str]) -> dict[str, Path]:
    """``NAME=FILE`` of each ``--table``.

    Raises
    ------
    JobError
    """
    tables: dict[str, Path] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or not name or not file:
            raise JobError(f"--table {value}: without --party, write NAME=FILE for each party")
        if name in tables:
            raise JobError(f'--table: "{name}" is named twice')
        tables[name] = Path(file)
    return tables
