import datetime
import math
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secure_kmeans.net.messages import (
    LARGEST_PAYLOAD,
    Ready,
    Refusal,
    decode_message,
    decode_object,
    encode_message,
    encode_object,
)
from tests.net.payloads import DIGEST, HELLO, answer_of, atoms, depth, is_refused, plain, strange


class TestObjects:
    @settings(max_examples=50)
    @given(plain)
    def test_what_was_encoded_is_decoded(self, value: object) -> None:
        if depth(value) > 15:
            return
        answer = decode_object(encode_object(value))
        assert answer == value
        assert repr(answer) == repr(value)  # 1 is not True, nor 1.0

    def test_tuples_come_back_as_lists(self) -> None:
        assert decode_object(encode_object({"x": (1, (2.5, None)), "": ()})) == {"x": [1, [2.5, None]], "": []}

    def test_every_number_comes_back_as_it_was(self) -> None:
        assert decode_object(encode_object([-(2**63), 2**64 - 1, math.inf, -0.0])) == [-(2**63), 2**64 - 1, math.inf, 0]
        assert math.isnan(decode_object(encode_object(math.nan)))
        assert math.copysign(1, decode_object(encode_object(-0.0))) == -1

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({1, 2}, "a value of type set is not sent"),
            (frozenset(), "a value of type frozenset is not sent"),
            (bytearray(b"x"), "a value of type bytearray is not sent"),
            (1j, "a value of type complex is not sent"),
            (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "a value of type datetime is not sent"),
            (msgspec.msgpack.Ext(1, b"x"), "a value of type Ext is not sent"),
            (np.zeros(2), "a value of type ndarray is not sent"),
            (np.int64(2), "a value of type int64 is not sent"),
            (Ready(DIGEST), "a value of type Ready is not sent"),
            (print, "a value of type builtin_function_or_method is not sent"),
            ([{"x": [object()]}], "a value of type object is not sent"),
            ({1: 2}, "only text is sent as the key of a dictionary"),
            ({b"x": 2}, "only text is sent as the key of a dictionary"),
            ({None: 2}, "only text is sent as the key of a dictionary"),
            (2**64, "an integer of more than 64 bits is not sent"),
            ([-(2**63) - 1], "an integer of more than 64 bits is not sent"),
        ],
    )
    def test_what_is_not_plain_is_not_sent(self, value: object, message: str) -> None:
        with pytest.raises(TypeError) as caught:
            encode_object(value)
        assert str(caught.value) == message

    def test_too_much_is_not_sent(self) -> None:
        overhead = 5  # of bytes in MessagePack
        assert len(encode_object(bytes(LARGEST_PAYLOAD - overhead))) == LARGEST_PAYLOAD
        with pytest.raises(ValueError, match=f"^a message of {LARGEST_PAYLOAD + 1} bytes is too long to be sent$"):
            encode_object(bytes(LARGEST_PAYLOAD - overhead + 1))

    def test_values_nested_too_deep_are_neither_sent_nor_accepted(self) -> None:
        value: object = "deep"
        for _ in range(16):
            value = [value]
        assert decode_object(encode_object(value)) == value
        with pytest.raises(TypeError, match=r"^values nested this deep are not sent$"):
            encode_object([value])
        assert is_refused(decode_object, msgspec.msgpack.encode([value]))

    @pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1x", b"\x81", b"\xdd\x00\x00\x00\x01", b"\x81\x91"])
    @pytest.mark.parametrize("depth", [17, 500, 20_000, LARGEST_PAYLOAD // 5])
    def test_nothing_is_too_deep_to_be_refused(self, opening: bytes, depth: int) -> None:
        for end in (b"", b"\xc0"):
            assert is_refused(decode_object, opening * depth + end)
            assert is_refused(decode_message, opening * depth + end)

    @settings(max_examples=50)
    @given(plain, st.data())
    def test_a_cut_object_is_refused(self, value: object, data: st.DataObject) -> None:
        payload = encode_object(value) if depth(value) < 16 else encode_object(None)
        assert is_refused(decode_object, payload[: data.draw(st.integers(0, len(payload) - 1))])

    @given(st.binary(max_size=300))
    @example(b"")
    @example(b"\xc1")
    @example(b"\xd6\xff\xff\xff\xff\xff")
    @example(b"\xc7\x0c\xff" + b"\xff" * 12)
    @example(b"\x81\xcb\x7f\xf8" + bytes(6) + b"\xc0")
    @example(b"\x81\xc7\x01\x05a\xc0")
    def test_random_bytes_are_plain_or_refused(self, payload: bytes) -> None:
        value = answer_of(decode_object, payload)
        assert encode_object(value)  # which raises for anything that is not plain

    @given(st.recursive(atoms | strange, lambda inner: st.lists(inner, max_size=3), max_leaves=8), st.data())
    @settings(max_examples=50)
    def test_a_flipped_bit_gives_plain_values_or_is_refused(self, value: object, data: st.DataObject) -> None:
        payload = bytearray(msgspec.msgpack.encode(value))
        bit = data.draw(st.integers(0, 8 * len(payload) - 1))
        payload[bit // 8] ^= 1 << bit % 8
        assert encode_object(answer_of(decode_object, payload))  # which raises for anything that is not plain

    @pytest.mark.parametrize(
        "payload",
        [
            b"\xc7\x01\x05a",  # an extension of type 5
            b"\xd4\x01\x00",
            b"\x91\xd4\x01\x00",
            b"\x81\xa1x\xd4\x01\x00",
            b"\x81\xd4\x01\x00\xc0",
            b"\xd6\xff" + bytes(4),  # a timestamp
            b"\x91\xd7\xff" + bytes(8),
            b"\xc7\x0c\xff" + bytes(12),
            b"\x81\x01\xc0",  # a dictionary whose key is 1
            b"\x81\xc4\x01x\xc0",
            b"\x81\xc0\xc0",
            b"\x81\x90\xc0",
            b"\x81\x80\xc0",
            b"\xa1\xff",  # text that is no UTF-8
            b"\xa3\xed\xa0\x80",
            b"\x01\x01",
        ],
        ids=lambda payload: payload.hex(),
    )
    def test_what_is_not_plain_is_refused(self, payload: bytes) -> None:
        assert is_refused(decode_object, payload)


class TestNothingIsEvaluated:
    class Trap:
        def __init__(self, file: Path) -> None:
            self.file = file

        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(self.file), "w")

    def test_a_pickle_is_refused_and_not_opened(self, tmp_path: Path) -> None:
        payload = pickle.dumps(self.Trap(tmp_path / "sprung"))
        assert is_refused(decode_message, payload)
        assert is_refused(decode_object, payload)
        wrapped = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, payload))
        assert is_refused(decode_object, wrapped)
        assert decode_object(msgspec.msgpack.encode(payload)) == payload
        assert not (tmp_path / "sprung").exists()

    def test_text_stays_text(self) -> None:
        text = "__import__('os').abort()"
        assert decode_object(encode_object({text: [text]})) == {text: [text]}
        assert decode_message(encode_message(Refusal(text))) == Refusal(text)


