"""All roles of a job in processes of their own on this machine, over TLS on its loopback interface.

``python -m secure_kmeans.roles.process FOLDER`` is the child process of a rehearsal. Its supervisor,
:mod:`secure_kmeans.roles.local`, starts it. Each role connects to the socket in FOLDER and sends events, one JSON
object a line: how far it is and how it ended. The end of this connection is the end of the role's process. A party
reads its own rows in FOLDER and writes its result there.

:func:`in_processes` is for tests and experiments: it runs any function in place of a protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from secure_kmeans.errors import RoleError
from secure_kmeans.job import Job, Role
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.loopback import Loopback
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols import protocol_of
from secure_kmeans.roles.core_dumps import switch_off_core_dumps
from secure_kmeans.roles.files import SOCKET, RehearsalFolder
from secure_kmeans.roles.run import RoleRun, describe
from secure_kmeans.roles.states import StateFolder

Start = Callable[[int, Callable[[int], None]], bool]
"""Callback(roles, role): see :meth:`secure_kmeans.protocols.base.Protocol.start_roles`."""


def start_roles(
    job: Job, folder: Path, take_part: Callable[[Role, Loopback], None], start: Start | None = None
) -> bool:
    """Call ``take_part(role, loopback)`` in a process of its own for each role; return whether all ended well.

    The processes leave no core dump.

    Parameters
    ----------
    job : Job
    folder : path
        Only its owner may enter it.
    take_part : callable
    start : Start, optional
        How processes are started; by default as the job's protocol does it.
    """
    switch_off_core_dumps()
    loopback = Loopback(job, folder / "identities")
    roles = job.roles
    if start is None:
        protocol = protocol_of(job.protocol)
        protocol.load(job)  # once, before the roles are forked
        start = protocol.start_roles
    return start(len(roles), lambda number: take_part(roles[number], loopback))


# ------------------------------------------------------- tests and experiments


def in_processes(job: Job, part: Callable[[Role, Mesh], Any], *, start: Start | None = None) -> list[Any]:
    """Call ``part(role, mesh)`` in each role's process after the roles have met.

    Parameters
    ----------
    job : Job
    part : callable
        Its answer has to be a JSON value. The mesh is ended after it.
    start : Start, optional
        As in :func:`start_roles`.

    Returns
    -------
    The answers of all roles, in the order of the job.

    Raises
    ------
    AssertionError
        Where a role failed, with its traceback. A role that failed for a reason of its own is preferred to one that
        failed because of another.
    """
    with tempfile.TemporaryDirectory(prefix="secure-kmeans-") as name:
        folder = Path(name)

        def take_part(role: Role, loopback: Loopback) -> None:
            answer = _answer(role, loopback, part)
            (folder / f"{role.name}.json").write_text(json.dumps(answer))
            if "raised" in answer:
                sys.exit(1)

        start_roles(job, folder, take_part, start)
        answers = {role.name: _read_answer(folder / f"{role.name}.json") for role in job.roles}
    failed = {name: answer for name, answer in answers.items() if "raised" in answer}
    for name, answer in sorted(failed.items(), key=lambda item: item[1]["blamed"] not in (item[0], None)):
        raise AssertionError(f'role "{name}" failed:\n{answer["raised"]}')
    return [answer["returned"] for answer in answers.values()]


def _answer(role: Role, loopback: Loopback, part: Callable[[Role, Mesh], Any]) -> dict[str, Any]:
    """The answer of one role, or its traceback and the role that it blames."""
    try:
        mesh = loopback.meet(role.name)
        try:
            answer = {"returned": part(role, mesh)}
            json.dumps(answer)
            with contextlib.suppress(RoleError):  # the role that failed reports its failure itself
                mesh.finish()
        except BaseException as error:
            mesh.fail(describe(error))
            raise
        finally:
            mesh.close()
    except BaseException as error:
        return {"raised": traceback.format_exc(), "blamed": error.role if isinstance(error, RoleError) else role.name}
    return answer


def _read_answer(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"raised": "its process ended without an answer", "blamed": None}
    answer: dict[str, Any] = json.loads(path.read_text())
    return answer


# ------------------------------------------- the child process of a rehearsal


class _Line:
    """A role's connection to its supervisor.

    Parameters
    ----------
    folder : path
    role : str
    clean_up : callable
        Called before this process ends early.
    """

    def __init__(self, folder: Path, role: str, clean_up: Callable[[], None]) -> None:
        self._role, self._clean_up = role, clean_up
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(folder / SOCKET))
        self._sending, self._ending = threading.Lock(), threading.Lock()
        self.send(event="hello", role=role)

    def end_with_supervisor(self) -> None:
        """End this process, from now on, when the supervisor closes the connection or ends."""
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, **event: object) -> None:
        """Send one event; end this process where the supervisor has ended."""
        try:
            with self._sending:
                self._socket.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self._exit()

    def progress(self, phase: str, done: int, total: int) -> None:
        """Send progress."""
        self.send(event="progress", phase=phase, done=done, total=total)

    def failed(self, error: BaseException) -> None:
        """Send a failure, and end this process. The other roles know of the failure already."""
        blamed = error.role if isinstance(error, RoleError) else self._role
        self.send(event="failed", error=type(error).__name__, blamed=blamed, reason=describe(error))
        self._exit()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.recv(1)  # the supervisor sends nothing: this returns at the end of the connection
        self._exit()

    def _exit(self) -> NoReturn:
        with self._ending:  # another thread may clean up already
            try:
                self._clean_up()
            finally:
                os._exit(1)


def _name_this_process(name: str) -> None:
    """Let ``ps`` and ``top`` show the role's name, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


