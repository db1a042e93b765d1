import datetime
import math
import pickle
import struct
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secure_kmeans.net import messages
from secure_kmeans.net.messages import (
    HEADER,
    LARGEST_PAYLOAD,
    PROTOCOL_VERSION,
    Abort,
    Alive,
    Checkpoint,
    Done,
    Header,
    Hello,
    Kind,
    MalformedFrameError,
    Ready,
    Refusal,
    decode_message,
    decode_object,
    encode_message,
    encode_object,
    kind_of,
    pack_header,
    unpack_header,
)

NOT_A_MESSAGE = "^a message that this program does not know$"
NOT_AN_OBJECT = "^an object that is not made of plain values$"
DIGEST = bytes(range(32))
HELLO = Hello("1", "clinic", "data", ("x", "y"), {"n_clusters": DIGEST}, DIGEST, DIGEST, True, (Checkpoint(3, DIGEST),))

words = st.text(st.characters(exclude_categories=["Cs"]))  # no lone surrogates: they are no text
counts = st.integers(0, 2**64 - 1)
digests = st.binary(min_size=32, max_size=32)
names = st.from_regex(r"[\w.-]{1,64}", fullmatch=True)
numbers = st.floats(allow_nan=False)
checkpoints = st.builds(Checkpoint, iteration=counts, session=digests)
every_message = st.one_of(
    st.builds(
        Hello,
        program=words.map(lambda text: text[:64]),
        role=names,
        line=st.sampled_from(["control", "data"]),
        columns=st.lists(words, max_size=5).map(tuple),
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
# What MessagePack knows and no line carries, between what may come.
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


def refused(decode: Callable[[bytes], object], payload: bytes) -> None:
    expected = NOT_A_MESSAGE if decode is decode_message else NOT_AN_OBJECT
    with pytest.raises(MalformedFrameError, match=expected) as caught:
        decode(payload)
    assert caught.value.__suppress_context__


def answer_of(decode: Callable[[bytes], object], payload: bytes) -> Any:
    """What a payload decodes to; None where it is refused, and nothing else may happen."""
    try:
        return decode(payload)
    except MalformedFrameError:
        return None


def changed(**values: Any) -> bytes:
    """HELLO's payload with some fields replaced, without any check."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(encode_message(HELLO)) | values)


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
    def test_kinds_keep_their_numbers(self, kind: Kind, number: int) -> None:
        assert Kind[kind] == number
        assert len(Kind) == 10

    @given(kind=st.sampled_from(Kind), sequence=st.integers(0, 2**70), length=st.integers(0, 2**64 - 1))
    def test_what_was_packed_is_unpacked(self, kind: Kind, sequence: int, length: int) -> None:
        packed = pack_header(kind, sequence, length)
        assert unpack_header(packed, sequence) == Header(kind, sequence % 2**32, length)
        assert unpack_header(memoryview(packed + b"more"), sequence) == unpack_header(bytearray(packed), sequence)

    def test_after_the_largest_number_comes_zero(self) -> None:
        assert pack_header(Kind.MESSAGE, 2**32, 5) == pack_header(Kind.MESSAGE, 0, 5)
        assert unpack_header(pack_header(Kind.MESSAGE, 0, 5), 2**32).sequence == 0

    @given(st.binary(min_size=16, max_size=16), st.integers(0, 2**33))
    @example(b"SK\x02\x01" + bytes(12), 0)
    def test_sixteen_bytes_are_a_header_or_malformed(self, data: st.DataObject, sequence: int) -> None:
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
    def test_what_was_encoded_is_decoded(self, message: str) -> None:
        payload = encode_message(message)
        if isinstance(message, Abort | Refusal) and len(message.reason) > 1000:
            refused(decode_message, payload)
        else:
            assert decode_message(payload) == message
            assert decode_message(bytearray(payload)) == message

    @pytest.mark.parametrize("message", [HELLO, Refusal("no"), Ready(DIGEST), Abort("a", "b"), Done(1, 2)])
    def test_messages_and_their_fields_cannot_be_changed(self, message: str) -> None:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(message, message.__struct_fields__[0], "other")

    @pytest.mark.parametrize("cut", range(0, 300, 7))
    def test_a_cut_message_is_refused(self, cut: int) -> None:
        payload = encode_message(HELLO)
        refused(decode_message, payload[: cut % len(payload)])

    def test_a_message_with_more_behind_it_is_refused(self) -> None:
        refused(decode_message, encode_message(Done(1, 2)) + b"\xc0")
        refused(decode_message, encode_message(Done(1, 2)) * 2)

    @given(every_message, st.data())
    @settings(max_examples=50)
    def test_a_flipped_bit_gives_another_message_or_is_refused(self, message: str, data: st.DataObject) -> None:
        payload = bytearray(encode_message(message))
        bit = data.draw(st.integers(0, 8 * len(payload) - 1))
        payload[bit // 8] ^= 1 << bit % 8
        assert answer_of(decode_message, payload) != message

    @given(st.binary(max_size=300))
    @example(b"")
    @example(b"\xc1")
    def test_random_bytes_are_a_message_or_refused(self, payload: bytes) -> None:
        assert isinstance(answer_of(decode_message, payload), messages.Message | None)

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
            came = getattr(answer, field)
            assert (list(came) if isinstance(came, tuple) else came) == value

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
            {"columns": "xy"},
            {"columns": [1]},
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
        refused(decode_message, changed(**values))

    @pytest.mark.parametrize("field", ["type", *HELLO.__struct_fields__])
    def test_a_missing_field_is_refused(self, field: str) -> None:
        values = msgspec.msgpack.decode(encode_message(HELLO))
        del values[field]
        refused(decode_message, msgspec.msgpack.encode(values))

    @pytest.mark.parametrize(
        "message", [Ready(DIGEST), Refusal("no"), Alive("", 1, 2, 3, 0.5), Abort("a", "b"), Done(1, 2)]
    )
    def test_an_unknown_field_is_refused(self, message: str) -> None:
        values = msgspec.msgpack.decode(encode_message(message))
        assert decode_message(msgspec.msgpack.encode(values)) == message
        refused(decode_message, msgspec.msgpack.encode(values | {"also": 1}))

    @pytest.mark.parametrize(
        "value",
        [msgspec.msgpack.Ext(5, b"x"), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), {"x", "y"}],
        ids=["ext", "timestamp", "set as a list"],
    )
    def test_extensions_and_timestamps_are_refused_in_every_field(self, value: object) -> None:
        for field in HELLO.__struct_fields__:
            if not (field == "columns" and isinstance(value, set)):
                refused(decode_message, changed(**{field: value}))

    def test_too_long_a_message_is_not_sent(self) -> None:
        room = LARGEST_PAYLOAD - len(encode_message(msgspec.structs.replace(HELLO, columns=("x" * 65_536,))))
        longest = msgspec.structs.replace(HELLO, columns=("x" * (65_536 + room),))
        assert len(encode_message(longest)) == LARGEST_PAYLOAD
        assert decode_message(encode_message(longest)) == longest
        with pytest.raises(ValueError, match=r"^a message of \d+ bytes is too long to be sent$"):
            encode_message(msgspec.structs.replace(HELLO, columns=("x" * (65_537 + room),)))

    def test_a_reason_has_its_limit(self) -> None:
        assert decode_message(encode_message(Abort("a", "x" * 1000))) == Abort("a", "x" * 1000)
        refused(decode_message, encode_message(Abort("a", "x" * 1001)))


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

    def test_what_is_nested_too_deep_is_neither_sent_nor_taken(self) -> None:
        value = "deep"
        for _ in range(16):
            value = [value]
        assert decode_object(encode_object(value)) == value
        with pytest.raises(TypeError, match=r"^values nested this deep are not sent$"):
            encode_object([value])
        refused(decode_object, msgspec.msgpack.encode([value]))

    @pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1x", b"\x81", b"\xdd\x00\x00\x00\x01", b"\x81\x91"])
    @pytest.mark.parametrize("depth", [17, 500, 20_000, LARGEST_PAYLOAD // 5])
    def test_nothing_is_too_deep_to_be_refused(self, opening: bytes, depth: int) -> None:
        for end in (b"", b"\xc0"):
            refused(decode_object, opening * depth + end)
            refused(decode_message, opening * depth + end)

    @settings(max_examples=50)
    @given(plain, st.data())
    def test_a_cut_object_is_refused(self, value: object, data: st.DataObject) -> None:
        payload = encode_object(value) if depth(value) < 16 else encode_object(None)
        refused(decode_object, payload[: data.draw(st.integers(0, len(payload) - 1))])

    @given(st.binary(max_size=300))
    @example(b"")
    @example(b"\xc1")
    @example(b"\xd6\xff\xff\xff\xff\xff")
    @example(b"\xc7\x0c\xff" + b"\xff" * 12)
    @example(b"\x81\xcb\x7f\xf8" + bytes(6) + b"\xc0")
    @example(b"\x81\xc7\x01\x05a\xc0")
    def test_random_bytes_are_plain_or_refused(self, payload: bytes) -> None:
        value = answer_of(decode_object, payload)
        encode_object(value)

    @given(st.recursive(atoms | strange, lambda inner: st.lists(inner, max_size=3), max_leaves=8), st.data())
    @settings(max_examples=50)
    def test_a_flipped_bit_gives_plain_values_or_is_refused(self, value: object, data: st.DataObject) -> None:
        payload = bytearray(msgspec.msgpack.encode(value))
        bit = data.draw(st.integers(0, 8 * len(payload) - 1))
        payload[bit // 8] ^= 1 << bit % 8
        encode_object(answer_of(decode_object, payload))

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
        refused(decode_object, payload)


class TestNothingIsEvaluated:
    class Trap:
        def __init__(self, file: Path) -> None:
            self.file = file

        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(self.file), "w")

    def test_a_pickle_is_refused_and_not_opened(self, tmp_path: Path) -> None:
        payload = pickle.dumps(self.Trap(tmp_path / "sprung"))
        refused(decode_message, payload)
        refused(decode_object, payload)
        wrapped = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, payload))
        refused(decode_object, wrapped)
        assert decode_object(msgspec.msgpack.encode(payload)) == payload
        assert not (tmp_path / "sprung").exists()

    def test_text_stays_text(self) -> None:
        text = "__import__('os').abort()"
        assert decode_object(encode_object({text: [text]})) == {text: [text]}
        assert decode_message(encode_message(Refusal(text))).reason == text


class TestMemory:
    """A payload of at most 1 MiB cannot make its reader take much more than that."""

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

    @pytest.mark.parametrize("field", ["columns", "checkpoints", "keys", "digest", "program"])
    def test_nor_in_a_field_of_a_message(self, field: str) -> None:
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
