"""Messages, plain values and broken payloads for tests."""

import datetime
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from secure_kmeans.net.messages import (
    Abort,
    Alive,
    Checkpoint,
    Done,
    Hello,
    MalformedFrameError,
    Ready,
    Refusal,
    decode_message,
    encode_message,
)

NOT_A_MESSAGE = "a message that this program does not know"
NOT_AN_OBJECT = "an object that is not made of plain values"
DIGEST = bytes(range(32))
HELLO = Hello("1", "clinic", "data", {"n_clusters": DIGEST}, DIGEST, DIGEST, True, (Checkpoint(3, DIGEST),))

words = st.text(st.characters(exclude_categories=["Cs"]))  # no lone surrogates: they are no text
counts = st.integers(0, 2**64 - 1)
digests = st.binary(min_size=32, max_size=32)
names = st.text(st.characters(categories=["L", "N"], include_characters="_.-"), min_size=1, max_size=64)
numbers = st.floats(allow_nan=False)
checkpoints = st.builds(Checkpoint, iteration=counts, session=digests)
every_message = st.one_of(
    st.builds(
        Hello,
        program=words.map(lambda text: text[:64]),
        role=names,
        line=st.sampled_from(["control", "data"]),
        keys=st.dictionaries(names, digests, max_size=3),
        digest=digests,
        nonce=digests,
        resume=st.sampled_from([None, False, True]),
        checkpoints=st.lists(checkpoints, max_size=3).map(tuple),
    ),
    st.builds(Refusal, reason=words),
    st.builds(Ready, session=digests),
    st.builds(
        Alive,
        waits_for=words.map(lambda text: text[:64]),
        rounds=counts,
        bytes_sent=counts,
        bytes_moved=counts,
        cpu_s=numbers,
    ),
    st.builds(Abort, role=names, reason=words),
    st.builds(Done, rounds=counts, bytes_sent=counts),
)
atoms = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | numbers | words | st.binary()
plain = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12
)
# Values of MessagePack that no line carries, mixed with values that it does.
strange = (
    st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=20))
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.dictionaries(st.integers(-99, 99) | st.binary(), atoms, min_size=1, max_size=2)
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list | tuple):
        return 1 + max(map(depth, value), default=0)
    return 0


def is_refused(decode: Callable[[bytes], object], payload: bytes) -> bool:
    """Whether a payload is refused, with the message for it and without a trace of its content."""
    expected = NOT_A_MESSAGE if decode is decode_message else NOT_AN_OBJECT
    with pytest.raises(MalformedFrameError) as caught:
        decode(payload)
    return str(caught.value) == expected and caught.value.__suppress_context__


def answer_of(decode: Callable[[bytes], object], payload: bytes | bytearray) -> Any:
    """The value of a payload, or None where it is refused. Any other error is raised."""
    try:
        return decode(bytes(payload))
    except MalformedFrameError:
        return None


def hello_with(number: int, long: int) -> Hello:
    """HELLO with this many checkpoints, of which ``long`` take one byte more than the others."""
    held = (*(Checkpoint(200, DIGEST),) * long, *(Checkpoint(0, DIGEST),) * (number - long))
    return msgspec.structs.replace(HELLO, checkpoints=held)


def changed(**values: Any) -> bytes:
    """HELLO's payload with some fields replaced, without any check."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(encode_message(HELLO)) | values)