class _Rehearsal:
    """The roles of the job in a folder. Each role's process has a copy."""

    def __init__(self, path: Path) -> None:
        self.folder = RehearsalFolder(path)
        self.job, self.settings = self.folder.read_job(), self.folder.read_settings()

    def run(self) -> bool:
        """Run all roles; return whether all ended well."""
        return start_roles(self.job, self.folder.path, self.take_part)

    def take_part(self, role: Role, loopback: Loopback) -> None:
        """Run one role, and report how it ended."""
        _name_this_process(role.name)
        with contextlib.ExitStack() as stack:
            line = _Line(self.folder.path, role.name, stack.close)
            try:
                run = self._role_run(role, line, stack)
                line.end_with_supervisor()  # the state folder is open, and closed by the line
                result = run.run(
                    lambda resume, checkpoints: loopback.meet(
                        role.name, resume=resume, checkpoints=checkpoints, give_up=line.failed
                    )
                )
                if run.states is not None:
                    run.states.clear()
                stack.close()  # the supervisor ends this process when all roles are done
                costs = {} if result is None else {name: cost.model_dump() for name, cost in result.costs.items()}
                line.send(event="done", costs=costs)
            except BaseException as error:
                traceback.print_exc()
                line.failed(error)

    def _role_run(self, role: Role, line: _Line, stack: contextlib.ExitStack) -> RoleRun:
        settings, job = self.settings, self.job
        if role.name not in settings.headers:
            return RoleRun(job, role.name, None)
        table = self.folder.take_table(role.name, settings.headers[role.name])
        states = None
        if settings.states is not None:
            needed = protocol_of(job.protocol).state_bytes(job, len(table))
            path = settings.states / role.name
            states = stack.enter_context(StateFolder(path, job, role.name, table.digest, needed))
        progress = line.progress if role.name == job.names[0] else no_progress
        model = self.folder.take_model(role.name)
        return RoleRun(job, role.name, table, progress, states, settings.resume, self.folder.write_result, model=model)


def main(arguments: Sequence[str]) -> int:
    """Run all roles of the job in a folder; return 0 where all ended well."""
    folder = Path(arguments[0])
    supervisor = os.getppid()
    ended_well = _Rehearsal(folder).run()
    if os.getppid() != supervisor:  # the supervisor has ended and cannot remove the folder
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if ended_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
