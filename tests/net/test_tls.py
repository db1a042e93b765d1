import contextlib
import os
import random
import re
import socket
import ssl
import threading

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from secure_kmeans.net.identity import CERTIFICATE, KEY, load_identity, new_identity
from secure_kmeans.net.tls import LostError, RejectedError, SilentError, TlsLine
from tests.net.lines import (
    Task,
    at_once,
    can_be_read,
    identity_of,
    read_all,
    socket_pair,
    soon,
    tcp_pair,
    tls_between,
    tls_pair,
    write_all,
)

APPLICATION_DATA = 23
HEADER = 5  # bytes of a TLS record's: type, version, length
SECRET = b"the rows of a private table " * 50


def ends(
    client: str = "a", server: str = "b", client_pins: str = "b", server_pins: str = "a"
) -> tuple[TlsLine, TlsLine]:
    """Two lines before their handshake; each pins the certificate of the role named."""
    dialled, answered = socket_pair()
    return (
        TlsLine(dialled, identity_of(client), {identity_of(client_pins).fingerprint}, server=False),
        TlsLine(answered, identity_of(server), {identity_of(server_pins).fingerprint}, server=True),
    )


def server_end() -> tuple[socket.socket, TlsLine]:
    """A server's line to a client that the test plays itself."""
    dialled, answered = socket_pair()
    dialled.settimeout(60)
    return dialled, TlsLine(answered, identity_of("b"), {identity_of("a").fingerprint}, server=True)


def shaking(line: TlsLine) -> Task:
    return Task(lambda: line.shake_hands(soon()))


def how_it_ends(line: TlsLine) -> None:
    """What a reader meets who waits for more."""
    while True:
        assert read_all(line) == b""
        can_be_read(line)


def records(stream: bytes) -> list[tuple[int, bytes]]:
    """The TLS records in a stream: type and all bytes."""
    found = []
    while stream:
        kind, version, size = stream[0], stream[1:3], int.from_bytes(stream[3:5], "big")
        assert kind in (20, 21, 22, 23)
        assert version in (b"\x03\x01", b"\x03\x03")
        assert len(stream) >= HEADER + size
        found.append((kind, stream[: HEADER + size]))
        stream = stream[HEADER + size :]
    return found


