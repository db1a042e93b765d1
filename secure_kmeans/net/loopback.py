"""All roles of a job on this machine: fresh identities, and a port of the loopback interface for each role."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from secure_kmeans.errors import RoleError
from secure_kmeans.job import Endpoint, Job
from secure_kmeans.net.identity import new_identity
from secure_kmeans.net.meeting import BACKLOG, Attendance, meet
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Checkpoint

START_SECONDS: Final = 60.0
"""Seconds that a role waits for the others to start."""


class Loopback:
    """Listening sockets and identities of all roles.

    It is made before the processes of the roles are forked. Each process then calls :meth:`meet`, once.

    Parameters
    ----------
    job : Job
        Its endpoints are replaced.
    folder : path
        The identities are written here, one folder for each role. Only its owner may have access to it.

    Attributes
    ----------
    job : Job
        With the endpoints on this machine.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        names = [role.name for role in job.roles]
        self._listeners = {name: socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) for name in names}
        self._identities = {name: new_identity(folder / name) for name in names}
        ports = {name: listener.getsockname()[1] for name, listener in self._listeners.items()}
        self.job = job.with_endpoints(
            {
                name: Endpoint(address=f"127.0.0.1:{ports[name]}", fingerprint=self._identities[name].fingerprint)
                for name in names
            }
        )

    def meet(
        self,
        role: str,
        *,
        resume: bool = False,
        checkpoints: tuple[Checkpoint, ...] = (),
        give_up: Callable[[RoleError], None] | None = None,
    ) -> Mesh:
        """Meet the other roles; see :func:`~secure_kmeans.net.meeting.meet`."""
        for other, listener in self._listeners.items():
            if other != role:
                listener.close()
        return meet(
            Attendance(
                job=self.job,
                role=role,
                identity=self._identities[role],
                resume=resume,
                checkpoints=checkpoints,
                listener=self._listeners[role],
                wait=START_SECONDS,
                give_up=give_up,
            )
        )
