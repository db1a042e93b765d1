"""``python -m secure_kmeans.roles FOLDER``: all roles of a local job, started by CrypTen's ``run_multiprocess``.

:mod:`secure_kmeans.local` starts this and watches it. Each role connects to the socket in FOLDER and tells, one
JSON object a line, that it is alive, how far it is, and how it ended; when its connection closes, it is dead. A
party reads its own table in FOLDER and writes its outcome there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from secure_kmeans.errors import SecureKMeansError
from secure_kmeans.job import Job
from secure_kmeans.local import DEALER, JOB, SOCKET, outcome_path, table_path
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.party import run_party

HEARTBEAT_SECONDS: Final = 0.5


class _Line:
    """A role's line to whoever started it."""

    def __init__(self, folder: Path, role: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(folder / SOCKET))
        self._lock = threading.Lock()
        self.tell(event="hello", role=role)
        threading.Thread(target=self._beat, daemon=True).start()

    def tell(self, **event: object) -> None:
        """Send one event; end this process where nobody listens any more."""
        try:
            with self._lock:
                self._socket.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            os._exit(1)

    def end(self) -> None:
        """Tell that all is done, and at what cost."""
        self._tell_traffic()
        self.tell(event="done")

    def progress(self, phase: str, done: int, total: int) -> None:
        """Tell how far the run is."""
        self.tell(event="progress", phase=phase, done=done, total=total)

    def _beat(self) -> None:
        while True:
            self._tell_traffic()
            time.sleep(HEARTBEAT_SECONDS)

    def _tell_traffic(self) -> None:
        sent = crypten.traffic()
        self.tell(event="alive", rounds=sent.rounds, bytes_sent=sent.bytes_sent, cpu_s=time.process_time())


def _call_this_process(name: str) -> None:
    """So that ``ps`` and ``top`` show which role it is, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _describe(error: Exception) -> str:
    """What happened. Only this package's messages are known to hold no value of a table; of others the type is told."""
    if isinstance(error, SecureKMeansError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if crypten.is_lost_peer(error):
        return "lost its connection to another role"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


class _LocalRoles:
    """The roles of the job in a folder; each process uses its own copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = Job.model_validate_json((folder / JOB).read_text())
        self.line: _Line | None = None

    def run(self) -> bool:
        """Run them all; return whether all ended well."""
        patience = self.job.timeout + 30  # a role that only waits should outlast the one that it waits for
        return crypten.run_roles(len(self.job.parties), self.take_part, timeout=patience, guard=self.live)

    def live(self, rank: int, life: Callable[[], None]) -> None:
        """A role's life, and how it ended, told without a private value."""
        role = (*self.job.parties, DEALER)[rank]
        _call_this_process(role)
        self.line = _Line(self.folder, role)
        try:
            life()
        except Exception as error:
            traceback.print_exc()
            self.line.tell(event="failed", lost_peer=crypten.is_lost_peer(error), reason=_describe(error))
            os._exit(1)
        self.line.end()

    def take_part(self, rank: int) -> None:
        """A party's part: its own table in, its own outcome out, complete or not at all."""
        assert self.line is not None
        party = self.job.parties[rank]
        progress = self.line.progress if rank == 0 else _silent
        outcome = run_party(self.job, rank, table_path(self.folder, party), progress)
        aside = outcome_path(self.folder, party).with_suffix(".part")
        aside.write_text(outcome.model_dump_json())
        aside.rename(outcome_path(self.folder, party))


def main(folder: Path) -> int:
    """Run all roles of the job in ``folder``; 0 where all ended well."""
    started_by = os.getppid()
    ended_well = _LocalRoles(folder).run()
    if os.getppid() != started_by:  # nobody is left to take the tables away
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if ended_well else 1


def _silent(phase: str, done: int, total: int) -> None:
    del phase, done, total


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
