import datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secure_kmeans.net.messages import (
    HEADER,
    LARGEST_PAYLOAD,
    PROTOCOL_VERSION,
    Abort,
    Alive,
    Done,
    Header,
    Kind,
    MalformedFrameError,
    Message,
    Ready,
    Refusal,
    decode_message,
    encode_message,
    kind_of,
    pack_header,
    unpack_header,
)
from tests.net.payloads import (
    DIGEST,
    HELLO,
    answer_of,
    atoms,
    changed,
    every_message,
    hello_with,
    is_refused,
    plain,
    strange,
)


class TestHeader:
    def test_sixteen_bytes_that_were_written_by_hand(self) -> None:
        assert HEADER.size == 16
        assert pack_header(Kind.OBJECT, 258, 3) == bytes.fromhex("534b 02 02 00000102 0000000000000003")
        assert pack_header(Kind.INT64, 2**32 - 1, 2**63) == bytes.fromhex("534b 02 15 ffffffff 8000000000000000")

    @pytest.mark.parametrize(
        ("kind", "number"),
        [
            ("MESSAGE", 1),
            ("OBJECT", 2),
            ("UINT8", 16),
            ("INT8", 17),
            ("BOOL", 18),
            ("INT16", 19),
            ("INT32", 20),
            ("INT64", 21),
            ("FLOAT32", 22),
            ("FLOAT64", 23),
        ],
    )
    def test_kinds_keep_their_numbers(self, kind: str, number: int) -> None:
        assert Kind[kind] == number
        assert len(Kind) == 10

    @given(kind=st.sampled_from(Kind), sequence=st.integers(0, 2**70), length=st.integers(0, 2**64 - 1))
    def test_what_was_packed_is_unpacked(self, kind: Kind, sequence: int, length: int) -> None:
        packed = pack_header(kind, sequence, length)
        assert unpack_header(packed, sequence) == Header(kind, sequence % 2**32, length)
        assert unpack_header(memoryview(packed + b"more"), sequence) == unpack_header(bytearray(packed), sequence)

    def test_the_number_after_the_largest_is_zero(self) -> None:
        assert pack_header(Kind.MESSAGE, 2**32, 5) == pack_header(Kind.MESSAGE, 0, 5)
        assert unpack_header(pack_header(Kind.MESSAGE, 0, 5), 2**32).sequence == 0

    @given(st.binary(min_size=16, max_size=16), st.integers(0, 2**33))
    @example(b"SK\x02\x01" + bytes(12), 0)
    def test_sixteen_bytes_are_a_header_or_malformed(self, data: bytes, sequence: int) -> None:
        try:
            header = unpack_header(data, sequence)
        except MalformedFrameError:
            return
        assert pack_header(header.kind, sequence, header.length) == data

    @given(
        kind=st.sampled_from(Kind),
        sequence=st.integers(0, 2**32 - 1),
        length=st.integers(0, 2**64 - 1),
        bit=st.integers(0, 127),
    )
    def test_one_flipped_bit_is_refused_or_seen_in_kind_and_length(
        self, kind: Kind, sequence: int, length: int, bit: int
    ) -> None:
        data = bytearray(pack_header(kind, sequence, length))
        data[bit // 8] ^= 1 << bit % 8
        try:
            header = unpack_header(data, sequence)
        except MalformedFrameError:
            assert bit < 64
        else:
            assert 24 <= bit < 32 or bit >= 64
            assert (header.kind, header.length) != (kind, length)

    def test_what_is_no_frame_is_refused(self) -> None:
        with pytest.raises(MalformedFrameError, match=r"^something that is no frame$"):
            unpack_header(b"GET / HTTP/1.1\r\n", 0)

    @pytest.mark.parametrize("version", [0, 1, 3, 255])
    def test_another_version_is_refused(self, version: int) -> None:
        data = bytearray(pack_header(Kind.MESSAGE, 0, 0))
        data[2] = version
        expected = f"^a frame of version {version} of the protocol, where this program uses version {PROTOCOL_VERSION}$"
        with pytest.raises(MalformedFrameError, match=expected):
            unpack_header(data, 0)

    @given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    @example(0, 1)
    @example(7, 6)
    def test_another_number_is_refused(self, sequence: int, due: int) -> None:
        data = pack_header(Kind.MESSAGE, sequence, 0)
        if sequence == due:
            assert unpack_header(data, due).sequence == due
        else:
            with pytest.raises(
                MalformedFrameError, match=r"^a frame with the wrong number: one was repeated, or one is missing$"
            ):
                unpack_header(data, due)

    @pytest.mark.parametrize("kind", sorted(set(range(256)) - set(Kind))[::16])
    def test_another_kind_is_refused(self, kind: Kind) -> None:
        data = bytearray(pack_header(Kind.MESSAGE, 0, 0))
        data[3] = kind
        with pytest.raises(MalformedFrameError, match=f"^a frame of unknown kind {kind}$"):
            unpack_header(data, 0)


class TestKindOf:
    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind >= Kind.UINT8])
    def test_every_type_of_numbers_has_its_kind(self, kind: Kind) -> None:
        assert kind_of(np.zeros(3, dtype=kind.name.lower())) is kind

    @pytest.mark.parametrize("dtype", ["uint64", "uint32", "uint16", "float16", "complex128", "O", "U3", "S3", "M8[s]"])
    def test_other_numbers_are_not_sent(self, dtype: str) -> None:
        with pytest.raises(TypeError, match=r"^numbers of type .* are not sent$"):
            kind_of(np.zeros(3, dtype=dtype))

    @pytest.mark.parametrize("dtype", [">i8", ">i4", ">f8"])
    def test_numbers_in_the_other_byte_order_are_not_sent(self, dtype: str) -> None:
        with pytest.raises(TypeError, match=r"^numbers of type .* are not sent$"):
            kind_of(np.zeros(0, dtype=dtype))


