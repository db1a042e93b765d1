"""A rehearsal: all roles of a job on this machine, started, watched, and ended when one of them fails.

The roles run in processes of their own, :mod:`secure_kmeans.roles.process`, and meet over the loopback interface by
the same code as on machines of their own. This works from a script, a test and a notebook alike. Each party reads only
its own rows. No process outlives the call.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from secure_kmeans.errors import (
    DataError,
    JobError,
    MismatchError,
    ProtocolError,
    RoleError,
    SecureKMeansError,
    StateError,
)
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import Entry
from secure_kmeans.job.result import Costs, Progress, Result, no_progress
from secure_kmeans.private_files import missing_folders
from secure_kmeans.protocols import protocol_of
from secure_kmeans.roles.core_dumps import switch_off_core_dumps
from secure_kmeans.roles.files import LOG, SOCKET, RehearsalFolder
from secure_kmeans.tables import Table

_LONGEST_FOLDER: Final = 75
_START_SECONDS: Final = 60.0
_START_GAP_SECONDS: Final = 10.0
"""The roles are forked one after the other: one that does not connect so long after another is dead."""
_OWN_REASON_SECONDS: Final = 2.0
"""How long a role that another one blames has to report its own failure."""
_END_SECONDS: Final = 1.0
"""How long the roles have to remove their empty state folders when another one has failed."""
_SAME_TYPE: Final[dict[str, type[SecureKMeansError]]] = {
    each.__name__: each for each in (DataError, JobError, MismatchError, ProtocolError, StateError)
}
"""Errors of a role that reach the caller as what they are; all others become a RoleError."""


def run_local(
    job: Job,
    tables: Sequence[Table],
    progress: Progress | None = None,
    *,
    states: Path | None = None,
    resume: bool = False,
    models: Sequence[bytes] = (),
) -> list[Result]:
    """Run every role of a job on this machine. This process leaves no core dump from now on: it holds the rows.

    Parameters
    ----------
    job : Job
    tables : sequence of Table
        One for each party, in rank order, which the protocol's ``check`` accepted. It may have no rows where a party
        has none to label.
    progress : Progress, optional
        Called in this process with the progress of the first party.
    states : path, optional
        Where each party keeps its states, to resume from.
    resume : bool
        Go on from there.
    models : sequence of bytes, optional
        Each party's share of the model that the job takes, in rank order.

    Returns
    -------
    The parties' results in rank order, each with the costs of all roles. Their ``seconds`` include the start of the
    processes.

    Raises
    ------
    MissingPackageError
        Where a package that the protocol needs is not installed; nothing is started then.
    RoleError
        Where a role failed, died or stopped answering; it names the role and the reason.
    StateError
        Where a party's states cannot be used or kept.
    ProtocolError
        Where the parties' results differ, or the run disclosed more than the job announces.
    """
    switch_off_core_dumps()
    protocol = protocol_of(job.protocol)
    protocol.check_installed()
    assert bool(models) == (protocol.model_taken(job) is not None), "a job that takes a model needs each party's share"
    began = time.perf_counter()
    path = Path(tempfile.mkdtemp(prefix="secure-kmeans-", dir=_short_temporary_folder()))  # only its owner may enter it
    made = [] if states is None else missing_folders(states) or [states]
    try:
        folder = RehearsalFolder(path)
        folder.write(job, tables, states, resume, models)
        costs = _Supervisor(job, path, progress or no_progress).run()
        seconds = time.perf_counter() - began
        results = [folder.read_result(job, name).finished(costs=costs[name], seconds=seconds) for name in job.names]
    finally:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # a folder with states is not empty and stays
            for each in made:
                each.rmdir()
    _check_agreement(results)
    return results


def _short_temporary_folder() -> str:
    """The folder for temporary files, or /tmp where the path of a socket in it would be too long."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < _LONGEST_FOLDER else "/tmp"  # noqa: S108


def _check_agreement(results: Sequence[Result]) -> None:
    """Refuse results that differ in what all parties must hold in common."""
    parties = {result.role for result in results}

    def in_common(result: Result) -> tuple[object, dict[str, int], list[Entry]]:
        return result.common, result.n_samples, [entry for entry in result.ledger if entry.to not in parties]

    first, *others = results
    for other in others:
        if in_common(other) != in_common(first):
            raise ProtocolError(f'parties "{first.role}" and "{other.role}" hold different results: run again')


