"""Channel: the frames on one line, sent without waiting and received piece by piece."""

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
"""Bytes of the largest payload that is sent in one piece with its header."""

Allocate = Callable[[Header], memoryview]
"""Callback(header): the memory for the payload. It raises MalformedFrameError for a frame that is not expected."""


class Channel:
    """The frames to and from one peer.

    Parameters
    ----------
    line : TlsLine
    peer : str
        The peer's name.
    """

    def __init__(self, line: TlsLine, peer: str) -> None:
        self.line = line
        self.peer = peer
        self._outbox: deque[memoryview] = deque()
        self._posted = 0
        self._received = 0
        self.moved = 0
        """Bytes received and sent so far, those of incomplete frames included."""
        self._small = memoryview(bytearray(HEADER.size + _JOINED))
        self._head = self._small[: HEADER.size]
        self._filled = 0
        self._incoming: tuple[Header, memoryview] | None = None

    def fileno(self) -> int:
        """The descriptor of the socket, for ``select``."""
        return self.line.fileno()

    @property
    def sending(self) -> bool:
        """Whether a part of a posted frame has not been sent yet."""
        return bool(self._outbox)

    def post(self, kind: Kind, payload: bytes | memoryview) -> bool:
        """Send as much of a frame as possible without waiting; :meth:`flush` sends the rest.

        The payload must not change until it is sent.

        Returns
        -------
        bool
            Whether the whole frame is sent.

        Raises
        ------
        LostError
        """
        size = len(payload)
        header = pack_header(kind, self._posted, size)
        self._posted += 1
        if size <= _JOINED:
            frame = header + payload
            if not self._outbox and self.line.write(frame):  # one record: it is sent as a whole or not at all
                self.moved += len(frame)
                return True
            self._outbox.append(memoryview(frame))
        else:
            self._outbox.extend((memoryview(header), memoryview(payload)))
        return self.flush()

    def put_message(self, message: Message) -> None:
        """Add a message to the frames that :meth:`flush` sends."""
        payload = encode_message(message)
        self._outbox.append(memoryview(pack_header(Kind.MESSAGE, self._posted, len(payload)) + payload))
        self._posted += 1

    def flush(self) -> bool:
        """Send as much as possible without waiting; return whether everything posted is sent.

        Raises
        ------
        LostError
        """
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
        """Receive as much of the next frame as possible without waiting; return the frame when it is complete.

        Raises
        ------
        MalformedFrameError, LostError
        """
        if self._incoming is None:
            if not self._fill(self._head):
                return None
            header = unpack_header(self._head, self._received)
            self._incoming = header, allocate(header)
            self._filled = 0
        frame = self._incoming
        if not self._fill(frame[1]):
            return None
        self._received += 1
        self._incoming, self._filled = None, 0
        return frame

    def _fill(self, target: memoryview) -> bool:
        """Fill ``target`` from position ``_filled`` on; return whether it is full."""
        size = len(target)
        while self._filled < size:
            received = self.line.read_into(target[self._filled :])
            if not received:
                return False
            self.moved += received
            self._filled += received
        return True

    def advance_numbers(self, kind: Kind, target: memoryview) -> bool:
        """Like :meth:`advance`, for a frame of numbers that must fill ``target``; return whether it is complete.

        Raises
        ------
        MalformedFrameError, LostError
        """
        if len(target) > _JOINED:
            return self.advance(room_for_numbers(kind, target)) is not None
        size = HEADER.size + len(target)
        if not self._filled:
            self._filled = self.line.read_into(self._small[:size])
            self.moved += self._filled
        complete = self._filled == size or self._fill(self._small[:size])
        if self._filled >= HEADER.size and self._head != pack_header(kind, self._received, len(target)):
            room_for_numbers(kind, target)(unpack_header(self._head, self._received))  # raises the error
        if complete:
            target[:] = self._small[HEADER.size : size]
            self._received += 1
            self._filled = 0
        return complete

    def next_message(self) -> Message | None:
        """The next message, or None where it is not complete yet.

        Raises
        ------
        MalformedFrameError, LostError
        """
        frame = self.advance(room_for_message)
        return None if frame is None else decode_message(bytes(frame[1]))

    def send_message(self, message: Message, deadline: float) -> None:
        """Send a message and wait until it is sent.

        Raises
        ------
        LostError
        SilentError
            Where it is not sent at ``deadline`` (of ``time.monotonic``).
        """
        self.post(Kind.MESSAGE, encode_message(message))
        while not self.flush():
            self._wait(select.POLLOUT, deadline)

    def receive_message(self, deadline: float) -> Message:
        """Wait for the next message.

        Raises
        ------
        MalformedFrameError, LostError
        SilentError
            Where it is not complete at ``deadline`` (of ``time.monotonic``).
        """
        while (message := self.next_message()) is None:
            self._wait(select.POLLIN, deadline)
        return message

    def _wait(self, events: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self.line, events)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SilentError("it did not respond in time")


def room_for_message(header: Header) -> memoryview:
    """Memory for a message. A frame of any other kind is refused."""
    return _room(header, Kind.MESSAGE)


def room_for_object(header: Header) -> memoryview:
    """Memory for an object. A frame of any other kind is refused."""
    return _room(header, Kind.OBJECT)


def _room(header: Header, kind: Kind) -> memoryview:
    if header.kind != kind:
        raise MalformedFrameError(f"a frame of kind {header.kind.name} where {kind.name} was expected")
    if header.length > LARGEST_PAYLOAD:
        raise MalformedFrameError(f"a frame of {header.length} bytes, where at most {LARGEST_PAYLOAD} are allowed")
    return memoryview(bytearray(header.length))


def room_for_numbers(kind: Kind, target: memoryview) -> Allocate:
    """``target`` as the memory for numbers. A frame of another kind or another length is refused."""

    def allocate(header: Header) -> memoryview:
        if header.kind != kind or header.length != len(target):
            received, expected = f"{header.length} bytes of {header.kind.name}", f"{len(target)} of {kind.name}"
            raise MalformedFrameError(f"a frame of {received} where {expected} were expected")
        return target

    return allocate
