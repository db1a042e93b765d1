"""A TLS 1.3 line to a peer whose certificate the job names by its fingerprint.

It uses OpenSSL by way of pyOpenSSL. Python's own ``ssl`` can ask a client for a certificate only where an authority, or
the certificate itself, is there to check it with, and the job names only fingerprints. Here both sides compare the
fingerprint inside the handshake. A stranger therefore sees one certificate, which holds nothing about its role, and
nothing else.
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
"""Bytes that one call of :meth:`TlsLine.write` sends, or of :meth:`TlsLine.read_into` reads, at most."""
_PARTIAL_WRITE: Final = 0x1  # SSL_MODE_ENABLE_PARTIAL_WRITE: pyOpenSSL sets it, and then writes one record a call


class LostError(ConnectionError):
    """The line has ended or could not be made. The message is a sentence about the peer, which it calls "it"."""


class SilentError(LostError):
    """The peer accepted the connection and does not respond."""


class RejectedError(LostError):
    """The peer rejected this role's certificate, or showed a certificate that the job does not name."""


class _Connection(SSL.Connection):
    """pyOpenSSL's connection with a faster way to read: no copy, and no Python call for each record of 16 KiB."""

    _pending_error: SSL.Error | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int | None = None) -> int:
        """Fill a beginning of ``buffer``; return the number of bytes.

        Where an error follows after some bytes, the bytes are returned, and the next call raises the error.
        """
        assert nbytes is None
        assert flags is None
        if self._pending_error is not None:
            raise self._pending_error
        tls = self._ssl
        with ffi.from_buffer("char[]", buffer, require_writable=True) as target:
            size = len(target)
            filled = lib.SSL_read(tls, target, size)
            if filled <= 0:
                self._raise_ssl_error(tls, filled)
            while 0 < filled < size:
                result = lib.SSL_read(tls, target + filled, size - filled)
                if result <= 0:
                    self._keep_error(result)
                    break
                filled += result
        return int(filled)

    def _keep_error(self, result: int) -> None:
        try:
            self._raise_ssl_error(self._ssl, result)
        except (SSL.WantReadError, SSL.WantWriteError):
            pass
        except SSL.Error as error:
            self._pending_error = error


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
        Whether the peer has dialled this role.
    """

    def __init__(self, connected: socket.socket, identity: Identity, pinned: Collection[str], *, server: bool) -> None:
        self._socket = connected
        self._shown = ""
        self._closed = False
        connected.setblocking(False)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # firewalls forget silent connections
        self._tls = _Connection(_context(identity, self._set_shown, pinned), connected)
        (self._tls.set_accept_state if server else self._tls.set_connect_state)()
        self._send: Callable[..., int] = self._tls.send
        self._receive: Callable[..., int] = self._tls.recv_into
        self.pending: Callable[[], int] = self._tls.pending
        """Callback(): the number of bytes that are decrypted and not read yet. ``select`` does not see them."""

    def _set_shown(self, fingerprint: str) -> None:
        self._shown = fingerprint

    def fileno(self) -> int:
        """The descriptor of the socket, for ``select``."""
        return self._socket.fileno()

    @property
    def shown(self) -> str:
        """The fingerprint of the certificate that the peer showed; empty where it showed none."""
        return self._shown

    def shake_hands(self, deadline: float) -> None:
        """Do the TLS handshake, in which each side proves its certificate to the other.

        Raises
        ------
        RejectedError
            Where the peer's certificate is not pinned.
        LostError
            Where the peer has closed the connection or does not use TLS 1.3.
        SilentError
            Where the handshake is not complete at ``deadline`` (of ``time.monotonic``).
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
                raise self._lost(error) from None

    def _wait(self, events: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self._socket, events)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SilentError("it did not respond in time")

    def write(self, data: bytes | memoryview) -> int:
        """Send a beginning of ``data`` without waiting; return the number of bytes, which may be 0.

        Raises
        ------
        LostError
        """
        self._check_open()
        try:
            return self._send(data if len(data) <= _WRITE_AT_ONCE else data[:_WRITE_AT_ONCE])
        except (SSL.WantWriteError, SSL.WantReadError):
            return 0
        except SSL.Error as error:
            raise self._lost(error) from None

    def read_into(self, target: memoryview) -> int:
        """Fill a beginning of ``target`` without waiting; return the number of bytes, which may be 0.

        Raises
        ------
        LostError
            Where the peer closed the line, or a byte was changed on its way.
        """
        self._check_open()
        try:
            return self._receive(target if len(target) <= _READ_AT_ONCE else target[:_READ_AT_ONCE])
        except (SSL.WantReadError, SSL.WantWriteError):
            return 0
        except SSL.Error as error:
            raise self._lost(error) from None

    def exported_key(self, label: str, context: bytes) -> bytes:
        """32 bytes that only the two ends of this line know, equal at both ends (RFC 8446, section 7.5)."""
        key: bytes = self._tls.export_keying_material(b"EXPORTER-secure-kmeans " + label.encode(), 32, context)
        return key

    def _check_open(self) -> None:
        if self._closed:
            raise LostError("its connection was closed on this side")

    def close_writing(self) -> None:
        """Tell the peer that this role sends nothing more. The line can still be read."""
        if self._closed:
            return
        try:
            self._tls.shutdown()
            self._socket.shutdown(socket.SHUT_WR)
        except (SSL.Error, OSError):
            pass

    def close(self) -> None:
        """End the line in both directions."""
        self.close_writing()
        self._closed = True  # another socket may get the same descriptor, which OpenSSL still knows
        self._socket.close()

    def _lost(self, error: SSL.Error) -> LostError | RejectedError:
        if isinstance(error, SSL.ZeroReturnError):
            return LostError("it closed its connection")
        if isinstance(error, SSL.SysCallError):
            return LostError("its connection broke")
        reasons = " ".join(str(reason) for *_, reason in error.args[0]) if error.args else ""
        if "certificate verify failed" in reasons:
            return RejectedError(f"it showed a certificate with the fingerprint {self._shown}")
        if "alert" in reasons and ("certificate" in reasons or "unknown ca" in reasons):
            return RejectedError("it did not accept this role's certificate")
        if "unexpected eof" in reasons:
            return LostError("its connection broke")
        return LostError(f"TLS failed ({reasons or 'no reason given'})")


def _context(identity: Identity, set_shown: Callable[[str], None], pinned: Collection[str]) -> SSL.Context:
    """The settings of one line. ``set_shown`` is called with the fingerprint of the peer's certificate."""

    def is_pinned(_line: Any, certificate: Any, _error: int, depth: int, _ok: int) -> bool:
        fingerprint = fingerprint_of(certificate.to_cryptography())
        set_shown(fingerprint)
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