class Wire:
    """Somebody between the two ends, who sees and may change all that is sent."""

    def __init__(self) -> None:
        dialled, self.to_client = socket_pair()
        answered, self.to_server = socket_pair()
        self.seen = bytearray()
        self.client, self.server = (
            TlsLine(dialled, identity_of("a"), {identity_of("b").fingerprint}, server=False),
            TlsLine(answered, identity_of("b"), {identity_of("a").fingerprint}, server=True),
        )
        for each in (self.to_client, self.to_server):
            each.setblocking(False)
        tasks = shaking(self.client), shaking(self.server)
        while not all(task.ended for task in tasks):
            for here, there in ((self.to_client, self.to_server), (self.to_server, self.to_client)):
                if can_be_read(here, 0.001):
                    there.send(self.taken(here))
        for task in tasks:
            task.result()

    def taken(self, end: socket.socket) -> bytes:
        """All that has come to this end of the wire by now."""
        came = bytearray()
        with contextlib.suppress(BlockingIOError):
            while piece := end.recv(1 << 16):
                came += piece
        self.seen += came
        return bytes(came)

    def sent(self, *payloads: bytes) -> list[bytes]:
        """The records in which the client sends these payloads; they go nowhere."""
        found = []
        for payload in payloads:
            write_all(self.client, payload)
            [(kind, record)] = records(self.taken(self.to_client))
            assert kind == APPLICATION_DATA
            found.append(record)
        return found

    def deliver(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.to_server.sendall(piece)

    def cut(self) -> None:
        self.to_server.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Identities of a client, a server and a stranger as files, for Python's own TLS."""
    base = tmp_path_factory.mktemp("identities")
    for name in ("a", "b", "stranger"):
        new_identity(base / name)
    return base


def standard_context(folder: Path | None = None, **settings: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if folder is not None:
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class TestHandshake:
    def test_what_one_writes_the_other_reads(self) -> None:
        client, server = tls_pair()
        write_all(client, b"to the server")
        write_all(server, b"to the client")
        assert read_all(server) == b"to the server"
        assert read_all(client) == b"to the client"
        assert client.shown == identity_of("b").fingerprint
        assert server.shown == identity_of("a").fingerprint

    def test_over_tcp_too(self) -> None:
        client, server = tls_between(*tcp_pair(), "a", "b")
        write_all(client, b"hello")
        can_be_read(server)
        assert read_all(server) == b"hello"
        client.close()
        server.close()

    def test_a_wrong_server_is_rejected_by_the_client(self) -> None:
        client, server = ends(server="stranger")
        shown = identity_of("stranger").fingerprint
        tasks = shaking(client), shaking(server)
        with pytest.raises(RejectedError, match=f"^it showed a certificate with the fingerprint {shown}$"):
            tasks[0].result()
        with pytest.raises(RejectedError, match=r"^it did not accept this role's certificate$"):
            tasks[1].result()
        assert client.shown == shown
        assert server.shown == ""  # the client never told who it is

    def test_a_wrong_client_is_rejected_by_the_server(self) -> None:
        client, server = ends(client="stranger")
        shown = identity_of("stranger").fingerprint
        tasks = shaking(client), shaking(server)
        with pytest.raises(RejectedError, match=f"^it showed a certificate with the fingerprint {shown}$"):
            tasks[1].result()
        tasks[0].result()  # in TLS 1.3 the client is done before the server looks at its certificate
        with pytest.raises(RejectedError, match=r"^it did not accept this role's certificate$"):
            how_it_ends(client)
        assert server.shown == shown

    def test_a_certificate_that_says_the_same_name_is_not_the_same(self, folders: Path) -> None:
        twin = load_identity(folders / "a")
        assert twin.certificate.subject == identity_of("a").certificate.subject
        dialled, answered = socket_pair()
        client = TlsLine(dialled, twin, {identity_of("b").fingerprint}, server=False)
        server = TlsLine(answered, identity_of("b"), {identity_of("a").fingerprint}, server=True)
        task = shaking(client)
        with pytest.raises(RejectedError, match=twin.fingerprint):
            server.shake_hands(soon())
        task.result()

    def test_nobody_is_accepted_where_nothing_is_pinned(self) -> None:
        dialled, answered = socket_pair()
        client = TlsLine(dialled, identity_of("a"), {identity_of("b").fingerprint}, server=False)
        server = TlsLine(answered, identity_of("b"), (), server=True)
        task = shaking(client)
        with pytest.raises(RejectedError):
            server.shake_hands(soon())
        task.result()

    def test_one_of_several_is_accepted_and_known(self) -> None:
        dialled, answered = socket_pair()
        pinned = {identity_of(name).fingerprint: name for name in "acd"}
        client = TlsLine(dialled, identity_of("c"), {identity_of("b").fingerprint}, server=False)
        server = TlsLine(answered, identity_of("b"), pinned, server=True)
        at_once(lambda: client.shake_hands(soon()), lambda: server.shake_hands(soon()))
        assert pinned[server.shown] == "c"

    def test_a_silent_peer_is_not_waited_for_for_ever(self) -> None:
        for line in ends():
            with pytest.raises(SilentError, match=r"^it did not respond in time$"):
                line.shake_hands(0.0)

    @pytest.mark.parametrize("server", [False, True])
    def test_a_peer_that_hangs_up_is_lost(self, server: str) -> None:
        line, peer = ends() if not server else reversed(ends())
        peer.close()
        with pytest.raises(LostError):
            line.shake_hands(soon())

    @pytest.mark.parametrize("server", [False, True])
    @pytest.mark.parametrize("size", [1, 5, 100, 100_000])
    def test_random_bytes_are_no_handshake(self, server: str, size: int) -> None:
        here, there = socket_pair()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        line = TlsLine(here, identity_of("b"), {identity_of("a").fingerprint}, server=server)
        there.sendall(random.Random(size).randbytes(size))
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(LostError):
            line.shake_hands(soon())
        assert line.shown == ""

    @pytest.mark.parametrize("greeting", [b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
    def test_a_caller_of_another_protocol_is_lost(self, greeting: bytes) -> None:
        caller, line = server_end()
        caller.sendall(greeting)
        with pytest.raises(LostError, match=r"^TLS failed \(.+\)$"):
            line.shake_hands(soon())


class TestStandardClient:
    """Python's own TLS calls."""

    def call(self, context: ssl.SSLContext) -> tuple[Task, TlsLine, socket.socket, Callable[[], ssl.SSLSocket]]:
        caller, line = server_end()
        task = shaking(line)
        return task, line, caller, lambda: context.wrap_socket(caller, server_hostname="b")

    def test_the_session_is_tls_1_3(self, folders: Path) -> None:
        dialled, answered = socket_pair()
        dialled.settimeout(60)
        caller = load_identity(folders / "a")
        line = TlsLine(answered, identity_of("b"), {caller.fingerprint}, server=True)
        task = shaking(line)
        with standard_context(folders / "a").wrap_socket(dialled, server_hostname="b") as client:
            task.result()
            assert client.version() == "TLSv1.3"
            assert client.getpeercert(binary_form=True) == identity_of("b").certificate.public_bytes(Encoding.DER)
            client.sendall(b"hello")
            assert read_all(line) == b"hello"
            assert line.shown == caller.fingerprint

    def test_a_client_without_a_certificate_is_refused(self) -> None:
        task, line, _, dial = self.call(standard_context())
        client = dial()
        assert isinstance(task.error(), LostError | RejectedError)
        assert line.shown == ""
        with pytest.raises(ssl.SSLError, match="alert"):
            client.recv(1)

    def test_a_client_with_a_strangers_certificate_is_refused(self, folders: Path) -> None:
        task, _, _, dial = self.call(standard_context(folders / "stranger"))
        client = dial()
        shown = load_identity(folders / "stranger").fingerprint
        assert str(task.error()) == f"it showed a certificate with the fingerprint {shown}"
        with pytest.raises(ssl.SSLError, match="alert"):
            client.recv(1)

    def test_a_client_of_tls_1_2_is_refused(self, folders: Path) -> None:
        task, _, _, dial = self.call(standard_context(folders / "a", maximum_version=ssl.TLSVersion.TLSv1_2))
        with pytest.raises(ssl.SSLError):
            dial()
        error = task.error()
        assert type(error) is LostError
        assert str(error) == "TLS failed (unsupported protocol)"

    def test_a_session_is_never_resumed(self, folders: Path) -> None:
        caller = load_identity(folders / "a")
        context = standard_context(folders / "a")
        session = None
        for _ in range(2):
            dialled, answered = socket_pair()
            dialled.settimeout(60)
            line = TlsLine(answered, identity_of("b"), {caller.fingerprint}, server=True)
            task = shaking(line)
            with context.wrap_socket(dialled, server_hostname="b", session=session) as client:
                task.result()
                write_all(line, b"x")
                assert client.recv(1) == b"x"
                assert not client.session_reused
                session = client.session


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
        for name in ("a", "b"):  # a listener does not even learn who talks
            assert identity_of(name).certificate.public_bytes(Encoding.DER) not in seen
            assert bytes.fromhex(identity_of(name).fingerprint) not in seen

    def test_each_direction_is_a_row_of_whole_records(self) -> None:
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
            whole, changed = wire.sent(b"before", b"x" * 200)
            changed = bytearray(changed)
            changed[bit // 8] ^= 1 << bit % 8
            wire.deliver(whole, changed)
            wire.cut()
            got = memoryview(bytearray(1000))
            assert wire.server.read_into(got) == len(b"before")
            assert bytes(got[:6]) == b"before"
            with pytest.raises(LostError):
                how_it_ends(wire.server)

    def test_a_replayed_record_is_refused(self) -> None:
        wire = Wire()
        [record] = wire.sent(b"once")
        wire.deliver(record)
        assert read_all(wire.server) == b"once"
        wire.deliver(record)
        with pytest.raises(LostError, match=r"^TLS failed"):
            how_it_ends(wire.server)

    def test_swapped_records_are_refused(self) -> None:
        wire = Wire()
        first, second = wire.sent(b"first", b"second")
        wire.deliver(second, first)
        with pytest.raises(LostError, match=r"^TLS failed"):
            how_it_ends(wire.server)

    def test_a_dropped_record_is_noticed(self) -> None:
        wire = Wire()
        _, second = wire.sent(b"first", b"second")
        wire.deliver(second)
        with pytest.raises(LostError, match=r"^TLS failed"):
            how_it_ends(wire.server)

    def test_an_inserted_record_is_refused(self) -> None:
        wire = Wire()
        wire.deliver(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(LostError, match=r"^TLS failed"):
            how_it_ends(wire.server)

    def test_a_record_of_another_line_is_refused(self) -> None:
        wire, other = Wire(), Wire()
        wire.deliver(*other.sent(b"for another"))
        with pytest.raises(LostError, match=r"^TLS failed"):
            how_it_ends(wire.server)

    def test_a_record_sent_back_to_its_sender_is_refused(self) -> None:
        wire = Wire()
        wire.to_client.sendall(*wire.sent(b"to the server"))
        with pytest.raises(LostError, match=r"^TLS failed"):
            how_it_ends(wire.client)

    @pytest.mark.parametrize("kept", [0, 1, 4, 5, 6, 100, -1])
    def test_a_cut_record_delivers_nothing(self, kept: int) -> None:
        wire = Wire()
        [record] = wire.sent(b"x" * 200)
        wire.deliver(record[:kept])
        assert read_all(wire.server) == b""
        wire.cut()
        with pytest.raises(LostError, match=r"^its connection broke$"):
            how_it_ends(wire.server)

    def test_an_end_between_two_records_is_not_taken_for_the_end_of_the_talk(self) -> None:
        wire = Wire()
        [record] = wire.sent(b"something")
        wire.deliver(record)
        wire.cut()
        assert read_all_but_the_end(wire.server) == b"something"
        with pytest.raises(LostError, match=r"^its connection broke$"):
            how_it_ends(wire.server)


def read_all_but_the_end(line: TlsLine) -> bytes:
    target = memoryview(bytearray(1000))
    return bytes(target[: line.read_into(target)])


class TestLine:
    def test_a_line_that_was_closed_says_so(self) -> None:
        client, server = tls_pair()
        write_all(client, b"last words")
        client.close()
        assert read_all_but_the_end(server) == b"last words"
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            how_it_ends(server)

    @pytest.mark.parametrize("politely", [True, False])
    def test_what_comes_together_with_the_end_is_read_before_it(self, politely: bool) -> None:
        client, server = tls_pair()
        said = os.urandom(40_000)  # three records
        write_all(client, said)
        if politely:
            client.close()
        else:
            client._socket.close()
        target = bytearray(100_000)
        assert server.read_into(memoryview(target)) == len(said)
        assert target[: len(said)] == said
        for _ in range(2):
            with pytest.raises(LostError, match="^it closed its connection$" if politely else "broke$"):
                server.read_into(memoryview(target))

    def test_after_close_writing_the_other_can_still_be_heard(self) -> None:
        client, server = tls_pair()
        client.close_writing()
        client.close_writing()
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            how_it_ends(server)
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
        came = bytearray()
        while len(came) < written or not client.write(piece):  # the piece that found no room is tried again
            came += read_all(server)
        while len(came) < written + len(piece):
            came += read_all(server)
        assert bytes(came) == piece * (written // len(piece) + 1)

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
            left, came = memoryview(sent[line]), bytearray()
            while left or len(came) < 5_000_000:
                if left:
                    left = left[line.write(left) :]
                came += read_all(line)
            return bytes(came)

        assert at_once(lambda: talk(client), lambda: talk(server)) == [sent[server], sent[client]]
        client.close()
        server.close()

    @pytest.mark.parametrize("how", ["close", "close_writing", "write"])
    def test_a_closed_line_touches_nobody_elses_connection(self, how: str) -> None:
        client, _server = tls_pair()
        number = client.fileno()
        client.close()
        with contextlib.ExitStack() as stack:
            mine, others = socket_pair()
            if mine.fileno() != number:  # the next connection that is opened gets the number of one that was closed
                os.dup2(mine.fileno(), number)
                stack.callback(os.close, number)
            others.sendall(b"for somebody else")
            with contextlib.suppress(OSError, LostError):
                {
                    "close": client.close,
                    "close_writing": client.close_writing,
                    "write": lambda: client.write(b"stray"),
                }[how]()
            mine.setblocking(False)
            others.setblocking(False)
            assert mine.recv(100) == b"for somebody else"
            with pytest.raises(BlockingIOError):
                others.recv(100)

    def test_no_reading_ever_blocks(self) -> None:
        client, _server = tls_pair()
        done = threading.Event()
        Task(lambda: (client.read_into(memoryview(bytearray(1))), done.set()))
        assert done.wait(60)


class TestExportedKey:
    def test_both_ends_and_nobody_else_have_it(self) -> None:
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
