"""Door: accepts the connections of known roles at a listening socket, and refuses strangers at little cost."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from secure_kmeans.job import MOST_ROLES
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.identity import Identity
from secure_kmeans.net.messages import MalformedFrameError
from secure_kmeans.net.tls import LostError, TlsLine

log: Final = logging.getLogger(__name__)

MOST_CALLERS: Final = 2 * MOST_ROLES
"""Concurrent TLS handshakes. The oldest is dropped when one more caller arrives.

All other roles of the largest job can connect at the same time, and as many strangers.
"""
HANDSHAKE_SECONDS: Final = 20.0
"""Seconds that a caller has for the TLS handshake and its Hello."""
_MOST_LOGGED: Final = 20
"""Refusals that are logged in a period; the others are counted."""
_PERIOD_SECONDS: Final = 60.0

Admit = Callable[[Channel, float], str | None]
"""Callback(channel, deadline): accept a caller whose certificate is known, or return the reason for a refusal."""


class Door:
    """Answers the callers at a listening socket until it is closed.

    One thread accepts connections. Each caller has a thread of its own until it is accepted or refused.

    Parameters
    ----------
    listener : socket
        Closed with the door.
    identity : Identity
    pinned : mapping of fingerprint to role
        The certificates that are accepted, and the names of their roles.
    admit : callable
    """

    def __init__(self, listener: socket.socket, identity: Identity, pinned: Mapping[str, str], admit: Admit) -> None:
        self._listener, self._identity, self._pinned, self._admit = listener, identity, dict(pinned), admit
        self._callers: dict[socket.socket, None] = {}  # those in the TLS handshake, the oldest first
        self._lock = threading.Lock()
        self._closed = False
        self._refused = {True: 0, False: 0}  # callers with a certificate that the job names, and callers without
        self._period_began = time.monotonic()
        listener.setblocking(False)
        self._thread = threading.Thread(target=self._accept_all, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more callers. Accepted connections stay open."""
        self._closed = True
        self._thread.join(2)
        self._listener.close()

    def _accept_all(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        while not self._closed:
            if not poller.poll(200):
                continue
            try:
                caller, address = self._listener.accept()
            except OSError:  # the caller has closed its connection already, or all descriptors are in use
                time.sleep(0.05)
                continue
            with self._lock:
                if len(self._callers) >= MOST_CALLERS:
                    oldest = next(iter(self._callers))
                    del self._callers[oldest]
                    with contextlib.suppress(OSError):
                        oldest.shutdown(socket.SHUT_RDWR)
                self._callers[caller] = None
            where = f"{address[0]} port {address[1]}"
            threading.Thread(target=self._answer, args=(caller, where), name="caller", daemon=True).start()

    def _answer(self, caller: socket.socket, where: str) -> None:
        """Accept or refuse one caller, in its own thread."""
        deadline = time.monotonic() + HANDSHAKE_SECONDS
        known = False
        reason: str | None
        try:
            tls = TlsLine(caller, self._identity, self._pinned, server=True)
            tls.shake_hands(deadline)
            known = True
            self._forget(caller)  # its certificate is pinned: it is not dropped for another caller
            reason = self._admit(Channel(tls, self._pinned[tls.shown]), deadline)
            if reason is not None:
                tls.close()
        except LostError as error:
            reason = str(error)
        except MalformedFrameError as error:
            reason = f"it sent {error}"
        except Exception as error:  # no caller may end the thread before the connection is closed
            reason = getattr(error, "strerror", None) or type(error).__name__
        self._forget(caller)
        if reason is not None:
            caller.close()
            self._log_refusal(where, reason, known)

    def _forget(self, caller: socket.socket) -> None:
        with self._lock:
            self._callers.pop(caller, None)

    def _log_refusal(self, where: str, reason: str, known: bool) -> None:
        """Log a refusal, up to a number of them in each period.

        A caller must not be able to fill the disk. Callers with a known certificate are counted apart, so that
        strangers cannot hide them.
        """
        with self._lock:
            now = time.monotonic()
            if now - self._period_began > _PERIOD_SECONDS:
                if unlogged := sum(max(0, calls - _MOST_LOGGED) for calls in self._refused.values()):
                    log.warning("refused %d more connections", unlogged)
                self._refused = {True: 0, False: 0}
                self._period_began = now
            self._refused[known] += 1
            if self._refused[known] > _MOST_LOGGED:
                return
        log.warning("refused a connection from %s: %s", where, reason)
