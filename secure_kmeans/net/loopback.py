"""All roles of a job on this machine: fresh identities, and a port of loopback for each."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from secure_kmeans.errors import RoleError
from secure_kmeans.job import DEALER, Dealer, Job, Party
from secure_kmeans.net.identity import new_identity
from secure_kmeans.net.meeting import Attendance, meet
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Checkpoint

START_SECONDS: Final = 60.0


class Loopback:
    """Made before the roles are forked; each then calls :meth:`meet`.

    Parameters
    ----------
    job : Job
        Its addresses and fingerprints are replaced.
    folder : path
        Only its owner may enter it; the identities go there, in folders of their own.

    Attributes
    ----------
    job : Job
        With the places of this machine.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        self._listeners = {role: socket.create_server(("127.0.0.1", 0), backlog=64) for role in job.roles}
        self._identities = {role: new_identity(folder / role) for role in job.roles}

        def place(role: str) -> dict[str, str]:
            port = self._listeners[role].getsockname()[1]
            return {"address": f"127.0.0.1:{port}", "fingerprint": self._identities[role].fingerprint}

        parties = tuple(Party.of(name=name, **place(name)) for name in job.names)
        self.job = job.model_copy(update={"parties": parties, "dealer": Dealer.of(**place(DEALER))})

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
