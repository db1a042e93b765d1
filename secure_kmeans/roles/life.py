"""One role's whole life: meet the others, take part, and end together or name who failed."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from secure_kmeans.data import Table
from secure_kmeans.errors import DataError, RoleError, SecureKMeansError, StateError
from secure_kmeans.job import DEALER, Job
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Checkpoint
from secure_kmeans.outcome import Ended, Outcome, Progress
from secure_kmeans.party import run_party, walk_as_dealer
from secure_kmeans.protocols.resumption import State
from secure_kmeans.state import StateFolder

log: Final = logging.getLogger(__name__)

_DEALER_TELLS_SECONDS: Final = 10.0
_NOTHING_IN_COMMON: Final = "the parties hold no state in common to resume from; start all without --resume"

Meet = Callable[[bool, tuple[Checkpoint, ...]], Mesh]
"""Given whether this role resumes, and the states it holds: meets the other roles."""


@dataclass
class RoleLife:
    """A role's part in a job.

    Attributes
    ----------
    job : Job
    role : str
    table : Table or None
        A party's rows; None for the dealer.
    progress : callable
    state : StateFolder or None
    resume : bool
    secure : callable
        Given a party's outcome, before it tells the others that it has all it came for: writes it aside.
    """

    job: Job
    role: str
    table: Table | None
    progress: Progress
    state: StateFolder | None = None
    resume: bool = False
    secure: Callable[[Outcome], None] = lambda _outcome: None
    _outcome: Outcome | None = None
    _mesh: Mesh | None = None

    def run(self, meet: Meet) -> Ended:
        """From the meeting to the end. The state stays: whoever has kept the outcome clears it.

        Raises
        ------
        RoleError
            Names the role that failed; another one's error is told to all others.
        StateError
            Where the parties hold no state in common.
        """
        held = self._held()
        mesh = self._mesh = meet(self.resume, held)
        try:
            log.info("all roles are here: session %s", mesh.session.hex()[:16])
            if mesh.resuming and mesh.checkpoint is None:
                raise StateError(_NOTHING_IN_COMMON)
            if self.role == DEALER:
                threading.Thread(target=self._tell_now_and_then, name="log", daemon=True).start()
            with crypten.joined(mesh, dealer_answers=self.job.engine == "crypten"):
                self.take_part(mesh.roles.index(self.role))
            if self._outcome is not None:
                self.secure(self._outcome)
            done = mesh.finish()
        except BaseException as error:
            mesh.fail(_as_told_to_others(error))
            failure = mesh.failure
            own_words = isinstance(error, RoleError | StateError | KeyboardInterrupt)
            if failure is not None and failure.role != self.role and not own_words:
                raise failure from error  # this role's own trouble comes from the other one's
            raise
        finally:
            mesh.close()
        log.info("done: %s", self._so_far())
        sent = {role: {"rounds": it.rounds, "bytes_sent": it.bytes_sent} for role, it in done.items()}
        sent[self.role] = {"rounds": mesh.traffic.rounds, "bytes_sent": mesh.traffic.bytes_sent}
        return Ended(self._outcome, {role: sent[role] for role in self.job.roles})

    def _held(self) -> tuple[Checkpoint, ...]:
        """The states that this party could resume from, if it is to."""
        if self.state is None:
            return ()
        if self.resume:
            return self.state.to_resume_from()
        if held := self.state.checkpoints():
            log.warning("forgets the state after iteration %d: --resume would go on from there", held[-1].iteration)
        return ()

    def take_part(self, rank: int) -> None:
        """A party's part, or the dealer's."""
        assert self._mesh is not None
        if self.role == DEALER:
            if self.job.engine == "crypten":
                crypten.serve_requests()
            else:
                walk_as_dealer(self.job)
            return
        assert self.table is not None
        resumed = None
        if self.resume and self.state is not None:
            assert self._mesh.checkpoint is not None
            resumed = self.state.load(self._mesh.checkpoint)
            log.info("resumed after iteration %d", resumed.iteration)
        self._outcome = run_party(self.job, rank, self.table, self._told, self._keep, resumed)

    def _told(self, phase: str, done: int, total: int) -> None:
        """Into the operator's log, and to whoever shows progress."""
        log.info("%s %d of %s%d: %s", phase, done, "at most " * (phase == "iterations"), total, self._so_far())
        self.progress(phase, done, total)

    def _so_far(self) -> str:
        assert self._mesh is not None
        return f"{self._mesh.traffic.rounds:,} rounds, {self._mesh.traffic.bytes_sent / 1e6:,.3f} MB sent"

    def _tell_now_and_then(self) -> None:
        """The dealer knows of no phases."""
        while True:
            time.sleep(_DEALER_TELLS_SECONDS)
            log.info("serving: %s", self._so_far())

    def _keep(self, state: State) -> None:
        assert self._mesh is not None
        if self.state is not None:
            self.state.save(self._mesh.session, state)


def digest_of(table: Table) -> bytes:
    """What tells whether a party's rows are the same as in an earlier run."""
    return hashlib.sha256(repr((table.columns, table.rows.shape)).encode() + table.rows.tobytes()).digest()


def _as_told_to_others(error: BaseException) -> str:
    """What happened, without this machine's paths and what a table's check found."""
    match error:
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


def describe(error: BaseException) -> str:
    """What happened, as it is told on this machine.

    Only this package's messages are known to hold no value of a table; of others the type is told.
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
