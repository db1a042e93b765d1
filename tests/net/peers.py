"""A watch, and other roles that a test plays."""

import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, overload

from secure_kmeans.errors import RoleError
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.messages import Alive, Message
from secure_kmeans.net.watch import Watch
from tests.net.lines import (
    PATIENCE,
    Clock,
    Task,
    can_be_read,
    eventually,
    socket_pair,
    soon,
    tls_between,
)

SESSION = bytes(range(32))
LONG = 1000.0
"""A timeout that passes only on a clock that jumps."""


class Peer:
    """Another role, played by the test."""

    def __init__(self, watch: Watch, name: str) -> None:
        ours, self.raw = socket_pair()
        line, self.line = tls_between(ours, self.raw, watch.me, name)
        self.watch, self.name = watch, name
        self.channel = Channel(self.line, watch.me)
        with watch.changed:
            watch.add(Channel(line, name))
            assert watch.changed.wait(PATIENCE)

    def send(self, *messages: Message) -> None:
        """Send messages, and wait until the watch has received each."""
        for message in messages:
            with self.watch.changed:
                self.channel.send_message(message, soon())
                assert self.watch.changed.wait(PATIENCE)

    def receive(self, kind: Any) -> Any:
        """The next message of this type. Others are ignored."""
        while not isinstance(message := self.channel.receive_message(soon()), kind):
            pass
        return message

    def break_line(self) -> None:
        self.raw.shutdown(socket.SHUT_RDWR)


class Watching:
    """Makes watches, each with the roles whose messages it receives, and ends them."""

    def __init__(self) -> None:
        self._made: list[tuple[Watch, list[Peer]]] = []

    @overload
    def __call__(
        self, one: str, /, *, timeout: float = LONG, give_up: Callable[[RoleError], None] | None = None
    ) -> tuple[Watch, Peer]: ...

    @overload
    def __call__(
        self, one: str, other: str, /, *, timeout: float = LONG, give_up: Callable[[RoleError], None] | None = None
    ) -> tuple[Watch, Peer, Peer]: ...

    def __call__(
        self, *others: str, timeout: float = LONG, give_up: Callable[[RoleError], None] | None = None
    ) -> tuple[Watch | Peer, ...]:
        watch = Watch("me", others, timeout, give_up)
        peers = [Peer(watch, name) for name in others]
        self._made.append((watch, peers))
        return watch, *peers

    def end(self) -> None:
        for watch, peers in self._made:
            watch._closing = True  # so that the ends of the lines below are no failures
            for peer in peers:
                peer.line.close()
            watch.close()


def failure_of(watch: Watch) -> tuple[str, str]:
    error = Task(lambda: watch.wait(lambda: False)).error()
    assert isinstance(error, RoleError)
    assert error is watch.failure
    return error.role, error.reason


def has_alarm(watch: Watch) -> bool:
    return can_be_read(watch.alarm(), 0)


def _is_set_or_failed(seen: threading.Event, watch: Watch) -> bool:
    return seen.is_set() or watch.failure is not None


def pass_time(watch: Watch, clock: Clock, seconds: float) -> None:
    """Let the clock jump, in ten steps, each of which the watch sees."""
    for _ in range(10):
        clock.jump(seconds / 10)
        seen = threading.Event()
        watch._command(seen.set)
        eventually(partial(_is_set_or_failed, seen, watch))


def alive(waits_for: str = "", rounds: int = 0, moved: int = 0, cpu_s: float = 0.0) -> Alive:
    return Alive(waits_for, rounds, 0, moved, cpu_s)
