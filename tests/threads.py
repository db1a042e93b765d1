"""All roles of a job in threads of this process, over lines in memory."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from secure_kmeans.errors import RoleError
from secure_kmeans.job import Job, Role
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.net.mesh import Mesh, refuse_a_second_key
from secure_kmeans.net.messages import Checkpoint, decode_object, encode_object
from secure_kmeans.net.watch import Traffic
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.base import Context, Keep
from secure_kmeans.tables import Table

SECONDS = 60.0


class Post:
    """A queue for each pair of roles and direction, and a copy of all that was sent."""

    def __init__(self, roles: tuple[str, ...], session: bytes, checkpoint: Checkpoint | None) -> None:
        self.roles, self.session, self.checkpoint = roles, session, checkpoint
        self.queues: dict[tuple[str, str], queue.Queue[Any]] = {
            (sender, receiver): queue.Queue() for sender in roles for receiver in roles if sender != receiver
        }
        self.sent: dict[tuple[str, str], list[Any]] = {}


class MemoryMesh:
    """A role's mesh, without a network; see :class:`~secure_kmeans.net.mesh.Mesh`."""

    def __init__(self, post: Post, me: str) -> None:
        self._post, self.me, self.roles, self.session = post, me, post.roles, post.session
        self.checkpoint = post.checkpoint
        self.traffic = Traffic()
        self._given: set[tuple[str, str]] = set()

    def _put(self, peer: str, value: Any) -> None:
        self._post.sent.setdefault((self.me, peer), []).append(value)
        self._post.queues[self.me, peer].put(value)

    def _get(self, peer: str) -> Any:
        value = self._post.queues[peer, self.me].get(timeout=SECONDS)
        if isinstance(value, RoleError):
            raise value
        return value

    def post(self, peer: str, numbers: np.ndarray) -> None:
        assert numbers.flags.c_contiguous, "a mesh sends contiguous arrays"
        self._put(peer, numbers.copy())

    def receive(self, peer: str, target: np.ndarray) -> None:
        numbers = self._get(peer)
        same = isinstance(numbers, np.ndarray) and (numbers.shape, numbers.dtype) == (target.shape, target.dtype)
        if not same:
            raise RoleError(peer, "it sent something else than was expected")
        target[...] = numbers

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        for peer, numbers in outgoing.items():
            self.post(peer, numbers)
        for peer, target in targets.items():
            self.receive(peer, target)

    def flush(self) -> None:
        pass

    def finish(self) -> dict[str, Any]:
        """Every message has arrived: a role receives what was sent before the sender's failure."""
        return {}

    def post_object(self, peer: str, value: Any) -> int:
        payload = encode_object(value)
        self._put(peer, payload)
        return len(payload)

    def receive_object(self, peer: str) -> Any:
        payload = self._get(peer)
        if not isinstance(payload, bytes):
            raise RoleError(peer, "it sent something else than was expected")
        return decode_object(payload)

    def key(self, peer: str, purpose: str) -> bytes:
        refuse_a_second_key(self._given, peer, purpose)
        return self.key_for(peer, purpose)

    def key_for(self, peer: str, purpose: str) -> bytes:
        """The key, as often as it is asked for."""
        pair = repr(sorted([peer, self.me]))
        return hashlib.sha256(self.session + pair.encode() + purpose.encode()).digest()

    def blame(self, peer: str, reason: str) -> RoleError:
        return RoleError(peer, reason)

    def fail(self, reason: str) -> None:
        """Tell all roles that this one failed."""
        for peer in self.roles:
            if peer != self.me:
                self._post.queues[self.me, peer].put(RoleError(self.me, reason))


class Threads:
    """One run of a function at all roles.

    Parameters
    ----------
    names : sequence of str
        Of the roles.
    part : callable
        Called with each role's number and mesh.

    Attributes
    ----------
    answers : list
        What ``part`` returned at each role.
    traffic : list of Traffic
    sent : dict
        From (sender, receiver) to all that went that way: arrays, and bytes of objects.
    """

    def __init__(
        self,
        names: Sequence[str],
        part: Callable[[int, MemoryMesh], Any],
        *,
        session: bytes = bytes(32),
        iteration: int | None = None,
        mesh: Callable[[Post, str], MemoryMesh] = MemoryMesh,
    ) -> None:
        checkpoint = None if iteration is None else Checkpoint(iteration, session)
        post = Post(tuple(names), session, checkpoint)
        meshes = [mesh(post, name) for name in names]
        self.answers: list[Any] = [None] * len(meshes)
        self.traffic = [mesh.traffic for mesh in meshes]
        self.sent = post.sent
        raised: list[BaseException] = []

        def take_part(number: int) -> None:
            try:
                self.answers[number] = part(number, meshes[number])
            except BaseException as error:
                raised.append(error)
                meshes[number].fail(type(error).__name__)

        threads = [threading.Thread(target=take_part, args=(number,), daemon=True) for number in range(len(meshes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        for error in sorted(raised, key=lambda error: isinstance(error, RoleError)):  # the cause comes first
            raise error
        assert not any(thread.is_alive() for thread in threads), "a role does not end"
        left = {pair: each.qsize() for pair, each in post.queues.items() if each.qsize()}
        assert not left, f"sent, and never received: {left}"


def threads_of(job: Job, part: Callable[[Role, Mesh], Any], **options: Any) -> Threads:
    """Call ``part(role, mesh)`` at all roles of a job; the options are those of :class:`Threads`."""
    roles = job.roles
    return Threads(
        [role.name for role in roles], lambda number, mesh: part(roles[number], cast("Mesh", mesh)), **options
    )


def run_protocol(
    job: Job,
    tables: Mapping[str, Table],
    *,
    resumed: Mapping[str, bytes] | None = None,
    models: Mapping[str, bytes] | None = None,
    keep: Callable[[str], Keep] | None = None,
    progress: Progress = no_progress,
    **options: Any,
) -> tuple[list[Any], Threads]:
    """Run a job's protocol at all roles; the options are those of :class:`Threads`.

    Returns
    -------
    The parties' results, and what the roles did.
    """
    protocol = protocol_of(job.protocol)

    def part(role: Role, mesh: Mesh) -> Any:
        context: Context[Any] = Context(
            job=job,
            role=role,
            table=tables.get(role.name),
            mesh=mesh,
            ledger=Ledger(protocol.disclosures(job)),
            progress=progress if role.name == job.names[0] else no_progress,
            resumed=None if resumed is None else resumed.get(role.name),
            model=None if models is None else models.get(role.name),
            keep=(lambda _iteration, _state: None) if keep is None else keep(role.name),
        )
        return protocol.run(context)

    threads = threads_of(job, part, **options)
    return threads.answers[: len(job.parties)], threads
