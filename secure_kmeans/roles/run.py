"""One role's part in a run: meet the other roles, run the protocol, and end together or name the role that failed.

The same on a machine of its own and in a rehearsal, where :mod:`secure_kmeans.roles.process` calls it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from secure_kmeans.chunked_tables import ChunkedTable
from secure_kmeans.errors import DataError, MismatchError, RoleError, SecureKMeansError, StateError
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import Ledger, check_entries
from secure_kmeans.job.result import Costs, Progress, Result, no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Checkpoint, Done
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.base import Context
from secure_kmeans.roles.models import KeptModel, keep_model
from secure_kmeans.roles.states import StateFolder
from secure_kmeans.tables import Table

log: Final = logging.getLogger(__name__)

_LOG_SECONDS: Final = 10.0
"""Between two log lines of a role that reports no progress."""
_NOTHING_IN_COMMON: Final = "the parties hold no state in common to resume from; start the run anew"

Meet = Callable[[bool, tuple[Checkpoint, ...]], Mesh]
"""Callback(resume, checkpoints): meets the other roles. ``checkpoints`` are the states that this role could resume
from."""

SaveAside = Callable[[Result], None]
"""Callback(result): saves a party's result to a temporary place before the party reports completion."""

Begin = Callable[[bytes], None]
"""Callback(session): called after all roles have met, before the first message that discloses something."""


def save_nothing(result: Result) -> None:
    """Save no result aside."""
    del result


def note_nothing(session: bytes) -> None:
    """Note no beginning."""
    del session


@dataclass(frozen=True)
class RoleRun:
    """One role's part in a run.

    Attributes
    ----------
    job : Job
    role : str
        The role's name.
    table : Table or None
        A party's rows, which the protocol's ``check`` accepted; None at a helper.
    progress : Progress
    states : StateFolder or None
        Where a party keeps its states; None: it keeps none.
    resume : bool
        Go on from a state that all parties hold.
    model : bytes or None
        A party's share of the model that the job takes.
    save_aside : SaveAside
        An exception in it fails the run for all roles, which can then be resumed.
    begin : Begin
        Called at a party. An exception in it fails the run for all roles, before anything was disclosed.
    """

    job: Job
    role: str
    table: Table | None
    progress: Progress = no_progress
    states: StateFolder | None = None
    resume: bool = False
    save_aside: SaveAside = save_nothing
    model: bytes | None = None
    begin: Begin = note_nothing

    def run(self, meet: Meet) -> Result | None:
        """Take part, from the meeting to the end.

        A share of a model is kept in the state folder. The states stay: the caller clears them after it has saved the
        result.

        Returns
        -------
        A party's result with the costs of all roles; None at a helper.

        Raises
        ------
        MissingPackageError
            Where a package that the protocol needs is not installed; nothing is sent then.
        RoleError
            Names the role that failed. All other roles are sent the failure of this one.
        StateError
            Where the parties hold no state in common, or a state cannot be kept.
        ProtocolError
            Where the run disclosed more than the job announces; nothing is saved then.
        """
        protocol_of(self.job.protocol).load(self.job)
        mesh = meet(self.resume, self._checkpoints())
        started, began = datetime.now(UTC), time.perf_counter()
        try:
            log.info("all roles have met: session %s", mesh.session.hex()[:16])
            if mesh.resuming and mesh.checkpoint is None:
                raise StateError(_NOTHING_IN_COMMON)
            result = self._take_part(mesh)
            if result is not None:
                assert self.table is not None
                result = result.finished(
                    session=mesh.session.hex(),
                    started=started,
                    ended=datetime.now(UTC),
                    seconds=time.perf_counter() - began,
                    table_digest=self.table.digest.hex(),
                )
                self._keep_model(result)
                self.save_aside(result)
            done = mesh.finish()
        except BaseException as error:
            mesh.fail(_for_other_roles(error))
            failure = mesh.failure
            own_reason = isinstance(error, RoleError | StateError | MismatchError | KeyboardInterrupt)
            if failure is not None and failure.role != self.role and not own_reason:
                raise failure from error  # the other role's failure caused this error
            raise
        finally:
            mesh.close()
        log.info("done: %s", _so_far(mesh))
        return None if result is None else result.finished(costs=_costs_of_all(mesh, done))

    def _checkpoints(self) -> tuple[Checkpoint, ...]:
        """The states that this role offers to resume from."""
        if self.states is None:
            return ()
        if self.resume:
            return self.states.to_resume_from()
        if held := self.states.checkpoints():
            log.warning("forgets the state after iteration %d, from which the run could be resumed", held[-1].iteration)
        return ()

    def _take_part(self, mesh: Mesh) -> Result | None:
        """Run the protocol, and refuse a ledger with more than it announces."""
        protocol = protocol_of(self.job.protocol)
        disclosures = protocol.disclosures(self.job)
        ledger = Ledger(disclosures)
        progress = no_progress if self.table is None else self._progress(mesh)
        table = self.table.reporting_to(progress) if isinstance(self.table, ChunkedTable) else self.table
        context: Context[Any] = Context(
            job=self.job,
            role=self.job.role(self.role),
            table=table,
            mesh=mesh,
            ledger=ledger,
            progress=progress,
            resumed=self._resumed(mesh),
            keep=self._keep(mesh),
            model=self.model,
        )
        if self.table is not None:
            self.begin(mesh.session)
        with contextlib.nullcontext() if self.table is not None else _logging_now_and_then(mesh):
            result = protocol.run(context)
        assert (result is None) == (self.table is None), "every party has a result, and no helper has one"
        check_entries(ledger.entries, disclosures)
        if result is not None:
            check_entries(result.ledger, disclosures)
        return result

    def _resumed(self, mesh: Mesh) -> bytes | None:
        """A party's state to go on from."""
        if not self.resume or self.states is None:
            return None
        assert mesh.checkpoint is not None
        log.info("resumed after iteration %d", mesh.checkpoint.iteration)
        return self.states.load(mesh.checkpoint)

    def _keep(self, mesh: Mesh) -> Callable[[int, bytes], None]:
        def keep(iteration: int, state: bytes) -> None:
            if self.states is not None:
                self.states.save(mesh.session, iteration, state)

        return keep

    def _keep_model(self, result: Result) -> None:
        """Keep this party's share of the model.

        The party reports completion after it: either all parties have their shares, or the run is not complete.
        """
        share = protocol_of(self.job.protocol).model_kept(result)
        if self.states is not None and share is not None:
            file = keep_model(self.states.path, KeptModel(self.job, self.role, result.session, result.started, share))
            log.info("kept the share of the model: %s", file)

    def _progress(self, mesh: Mesh) -> Progress:
        """Log progress, and pass it on."""

        def report(phase: str, done: int, total: int) -> None:
            log.info("%s %d of %s%d: %s", phase, done, "at most " * (phase == "iterations"), total, _so_far(mesh))
            self.progress(phase, done, total)

        return report


