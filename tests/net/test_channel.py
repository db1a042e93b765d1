import os
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.net.channel import Channel, room_for_message, room_for_numbers, room_for_object
from secure_kmeans.net.messages import (
    LARGEST_PAYLOAD,
    Abort,
    Alive,
    Done,
    Header,
    Kind,
    MalformedFrameError,
    Ready,
    Refusal,
    encode_message,
    encode_object,
    pack_header,
)
from secure_kmeans.net.tls import LostError, SilentError
from tests.net.lines import Task, at_once, can_be_read, channel_pair, eventually, soon, tls_pair, write_all

JOINED = 8192  # the most bytes of payload that are sent in one piece with their header
SIZES = [0, 1, 7, 100, JOINED - 1, JOINED, JOINED + 1, 16_384, 16_385, 100_000, 300_000, 3_000_000]


def numbers_from(channel: Channel, kind: Kind, size: int) -> bytes:
    """Wait for numbers of this many bytes."""
    target = bytearray(size)
    while not channel.advance_numbers(kind, memoryview(target)):
        can_be_read(channel)
    return bytes(target)


def object_from(channel: Channel) -> bytes:
    while (frame := channel.advance(room_for_object)) is None:
        can_be_read(channel)
    return bytes(frame[1])


def send_all(channel: Channel, *frames: tuple[Kind, bytes]) -> None:
    for kind, payload in frames:
        channel.post(kind, payload)
    eventually(channel.flush)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(MalformedFrameError) as caught:
        call()
    return str(caught.value)


class Hostile:
    """A channel, and the bare line of its peer, on which a test can write any bytes."""

    def __init__(self) -> None:
        self.line, answered = tls_pair()
        self.channel = Channel(answered, "a")

    def write(self, data: bytes) -> None:
        write_all(self.line, data)

    def numbers(self, kind: Kind = Kind.INT64, size: int = 16) -> Callable[[], bool]:
        return lambda: self.channel.advance_numbers(kind, memoryview(bytearray(size)))


