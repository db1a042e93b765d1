"""A TLS line whose bytes a test sees and may change on their way."""

import contextlib
import socket

from secure_kmeans.net.tls import TlsLine
from tests.net.lines import (
    Task,
    can_be_read,
    identity_of,
    read_all,
    socket_pair,
    soon,
    write_all,
)

APPLICATION_DATA = 23
HEADER = 5  # bytes of a TLS record's: type, version, length
SECRET = b"the rows of a private table " * 50


def shaking(line: TlsLine) -> Task:
    return Task(lambda: line.shake_hands(soon()))


def read_to_the_end(line: TlsLine) -> None:
    """Read until the line ends, which raises; nothing may arrive before."""
    while True:
        assert read_all(line) == b""
        can_be_read(line)


def read_all_but_the_end(line: TlsLine) -> bytes:
    target = memoryview(bytearray(1000))
    return bytes(target[: line.read_into(target)])


def records(stream: bytes) -> list[tuple[int, bytes]]:
    """The TLS records in a stream: type and all bytes."""
    found = []
    while stream:
        kind, version, size = stream[0], stream[1:3], int.from_bytes(stream[3:5], "big")
        assert kind in (20, 21, 22, 23)
        assert version in (b"\x03\x01", b"\x03\x03")
        assert len(stream) >= HEADER + size
        found.append((kind, stream[: HEADER + size]))
        stream = stream[HEADER + size :]
    return found


class Wire:
    """The two ends of a line, and access to all bytes between them."""

    def __init__(self) -> None:
        dialled, self.to_client = socket_pair()
        answered, self.to_server = socket_pair()
        self.seen = bytearray()
        self.client, self.server = (
            TlsLine(dialled, identity_of("a"), {identity_of("b").fingerprint}, server=False),
            TlsLine(answered, identity_of("b"), {identity_of("a").fingerprint}, server=True),
        )
        for each in (self.to_client, self.to_server):
            each.setblocking(False)
        tasks = shaking(self.client), shaking(self.server)
        while not all(task.ended for task in tasks):
            for here, there in ((self.to_client, self.to_server), (self.to_server, self.to_client)):
                if can_be_read(here, 0.001):
                    there.send(self.taken(here))
        for task in tasks:
            task.result()

    def taken(self, end: socket.socket) -> bytes:
        """All bytes that have arrived at this end of the wire by now."""
        arrived = bytearray()
        with contextlib.suppress(BlockingIOError):
            while piece := end.recv(1 << 16):
                arrived += piece
        self.seen += arrived
        return bytes(arrived)

    def sent(self, *payloads: bytes) -> list[bytes]:
        """The records in which the client sends these payloads. They are not delivered."""
        found = []
        for payload in payloads:
            write_all(self.client, payload)
            [(kind, record)] = records(self.taken(self.to_client))
            assert kind == APPLICATION_DATA
            found.append(record)
        return found

    def deliver(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.to_server.sendall(piece)

    def cut(self) -> None:
        self.to_server.close()
