"""Where callers come in: most are strangers, and none of them may cost much."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from secure_kmeans.net.channel import Channel
from secure_kmeans.net.identity import Identity
from secure_kmeans.net.messages import MalformedFrameError
from secure_kmeans.net.tls import LostError, TlsLine

log: Final = logging.getLogger(__name__)

MOST_CALLERS: Final = 32
"""So many may be in their handshake at once; for one more the oldest has to go."""
HANDSHAKE_SECONDS: Final = 20.0
_REFUSALS_TOLD: Final = 20
_TELLING_SECONDS: Final = 60.0

Admit = Callable[[Channel, float], str | None]
"""Given a channel to a known caller and a deadline: takes it in, or returns why not."""


class Door:
    """Answers the calls at a listening socket, in a thread of its own, until it is closed.

    Parameters
    ----------
    listener : socket
        Closed with the door.
    identity : Identity
    pinned : mapping of fingerprint to role
        Who may come in.
    admit : callable
    """

    def __init__(self, listener: socket.socket, identity: Identity, pinned: Mapping[str, str], admit: Admit) -> None:
        self._listener, self._identity, self._pinned, self._admit = listener, identity, dict(pinned), admit
        self._callers: dict[socket.socket, None] = {}  # in the order in which they came
        self._lock = threading.Lock()
        self._closed = False
        self._refused = {True: 0, False: 0}  # with a certificate that the job names, and without
        self._telling_since = time.monotonic()
        listener.setblocking(False)
        self._thread = threading.Thread(target=self._answer, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more calls."""
        self._closed = True
        self._thread.join(2)
        self._listener.close()

    def _answer(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        while not self._closed:
            if not poller.poll(200):
                continue
            try:
                caller, address = self._listener.accept()
            except OSError:  # it has hung up already, or there are no descriptors left for the moment
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
            threading.Thread(target=self._receive, args=(caller, where), name="caller", daemon=True).start()

    def _receive(self, caller: socket.socket, where: str) -> None:
        deadline = time.monotonic() + HANDSHAKE_SECONDS
        known = False
        reason: str | None
        try:
            tls = TlsLine(caller, self._identity, self._pinned, server=True)
            tls.shake_hands(deadline)
            known = True
            self._forget(caller)  # it is no stranger, and has to make room for none
            reason = self._admit(Channel(tls, self._pinned[tls.shown]), deadline)
            if reason is not None:
                tls.close()
        except (LostError, MalformedFrameError) as error:
            reason = str(error)
        except Exception as error:  # whatever a stranger comes up with, the door stays open for the others
            reason = getattr(error, "strerror", None) or type(error).__name__
        self._forget(caller)
        if reason is not None:
            caller.close()
            self._tell_refusal(where, reason, known)

    def _forget(self, caller: socket.socket) -> None:
        with self._lock:
            self._callers.pop(caller, None)

    def _tell_refusal(self, where: str, reason: str, known: bool) -> None:
        """Into the log, but only so often: whoever calls must not be able to fill a disk, nor to hide others' calls."""
        with self._lock:
            now = time.monotonic()
            if now - self._telling_since > _TELLING_SECONDS:
                if untold := sum(max(0, calls - _REFUSALS_TOLD) for calls in self._refused.values()):
                    log.warning("refused %d more connections", untold)
                self._refused = {True: 0, False: 0}
                self._telling_since = now
            self._refused[known] += 1
            if self._refused[known] > _REFUSALS_TOLD:
                return
        log.warning("refused a connection from %s: %s", where, reason)