class TestFrames:
    @pytest.mark.parametrize("size", SIZES)
    def test_numbers_of_every_size_arrive_as_they_were(self, size: int) -> None:
        here, there = channel_pair()
        payload = os.urandom(size)
        sent, received = at_once(
            lambda: send_all(here, (Kind.UINT8, payload)), lambda: numbers_from(there, Kind.UINT8, size)
        )
        assert sent is None
        assert received == payload

    def test_big_and_small_ones_interleaved(self) -> None:
        here, there = channel_pair()
        frames = [(Kind.UINT8, os.urandom(size)) for size in SIZES + SIZES[::-1]]
        objects = [(Kind.OBJECT, encode_object({"number": number, "x": "y" * 500 * number})) for number in range(24)]
        order = [each for pair in zip(frames, objects, strict=True) for each in pair]

        def receive() -> list[bytes]:
            return [
                numbers_from(there, kind, len(payload)) if kind is Kind.UINT8 else object_from(there)
                for kind, payload in order
            ]

        _, received = at_once(lambda: send_all(here, *order), receive)
        assert received == [payload for _, payload in order]

    @settings(max_examples=30)
    @given(st.lists(st.binary(max_size=40) | st.integers(8000, 40_000).map(bytes), max_size=8), st.booleans())
    def test_every_sequence_of_frames_arrives_in_order(self, payloads: list[bytes], as_numbers: bool) -> None:
        here, there = channel_pair()
        kind = Kind.INT8 if as_numbers else Kind.OBJECT

        def receive() -> list[bytes]:
            return [numbers_from(there, kind, len(each)) if as_numbers else object_from(there) for each in payloads]

        _, received = at_once(lambda: send_all(here, *((kind, each) for each in payloads)), receive)
        assert received == payloads

    def test_both_directions_at_once(self) -> None:
        here, there = channel_pair()
        payloads = os.urandom(4_000_000), os.urandom(4_000_000)

        def talk(channel: Channel, payload: bytes) -> bytes:
            channel.post(Kind.UINT8, payload)
            target = bytearray(len(payload))
            done = False
            while not done or channel.sending:
                channel.flush()
                done = done or channel.advance_numbers(Kind.UINT8, memoryview(target))
            return bytes(target)

        assert at_once(lambda: talk(here, payloads[0]), lambda: talk(there, payloads[1])) == [*payloads[::-1]]

    def test_frames_that_find_no_room_wait_and_are_sent_in_order(self) -> None:
        here, there = channel_pair()
        frames = [os.urandom(size) for size in (5_000_000, 10, JOINED, 200_000, 0)]
        left = [here.post(Kind.UINT8, payload) for payload in frames]
        assert left == [False] * 5
        assert here.sending
        receiving = Task(lambda: [numbers_from(there, Kind.UINT8, len(payload)) for payload in frames])
        eventually(here.flush)
        assert not here.sending
        assert receiving.result() == frames

    def test_frames_that_find_room_are_sent_at_once(self) -> None:
        here, _ = channel_pair()
        assert here.post(Kind.UINT8, b"x" * 100)
        assert here.post(Kind.UINT8, b"x" * (JOINED + 1))
        assert not here.sending

    def test_messages_are_sent_with_the_next_flush(self) -> None:
        here, there = channel_pair()
        here.put_message(Refusal("no"))
        here.put_message(Done(1, 2))
        assert here.sending
        assert there.next_message() is None
        assert here.flush()
        assert [there.next_message() for _ in range(3)] == [Refusal("no"), Done(1, 2), None]

    @pytest.mark.parametrize("size", [16, JOINED, JOINED + 1])
    def test_a_payload_that_arrives_byte_by_byte(self, size: int) -> None:
        peer = Hostile()
        payload = os.urandom(size)
        target = bytearray(size)
        frame = pack_header(Kind.INT64, 0, size) + payload
        step = 1 if size == 16 else 61
        for start in range(0, len(frame), step):
            assert not peer.channel.advance_numbers(Kind.INT64, memoryview(target))
            peer.write(frame[start : start + step])
        assert peer.channel.advance_numbers(Kind.INT64, memoryview(target))
        assert bytes(target) == payload

    def test_a_message_that_arrives_byte_by_byte(self) -> None:
        peer = Hostile()
        payload = encode_message(Abort("lab", "out of memory"))
        for byte in pack_header(Kind.MESSAGE, 0, len(payload)) + payload:
            assert peer.channel.next_message() is None
            peer.write(bytes([byte]))
        assert peer.channel.next_message() == Abort("lab", "out of memory")

    def test_frames_that_arrive_together_are_separated(self) -> None:
        peer = Hostile()
        payloads = [b"one", b"", b"three" * 2000, b"4"]
        peer.write(b"".join(pack_header(Kind.INT8, n, len(each)) + each for n, each in enumerate(payloads)))
        assert [numbers_from(peer.channel, Kind.INT8, len(each)) for each in payloads] == payloads


