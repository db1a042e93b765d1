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

from secure_kmeans.console import operator_log, print_check, print_labels
from secure_kmeans.data import Table, read_table
from secure_kmeans.errors import DataError, IdentityError, JobError, RoleError, SecureKMeansError
from secure_kmeans.job import DEALER, Job, read_job
from secure_kmeans.net.identity import Identity, load_identity
from secure_kmeans.net.meeting import Attendance, listen, meet
from secure_kmeans.outcome import Ended
from secure_kmeans.party import check_table
from secure_kmeans.plan import coarse_columns
from secure_kmeans.plots import Panel
from secure_kmeans.report import Report, ResultsFolder, report_of_party
from secure_kmeans.role import RoleLife, describe, digest_of
from secure_kmeans.state import StateFolder
from secure_kmeans.workflow import encrypted_job, finish, title_of

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
    for table in found:
        check_table(job, table)
    return encrypted_job(
        job,
        found,
        place.output or Path("results") / path.stem,
        skip_plaintext=skip_plaintext,
        state=place.state or Path("state") / path.stem,
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
            folder = state = None
            if table is not None:
                output = place.output or Path("results") / path.stem / role
                folder = stack.enter_context(ResultsFolder(output, needed=64 * len(table)))
                where = place.state or Path("state") / path.stem / role
                state = stack.enter_context(StateFolder(where, job, role, digest_of(table)))
            try:
                ended = _live(job, role, identity, table, state, place, stack.close)
            except (SecureKMeansError, KeyboardInterrupt, OSError):
                raise
            except Exception as error:
                raise RoleError(role, describe(error)) from error  # its own message might hold a value
            if folder is not None and table is not None:
                _publish(job, role, ended, table, folder)
            if state is not None:
                state.clear()


def _checked(job: Job, role: str, place: Place) -> Identity:
    """The identity of a role that can take part."""
    job.check_places()
    if role not in job.roles:
        raise JobError(f'--party: the job has no role "{role}"; it has {", ".join(job.roles)}')
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


def _own_table(job: Job, path: Path | None) -> Table:
    if path is None:
        if job.task == "predict":
            return Table("no table", job.columns, np.empty((0, len(job.columns))))
        raise DataError("--table: name the file with this party's rows")
    table = read_table(path, job.columns)
    check_table(job, table)
    return table


def _live(
    job: Job,
    role: str,
    identity: Identity,
    table: Table | None,
    state: StateFolder | None,
    place: Place,
    clean_up: Callable[[], None],
) -> Ended:
    def give_up(error: RoleError) -> None:
        """The thread that works is stuck: end without it."""
        log.error("%s", error)
        if place.log is not None:
            sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        clean_up()
        os._exit(1)

    from secure_kmeans.mpc.crypten_adapter import run_role  # after the checks: it takes seconds

    listener = None if role == job.roles[0] else listen(place.listen or job.place(role).address or "")
    life = RoleLife(job, role, table, _silent, state, place.resume, f"tcp://{job.parties[0].address}")
    return life.run(
        lambda resume, held: meet(
            Attendance(job, role, identity, resume, held, listener, wait=place.wait, give_up=give_up)
        ),
        run_role,
    )


def _silent(phase: str, done: int, total: int) -> None:
    del phase, done, total


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


def _publish(job: Job, role: str, ended: Ended, table: Table, folder: ResultsFolder) -> None:
    outcome = ended.outcome
    assert outcome is not None
    labels = {role: outcome.labels}
    if job.task == "predict":
        folder.write_labels(labels)
        print_labels(folder.publish(), len(table))
        return
    report = report_of_party(job, ended)
    panel = Panel(
        title_of(f"Own rows of {role}, clusters of all", None), np.array(outcome.centroids), np.array(outcome.labels)
    )
    finish(folder, report, labels, [panel], [table.rows], coarse_columns(job, [table]))


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
    elif role is not None and role not in job.roles:
        raise JobError(f'--party: the job has no role "{role}"; it has {", ".join(job.roles)}')
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
