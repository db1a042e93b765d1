import random
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from tests.net.wire import read_to_the_end, shaking


def ends(
    client: str = "a", server: str = "b", client_pins: str = "b", server_pins: str = "a"
) -> tuple[TlsLine, TlsLine]:
    """Two lines before their handshake. Each pins the certificate of the role that is named."""
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
        assert server.shown == ""  # the client never showed a certificate

    def test_a_wrong_client_is_rejected_by_the_server(self) -> None:
        client, server = ends(client="stranger")
        shown = identity_of("stranger").fingerprint
        tasks = shaking(client), shaking(server)
        with pytest.raises(RejectedError, match=f"^it showed a certificate with the fingerprint {shown}$"):
            tasks[1].result()
        tasks[0].result()  # in TLS 1.3 the client is done before the server looks at its certificate
        with pytest.raises(RejectedError, match=r"^it did not accept this role's certificate$"):
            read_to_the_end(client)
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

    def test_no_certificate_is_accepted_where_none_is_pinned(self) -> None:
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

    def test_the_wait_for_a_silent_peer_ends(self) -> None:
        for line in ends():
            with pytest.raises(SilentError, match=r"^it did not respond in time$"):
                line.shake_hands(0.0)

    @pytest.mark.parametrize("server", [False, True])
    def test_a_peer_that_closes_in_the_handshake_is_lost(self, server: bool) -> None:
        line, peer = ends() if not server else reversed(ends())
        peer.close()
        with pytest.raises(LostError):
            line.shake_hands(soon())

    @pytest.mark.parametrize("server", [False, True])
    @pytest.mark.parametrize("size", [1, 5, 100, 100_000])
    def test_random_bytes_are_no_handshake(self, server: bool, size: int) -> None:
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
    """A client that uses Python's own TLS."""

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
