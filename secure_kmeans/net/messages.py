"""Frames, the only thing that travels on a line: a header of 16 bytes and a payload of a known type.

=========  =====  ==================================================================
bytes      type   content
=========  =====  ==================================================================
0 to 1            ``SK``
2          uint8  :data:`PROTOCOL_VERSION`
3          uint8  :class:`Kind`
4 to 7     uint32 number of the frame on this line, from 0, modulo 2^32
8 to 15    uint64 length of the payload in bytes
=========  =====  ==================================================================

All integers are big-endian. The payload of a ``MESSAGE`` is one of the structures below in MessagePack, decoded by
``msgspec`` against its type. The payload of an ``OBJECT`` is plain values in MessagePack. The payload of numbers is
their little-endian bytes, whose length the receiver knows beforehand. Nothing is ever evaluated or unpickled.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
import numpy as np

PROTOCOL_VERSION: Final = 2
HEADER: Final = struct.Struct("!2sBBIQ")
LARGEST_PAYLOAD: Final = 1 << 20
"""Bytes of a message or an object. A longer one is refused before any of it is read."""

_MAGIC: Final = b"SK"
_SEQUENCE: Final = 1 << 32
_MOST_DEPTH: Final = 16
"""Levels of lists and dictionaries in an object."""

Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[\w.-]+\Z")]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class MalformedFrameError(ValueError):
    """A received frame that is invalid, or not expected now.

    The message is a noun phrase, to follow "it sent". It contains nothing of the payload.
    """


class Kind(IntEnum):
    """The type of a payload."""

    MESSAGE = 1
    OBJECT = 2
    UINT8 = 16
    INT8 = 17
    BOOL = 18
    INT16 = 19
    INT32 = 20
    INT64 = 21
    FLOAT32 = 22
    FLOAT64 = 23


_KINDS: Final = {np.dtype(kind.name.lower()).char: kind for kind in Kind if kind >= Kind.UINT8}


def kind_of(numbers: np.ndarray) -> Kind:
    """The kind of a payload of numbers.

    Raises
    ------
    TypeError
        For a type of numbers that is never sent.
    """
    kind = _KINDS.get(numbers.dtype.char)
    if kind is None or not numbers.dtype.isnative:
        raise TypeError(f"numbers of type {numbers.dtype} are not sent")
    return kind


class _Structure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """A message."""


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True, array_like=True):
    """A state that a role could resume from: the session in which it was shared, and its iteration."""

    iteration: Count
    session: Digest


class Hello(_Structure, frozen=True):
    """The first message on every line, in both directions: the sender and its job.

    Attributes
    ----------
    program : str
        Version of this package.
    role : str
    line : "control" or "data"
    keys : dict of str to 32 bytes
        Digest of each key of the job, and of each element of a list of texts.
    digest : 32 bytes
        Of the whole job.
    nonce : 32 bytes
        Of the sender's process; the session's identifier is made from the nonces of all roles.
    resume : bool or None
        Whether the sender resumes a run; None where the role keeps no states.
    checkpoints : tuple of Checkpoint
        The states that the sender holds; empty where the role keeps no states.
    """

    program: Annotated[str, msgspec.Meta(max_length=64)]
    role: Name
    line: Annotated[str, msgspec.Meta(pattern=r"^(control|data)\Z")]
    keys: dict[Name, Digest]
    digest: Digest
    nonce: Digest
    resume: bool | None
    checkpoints: tuple[Checkpoint, ...]


class Refusal(_Structure, frozen=True):
    """The answer to a Hello that is not accepted. The line ends after it."""

    reason: Text


class Ready(_Structure, frozen=True):
    """The sender is connected to all other roles, in this session."""

    session: Digest


class Alive(_Structure, frozen=True):
    """The sender's activity, sent about once a second.

    Attributes
    ----------
    waits_for : str
        The role whose message the sender waits for; empty while the sender works.
    rounds, bytes_sent : int
    bytes_moved : int
        Received or sent on the sender's data lines.
    cpu_s : float
        Processor time of the sender since the start of its meeting.
    """

    waits_for: Annotated[str, msgspec.Meta(max_length=64)]
    rounds: Count
    bytes_sent: Count
    bytes_moved: Count
    cpu_s: float


class Abort(_Structure, frozen=True):
    """The run has ended: the named role failed, for this reason."""

    role: Name
    reason: Text


class Done(_Structure, frozen=True):
    """The sender needs nothing more from the other roles."""

    rounds: Count
    bytes_sent: Count


Message = Hello | Refusal | Ready | Alive | Abort | Done

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


class Header(msgspec.Struct, frozen=True):
    """The content of a frame's header that is not fixed."""

    kind: Kind
    sequence: int
    length: int


def pack_header(kind: Kind, sequence: int, length: int) -> bytes:
    """The header of a frame. ``sequence`` is its number on the line, counted from 0."""
    return HEADER.pack(_MAGIC, PROTOCOL_VERSION, kind, sequence % _SEQUENCE, length)


def unpack_header(data: bytes | bytearray | memoryview, sequence: int) -> Header:
    """Read a header.

    Parameters
    ----------
    data : 16 bytes, or more
    sequence : int
        The expected number of the frame, counted from 0.

    Raises
    ------
    MalformedFrameError
    """
    magic, version, kind, number, length = HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise MalformedFrameError("something that is no frame")
    if version != PROTOCOL_VERSION:
        raise MalformedFrameError(
            f"a frame of version {version} of the protocol, where this program uses version {PROTOCOL_VERSION}"
        )
    if number != sequence % _SEQUENCE:
        raise MalformedFrameError("a frame with the wrong number: one was repeated, or one is missing")
    try:
        return Header(Kind(kind), number, length)
    except ValueError:
        raise MalformedFrameError(f"a frame of unknown kind {kind}") from None


def encode_message(message: Message) -> bytes:
    """The payload of a message, at most :data:`LARGEST_PAYLOAD` bytes.

    Raises
    ------
    ValueError
        For a longer one: a Hello for a job with too many keys.
    """
    return _limited(_encoder.encode(message))


def decode_message(payload: bytes | bytearray) -> Message:
    """The message in a payload.

    Raises
    ------
    MalformedFrameError
    """
    try:
        message: Message = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        raise MalformedFrameError("a message that this program does not know") from None
    return message


def encode_object(value: Any) -> bytes:
    """The payload of plain values: None, bool, int, float, str, bytes, and lists and dictionaries of them.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For more than :data:`LARGEST_PAYLOAD` bytes.
    """
    _check_plain(value)
    try:
        return _limited(_encoder.encode(value))
    except OverflowError:
        raise TypeError("an integer of more than 64 bits is not sent") from None


def decode_object(payload: bytes | bytearray) -> Any:
    """The plain values in a payload. Tuples are returned as lists.

    Raises
    ------
    MalformedFrameError
    """
    try:
        value = msgspec.msgpack.decode(payload)
        _check_plain(value)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError):
        raise MalformedFrameError("an object that is not made of plain values") from None
    return value


def _limited(payload: bytes) -> bytes:
    if len(payload) > LARGEST_PAYLOAD:
        raise ValueError(f"a message of {len(payload)} bytes is too long to be sent")
    return payload


def _check_plain(value: object, depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise TypeError("values nested this deep are not sent")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError("only text is sent as the key of a dictionary")
            _check_plain(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, depth + 1)
    elif value is not None and not isinstance(value, bool | int | float | str | bytes):
        raise TypeError(f"a value of type {type(value).__name__} is not sent")
