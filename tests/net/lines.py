"""Lines, watches and jobs for tests: real TLS, all roles in one process."""

import contextlib
import select
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.job import Endpoint, Job, KMeansJob, split_address
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.handshake import hello_of
from secure_kmeans.net.identity import Identity, new_identity
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Hello
from secure_kmeans.net.tls import TlsLine
from secure_kmeans.net.watch import Watch
from tests.jobs import AnyJob, a_job_of

PATIENCE = 30.0
"""Seconds until a test fails because something does not happen, even on a busy machine."""

_made: list[socket.socket] = []


def close_sockets() -> None:
    """Close all sockets that were made here, so that a test need not."""
    while _made:
        _made.pop().close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    _made.extend(pair)
    return pair


def can_be_read(end: Any, seconds: float = PATIENCE) -> bool:
    """Wait until something has arrived, or the end of the line."""
    poller = select.poll()
    poller.register(end, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def soon() -> float:
    """A deadline."""
    return time.monotonic() + PATIENCE


def eventually(condition: Callable[[], object]) -> None:
    deadline = soon()
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


@cache
def identity_of(name: str) -> Identity:
    """An identity for a name: the same for the same name, as long as the tests run."""
    with tempfile.TemporaryDirectory() as folder:
        return new_identity(Path(folder) / "identity")


class Task:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._returned: Any = None
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._returned = self._call()
        except BaseException as error:
            self._raised = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        """What the call returned; what it raised is raised."""
        self._thread.join(PATIENCE)
        assert self.ended, "it does not end"
        if self._raised is not None:
            raise self._raised
        return self._returned

    def error(self) -> Exception:
        """What the call raised."""
        with pytest.raises(Exception) as caught:  # noqa: PT011  the caller checks it
            self.result()
        assert not isinstance(caught.value, AssertionError), caught.value
        return caught.value


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, each in a thread of its own."""
    return [task.result() for task in [Task(call) for call in calls]]


class Clock:
    """A replacement for the module ``time``: it follows the real clock, and can jump."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.process_time = time.process_time  # the processor does not jump

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.05))

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


def tls_pair(client: str = "a", server: str = "b") -> tuple[TlsLine, TlsLine]:
    """The two ends of a line, after the handshake."""
    return tls_between(*socket_pair(), client, server)


def tls_between(dialled: socket.socket, answered: socket.socket, client: str, server: str) -> tuple[TlsLine, TlsLine]:
    ends = (
        TlsLine(dialled, identity_of(client), {identity_of(server).fingerprint}, server=False),
        TlsLine(answered, identity_of(server), {identity_of(client).fingerprint}, server=True),
    )
    at_once(*(partial(end.shake_hands, soon()) for end in ends))
    return ends


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialled = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        answered, _ = listener.accept()
    _made.extend((dialled, answered))
    return dialled, answered


def channel_pair(client: str = "a", server: str = "b") -> tuple[Channel, Channel]:
    """The client's channel to the server, and the server's to the client."""
    dialled, answered = tls_pair(client, server)
    return Channel(dialled, server), Channel(answered, client)


def read_all(line: TlsLine) -> bytes:
    """Everything that has arrived by now."""
    read = bytearray()
    target = memoryview(bytearray(1 << 14))
    while size := line.read_into(target):
        read += target[:size]
    return bytes(read)


def write_all(line: TlsLine, data: bytes) -> None:
    deadline = soon()
    left = memoryview(data)
    while left:
        left = left[line.write(left) :]
        assert time.monotonic() < deadline


def _all_are_ready(watch: Watch, others: set[str]) -> bool:
    return watch.sessions().keys() == others


@contextlib.contextmanager
def meshes(*names: str, timeout: float = PATIENCE, session: bytes = bytes(32)) -> Iterator[dict[str, Mesh]]:
    """The meshes of roles that are connected without a meeting."""
    watches = {name: Watch(name, [other for other in names if other != name], timeout) for name in names}
    data: dict[str, dict[str, Channel]] = {name: {} for name in names}
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            data[name][other], data[other][name] = channel_pair(name, other)
            here, there = channel_pair(name, other)
            watches[name].add(here)
            watches[other].add(there)
    for watch in watches.values():
        watch.tell_ready(session)
    made = {
        name: Mesh(name, names, data[name], watches[name], session, {}, None)  # no Hello is sent here
        for name in names
    }
    for name, watch in watches.items():
        watch.wait(partial(_all_are_ready, watch, set(names) - {name}))
    try:
        yield made
    finally:
        at_once(*(mesh.close for mesh in made.values() if mesh._watch._thread.is_alive()))


def job_of(
    *names: str, job_class: type[KMeansJob] = AnyJob, **values: object
) -> tuple[KMeansJob, dict[str, socket.socket]]:
    """A job with endpoints on this machine, and a bound socket for each role, which does not listen yet."""
    job = a_job_of(job_class, *names, **values)
    bound = {role.name: socket.socket() for role in job.roles}
    for each in bound.values():
        each.bind(("127.0.0.1", 0))

    def endpoint(name: str) -> Endpoint:
        host, port = bound[name].getsockname()
        return Endpoint(address=f"{host}:{port}", fingerprint=identity_of(name).fingerprint)

    return job.with_endpoints({name: endpoint(name) for name in bound}), bound


def hello(job: Job, role: str, line: str = "control", nonce: bytes = bytes(32)) -> Hello:
    """The Hello of a role that resumes nothing."""
    return hello_of(job, role, line, nonce)


def call(job: Job, caller: str, role: str) -> Channel:
    """A channel to a role's door, after the handshake and before the Hello."""
    connected = socket.create_connection(split_address(job.role(role).address or ""), timeout=PATIENCE)
    _made.append(connected)
    line = TlsLine(connected, identity_of(caller), {identity_of(role).fingerprint}, server=False)
    line.shake_hands(soon())
    return Channel(line, role)
