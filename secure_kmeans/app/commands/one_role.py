"""Commands of one role on its own machine.

Modules that a check of a table does not need are imported where they are used, because they take long to import.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from secure_kmeans.app.commands.all_roles import segments_of
from secure_kmeans.app.commands.models import STATES, model_of, refuse_to_resume, write_prediction_job
from secure_kmeans.app.commands.values import (
    Announce,
    Announcement,
    Checked,
    NewIdentity,
    RoleFiles,
    Run,
    no_announcement,
)
from secure_kmeans.app.inputs import table_of_job
from secure_kmeans.errors import DataError, IdentityError, JobError, RoleError, SecureKMeansError
from secure_kmeans.job import NAME_PATTERN, Job, Kind, Role, split_address
from secure_kmeans.job.result import Progress, Result, no_progress
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.protocols.base import Protocol
from secure_kmeans.roles.core_dumps import switch_off_core_dumps
from secure_kmeans.roles.history import USUAL, History, advice_on_repetitions
from secure_kmeans.tables import Table
from secure_kmeans.words import counted, key

if TYPE_CHECKING:
    from secure_kmeans.net.identity import Identity
    from secure_kmeans.net.mesh import Mesh
    from secure_kmeans.net.messages import Checkpoint
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.report.report import Report
    from secure_kmeans.roles.states import StateFolder

log: Final = logging.getLogger(__name__)


def take_part(
    path: Path,
    role: str,
    files: RoleFiles,
    *,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
    give_up: Callable[[RoleError], None] | None = None,
) -> Run:
    """Run one role of a job file, on its own machine. This process leaves no core dump from now on.

    Parameters
    ----------
    path : path
        The job file.
    role : str
    files : RoleFiles
    announce, progress : callable, optional
        ``announce`` is called at a party, not at a helper.
    give_up : callable, optional
        Callback(error) from another thread, after this role's files were put in order, when another role failed and
        the thread that computes cannot be ended. It has to end the process. By default the process ends with status 1.

    Returns
    -------
    Run, of this role alone; a helper has no report.

    Raises
    ------
    JobError, DataError, IdentityError, StateError
        Before anything is sent.
    RoleError, ProtocolError
    """
    switch_off_core_dumps()
    job = read_job(path)
    protocol_of(job.protocol).check_apart(job)
    own = _checked_role(job, role)
    _refuse_idle(own, files)
    identity = _checked_identity(job, own, files)
    table = _own_table(job, own, files, progress)
    refuse_to_resume(job, files.resume)
    model = None if table is None else model_of(job, own.name, files.states)
    log.info("job %s, digest %s", path, job.digest.hex()[:16])
    return _OneRole(job, own, identity, table, files, path.stem, progress, give_up or _end_process, model).execute(
        announce
    )


def _end_process(_error: RoleError) -> None:
    os._exit(1)


@dataclass(frozen=True)
class _OneRole:
    """One role's run on its own machine; ``table`` is None at a helper, ``model`` where the job takes none."""

    job: Job
    role: Role
    identity: Identity
    table: Table | None
    files: RoleFiles
    name: str
    progress: Progress
    give_up: Callable[[RoleError], None]
    model: bytes | None = None

    @property
    def protocol(self) -> Protocol[Any, Any]:
        return protocol_of(self.job.protocol)

    @property
    def _history(self) -> History:
        return History(self.files.history or USUAL)

    def execute(self, announce: Announce) -> Run:
        """Check, announce, meet the others, compute and write."""
        if self.table is None:
            with contextlib.ExitStack() as stack:
                self._run(None, None, stack)
            return Run(self.job, None)
        advice = tuple(self.protocol.check(self.job, self.role, self.table))
        disclosures = self.protocol.disclosures(self.job)
        history = self._history
        advice += advice_on_repetitions(history, self.job, self.role.name, self.table)
        with contextlib.ExitStack() as stack:
            stack.enter_context(history)
            folder, states = self._folders(self.table, stack)
            if states is not None and self.files.resume:
                states.to_resume_from()  # refuses where there is nothing
            announce(Announcement(self.job, disclosures, advice))
            result = self._run(folder, states, stack)
            assert result is not None
            report = self._write(folder, result)
            folder.sign_report(self.identity)
            files = folder.publish()
            if states is not None:
                states.clear()
        kept = None if states is None or self.protocol.model_kept(result) is None else states.path
        return Run(self.job, report, (result,), tuple(files), disclosures, advice, kept)

    def _folders(self, table: Table, stack: contextlib.ExitStack) -> tuple[ResultsFolder, StateFolder | None]:
        """The folders of results and of states; a prediction keeps no states."""
        from secure_kmeans.report.folder import ResultsFolder
        from secure_kmeans.roles.states import StateFolder

        output = self.files.output or Path("results") / self.name / self.role.name
        folder = stack.enter_context(ResultsFolder(output, needed=64 * len(table)))
        if self.model is not None:
            return folder, None
        where = self.files.states or STATES / self.name / self.role.name
        needed = self.protocol.state_bytes(self.job, len(table))
        states = stack.enter_context(StateFolder(where, self.job, self.role.name, table.digest, needed))
        return folder, states

    def _run(
        self, folder: ResultsFolder | None, states: StateFolder | None, stack: contextlib.ExitStack
    ) -> Result | None:
        from secure_kmeans.net.meeting import Attendance, listen, meet
        from secure_kmeans.roles.run import RoleRun, describe

        def save_aside(result: Result) -> None:
            """A full disk is reported now, when the other roles can still resume the run."""
            assert folder is not None
            self._write(folder, result)

        def begin(session: bytes) -> None:
            assert self.table is not None
            self._history.record(self.job, self.role.name, self.table, session)

        def give_up(error: RoleError) -> None:
            log.error("%s", error)
            stack.close()
            self.give_up(error)

        name, identity, wait = self.role.name, self.identity, self.files.wait
        part = RoleRun(
            self.job,
            name,
            self.table,
            self.progress,
            states,
            self.files.resume,
            save_aside,
            model=self.model,
            begin=begin,
        )
        is_first = self.role == self.job.roles[0]

        def meet_others(resume: bool, held: tuple[Checkpoint, ...]) -> Mesh:
            """Listen only now: a role that listens is expected to answer."""
            listener = None if is_first else listen(self.files.listen or self.role.address or "")
            return meet(Attendance(self.job, name, identity, resume, held, listener, wait, give_up))

        try:
            return part.run(meet_others)
        except (SecureKMeansError, KeyboardInterrupt, OSError):
            raise
        except Exception as error:
            raise RoleError(name, describe(error)) from error  # its own message might hold a value

    def _write(self, folder: ResultsFolder, result: Result) -> Report:
        """Write everything aside; at the end of the run the report once more, with the costs of all roles."""
        assert self.table is not None
        report = self.protocol.report(self.job, [result], None, segments_of(self.job, [result]))
        if result.costs:
            folder.write_report(report)
        else:
            self.protocol.write(folder, report, [result], {self.role.name: self.table}, None)
            write_prediction_job(folder, self.name, self.job, [result])
        return report


