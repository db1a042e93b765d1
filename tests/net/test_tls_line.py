import contextlib
import os
import random
import re
import threading
from collections.abc import Callable

import pytest

from secure_kmeans.net.tls import LostError, TlsLine
from tests.net.lines import (
    Task,
    at_once,
    read_all,
    socket_pair,
    tcp_pair,
    tls_between,
    tls_pair,
    write_all,
)
from tests.net.wire import SECRET, Wire, read_all_but_the_end, read_to_the_end


class TestLine:
    def test_an_end_by_closing_is_recognised(self) -> None:
        client, server = tls_pair()
        write_all(client, b"last words")
        client.close()
        assert read_all_but_the_end(server) == b"last words"
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            read_to_the_end(server)

    @pytest.mark.parametrize("politely", [True, False])
    def test_bytes_that_arrive_together_with_the_end_are_read_first(self, politely: bool) -> None:
        client, server = tls_pair()
        sent = os.urandom(40_000)  # three records
        write_all(client, sent)
        if politely:
            client.close()
        else:
            client._socket.close()
        target = bytearray(100_000)
        assert server.read_into(memoryview(target)) == len(sent)
        assert target[: len(sent)] == sent
        for _ in range(2):
            with pytest.raises(LostError, match="^it closed its connection$" if politely else "broke$"):
                server.read_into(memoryview(target))

    def test_after_close_writing_the_other_side_can_still_be_read(self) -> None:
        client, server = tls_pair()
        client.close_writing()
        client.close_writing()
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            read_to_the_end(server)
        server.close()

    def test_nothing_to_read_is_no_error(self) -> None:
        client, server = tls_pair()
        for line in (client, server):
            assert line.read_into(memoryview(bytearray(10))) == 0

    def test_a_full_line_takes_nothing_more_until_it_is_read(self) -> None:
        client, server = tls_pair()
        piece = os.urandom(1 << 18)
        written = 0
        while size := client.write(piece):
            written += size
            assert written < 1 << 26
        received = bytearray()
        while len(received) < written or not client.write(piece):  # the piece that found no room is tried again
            received += read_all(server)
        while len(received) < written + len(piece):
            received += read_all(server)
        assert bytes(received) == piece * (written // len(piece) + 1)

    def test_what_was_decrypted_and_not_read_is_pending(self) -> None:
        client, server = tls_pair()
        write_all(client, b"12345678")
        assert server.pending() == 0
        assert server.read_into(memoryview(bytearray(3))) == 3
        assert server.pending() == 5
        assert read_all(server) == b"45678"
        assert server.pending() == 0

    def test_megabytes_arrive_whole_in_both_directions_at_once(self) -> None:
        client, server = tls_between(*tcp_pair(), "a", "b")
        sent = {line: random.Random(line.fileno()).randbytes(5_000_000) for line in (client, server)}

        def talk(line: TlsLine) -> bytes:
            left, received = memoryview(sent[line]), bytearray()
            while left or len(received) < 5_000_000:
                if left:
                    left = left[line.write(left) :]
                received += read_all(line)
            return bytes(received)

        assert at_once(lambda: talk(client), lambda: talk(server)) == [sent[server], sent[client]]
        client.close()
        server.close()

    @pytest.mark.parametrize("how", ["close", "close_writing", "write"])
    def test_a_closed_line_touches_no_other_connection(self, how: str) -> None:
        client, _server = tls_pair()
        calls: dict[str, Callable[[], object]] = {
            "close": client.close,
            "close_writing": client.close_writing,
            "write": lambda: client.write(b"stray"),
        }
        number = client.fileno()
        client.close()
        with contextlib.ExitStack() as stack:
            mine, others = socket_pair()
            if mine.fileno() != number:  # the next connection that is opened gets the number of one that was closed
                os.dup2(mine.fileno(), number)
                stack.callback(os.close, number)
            others.sendall(b"for somebody else")
            with contextlib.suppress(OSError, LostError):
                calls[how]()
            mine.setblocking(False)
            others.setblocking(False)
            assert mine.recv(100) == b"for somebody else"
            with pytest.raises(BlockingIOError):
                others.recv(100)

    def test_no_reading_ever_blocks(self) -> None:
        client, _server = tls_pair()
        done = threading.Event()

        def read() -> None:
            client.read_into(memoryview(bytearray(1)))
            done.set()

        Task(read)
        assert done.wait(60)


class TestExportedKey:
    def test_it_is_equal_at_both_ends_and_different_on_other_lines(self) -> None:
        client, server = tls_pair()
        other, _ = tls_pair()
        key = client.exported_key("masks", b"session")
        assert len(key) == 32
        assert server.exported_key("masks", b"session") == key
        assert other.exported_key("masks", b"session") != key

    def test_it_differs_by_label_and_context(self) -> None:
        client, server = tls_pair()
        asked = [("masks", b"session"), ("coins", b"session"), ("masks", b"other"), ("masks", b""), ("", b"session")]
        keys = [client.exported_key(*each) for each in asked]
        assert len(set(keys)) == len(asked)
        assert [server.exported_key(*each) for each in asked] == keys
        assert [client.exported_key(*each) for each in asked] == keys

    def test_it_is_not_on_the_wire(self) -> None:
        wire = Wire()
        key = wire.client.exported_key("masks", b"session")
        wire.sent(SECRET)
        assert key not in bytes(wire.seen)
        assert re.search(re.escape(key[:8]), bytes(wire.seen)) is None
