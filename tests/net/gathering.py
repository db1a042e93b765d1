"""Roles that meet in threads of one process, for tests."""

import contextlib
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from secure_kmeans.errors import RoleError
from secure_kmeans.job import Endpoint, Job, Kind, KMeansJob
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.identity import Identity
from secure_kmeans.net.meeting import Attendance, meet
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.tls import LostError, RejectedError, TlsLine
from tests.jobs import AnyJob
from tests.net.lines import PATIENCE, Clock, Task, at_once, eventually, identity_of, job_of, soon

ROLES = ("a", "b", "dealer")

Log = Callable[[], list[str]]
"""The messages that net has logged so far."""


class ServersJob(KMeansJob):
    """A job with two helpers, of kinds that no other test of net has."""

    HELPERS: ClassVar = {"adder": Kind.SERVER, "keys": Kind.KEY_SERVICE}

    protocol: str = "servers"
    adder: Endpoint = Endpoint()
    keys: Endpoint = Endpoint()


class Gathering:
    """A job, and those of its roles that have started to meet."""

    def __init__(
        self, names: Sequence[str] = ROLES[:-1], job_class: type[KMeansJob] = AnyJob, **values: object
    ) -> None:
        self.job, self.bound = job_of(*names, job_class=job_class, **values)
        self.roles = tuple(role.name for role in self.job.roles)
        self.met: list[Mesh] = []
        self.tasks: list[Task] = []

    def listen(self, *roles: str) -> Self:
        for role in roles:
            self.bound[role].listen(1024)
        return self

    def start(self, role: str, *, job: Job | None = None, identity: Identity | None = None, **settings: Any) -> Task:
        """Start a role. Its task returns its mesh."""

        def attend() -> Mesh:
            listener = None
            if role != self.roles[0]:
                self.listen(role)
                listener = self.bound[role]
            attendance = Attendance(
                job=job or self.job,
                role=role,
                identity=identity or identity_of(role),
                listener=listener,
                **({"wait": PATIENCE} | settings),
            )
            mesh = meet(attendance)
            self.met.append(mesh)
            return mesh

        task = Task(attend)
        self.tasks.append(task)
        return task

    def start_all(self, **settings: Any) -> list[Mesh]:
        tasks = [self.start(role, **settings) for role in self.roles]
        return [task.result() for task in tasks]

    def end(self) -> None:
        for task in self.tasks:
            with contextlib.suppress(Exception):
                task.result()
        at_once(*(mesh.close for mesh in self.met))
        self.met = []
        for each in self.bound.values():
            each.close()


Gather = Callable[..., Gathering]
"""The fixture ``gather``: makes a :class:`Gathering`, which ends with the test."""


def pass_time(clock: Clock, condition: Callable[[], object]) -> None:
    """Let the clock of the meetings run ahead until something has happened."""

    def ahead() -> object:
        clock.jump(2)
        return condition()

    eventually(ahead)


def works(meshes: Sequence[Mesh]) -> bool:
    """Whether each role can exchange numbers with each other role."""

    def talk(mesh: Mesh) -> bool:
        others = [role for role in mesh.roles if role != mesh.me]
        sent = np.arange(3000) + mesh.roles.index(mesh.me)
        targets = {role: np.zeros(3000, np.int64) for role in others}
        mesh.exchange(dict.fromkeys(others, sent), targets)
        return all(np.array_equal(targets[role], np.arange(3000) + mesh.roles.index(role)) for role in others)

    return at_once(*(partial(talk, mesh) for mesh in meshes)) == [True] * len(meshes)


def failure_of(task: Task) -> tuple[str, str]:
    error = task.error()
    assert isinstance(error, RoleError), error
    return error.role, error.reason


def reachable(gathering: Gathering, role: str) -> bool:
    """Whether a role listens."""
    try:
        socket.create_connection(gathering.bound[role].getsockname(), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def wait_for_the_end(caller: Channel) -> None:
    """Read until the other side closes, and close too."""
    with contextlib.suppress(LostError):
        while True:
            caller.receive_message(soon())
    caller.line.close()


def answers(gathering: Gathering, role: str, identity: Identity) -> TlsLine:
    """Answer one call to a role, with this identity."""
    accepted, _ = gathering.bound[role].accept()
    line = TlsLine(accepted, identity, {identity_of("a").fingerprint}, server=True)
    with contextlib.suppress(RejectedError):
        line.shake_hands(soon())
    return line