def _checked_role(job: Job, name: str) -> Role:
    try:
        return job.role(name)
    except KeyError:
        roles = ", ".join(role.name for role in job.roles)
        raise JobError(f'the job has no role "{name}"; it has {roles}') from None


def _refuse_idle(role: Role, files: RoleFiles) -> None:
    """Refuse what would be ignored silently."""
    if role.kind is Kind.PARTY:
        return
    given = {
        "a table": files.table,
        "chunks of a table": files.chunk_rows,
        "a folder of results": files.output,
        "a folder of states": files.states,
        "a run to resume": files.resume,
        "a history": files.history,
    }
    for what, value in given.items():
        if value:
            raise JobError(f'"{role.name}" is no party and has no use for {what}; leave it out')


def _checked_identity(job: Job, role: Role, files: RoleFiles) -> Identity:
    """The identity of a role that can take part."""
    from secure_kmeans.net.identity import load_identity

    job.check_endpoints()
    if files.listen is not None:
        if role == job.roles[0]:
            raise JobError(f'listen: "{role.name}" is the first party, which dials all others and listens for nobody')
        try:
            split_address(files.listen)
        except ValueError as error:
            raise JobError(f"listen: {error}") from None
    if files.identity is None:
        raise IdentityError(
            f'no identity of "{role.name}" is named; name the folder that new-identity made by {key("identity")}'
        )
    identity = load_identity(files.identity)
    if identity.fingerprint != role.fingerprint:
        raise IdentityError(
            f"{files.identity}: its fingerprint is {identity.fingerprint}, the job names {role.fingerprint} for "
            f'"{role.name}"; put the right one into everybody\'s job, or name another identity'
        )
    return identity