def describe(error: BaseException) -> str:
    """The reason of a failure, for the person who started the role. It holds no value of a table.

    Only this package's own messages are known to hold none. Of other errors the type and the line are named.
    """
    if isinstance(error, RoleError):
        return error.reason
    if isinstance(error, SecureKMeansError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


def _for_other_roles(error: BaseException) -> str:
    """The reason of a failure, for the other roles: without this machine's paths and the findings in a table."""
    match error:
        case MismatchError():
            return "the tables do not fit each other"
        case DataError():
            return "its table does not fit the job"
        case StateError() if str(error) == _NOTHING_IN_COMMON:
            return _NOTHING_IN_COMMON
        case StateError():
            return "its state cannot be used, or not be kept"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return describe(error)


def _so_far(mesh: Mesh) -> str:
    return f"{mesh.traffic.rounds:,} rounds, {mesh.traffic.bytes_sent / 1e6:,.3f} MB sent"


def _costs_of_all(mesh: Mesh, done: Mapping[str, Done]) -> dict[str, Costs]:
    """The costs of all roles, in the order of the job."""
    costs = {name: Costs(rounds=each.rounds, bytes_sent=each.bytes_sent) for name, each in done.items()}
    costs[mesh.me] = Costs(rounds=mesh.traffic.rounds, bytes_sent=mesh.traffic.bytes_sent)
    return {name: costs[name] for name in mesh.roles}


@contextlib.contextmanager
def _logging_now_and_then(mesh: Mesh) -> Iterator[None]:
    """Write a log line every few seconds, for a role that reports no progress."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(_LOG_SECONDS):
            log.info("serving: %s", _so_far(mesh))

    threading.Thread(target=write, name="log", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
