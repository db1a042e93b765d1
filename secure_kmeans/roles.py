"""``python -m secure_kmeans.roles FOLDER``: all roles of a local job, started by CrypTen's ``run_multiprocess``.

:mod:`secure_kmeans.local` starts this and watches it. Each role connects to the socket in FOLDER and tells, one
JSON object a line, that it is alive, how far it is, and how it ended; when its connection closes, it is dead. A
party reads its own table in FOLDER and writes its outcome there.
"""

from __future__ import annotations

import contextlib
import json
import os
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

    def progress(self, phase: str, done: int, total: int) -> None:
        """Tell how far the run is."""
        self.tell(event="progress", phase=phase, done=done, total=total)

    def _beat(self) -> None:
        while True:
            rounds = crypten.traffic().rounds if crypten.connected() else 0
            self.tell(event="alive", rounds=rounds, cpu_s=time.process_time())
            time.sleep(HEARTBEAT_SECONDS)


def _guarded(folder: Path, role: str, work: Callable[[_Line], None]) -> None:
    """Do a role's work; tell how it ended, without a private value."""
    _call_this_process(role)
    line = _Line(folder, role)
    try:
        work(line)
    except Exception as error:
        traceback.print_exc()
        line.tell(event="failed", lost_peer=crypten.is_lost_peer(error), reason=_describe(error))
        os._exit(1)
    sent = crypten.traffic()
    line.tell(event="done", rounds=sent.rounds, bytes_sent=sent.bytes_sent)


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


def main(folder: Path) -> int:
    """Run all roles of the job in ``folder``; 0 where all ended well."""
    job = Job.model_validate_json((folder / JOB).read_text())

    def party(rank: int) -> None:
        name = job.parties[rank]

        def work(line: _Line) -> None:
            progress = line.progress if rank == 0 else _silent
            outcome = run_party(job, rank, table_path(folder, name), progress)
            aside = outcome_path(folder, name).with_suffix(".part")
            aside.write_text(outcome.model_dump_json())
            aside.rename(outcome_path(folder, name))

        _guarded(folder, name, work)

    def dealer(serve: Callable[[], None]) -> None:
        _guarded(folder, DEALER, lambda _: serve())

    return 0 if crypten.run_roles(job.parties, party, dealer, job.timeout + 30) else 1


def _silent(phase: str, done: int, total: int) -> None:
    del phase, done, total


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