@dataclass
class _Role:
    """What the supervisor knows of one role."""

    name: str = ""
    buffer: bytes = b""
    done: bool = False
    failed: bool = False


@dataclass
class _Supervisor:
    """Reads the events of the processes of one job. The roles watch each other by themselves."""

    job: Job
    folder: Path
    progress: Progress
    roles: dict[str, _Role] = field(default_factory=dict)
    costs: dict[str, dict[str, Costs]] = field(default_factory=dict)
    failure: RoleError | None = None
    failure_due: float = 0.0

    def run(self) -> dict[str, dict[str, Costs]]:
        """Start the roles and wait for them; return the costs of all roles as each role knows them."""
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
            listener.bind(str(self.folder / SOCKET))
            listener.listen(len(self.job.roles))
            selector.register(listener, selectors.EVENT_READ, None)
            with (self.folder / LOG).open("wb") as log:
                process = self._start(log)
            try:
                self._watch(process, listener, selector)
            finally:
                for key in list(selector.get_map().values()):
                    key.fileobj.close()  # type: ignore[union-attr]
                self._end(process)
        return self.costs

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder)}
        import_root = str(Path(__file__).resolve().parents[2])
        if import_root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):  # it is not installed
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (import_root, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-m", "secure_kmeans.roles.process", str(self.folder)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the processes that were started here: they have a process group of their own.

        A role ends by itself when its connection is closed. One that does not is killed.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        if process.poll() is None or not self._all_done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _missing(self) -> list[str]:
        """Roles that have not connected."""
        return [role.name for role in self.job.roles if role.name not in self.roles]

    def _all_done(self) -> bool:
        return not self._missing() and all(role.done for role in self.roles.values())

    def _watch(
        self, process: subprocess.Popen[bytes], listener: socket.socket, selector: selectors.BaseSelector
    ) -> None:
        began = time.monotonic()
        first = None
        while not self._all_done():
            for key, _ in selector.select(timeout=0.1):
                if key.fileobj is listener:
                    connection, _address = listener.accept()
                    selector.register(connection, selectors.EVENT_READ, _Role())
                    first = first or time.monotonic()
                else:
                    self._read(key.fileobj, key.data, selector)
            now = time.monotonic()
            if self.failure is not None and now > self.failure_due:
                raise self.failure
            late = first is not None and now - first > _START_GAP_SECONDS
            overdue = now - began > max(_START_SECONDS, self.job.timeout)
            if (missing := self._missing()) and (process.poll() is not None or late or overdue):
                raise RoleError(missing[0], "it could not be started")

    def _read(self, connection: Any, role: _Role, selector: selectors.BaseSelector) -> None:
        data = connection.recv(1 << 16)
        if not data:
            selector.unregister(connection)
            connection.close()
            if not role.done and not role.failed:
                raise RoleError(role.name or self._missing()[0], "its process ended without a word")
            return
        *lines, role.buffer = (role.buffer + data).split(b"\n")
        for line in lines:
            self._take(role, json.loads(line))

    def _take(self, role: _Role, event: dict[str, Any]) -> None:
        """Take one event of a role."""
        match event["event"]:
            case "hello":
                role.name = event["role"]
                self.roles[role.name] = role
            case "progress":
                self.progress(event["phase"], event["done"], event["total"])
            case "failed":
                role.failed = True
                self._take_failure(role.name, event)
            case "done":
                role.done = True
                self.costs[role.name] = {name: Costs(**costs) for name, costs in event["costs"].items()}

    def _take_failure(self, role: str, event: dict[str, str]) -> None:
        """Raise the failure of a role that blames itself; a role that another one blames has time to report its own."""
        blamed, reason = event["blamed"], event["reason"]
        if blamed == role:
            if event["error"] in _SAME_TYPE:
                raise _SAME_TYPE[event["error"]](reason)
            raise RoleError(role, reason)
        if self.failure is None:
            self.failure, self.failure_due = RoleError(blamed, reason), time.monotonic() + _OWN_REASON_SECONDS
