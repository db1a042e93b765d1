"""All roles of a job on this machine: start them, show how far they are, and end them when one fails.

They meet over loopback, by the same way as on machines of their own: :mod:`secure_kmeans.net`.

The roles run in processes of their own (:mod:`secure_kmeans.local_roles`), so this works from a script, a test and a
notebook alike. Each party finds only its own table. Whatever happens, no process outlives the call.
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
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import BaseModel, ConfigDict

from secure_kmeans.data import Table
from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.job import Job
from secure_kmeans.outcome import Outcome, Progress

SOCKET: Final = "events"
JOB: Final = "job.json"
_LONGEST_FOLDER: Final = 75
_START_SECONDS: Final = 60.0
_START_GAP_SECONDS: Final = 10.0
"""The roles are forked one after the other: one that is not heard of so long after another is dead."""


def table_path(folder: Path, party: str) -> Path:
    """Where a party finds its table."""
    return folder / f"{party}.table.parquet"


def outcome_path(folder: Path, party: str) -> Path:
    """Where a party leaves its outcome."""
    return folder / f"{party}.outcome.json"


class Settings(BaseModel):
    """What the roles of a local job are told.

    Attributes
    ----------
    job : Job
    state : path or None
        Where each party keeps its states, in a folder of its own.
    resume : bool
    """

    model_config = ConfigDict(frozen=True)

    job: Job
    state: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class LocalRun:
    """What the roles of a local job hold at its end.

    Attributes
    ----------
    outcomes : list of Outcome
        One for each party, in rank order.
    communication : dict of str to dict
        For each role ``rounds`` and ``bytes_sent``.
    total_s : float
        From the start of the processes to the end of the last.
    """

    outcomes: list[Outcome]
    communication: dict[str, dict[str, int]]
    total_s: float


def run_local(
    job: Job,
    tables: Sequence[Table],
    progress: Progress | None = None,
    *,
    state: Path | None = None,
    resume: bool = False,
) -> LocalRun:
    """Run every role of a job on this machine.

    Parameters
    ----------
    job : Job
    tables : sequence of Table
        One for each party, in rank order; without rows where a party has none to label.
    progress : callable, optional
        Called in this process.
    state : path, optional
        Where each party keeps its states, to resume from.
    resume : bool
        Go on from there.

    Raises
    ------
    RoleError
        Where a role failed, died or stopped answering; it names the role and the reason.
    ProtocolError
        Where the parties' outcomes differ.
    """
    assert job.protocol != "plaintext"
    began = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="secure-kmeans-", dir=_short_temporary_folder()))  # only its owner may enter
    try:
        settings = Settings(job=job, state=state and state.resolve(), resume=resume)
        (folder / JOB).write_text(settings.model_dump_json())
        for party, table in zip(job.names, tables, strict=True):
            if len(table):
                frame = pd.DataFrame(table.rows, columns=list(job.columns))
                frame.to_parquet(table_path(folder, party))
                table_path(folder, party).chmod(0o600)
        communication = _Supervisor(job, folder, progress).run()
        outcomes = [Outcome.model_validate_json(outcome_path(folder, party).read_text()) for party in job.names]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _check_agreement(outcomes)
    return LocalRun(outcomes, communication, time.perf_counter() - began)


def _short_temporary_folder() -> str:
    """The folder for temporary files, or /tmp where the path of a socket in it would be too long."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < _LONGEST_FOLDER else "/tmp"  # noqa: S108


def _check_agreement(outcomes: Sequence[Outcome]) -> None:
    own = {"party", "labels", "rounds", "bytes_sent", "total_s", "seconds"}
    first, *others = (outcome.model_dump(exclude=own) for outcome in outcomes)
    for outcome, other in zip(outcomes[1:], others, strict=True):
        if other != first:
            raise ProtocolError(
                f'parties "{outcomes[0].party}" and "{outcome.party}" hold different results: run again'
            )


@dataclass
class _Role:
    """What is known of one role."""

    name: str = ""
    buffer: bytes = b""
    done: bool = False


@dataclass
class _Supervisor:
    """Hears the processes of one job. The roles watch each other; this one tells what they say."""

    job: Job
    folder: Path
    progress: Progress | None
    roles: dict[str, _Role] = field(default_factory=dict)
    communication: dict[str, dict[str, int]] = field(default_factory=dict)

    def run(self) -> dict[str, dict[str, int]]:
        """Start the roles, wait for them, and return what each sent."""
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
            listener.bind(str(self.folder / SOCKET))
            listener.listen(len(self.job.roles))
            selector.register(listener, selectors.EVENT_READ, None)
            with (self.folder / "log").open("wb") as log:
                process = self._start(log)
            try:
                self._watch(process, listener, selector)
            finally:
                self._end(process)
                for key in list(selector.get_map().values()):
                    if key.fileobj is not listener:
                        key.fileobj.close()  # type: ignore[union-attr]
        return self.communication

    def _start(self, log: Any) -> subprocess.Popen[bytes]:
        package = str(Path(__file__).resolve().parent.parent)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
            "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",  # loopback only
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.folder),
        }
        command = [sys.executable, "-m", "secure_kmeans.local_roles", str(self.folder)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the processes that were started here: their process group is their own."""
        if process.poll() is None or not self._all_done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _missing(self) -> list[str]:
        """Roles that were never heard of."""
        return [name for name in self.job.roles if name not in self.roles]

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
            late = first is not None and now - first > _START_GAP_SECONDS
            overdue = now - began > max(_START_SECONDS, self.job.timeout)
            if (missing := self._missing()) and (process.poll() is not None or late or overdue):
                raise RoleError(missing[0], "it could not be started")

    def _read(self, connection: Any, role: _Role, selector: selectors.BaseSelector) -> None:
        data = connection.recv(1 << 16)
        if not data:
            selector.unregister(connection)
            connection.close()
            if not role.done:
                raise RoleError(role.name or self._missing()[0], "its process ended without a word")
            return
        *lines, role.buffer = (role.buffer + data).split(b"\n")
        for line in lines:
            self._hear(role, json.loads(line))

    def _hear(self, role: _Role, event: dict[str, Any]) -> None:
        match event.pop("event"):
            case "hello":
                role.name = event["role"]
                self.roles[role.name] = role
            case "progress" if self.progress:
                self.progress(event["phase"], event["done"], event["total"])
            case "failed":
                raise RoleError(event["blamed"], event["reason"])
            case "done":
                role.done = True
                self.communication = event["communication"]
