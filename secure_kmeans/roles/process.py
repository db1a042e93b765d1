"""``python -m secure_kmeans.local_roles FOLDER``: all roles of a local job, started by CrypTen's ``run_multiprocess``.

:mod:`secure_kmeans.local` starts this and hears it. Each role connects to the socket in FOLDER and tells, one
JSON object a line, how far it is and how it ended; when its connection closes, it is dead. A party reads its own table
in FOLDER and writes its outcome there. Among themselves the roles talk as they do on machines of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import threading
import traceback
from pathlib import Path

import numpy as np

from secure_kmeans.data import Table, read_table
from secure_kmeans.errors import RoleError
from secure_kmeans.job import DEALER
from secure_kmeans.local import JOB, SOCKET, Settings, outcome_path, table_path
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.net.loopback import Loopback
from secure_kmeans.outcome import Outcome, show_nothing
from secure_kmeans.party import check_table
from secure_kmeans.role import RoleLife, describe, digest_of
from secure_kmeans.state import StateFolder


class _Line:
    """A role's line to whoever started it."""

    def __init__(self, folder: Path, role: str) -> None:
        self._role = role
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(folder / SOCKET))
        self._lock = threading.Lock()
        self.tell(event="hello", role=role)
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, **event: object) -> None:
        """Send one event; end this process where nobody listens any more."""
        try:
            with self._lock:
                self._socket.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            os._exit(1)

    def progress(self, phase: str, done: int, total: int) -> None:
        """Tell how far the run is."""
        self.tell(event="progress", phase=phase, done=done, total=total)

    def failed(self, error: BaseException) -> None:
        """Tell which role failed, and end this process: its others have been told."""
        blamed = error.role if isinstance(error, RoleError) else self._role
        self.tell(event="failed", blamed=blamed, reason=describe(error))
        os._exit(1)

    def _listen(self) -> None:
        self._socket.recv(1)  # nothing is ever sent: this is the end of whoever started it
        os._exit(1)


def _call_this_process(name: str) -> None:
    """So that ``ps`` and ``top`` show which role it is, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


class _LocalRoles:
    """The roles of the job in a folder; each process uses its own copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings.model_validate_json((folder / JOB).read_text())
        self.loopback = Loopback(self.settings.job, folder / "identities")

    def run(self) -> bool:
        """Run them all; return whether all ended well."""
        return crypten.run_roles(len(self.settings.job.parties), self.live)

    def live(self, rank: int) -> None:
        """A role's life, and how it ended, told without a private value."""
        job = self.settings.job
        role = job.roles[rank]
        _call_this_process(role)
        line = _Line(self.folder, role)
        try:
            with contextlib.ExitStack() as stack:
                life = self._life(role, line, stack)
                ended = life.run(
                    lambda resume, held: self.loopback.meet(role, resume=resume, checkpoints=held, give_up=line.failed)
                )
                if ended.outcome is not None:
                    self._aside(role).rename(outcome_path(self.folder, role))
                    if life.state is not None:
                        life.state.clear()
                line.tell(event="done", communication=ended.communication)
        except BaseException as error:
            traceback.print_exc()
            line.failed(error)

    def _life(self, role: str, line: _Line, stack: contextlib.ExitStack) -> RoleLife:
        settings, job = self.settings, self.settings.job
        if role == DEALER:
            return RoleLife(job, role, None, show_nothing)
        path = table_path(self.folder, role)
        table = Table(role, job.columns, np.empty((0, len(job.columns))))  # it has no rows to label
        if path.exists():
            table = read_table(path, job.columns)
        check_table(job, table)
        state = None
        if settings.state is not None:
            state = stack.enter_context(StateFolder(settings.state / role, job, role, digest_of(table)))
        progress = line.progress if role == job.names[0] else show_nothing
        return RoleLife(job, role, table, progress, state, settings.resume, self._secure)

    def _secure(self, outcome: Outcome) -> None:
        self._aside(outcome.party).write_text(outcome.model_dump_json())

    def _aside(self, party: str) -> Path:
        return outcome_path(self.folder, party).with_suffix(".part")


def main(folder: Path) -> int:
    """Run all roles of the job in ``folder``; 0 where all ended well."""
    started_by = os.getppid()
    ended_well = _LocalRoles(folder).run()
    if os.getppid() != started_by:  # nobody is left to take the tables away
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if ended_well else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
