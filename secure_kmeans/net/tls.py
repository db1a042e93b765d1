"""One TLS 1.3 line to a peer whose certificate the job names.

OpenSSL by way of pyOpenSSL: Python's own ``ssl`` can ask a client for a certificate only if an authority or the
certificate itself is at hand to check it with, and the job names fingerprints alone. Here the fingerprint is
compared inside the handshake, on both sides, so that a stranger sees a certificate, which says nothing, and no more.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from secure_kmeans.net.identity import Identity, fingerprint_of

_WRITE_AT_ONCE: Final = 1 << 18
_READ_AT_ONCE: Final = 1 << 20
_PARTIAL_WRITE: Final = 0x1  # SSL_MODE_ENABLE_PARTIAL_WRITE: pyOpenSSL sets it, and then writes one record a call


class LostError(ConnectionError):
    """The line is gone; the message says how."""


class SilentError(LostError):
    """The peer took the connection and says nothing."""


class RejectedError(LostError):
    """The peer rejected this role's certificate, or showed another than the job names."""


class _Connection(SSL.Connection):
    """pyOpenSSL's connection, which reads all that has come without a copy and a call for each record of 16 KiB."""

    _trouble: SSL.Error | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int | None = None) -> int:
        """Fill a beginning of ``buffer``. What ends the line after some bytes is raised at the next call."""
        assert nbytes is None
        assert flags is None
        if self._trouble is not None:
            raise self._trouble
        tls = self._ssl
        with ffi.from_buffer("char[]", buffer, require_writable=True) as target:
            size = len(target)
            filled = lib.SSL_read(tls, target, size)
            if filled <= 0:
                self._raise_ssl_error(tls, filled)
            while 0 < filled < size:
                came = lib.SSL_read(tls, target + filled, size - filled)
                if came <= 0:
                    self._note_trouble(came)
                    break
                filled += came
        return int(filled)

    def _note_trouble(self, result: int) -> None:
        try:
            self._raise_ssl_error(self._ssl, result)
        except (SSL.WantReadError, SSL.WantWriteError):
            pass
        except SSL.Error as error:
            self._trouble = error


class TlsLine:
    """A TLS connection that never blocks.

    Parameters
    ----------
    connected : socket
        Closed with the line.
    identity : Identity
    pinned : collection of str
        Fingerprints of the certificates that are accepted.
    server : bool
        Whether the peer dialled.
    """

    def __init__(self, connected: socket.socket, identity: Identity, pinned: Collection[str], *, server: bool) -> None:
        self._socket = connected
        self._shown = ""
        self._closed = False
        connected.setblocking(False)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # firewalls forget silent connections
        self._tls = _Connection(_context(identity, self._note, pinned), connected)
        (self._tls.set_accept_state if server else self._tls.set_connect_state)()
        self._send: Callable[..., int] = self._tls.send
        self._receive: Callable[..., int] = self._tls.recv_into
        self.pending: Callable[[], int] = self._tls.pending
        """How many bytes have been decrypted and not been read: ``select`` does not see them."""

    def _note(self, fingerprint: str) -> None:
        self._shown = fingerprint

    def fileno(self) -> int:
        """Of the socket, for ``select``."""
        return self._socket.fileno()

    @property
    def shown(self) -> str:
        """Fingerprint of the certificate that the peer showed; empty where it showed none."""
        return self._shown

    def shake_hands(self, deadline: float) -> None:
        """Prove both certificates to each other.

        Raises
        ------
        RejectedError
            Where the peer's certificate is not pinned.
        LostError
            Where the peer is gone, speaks no TLS 1.3, or is not done at ``deadline`` (of ``time.monotonic``).
        """
        while True:
            try:
                self._tls.do_handshake()
                return
            except SSL.WantReadError:
                self._wait(select.POLLIN, deadline)
            except SSL.WantWriteError:
                self._wait(select.POLLOUT, deadline)
            except SSL.Error as error:
                raise self._explained(error) from None

    def _wait(self, events: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self._socket, events)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SilentError("it said nothing for too long")

    def write(self, data: bytes | memoryview) -> int:
        """Send a beginning of ``data``; return how many bytes that was, 0 where there is no room now."""
        self._check_open()
        try:
            return self._send(data if len(data) <= _WRITE_AT_ONCE else data[:_WRITE_AT_ONCE])
        except (SSL.WantWriteError, SSL.WantReadError):
            return 0
        except SSL.Error as error:
            raise self._explained(error) from None

    def read_into(self, target: memoryview) -> int:
        """Fill a beginning of ``target``; return how many bytes that was, 0 where nothing has come.

        Raises
        ------
        LostError
            Where the peer closed the line, or somebody else changed a byte on the way.
        """
        self._check_open()
        try:
            return self._receive(target if len(target) <= _READ_AT_ONCE else target[:_READ_AT_ONCE])
        except (SSL.WantReadError, SSL.WantWriteError):
            return 0
        except SSL.Error as error:
            raise self._explained(error) from None

    def exported_key(self, label: str, context: bytes) -> bytes:
        """32 bytes that only the two ends of this line know (RFC 8446, section 7.5); the same at both."""
        key: bytes = self._tls.export_keying_material(b"EXPORTER-secure-kmeans " + label.encode(), 32, context)
        return key

    def _check_open(self) -> None:
        if self._closed:
            raise LostError("its connection was closed on this side")

    def close_writing(self) -> None:
        """Tell the peer that nothing more will come."""
        if self._closed:
            return
        try:
            self._tls.shutdown()
            self._socket.shutdown(socket.SHUT_WR)
        except (SSL.Error, OSError):
            pass

    def close(self) -> None:
        """End the line."""
        self.close_writing()
        self._closed = True  # another socket may get the same descriptor, which OpenSSL still knows
        self._socket.close()

    def _explained(self, error: SSL.Error) -> LostError | RejectedError:
        if isinstance(error, SSL.ZeroReturnError):
            return LostError("it closed its connection")
        if isinstance(error, SSL.SysCallError):
            return LostError("its connection ended without a word")
        reasons = " ".join(str(reason) for *_, reason in error.args[0]) if error.args else ""
        if "certificate verify failed" in reasons:
            return RejectedError(f"it showed a certificate with the fingerprint {self._shown}")
        if "alert" in reasons and ("certificate" in reasons or "unknown ca" in reasons):
            return RejectedError("it did not accept this role's certificate")
        if "unexpected eof" in reasons:
            return LostError("its connection ended without a word")
        return LostError(f"TLS failed ({reasons or 'no reason given'})")


def _context(identity: Identity, note: Callable[[str], None], pinned: Collection[str]) -> SSL.Context:
    def is_pinned(_line: Any, certificate: Any, _error: int, depth: int, _ok: int) -> bool:
        fingerprint = fingerprint_of(certificate.to_cryptography())
        note(fingerprint)
        return depth == 0 and fingerprint in pinned

    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # no resumption: fresh keys for every line
    context.clear_mode(_PARTIAL_WRITE)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, is_pinned)
    context.use_certificate(identity.certificate)
    context.use_privatekey(identity.key)
    return context