class TestMessages:
    def test_each_side_sends_and_receives(self) -> None:
        here, there = channel_pair()
        here.send_message(Ready(bytes(32)), soon())
        there.send_message(Alive("a", 1, 2, 3, 0.5), soon())
        assert there.receive_message(soon()) == Ready(bytes(32))
        assert here.receive_message(soon()) == Alive("a", 1, 2, 3, 0.5)

    def test_a_silent_peer_is_waited_for_until_the_deadline(self) -> None:
        here, _ = channel_pair()
        with pytest.raises(SilentError, match=r"^it did not respond in time$"):
            here.receive_message(0.0)

    def test_a_peer_that_reads_nothing_is_waited_for_until_the_deadline(self) -> None:
        here, _ = channel_pair()
        here.post(Kind.UINT8, bytes(10_000_000))
        with pytest.raises(SilentError, match=r"^it did not respond in time$"):
            here.send_message(Done(1, 2), 0.0)

    def test_a_peer_that_has_closed_is_lost(self) -> None:
        here, there = channel_pair()
        there.line.close()
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            here.receive_message(soon())

    def test_a_peer_that_closes_in_the_middle_of_a_frame_is_lost(self) -> None:
        peer = Hostile()
        peer.write(pack_header(Kind.MESSAGE, 0, 100) + b"x" * 99)
        assert peer.channel.next_message() is None
        peer.line.close()
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            peer.channel.next_message()

    @pytest.mark.parametrize("payload", [b"", b"\xc1", b"garbage", encode_object({"type": "Ready"})])
    def test_a_payload_that_is_no_message_is_refused(self, payload: bytes) -> None:
        peer = Hostile()
        peer.write(pack_header(Kind.MESSAGE, 0, len(payload)) + payload)
        assert refusal(peer.channel.next_message) == "a message that this program does not know"


class TestRefused:
    @pytest.mark.parametrize("size", [16, JOINED + 1], ids=["small", "big"])
    def test_a_replayed_frame(self, size: int) -> None:
        peer = Hostile()
        frame = pack_header(Kind.INT64, 0, size) + bytes(size)
        peer.write(frame)
        numbers_from(peer.channel, Kind.INT64, size)
        peer.write(frame)
        assert refusal(peer.numbers(size=size)) == "a frame with the wrong number: one was repeated, or one is missing"

    @pytest.mark.parametrize("size", [16, JOINED + 1], ids=["small", "big"])
    @pytest.mark.parametrize("number", [1, 2**32 - 1])
    def test_a_skipped_frame(self, size: int, number: int) -> None:
        peer = Hostile()
        peer.write(pack_header(Kind.INT64, number, size) + bytes(size))
        assert refusal(peer.numbers(size=size)) == "a frame with the wrong number: one was repeated, or one is missing"

    def test_a_repeated_message(self) -> None:
        peer = Hostile()
        payload = encode_message(Done(1, 2))
        peer.write(2 * (pack_header(Kind.MESSAGE, 0, len(payload)) + payload))
        assert peer.channel.next_message() == Done(1, 2)
        assert (
            refusal(peer.channel.next_message) == "a frame with the wrong number: one was repeated, or one is missing"
        )

    @pytest.mark.parametrize("size", [16, JOINED + 8], ids=["small", "big"])
    @pytest.mark.parametrize("kind", [Kind.UINT8, Kind.FLOAT64, Kind.OBJECT, Kind.MESSAGE])
    def test_another_kind_of_numbers(self, size: int, kind: Kind) -> None:
        peer = Hostile()
        peer.write(pack_header(kind, 0, size) + bytes(size))
        expected = f"a frame of {size} bytes of {kind.name} where {size} of INT64 were expected"
        assert refusal(peer.numbers(size=size)) == expected

    @pytest.mark.parametrize("due", [0, 8, 16, JOINED, JOINED + 8], ids=str)
    @pytest.mark.parametrize("sent", [1, 15, 17, 24, JOINED - 1, JOINED + 1, 2**32, 2**63, 2**64 - 1], ids=str)
    def test_another_length_of_numbers(self, due: int, sent: int) -> None:
        peer = Hostile()
        peer.write(pack_header(Kind.INT64, 0, sent) + bytes(min(sent, 20_000)))
        expected = f"a frame of {sent} bytes of INT64 where {due} of INT64 were expected"
        assert refusal(peer.numbers(size=due)) == expected

    def test_another_length_is_refused_as_soon_as_its_header_is_there(self) -> None:
        peer = Hostile()
        call = peer.numbers(size=16)
        header = pack_header(Kind.INT64, 0, 8)
        peer.write(header[:-1])
        assert call() is False
        peer.write(header[-1:])
        assert refusal(call) == "a frame of 8 bytes of INT64 where 16 of INT64 were expected"

    @pytest.mark.parametrize("kind", [Kind.OBJECT, Kind.INT64])
    def test_anything_but_a_message_where_one_is_expected(self, kind: Kind) -> None:
        peer = Hostile()
        peer.write(pack_header(kind, 0, 1) + b"\xc0")
        assert refusal(peer.channel.next_message) == f"a frame of kind {kind.name} where MESSAGE was expected"

    @pytest.mark.parametrize("kind", [Kind.MESSAGE, Kind.INT64])
    def test_anything_but_an_object_where_one_is_expected(self, kind: Kind) -> None:
        peer = Hostile()
        peer.write(pack_header(kind, 0, 1) + b"\xc0")
        expected = f"a frame of kind {kind.name} where OBJECT was expected"
        assert refusal(lambda: peer.channel.advance(room_for_object)) == expected

    @pytest.mark.parametrize("size", [16, JOINED + 1], ids=["small", "big"])
    def test_what_is_no_frame(self, size: int) -> None:
        peer = Hostile()
        peer.write(b"x" * 100)
        assert refusal(peer.numbers(size=size)) == "something that is no frame"

    @pytest.mark.parametrize("size", [16, JOINED + 1], ids=["small", "big"])
    def test_another_version(self, size: int) -> None:
        peer = Hostile()
        peer.write(b"SK\x01" + pack_header(Kind.INT64, 0, size)[3:])
        expected = "a frame of version 1 of the protocol, where this program uses version 2"
        assert refusal(peer.numbers(size=size)) == expected

    @settings(max_examples=30)
    @given(st.binary(min_size=16, max_size=64))
    def test_random_bytes(self, data: bytes) -> None:
        peer = Hostile()
        peer.write(data)
        assert data[:2] == b"SK" or refusal(peer.channel.next_message) == "something that is no frame"


