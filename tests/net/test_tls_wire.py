import os
import random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from secure_kmeans.net.tls import LostError
from tests.net.lines import (
    identity_of,
    read_all,
    write_all,
)
from tests.net.wire import APPLICATION_DATA, HEADER, SECRET, Wire, read_all_but_the_end, read_to_the_end, records


class TestOnTheWire:
    def test_nothing_but_tls_records_and_nothing_readable(self) -> None:
        wire = Wire()
        write_all(wire.client, SECRET)
        wire.deliver(wire.taken(wire.to_client))
        assert read_all(wire.server) == SECRET
        write_all(wire.server, SECRET[::-1])
        wire.to_client.sendall(wire.taken(wire.to_server))
        assert read_all(wire.client) == SECRET[::-1]
        seen = bytes(wire.seen)
        for secret in (SECRET, SECRET[::-1]):
            for start in range(0, len(secret) - 8, 8):
                assert secret[start : start + 8] not in seen
        for name in ("a", "b"):  # the bytes do not even show whose line it is
            assert identity_of(name).certificate.public_bytes(Encoding.DER) not in seen
            assert bytes.fromhex(identity_of(name).fingerprint) not in seen

    def test_each_direction_is_a_sequence_of_whole_records(self) -> None:
        wire = Wire()
        for payload in (b"x", SECRET, os.urandom(100_000)):
            write_all(wire.client, payload)
            found = records(wire.taken(wire.to_client))
            assert {kind for kind, _ in found} == {APPLICATION_DATA}
            wire.deliver(*(record for _, record in found))
            assert read_all(wire.server) == payload

    def test_the_same_bytes_never_look_the_same(self) -> None:
        wire, other = Wire(), Wire()
        seen = [*wire.sent(SECRET, SECRET), *other.sent(SECRET)]
        assert len({record[HEADER:] for record in seen}) == 3

    @pytest.mark.parametrize("share", range(5))
    def test_no_flipped_bit_passes(self, share: int) -> None:
        chosen = random.Random(share)
        bits = [*range(8 * HEADER)[share::5], *(chosen.randrange(8 * HEADER, 8 * 200) for _ in range(10))]
        for bit in bits:
            wire = Wire()
            whole, record = wire.sent(b"before", b"x" * 200)
            changed = bytearray(record)
            changed[bit // 8] ^= 1 << bit % 8
            wire.deliver(whole, bytes(changed))
            wire.cut()
            got = memoryview(bytearray(1000))
            assert wire.server.read_into(got) == len(b"before")
            assert bytes(got[:6]) == b"before"
            with pytest.raises(LostError):
                read_to_the_end(wire.server)

    def test_a_replayed_record_is_refused(self) -> None:
        wire = Wire()
        [record] = wire.sent(b"once")
        wire.deliver(record)
        assert read_all(wire.server) == b"once"
        wire.deliver(record)
        with pytest.raises(LostError, match=r"^TLS failed"):
            read_to_the_end(wire.server)

    def test_swapped_records_are_refused(self) -> None:
        wire = Wire()
        first, second = wire.sent(b"first", b"second")
        wire.deliver(second, first)
        with pytest.raises(LostError, match=r"^TLS failed"):
            read_to_the_end(wire.server)

    def test_a_dropped_record_is_noticed(self) -> None:
        wire = Wire()
        _, second = wire.sent(b"first", b"second")
        wire.deliver(second)
        with pytest.raises(LostError, match=r"^TLS failed"):
            read_to_the_end(wire.server)

    def test_an_inserted_record_is_refused(self) -> None:
        wire = Wire()
        wire.deliver(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(LostError, match=r"^TLS failed"):
            read_to_the_end(wire.server)

    def test_a_record_of_another_line_is_refused(self) -> None:
        wire, other = Wire(), Wire()
        wire.deliver(*other.sent(b"for another"))
        with pytest.raises(LostError, match=r"^TLS failed"):
            read_to_the_end(wire.server)

    def test_a_record_sent_back_to_its_sender_is_refused(self) -> None:
        wire = Wire()
        [record] = wire.sent(b"to the server")
        wire.to_client.sendall(record)
        with pytest.raises(LostError, match=r"^TLS failed"):
            read_to_the_end(wire.client)

    @pytest.mark.parametrize("kept", [0, 1, 4, 5, 6, 100, -1])
    def test_a_cut_record_delivers_nothing(self, kept: int) -> None:
        wire = Wire()
        [record] = wire.sent(b"x" * 200)
        wire.deliver(record[:kept])
        assert read_all(wire.server) == b""
        wire.cut()
        with pytest.raises(LostError, match=r"^its connection broke$"):
            read_to_the_end(wire.server)

    def test_a_cut_between_two_records_is_not_taken_for_a_close(self) -> None:
        wire = Wire()
        [record] = wire.sent(b"something")
        wire.deliver(record)
        wire.cut()
        assert read_all_but_the_end(wire.server) == b"something"
        with pytest.raises(LostError, match=r"^its connection broke$"):
            read_to_the_end(wire.server)