def _own_table(job: Job, role: Role, files: RoleFiles, progress: Progress) -> Table | None:
    """A party's table; None at a helper."""
    if role.kind is not Kind.PARTY:
        return None

    def report(phase: str, done: int, total: int) -> None:
        log.info("%s row %d of %d", phase, done, total)
        progress(phase, done, total)

    if files.table is not None or protocol_of(job.protocol).may_lack_rows(job):
        return table_of_job(job, role.name, files.table, files.chunk_rows, report)
    raise DataError(f'no table of "{role.name}" is named; name the file of its rows by {key("table")}')


def check(path: Path, role: str | None = None, files: RoleFiles | None = None) -> Checked:
    """Check whether job, table and identity fit each other. Nothing is sent.

    Parameters
    ----------
    path : path
        The job file.
    role : str, optional
        Without it, the role that the identity belongs to.
    files : RoleFiles, optional
        ``table``, ``chunk_rows``, ``identity`` and ``history`` apply.

    Raises
    ------
    JobError, DataError, IdentityError, StateError
        For the first thing that does not fit.
    """
    files = files or RoleFiles()
    job = read_job(path)
    protocol = protocol_of(job.protocol)
    protocol.check_apart(job)
    own = None if role is None else _checked_role(job, role)
    findings = [f"{path}: a job of {', '.join(job.names)}, digest {job.digest.hex()}"]
    advice: list[str] = []
    if files.identity is None:
        advice.append("no identity was checked")
    else:
        if own is None:
            own = _owner(job, files.identity)
        else:
            _checked_identity(job, own, files)
        findings.append(f'{files.identity}: the identity of "{own.name}" in this job')
    if files.table is not None:
        party = own if own is not None and own.kind is Kind.PARTY else job.roles[0]
        table = _own_table(job, party, files, no_progress)
        assert table is not None
        repeated = advice_on_repetitions(History(files.history or USUAL), job, party.name, table)
        advice = [*protocol.check(job, party, table), *repeated, *advice]
        identified = "" if table.ids is None else " with identifiers"
        fits = f"{counted(len(table), 'row')}{identified}, {counted(len(table.columns), 'column')}, which fit the job"
        findings.append(f"{files.table}: {fits}")
    return Checked(job, tuple(findings), tuple(advice), protocol.disclosures(job))


def _owner(job: Job, folder: Path) -> Role:
    """The role that an identity belongs to."""
    from secure_kmeans.net.identity import load_identity

    job.check_endpoints()
    fingerprint = load_identity(folder).fingerprint
    for role in job.roles:
        if role.fingerprint == fingerprint:
            return role
    raise IdentityError(
        f"{folder}: its fingerprint is {fingerprint}, which the job does not name; send it to the author of the job"
    )


def new_identity(name: str, folder: Path | None = None) -> NewIdentity:
    """Make a key and a certificate for a role.

    Parameters
    ----------
    name : str
        Of the role.
    folder : path, optional
        Must not exist; the role's name if not given.

    Raises
    ------
    IdentityError
    """
    from secure_kmeans.net.identity import new_identity as make_identity

    if not re.fullmatch(NAME_PATTERN, name):
        raise IdentityError(f'"{name}" is no name of a role: letters, digits, "_", and, but for the first, "-" and "."')
    where = folder or Path(name)
    return NewIdentity(name, where, make_identity(where).fingerprint)