class TestMemory:
    """Bounds of the memory that a payload of at most 1 MiB can take."""

    def peak(self, decode: Callable[[bytes], object], payload: bytes) -> tuple[int, Any]:
        tracemalloc.start()
        try:
            value = answer_of(decode, payload)
            return tracemalloc.get_traced_memory()[1], value
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("opening", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9", b"\x81\xdd", b"\x91\xdd"])
    def test_a_length_that_is_not_there_is_not_allocated(self, opening: bytes) -> None:
        for count in (2**32 - 1, 2**28, LARGEST_PAYLOAD):
            payload = opening + struct.pack(">I", count)
            for decode in (decode_object, decode_message):
                peak, value = self.peak(decode, payload + b"\x00" * 1000)
                assert value is None
                assert peak < LARGEST_PAYLOAD // 4

    @pytest.mark.parametrize("field", ["role", "checkpoints", "keys", "digest", "program"])
    def test_a_length_in_a_field_that_is_not_there_is_not_allocated(self, field: str) -> None:
        payload = encode_message(HELLO)
        start = payload.index(field.encode()) + len(field)
        for opening in (b"\xdd", b"\xdf", b"\xc6", b"\xdb"):
            changed = payload[:start] + opening + b"\xff\xff\xff\xff" + payload[start:]
            peak, value = self.peak(decode_message, changed)
            assert value is None
            assert peak < LARGEST_PAYLOAD // 4

    def test_nested_lengths_that_are_not_there_are_not_allocated(self) -> None:
        for opening in (b"\xdd\x00\x0f\xff\xff", b"\xdf\x00\x07\xff\xff\xa1x"):
            peak, value = self.peak(decode_object, opening * 5000 + bytes(LARGEST_PAYLOAD - 35_000))
            assert value is None
            assert peak < 100 * LARGEST_PAYLOAD

    def test_many_small_values_take_at_most_so_much(self) -> None:
        count = 1 << 13
        for each in (b"\xc0", b"\x00", b"\x90", b"\x80", b"\xa0"):
            peak, value = self.peak(decode_object, b"\xdd" + struct.pack(">I", count) + each * count)
            assert len(value) == count
            assert peak < 100 * count