class TestMessages:
    @given(every_message)
    @settings(max_examples=50)
    @example(HELLO)
    def test_what_was_encoded_is_decoded(self, message: Message) -> None:
        payload = encode_message(message)
        if isinstance(message, Abort | Refusal) and len(message.reason) > 1000:
            assert is_refused(decode_message, payload)
        else:
            assert decode_message(payload) == message
            assert decode_message(bytearray(payload)) == message

    @pytest.mark.parametrize("message", [HELLO, Refusal("no"), Ready(DIGEST), Abort("a", "b"), Done(1, 2)])
    def test_messages_and_their_fields_cannot_be_changed(self, message: Message) -> None:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(message, message.__struct_fields__[0], "other")

    @pytest.mark.parametrize("cut", range(0, 300, 7))
    def test_a_cut_message_is_refused(self, cut: int) -> None:
        payload = encode_message(HELLO)
        assert is_refused(decode_message, payload[: cut % len(payload)])

    def test_a_message_with_more_behind_it_is_refused(self) -> None:
        assert is_refused(decode_message, encode_message(Done(1, 2)) + b"\xc0")
        assert is_refused(decode_message, encode_message(Done(1, 2)) * 2)

    @given(every_message, st.data())
    @settings(max_examples=50)
    def test_a_flipped_bit_gives_another_message_or_is_refused(self, message: Message, data: st.DataObject) -> None:
        payload = bytearray(encode_message(message))
        bit = data.draw(st.integers(0, 8 * len(payload) - 1))
        payload[bit // 8] ^= 1 << bit % 8
        assert answer_of(decode_message, payload) != message

    @given(st.binary(max_size=300))
    @example(b"")
    @example(b"\xc1")
    def test_random_bytes_are_a_message_or_refused(self, payload: bytes) -> None:
        assert isinstance(answer_of(decode_message, payload), Message | None)

    @settings(max_examples=50)
    @given(plain | strange)
    def test_other_values_are_refused(self, value: object) -> None:
        payload = msgspec.msgpack.encode(value)
        answer = answer_of(decode_message, payload)
        assert answer is None or encode_message(answer) == payload

    @given(st.sampled_from(HELLO.__struct_fields__), atoms | strange | st.lists(atoms | strange, max_size=3))
    @settings(max_examples=50)
    def test_a_field_of_another_type_is_refused_or_that_value(self, field: str, value: object) -> None:
        answer = answer_of(decode_message, changed(**{field: value}))
        if answer is not None:
            decoded = getattr(answer, field)
            assert (list(decoded) if isinstance(decoded, tuple) else decoded) == value

    @pytest.mark.parametrize(
        "values",
        [
            {"digest": bytes(31)},
            {"nonce": bytes(33)},
            {"keys": {"n_clusters": bytes(31)}},
            {"keys": {"": DIGEST}},
            {"keys": {1: DIGEST}},
            {"keys": [["n_clusters", DIGEST]]},
            {"role": ""},
            {"role": "x" * 65},
            {"role": "a b"},
            {"role": "a\x1b[2J"},
            {"role": "a\n"},
            {"line": "voice"},
            {"line": "data\n"},
            {"program": "1" * 65},
            {"columns": ["x", "y"]},
            {"resume": 1},
            {"checkpoints": [[1]]},
            {"checkpoints": [[-1, DIGEST]]},
            {"checkpoints": [[1.0, DIGEST]]},
            {"checkpoints": [[1, DIGEST[:-1]]]},
            {"checkpoints": [[1, DIGEST, 2]]},
            {"type": "Shutdown"},
            {"type": 0},
            {"more": 1},
            {"": None},
        ],
        ids=repr,
    )
    def test_what_is_not_in_the_table_of_messages_is_refused(self, values: dict[str, Any]) -> None:
        assert decode_message(changed()) == HELLO
        assert is_refused(decode_message, changed(**values))

    @pytest.mark.parametrize("field", ["type", *HELLO.__struct_fields__])
    def test_a_missing_field_is_refused(self, field: str) -> None:
        values = msgspec.msgpack.decode(encode_message(HELLO))
        del values[field]
        assert is_refused(decode_message, msgspec.msgpack.encode(values))

    @pytest.mark.parametrize(
        "message", [Ready(DIGEST), Refusal("no"), Alive("", 1, 2, 3, 0.5), Abort("a", "b"), Done(1, 2)]
    )
    def test_an_unknown_field_is_refused(self, message: Message) -> None:
        values = msgspec.msgpack.decode(encode_message(message))
        assert decode_message(msgspec.msgpack.encode(values)) == message
        assert is_refused(decode_message, msgspec.msgpack.encode(values | {"also": 1}))

    @pytest.mark.parametrize(
        "value",
        [msgspec.msgpack.Ext(5, b"x"), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), {"x", "y"}],
        ids=["ext", "timestamp", "set as a list"],
    )
    def test_extensions_and_timestamps_are_refused_in_every_field(self, value: object) -> None:
        for field in HELLO.__struct_fields__:
            assert is_refused(decode_message, changed(**{field: value}))

    def test_too_long_a_message_is_not_sent(self) -> None:
        size = len(encode_message(hello_with(2, 0))) - len(encode_message(hello_with(1, 0)))
        number = LARGEST_PAYLOAD // size - 10
        room = LARGEST_PAYLOAD - len(encode_message(hello_with(number, 0)))
        longest = hello_with(number, room)
        assert len(encode_message(longest)) == LARGEST_PAYLOAD
        assert decode_message(encode_message(longest)) == longest
        with pytest.raises(ValueError, match=r"^a message of \d+ bytes is too long to be sent$"):
            encode_message(hello_with(number, room + 1))

    def test_a_reason_has_its_limit(self) -> None:
        assert decode_message(encode_message(Abort("a", "x" * 1000))) == Abort("a", "x" * 1000)
        assert is_refused(decode_message, encode_message(Abort("a", "x" * 1001)))
