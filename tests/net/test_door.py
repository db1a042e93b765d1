import contextlib
import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from secure_kmeans.net import door as door_module
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.door import MOST_CALLERS, Admit, Door
from secure_kmeans.net.messages import Kind, Ready, pack_header
from secure_kmeans.net.tls import LostError, RejectedError, TlsLine
from tests.net.lines import PATIENCE, Clock, eventually, identity_of, soon, write_all

READY = Ready(bytes(32))

Log = Callable[[], list[str]]


def all_callers_are_answered() -> None:
    """Wait until the last thread that answers a caller has ended."""
    eventually(lambda: not any(thread.name == "caller" for thread in threading.enumerate()))


class Entrance:
    """A door at a port of this machine, and its callers."""

    def __init__(self, admit: Admit | None = None, pinned: str = "ac") -> None:
        self.admitted: list[str] = []
        self.answer: Admit = admit or self.take
        self.connections: list[socket.socket] = []
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = listener.getsockname()
        names = {identity_of(name).fingerprint: name for name in pinned}
        self.door = Door(listener, identity_of("b"), names, lambda *arguments: self.answer(*arguments))

    def take(self, channel: Channel, deadline: float) -> None:
        channel.receive_message(deadline)
        channel.send_message(READY, deadline)
        self.admitted.append(channel.peer)

    def connect(self) -> socket.socket:
        """A connection, and nothing more."""
        self.connections.append(socket.create_connection(self.address, timeout=PATIENCE))
        return self.connections[-1]

    def close(self) -> None:
        self.door.close()
        for caller in self.connections:
            caller.close()
        all_callers_are_answered()

    def call(self, name: str = "a") -> Channel:
        """A channel, after the handshake."""
        line = TlsLine(self.connect(), identity_of(name), {identity_of("b").fingerprint}, server=False)
        line.shake_hands(soon())
        return Channel(line, "b")

    def accepts(self, name: str = "a") -> bool:
        channel = self.call(name)
        channel.send_message(READY, soon())
        return channel.receive_message(soon()) == READY


@pytest.fixture
def entrance() -> Iterator[Entrance]:
    entrance = Entrance()
    yield entrance
    entrance.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """The messages that the door has logged so far."""
    caplog.set_level(logging.WARNING, logger=door_module.__name__)
    return lambda: [record.getMessage() for record in caplog.records if record.name == door_module.__name__]


class TestCallers:
    def test_a_pinned_caller_is_admitted_under_the_name_of_its_certificate(self, entrance: Entrance) -> None:
        assert entrance.accepts("a")
        assert entrance.accepts("c")
        eventually(lambda: entrance.admitted == ["a", "c"])

    def test_a_stranger_is_refused_and_named_by_its_fingerprint(self, entrance: Entrance, log: Log) -> None:
        with pytest.raises((RejectedError, LostError)):  # either the alert or the end arrives first
            entrance.call("stranger").receive_message(soon())
        eventually(log)
        shown = identity_of("stranger").fingerprint
        [line] = log()
        assert line.startswith("refused a connection from 127.0.0.1 port ")
        assert line.endswith(f": it showed a certificate with the fingerprint {shown}")
        assert entrance.admitted == []
        assert entrance.accepts()

    @pytest.mark.parametrize("size", [0, 1, 100, 100_000])
    def test_random_bytes_are_refused(self, entrance: Entrance, log: Log, size: int) -> None:
        with entrance.connect() as caller:
            try:
                caller.sendall(random.Random(size).randbytes(size))
                caller.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the door closed before everything was sent
            eventually(log)
        assert len(log()) == 1
        assert entrance.admitted == []
        assert entrance.accepts()

    def test_a_known_caller_that_sends_no_message_is_refused(self, entrance: Entrance, log: Log) -> None:
        write_all(entrance.call().line, pack_header(Kind.MESSAGE, 0, 2**63))
        eventually(log)
        assert log()[0].endswith(": it sent a frame of 9223372036854775808 bytes, where at most 1048576 are allowed")
        assert entrance.accepts()

    def test_the_reason_for_not_admitting_a_known_caller_is_logged(self, log: Log) -> None:
        entrance = Entrance(admit=lambda *_: "it is too late")
        channel = entrance.call()
        with pytest.raises(LostError):
            channel.receive_message(soon())
        eventually(log)
        assert log()[0].endswith(": it is too late")
        entrance.close()

    def test_an_error_of_any_kind_leaves_the_door_open(self, entrance: Entrance, log: Log) -> None:
        def broken(*_: object) -> str | None:
            raise ZeroDivisionError

        entrance.answer = broken
        with pytest.raises(LostError):
            entrance.call().receive_message(soon())
        eventually(log)
        assert log()[0].endswith(": ZeroDivisionError")
        entrance.answer = entrance.take
        assert entrance.accepts()

    def test_a_closed_door_accepts_no_callers(self) -> None:
        entrance = Entrance()
        entrance.door.close()
        with pytest.raises(ConnectionRefusedError):
            entrance.connect()

    def test_an_admitted_caller_stays_when_the_door_is_closed(self, entrance: Entrance) -> None:
        kept = []
        entrance.answer = lambda channel, deadline: kept.append(channel)
        channel = entrance.call()
        eventually(lambda: kept)
        entrance.door.close()
        kept[0].send_message(READY, soon())
        assert channel.receive_message(soon()) == READY


