"""Frames on one line: posted without waiting, received piece by piece."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from secure_kmeans.net.messages import (
    HEADER,
    LARGEST_PAYLOAD,
    Header,
    Kind,
    MalformedFrameError,
    Message,
    decode_message,
    encode_message,
    pack_header,
    unpack_header,
)
from secure_kmeans.net.tls import SilentError, TlsLine

_JOINED: Final = 1 << 13
"""A payload up to here travels in one piece with its header."""

Allocate = Callable[[Header], memoryview]
"""Given a header, where its payload goes; it refuses what may not come by MalformedFrameError."""


class Channel:
    """The frames that go to and come from one peer.

    Parameters
    ----------
    line : TlsLine
    peer : str
        Its name.
    """

    def __init__(self, line: TlsLine, peer: str) -> None:
        self.line = line
        self.peer = peer
        self._outbox: deque[memoryview] = deque()
        self._posted = 0
        self._received = 0
        self.moved = 0
        """Bytes that have come or left so far: a long frame moves before it is complete."""
        self._small = memoryview(bytearray(HEADER.size + _JOINED))
        self._head = self._small[: HEADER.size]
        self._filled = 0
        self._coming: tuple[Header, memoryview] | None = None

    def fileno(self) -> int:
        """Of the socket, for ``select``."""
        return self.line.fileno()

    @property
    def sending(self) -> bool:
        """Whether something posted has not left yet."""
        return bool(self._outbox)

    def post(self, kind: Kind, payload: bytes | memoryview) -> bool:
        """Send a frame, as far as there is room now; return whether all has left. :meth:`flush` sends the rest.

        The payload must not change until it has left.

        Raises
        ------
        LostError
        """
        size = len(payload)
        header = pack_header(kind, self._posted, size)
        self._posted += 1
        if size <= _JOINED:
            frame = header + payload
            if not self._outbox and self.line.write(frame):  # one record: it goes as a whole or not at all
                self.moved += len(frame)
                return True
            self._outbox.append(memoryview(frame))
        else:
            self._outbox.extend((memoryview(header), memoryview(payload)))
        return self.flush()

    def put_message(self, message: Message) -> None:
        """Put a message into the outbox, for :meth:`flush` to send."""
        payload = encode_message(message)
        self._outbox.append(memoryview(pack_header(Kind.MESSAGE, self._posted, len(payload)) + payload))
        self._posted += 1

    def flush(self) -> bool:
        """Send what there is room for; return whether all has left."""
        while self._outbox:
            first = self._outbox[0]
            written = self.line.write(first)
            if not written:
                return False
            self.moved += written
            if written < len(first):
                self._outbox[0] = first[written:]
            else:
                self._outbox.popleft()
        return True

    def advance(self, allocate: Allocate) -> tuple[Header, memoryview] | None:
        """Go on with the frame that is coming in; return it when it is complete.

        Raises
        ------
        MalformedFrameError, LostError
        """
        if self._coming is None:
            if not self._fill(self._head):
                return None
            header = unpack_header(self._head, self._received)
            self._coming = header, allocate(header)
            self._filled = 0
        frame = self._coming
        if not self._fill(frame[1]):
            return None
        self._received += 1
        self._coming, self._filled = None, 0
        return frame

    def _fill(self, target: memoryview) -> bool:
        size = len(target)
        while self._filled < size:
            came = self.line.read_into(target[self._filled :])
            if not came:
                return False
            self.moved += came
            self._filled += came
        return True

    def advance_numbers(self, kind: Kind, target: memoryview) -> bool:
        """:meth:`advance` with a frame of numbers that must fill ``target``; return whether it is complete."""
        if len(target) > _JOINED:
            return self.advance(room_for_numbers(kind, target)) is not None
        size = HEADER.size + len(target)
        if not self._filled:
            self._filled = self.line.read_into(self._small[:size])
            self.moved += self._filled
        complete = self._filled == size or self._fill(self._small[:size])
        if self._filled >= HEADER.size and self._head != pack_header(kind, self._received, len(target)):
            room_for_numbers(kind, target)(unpack_header(self._head, self._received))  # tells what is wrong with it
        if complete:
            target[:] = self._small[HEADER.size : size]
            self._received += 1
            self._filled = 0
        return complete

    def next_message(self) -> Message | None:
        """The next message, if it has come.

        Raises
        ------
        MalformedFrameError, LostError
        """
        frame = self.advance(room_for_message)
        return None if frame is None else decode_message(bytes(frame[1]))

    def send_message(self, message: Message, deadline: float) -> None:
        """Send a message and wait until it has left.

        Raises
        ------
        LostError, SilentError
            The latter where it has not at ``deadline`` (of ``time.monotonic``).
        """
        self.post(Kind.MESSAGE, encode_message(message))
        while not self.flush():
            self._wait(select.POLLOUT, deadline)

    def receive_message(self, deadline: float) -> Message:
        """Wait for the next message.

        Raises
        ------
        MalformedFrameError, LostError, SilentError
        """
        while (message := self.next_message()) is None:
            self._wait(select.POLLIN, deadline)
        return message

    def _wait(self, events: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self.line, events)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SilentError("it said nothing for too long")


def room_for_message(header: Header) -> memoryview:
    """Room for a message, and for nothing else."""
    return _room(header, Kind.MESSAGE)


def room_for_object(header: Header) -> memoryview:
    """Room for an object, and for nothing else."""
    return _room(header, Kind.OBJECT)


def _room(header: Header, kind: Kind) -> memoryview:
    if header.kind != kind:
        raise MalformedFrameError(f"a frame of kind {header.kind.name} where {kind.name} was due")
    if header.length > LARGEST_PAYLOAD:
        raise MalformedFrameError(f"a frame of {header.length} bytes, where {LARGEST_PAYLOAD} are the most")
    return memoryview(bytearray(header.length))


def room_for_numbers(kind: Kind, target: memoryview) -> Allocate:
    """``target`` as the room for numbers of this kind that fill it exactly."""

    def allocate(header: Header) -> memoryview:
        if header.kind != kind or header.length != len(target):
            came, due = f"{header.length} bytes of {header.kind.name}", f"{len(target)} of {kind.name}"
            raise MalformedFrameError(f"a frame of {came} where {due} were due")
        return target

    return allocate
