"""Who is alive: a thread that hears every other role all the time, and ends the run when one is lost.

Each pair of roles has a line for this alone. A role tells every second or so what it is doing; when it fails it says
why, and whose fault that is. A role is lost when its line ends before it was done, when it says nothing for the job's
timeout, or when it says that it works and neither its processor nor its lines do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from secure_kmeans.errors import RoleError
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.messages import Abort, Alive, Done, MalformedFrameError, Message, Ready
from secure_kmeans.net.tls import LostError

log: Final = logging.getLogger(__name__)

_BEAT_SECONDS: Final = 1.0
_TICK_SECONDS: Final = 0.25
_FAREWELL_SECONDS: Final = 2.0
_GIVE_UP_SECONDS: Final = 5.0
_BUSY: Final = 0.02
"""A role that works uses more of its processor than this."""
_STANDSTILL_TIMEOUTS: Final = 3
"""Where every role waits for another one, the run has failed after so many timeouts."""


@dataclass
class Traffic:
    """What this role is doing, as it tells the others; written by the thread that works.

    Attributes
    ----------
    waits_for : str
        The role whose message it waits for; empty while it works.
    rounds : int
        How often it waited for another role's message.
    bytes_sent : int
        Payload that it handed to the transport, without frames and encryption.
    """

    waits_for: str = ""
    rounds: int = 0
    bytes_sent: int = 0
    _lines: Sequence[Channel] = ()
    _began: float = field(default_factory=time.process_time)

    def waited(self) -> None:
        """One more round."""
        self.rounds += 1

    def sent(self, size: float) -> None:
        """``size`` more bytes."""
        self.bytes_sent += round(size)

    def on(self, lines: Sequence[Channel]) -> None:
        """What moves on these lines counts as work."""
        self._lines = lines

    def alive(self) -> Alive:
        """As a message."""
        moved = sum(line.moved for line in self._lines)
        return Alive(self.waits_for, self.rounds, self.bytes_sent, moved, round(time.process_time() - self._began, 2))


@dataclass
class _Peer:
    """What is known of another role."""

    channel: Channel
    heard: float
    moved: float
    last: Alive | None = None
    ready: bytes | None = None
    done: Done | None = None
    gone: bool = False


class Watch:
    """Hears all other roles, in a thread of its own.

    Parameters
    ----------
    me : str
        This role's name.
    others : sequence of str
        The other roles'.
    timeout : float
        Seconds after which a silent role is lost.
    give_up : callable, optional
        Called with the failure where the thread that works has not ended the run by itself 5 seconds after one: it
        computes, or waits for something that cannot be interrupted.
    """

    def __init__(
        self,
        me: str,
        others: Sequence[str],
        timeout: float,
        give_up: Callable[[RoleError], None] | None = None,
    ) -> None:
        self.me, self.others, self.timeout = me, tuple(others), timeout
        self.traffic = Traffic()
        self.failure: RoleError | None = None
        self.changed = threading.Condition()
        self._give_up = give_up
        self._peers: dict[str, _Peer] = {}
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._alarm, self._ring = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._session: bytes | None = None
        self._told = False  # the failure, to those that were there
        self._failed_at = 0.0
        self._checked = time.monotonic()
        self._closing = self._closed = False
        self._farewell = 0.0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    # ------------------------------------------------------- for other threads

    def alarm(self) -> int:
        """A descriptor that becomes readable, and stays so, when the run has failed."""
        return self._alarm

    def add(self, channel: Channel) -> None:
        """Hear this role from now on."""
        self._command(lambda: self._add(channel))

    def tell_ready(self, session: bytes) -> None:
        """Tell all roles that this one has met them, in this session."""
        self._command(lambda: self._tell_ready(session))

    def sessions(self) -> dict[str, bytes]:
        """Of each role that is ready, the session that it is in."""
        return {name: peer.ready for name, peer in list(self._peers.items()) if peer.ready is not None}

    def tell_done(self) -> None:
        """Tell all roles that this one has all it came for."""
        done = Done(self.traffic.rounds, self.traffic.bytes_sent)
        self._command(lambda: self._tell(done))

    def done(self) -> dict[str, Done]:
        """What the roles that are done did."""
        return {name: peer.done for name, peer in list(self._peers.items()) if peer.done is not None}

    def wait(self, satisfied: Callable[[], bool]) -> None:
        """Wait until ``satisfied``, which is asked again whenever something was heard.

        Raises
        ------
        RoleError
            Where the run has failed.
        """
        with self.changed:
            while not satisfied():
                self.check()
                self.changed.wait(0.2)
        self.check()

    def check(self) -> None:
        """Raise the failure of the run, if it has failed."""
        if self.failure is not None:
            raise self.failure

    def blame(self, role: str, reason: str) -> RoleError:
        """Why the run failed: what was heard of, or else that ``role`` is lost for this reason.

        Another role may have failed first and said so: its word is given half a second to arrive.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.failure is not None, 0.5)
        self.fail(RoleError(role, reason))
        assert self.failure is not None
        return self.failure

    def fail(self, failure: RoleError) -> None:
        """End the run for all roles; only the first failure counts."""
        with self.changed:
            if self.failure is not None:
                return
            self._failed_at = time.monotonic()
            self.failure = failure
            self.changed.notify_all()
        self._command(self._tell_failure)
        with contextlib.suppress(OSError):
            os.write(self._ring, b"!")

    def close(self) -> None:
        """Say goodbye and end the thread; what was told before still reaches the others."""
        self._closing = True
        self._command(lambda: None)
        self._thread.join(_FAREWELL_SECONDS + 1)
        if not self._thread.is_alive() and not self._closed:
            self._closed = True
            self._selector.close()
            for end in (self._alarm, self._ring, self._wake_read, self._wake_write):
                os.close(end)

    # ----------------------------------------------------------- in the thread

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        with contextlib.suppress(OSError):  # the pipe is full: it wakes anyway; or closed: it is over
            os.write(self._wake_write, b".")

    def _run(self) -> None:
        try:
            self._hear_all()
        except Exception as error:  # nobody would notice any more that a role is lost
            failure = RoleError(self.me, f"{type(error).__name__} in its watch")
            self.fail(failure)
            if self._give_up is not None:
                self._give_up(failure)
            raise

    def _hear_all(self) -> None:
        beat = 0.0
        while not self._over():
            for key, _ in self._selector.select(_TICK_SECONDS if not self._closing else 0.02):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 1 << 12)
                else:
                    self._hear(key.data)
            while not self._commands.empty():
                self._commands.get()()
            now = time.monotonic()
            if now >= beat and self.failure is None and not self._closing:
                self._tell(self.traffic.alive(), optional=True)
                beat = now + min(_BEAT_SECONDS, self.timeout / 4)
            for name, peer in list(self._peers.items()):
                self._flush(name, peer)
            if self.failure is None and not self._closing:
                self._check_peers(now)
            elif self.failure is not None and not self._closing and now - self._failed_at > _GIVE_UP_SECONDS:
                if self._give_up is not None:
                    self._give_up(self.failure)
                return
        for peer in self._peers.values():
            peer.channel.line.close()

    def _over(self) -> bool:
        """Whether all has been said: then both sides close, and for a while each waits until the other has."""
        if not self._closing or not self._commands.empty() or (self.failure is not None and not self._told):
            return False
        now = time.monotonic()
        if not self._farewell:
            self._farewell = now + _FAREWELL_SECONDS
        if any(peer.channel.sending for peer in self._peers.values() if not peer.gone):
            return now > self._farewell
        for peer in self._peers.values():
            peer.channel.line.close_writing()
        return all(peer.gone for peer in self._peers.values()) or now > self._farewell

    def _add(self, channel: Channel) -> None:
        now = time.monotonic()
        peer = _Peer(channel, heard=now, moved=now)
        self._peers[channel.peer] = peer
        self._selector.register(channel, selectors.EVENT_READ, peer)
        if self._session is not None:
            channel.put_message(Ready(self._session))
        if self._told and self.failure is not None:
            channel.put_message(abort_of(self.failure))
        self._hear(peer)  # what came together with the handshake lies in OpenSSL's buffer already
        with self.changed:
            self.changed.notify_all()

    def _tell_failure(self) -> None:
        assert self.failure is not None
        self._told = True
        self._tell(abort_of(self.failure))

    def _tell_ready(self, session: bytes) -> None:
        self._session = session
        self._tell(Ready(session))

    def _tell(self, message: Message, *, optional: bool = False) -> None:
        for peer in self._peers.values():
            if not peer.gone and not (optional and peer.channel.sending):
                peer.channel.put_message(message)

    def _flush(self, name: str, peer: _Peer) -> None:
        if peer.gone or not peer.channel.sending:
            return
        try:
            peer.channel.flush()
        except LostError as error:
            self._lose(name, peer, str(error))

    def _hear(self, peer: _Peer) -> None:
        name = peer.channel.peer
        try:
            while not peer.gone and (message := peer.channel.next_message()) is not None:
                peer.heard = time.monotonic()
                self._take(name, peer, message)
        except LostError as error:
            self._lose(name, peer, str(error))
        except MalformedFrameError as error:
            self._lose(name, peer, f"it sent {error}")

    def _take(self, name: str, peer: _Peer, message: Message) -> None:
        match message:
            case Alive():
                if self._has_moved(peer, message):
                    peer.moved, peer.last = peer.heard, message
            case Abort():
                failure = failure_of(message, name, (self.me, *self.others))
                if self.failure is None:
                    log.warning("%s ends the run: %s", name, failure)
                self.fail(failure)
            case Ready() if peer.ready is None:
                peer.ready = message.session
            case Done() if peer.done is None and peer.ready is not None:
                peer.done = message
            case _:
                raise MalformedFrameError("a message that is not due")
        with self.changed:
            self.changed.notify_all()

    @staticmethod
    def _has_moved(peer: _Peer, message: Alive) -> bool:
        last = peer.last
        if last is None or message.rounds > last.rounds or message.waits_for != last.waits_for:
            return True
        if message.bytes_moved > last.bytes_moved:
            return True
        return message.cpu_s - last.cpu_s > _BUSY * (peer.heard - peer.moved)

    def _lose(self, name: str, peer: _Peer, reason: str) -> None:
        peer.gone = True
        self._selector.unregister(peer.channel)
        if peer.done is None and not self._closing:
            self.fail(RoleError(name, reason))

    def _check_peers(self, now: float) -> None:
        stood_still = now - self._checked > max(self.timeout / 2, 4 * _TICK_SECONDS)
        self._checked = now
        if stood_still:  # this role itself did: what the others said meanwhile has yet to be heard
            for peer in self._peers.values():
                peer.heard = peer.moved = now
        for name, peer in self._peers.items():
            if peer.done is not None:
                continue
            if now - peer.heard > self.timeout:
                self.fail(RoleError(name, f"it has not answered for {self.timeout:g} seconds"))
            elif peer.ready and peer.last and not peer.last.waits_for and now - peer.moved > self.timeout:
                self.fail(RoleError(name, f"it has stood still for {self.timeout:g} seconds"))
        standstill = _STANDSTILL_TIMEOUTS * self.timeout
        still = [peer for peer in self._peers.values() if peer.ready and now - peer.moved > standstill]
        if self.traffic.waits_for in self.others and len(still) == len(self.others):
            self.fail(RoleError(self.traffic.waits_for, f"the run has stood still for {standstill:g} seconds"))


def abort_of(failure: RoleError) -> Abort:
    """How a failure is told to another role."""
    return Abort(failure.role, printable(failure.reason)[:1000])


def failure_of(abort: Abort, teller: str, roles: Sequence[str]) -> RoleError:
    """What another role told; it is its own failure where it names a role that the job does not."""
    return RoleError(abort.role if abort.role in roles else teller, printable(abort.reason))


def printable(text: str) -> str:
    """What a peer wrote, without what could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