class TestRoom:
    @pytest.mark.parametrize(
        ("kind", "room"), [(Kind.MESSAGE, room_for_message), (Kind.OBJECT, room_for_object)], ids=["message", "object"]
    )
    @pytest.mark.parametrize("length", [LARGEST_PAYLOAD + 1, 2**32, 2**63, 2**64 - 1])
    def test_a_claimed_length_allocates_nothing(
        self, kind: Kind, room: Callable[[Header], memoryview], length: int
    ) -> None:
        peer = Hostile()
        peer.write(pack_header(kind, 0, length) + bytes(1000))
        tracemalloc.start()
        try:
            message = refusal(lambda: peer.channel.advance(room))
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()
        assert message == f"a frame of {length} bytes, where at most {LARGEST_PAYLOAD} are allowed"

    def test_the_largest_object_passes(self) -> None:
        here, there = channel_pair()
        payload = encode_object(bytes(LARGEST_PAYLOAD - 5))
        assert len(payload) == LARGEST_PAYLOAD
        _, received = at_once(lambda: send_all(here, (Kind.OBJECT, payload)), lambda: object_from(there))
        assert received == payload

    def test_numbers_go_straight_to_where_they_belong(self) -> None:
        here, there = channel_pair()
        target = memoryview(bytearray(50_000))
        sending = Task(lambda: send_all(here, (Kind.UINT8, b"x" * 50_000)))
        while (frame := there.advance(room_for_numbers(Kind.UINT8, target))) is None:
            can_be_read(there)
        sending.result()
        assert frame[1] is target
        assert bytes(target) == b"x" * 50_000

    def test_refused_numbers_leave_the_target_as_it_was(self) -> None:
        for size in (16, JOINED + 1):
            peer = Hostile()
            target = bytearray(b"\x07" * size)
            peer.write(pack_header(Kind.INT64, 1, size) + bytes(size))
            reason = refusal(partial(peer.channel.advance_numbers, Kind.INT64, memoryview(target)))
            assert reason.startswith("a frame with the wrong number")
            assert target == b"\x07" * size