class TestCrowd:
    def test_hundreds_of_idle_callers_do_not_block_known_callers(self, entrance: Entrance) -> None:
        for _ in range(200):
            entrance.connect()
        assert entrance.accepts("a")
        assert entrance.accepts("c")

    def test_the_oldest_idle_callers_go_first(self, entrance: Entrance) -> None:
        crowd = [entrance.connect() for _ in range(MOST_CALLERS + 5)]
        for caller in crowd[:5]:
            assert caller.recv(1) == b""
        for caller in crowd[5:]:
            caller.setblocking(False)
            with pytest.raises(BlockingIOError):
                caller.recv(1)

    def test_the_number_of_callers_is_limited(self, entrance: Entrance) -> None:
        crowd = [entrance.connect() for _ in range(200)]
        for caller in crowd[: 200 - MOST_CALLERS]:
            assert caller.recv(1) == b""
        eventually(lambda: len(entrance.door._callers) == MOST_CALLERS)
        for caller in crowd:
            caller.close()
        eventually(lambda: not entrance.door._callers)

    def test_an_admitted_caller_is_not_dropped_for_a_crowd(self, entrance: Entrance) -> None:
        kept = []
        entrance.answer = lambda channel, deadline: kept.append(channel)
        channel = entrance.call()
        eventually(lambda: kept)
        eventually(lambda: not entrance.door._callers)
        crowd = [entrance.connect() for _ in range(2 * MOST_CALLERS)]
        assert crowd[0].recv(1) == b""
        kept[0].send_message(READY, soon())
        assert channel.receive_message(soon()) == READY

    def test_a_known_caller_that_is_not_admitted_yet_is_not_dropped_for_a_crowd(self, entrance: Entrance) -> None:
        answered: list[bytes] = []

        def slow(channel: Channel, deadline: float) -> None:
            channel.receive_message(deadline)
            crowd.extend(entrance.connect() for _ in range(2 * MOST_CALLERS))
            answered.append(crowd[0].recv(1))  # the oldest of the crowd is dropped
            channel.send_message(READY, deadline)

        crowd: list[socket.socket] = []
        entrance.answer = slow
        channel = entrance.call()
        channel.send_message(READY, soon())
        assert channel.receive_message(soon()) == READY
        assert answered == [b""]


class TestLog:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr(door_module, "time", clock)
        return clock

    def refuse(self, entrance: Entrance, number: int) -> None:
        """Make ``number`` calls; return when each has been refused, and logged or counted."""
        for _ in range(number):
            with entrance.connect() as caller:
                caller.shutdown(socket.SHUT_WR)
                while caller.recv(100):
                    pass
        all_callers_are_answered()

    def test_a_limited_number_of_refusals_is_logged(self, entrance: Entrance, log: Log) -> None:
        self.refuse(entrance, 45)
        assert len(log()) == 20
        assert all(line.startswith("refused a connection from 127.0.0.1 port ") for line in log())

    def test_the_others_are_counted_and_logged_a_minute_later(self, clock: Clock, log: Log) -> None:
        entrance = Entrance()
        self.refuse(entrance, 45)
        assert len(log()) == 20
        clock.jump(61)
        self.refuse(entrance, 1)
        assert len(log()) == 22
        assert log()[20] == "refused 25 more connections"
        assert log()[21].startswith("refused a connection from 127.0.0.1 port ")
        clock.jump(61)
        self.refuse(entrance, 1)
        assert len(log()) == 23
        assert log()[22].startswith("refused a connection from 127.0.0.1 port ")
        entrance.close()

    def test_no_refusal_is_longer_than_a_few_lines(self, entrance: Entrance, log: Log) -> None:
        for name in ("a", "stranger"):
            channel = entrance.call(name)
            with contextlib.suppress(RejectedError, LostError):
                write_all(channel.line, b"SK\x02\x01" + os.urandom(10_000))
        all_callers_are_answered()
        assert len(log()) == 2
        assert all(len(line) < 300 and "\n" not in line for line in log())
