"""Watch: a thread that receives the control messages of all other roles and ends the run when a role is lost.

Each pair of roles has a line for these messages alone. A role reports its activity about once a second. When it fails,
it reports the reason, and which role is the cause. A role is lost when its line ends before the role is done, when it
sends nothing for the job's timeout, or when it reports that it works while neither its processor nor its lines do.
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
from secure_kmeans.net.failures import abort_of, failure_of
from secure_kmeans.net.messages import Abort, Alive, Done, MalformedFrameError, Message, Ready
from secure_kmeans.net.tls import LostError
from secure_kmeans.words import counted

log: Final = logging.getLogger(__name__)

_REPORT_SECONDS: Final = 1.0
"""Between two reports of this role's activity."""
_TICK_SECONDS: Final = 0.25
"""Between two looks at the clock."""
_CLOSE_SECONDS: Final = 2.0
"""The longest wait for the others to close their lines."""
_GIVE_UP_SECONDS: Final = 5.0
"""After a failure, until ``give_up`` is called."""
_BUSY: Final = 0.02
"""The part of a processor that a role uses at least while it works."""
_STANDSTILL_TIMEOUTS: Final = 3
"""The number of timeouts after which the run has failed if every role waits for another one."""


@dataclass
class Traffic:
    """This role's activity. The thread that runs the protocol writes it; the watch reports it to the other roles.

    Attributes
    ----------
    waits_for : str
        The role whose message this role waits for; empty while it works.
    rounds : int
        How often this role waited for another role's message.
    bytes_sent : int
        Payload sent, without frames and encryption.
    lines : sequence of Channel
        The data lines; bytes that move on them count as activity.
    """

    waits_for: str = ""
    rounds: int = 0
    bytes_sent: int = 0
    lines: Sequence[Channel] = ()
    _began: float = field(default_factory=time.process_time)

    def waited(self) -> None:
        """Count one round."""
        self.rounds += 1

    def sent(self, size: float) -> None:
        """Count ``size`` bytes."""
        self.bytes_sent += round(size)

    def alive(self) -> Alive:
        """The activity as a message."""
        moved = sum(line.moved for line in self.lines)
        return Alive(self.waits_for, self.rounds, self.bytes_sent, moved, round(time.process_time() - self._began, 2))


@dataclass
class _Peer:
    """What this role knows of another role.

    Attributes
    ----------
    channel : Channel
    heard : float
        When its last message arrived (of ``time.monotonic``).
    moved : float
        When it last reported progress.
    last : Alive or None
        Its last report of progress.
    ready : bytes or None
        The session in which it is ready.
    done : Done or None
    gone : bool
        Whether its line has ended.
    """

    channel: Channel
    heard: float
    moved: float
    last: Alive | None = None
    ready: bytes | None = None
    done: Done | None = None
    gone: bool = False


class Watch:
    """Receives the control messages of all other roles, in a thread of its own.

    Parameters
    ----------
    me : str
        This role's name.
    others : sequence of str
        The names of the other roles.
    timeout : float
        Seconds after which a silent role is lost.
    give_up : callable, optional
        Callback(failure). The watch calls it where it has not been closed 5 seconds after a failure, because the thread
        that runs the protocol computes or waits without a way to interrupt it.

    Attributes
    ----------
    traffic : Traffic
        This role's activity.
    failure : RoleError or None
        The failure of the run.
    changed : threading.Condition
        Notified whenever a message has arrived or the run has failed.
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
        self._alarm_read, self._alarm_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._session: bytes | None = None
        self._failure_sent = False
        self._failed_at = 0.0
        self._checked = time.monotonic()
        self._closing = self._closed = False
        self._closes_at = 0.0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    # ------------------------------------------------------- for other threads

    def alarm(self) -> int:
        """A descriptor that becomes readable when the run has failed, and stays readable."""
        return self._alarm_read

    def add(self, channel: Channel) -> None:
        """Add the control line to another role."""
        self._command(lambda: self._add(channel))

    def tell_ready(self, session: bytes) -> None:
        """Report to all roles that this role is connected to them all, in this session."""
        self._command(lambda: self._send_ready(session))

    def sessions(self) -> dict[str, bytes]:
        """The session of each role that is ready."""
        return {name: peer.ready for name, peer in list(self._peers.items()) if peer.ready is not None}

    def tell_done(self) -> None:
        """Report to all roles that this role needs nothing more from them."""
        done = Done(self.traffic.rounds, self.traffic.bytes_sent)
        self._command(lambda: self._send(done))

    def done(self) -> dict[str, Done]:
        """The report of each role that is done."""
        return {name: peer.done for name, peer in list(self._peers.items()) if peer.done is not None}

    def wait(self, satisfied: Callable[[], bool]) -> None:
        """Wait until ``satisfied()``, which is called again after each message.

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
        """Raise the failure of the run, if there is one."""
        if self.failure is not None:
            raise self.failure

    def blame(self, role: str, reason: str) -> RoleError:
        """End the run because ``role`` is lost, and return the failure of the run.

        The failure is another one where a role has reported it first. The method waits half a second for such a report,
        because a role that fails reports its failure and then ends its lines.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.failure is not None, 0.5)
        self.fail(RoleError(role, reason))
        assert self.failure is not None
        return self.failure

    def fail(self, failure: RoleError) -> None:
        """End the run for all roles. Only the first failure counts."""
        with self.changed:
            if self.failure is not None:
                return
            self._failed_at = time.monotonic()
            self.failure = failure
            self.changed.notify_all()
        self._command(self._send_failure)
        with contextlib.suppress(OSError):
            os.write(self._alarm_write, b"!")

    def close(self) -> None:
        """End the control lines and the thread. Messages from before still reach the other roles."""
        self._closing = True
        self._command(lambda: None)
        self._thread.join(_CLOSE_SECONDS + 1)
        if not self._thread.is_alive() and not self._closed:
            self._closed = True
            self._selector.close()
            for end in (self._alarm_read, self._alarm_write, self._wake_read, self._wake_write):
                os.close(end)

    # ----------------------------------------------------------- in the thread

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        with contextlib.suppress(OSError):  # the pipe is full, which wakes the thread too, or closed with the watch
            os.write(self._wake_write, b".")

    def _run(self) -> None:
        try:
            self._receive_all()
        except Exception as error:  # without this thread a lost role would not be noticed
            failure = RoleError(self.me, f"{type(error).__name__} in its watch")
            self.fail(failure)
            if self._give_up is not None:
                self._give_up(failure)
            raise

    def _receive_all(self) -> None:
        next_report = 0.0
        while not self._has_ended():
            for key, _ in self._selector.select(_TICK_SECONDS if not self._closing else 0.02):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 1 << 12)
                else:
                    self._receive(key.data)
            while not self._commands.empty():
                self._commands.get()()
            now = time.monotonic()
            if now >= next_report and self.failure is None and not self._closing:
                self._send(self.traffic.alive(), optional=True)
                next_report = now + min(_REPORT_SECONDS, self.timeout / 4)
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

    def _has_ended(self) -> bool:
        """Whether all messages are sent and all other roles have closed their lines, or the time for that is over."""
        if not self._closing or not self._commands.empty() or (self.failure is not None and not self._failure_sent):
            return False
        now = time.monotonic()
        if not self._closes_at:
            self._closes_at = now + _CLOSE_SECONDS
        if any(peer.channel.sending for peer in self._peers.values() if not peer.gone):
            return now > self._closes_at
        for peer in self._peers.values():
            peer.channel.line.close_writing()
        return all(peer.gone for peer in self._peers.values()) or now > self._closes_at

    def _add(self, channel: Channel) -> None:
        now = time.monotonic()
        peer = _Peer(channel, heard=now, moved=now)
        self._peers[channel.peer] = peer
        self._selector.register(channel, selectors.EVENT_READ, peer)
        if self._session is not None:
            channel.put_message(Ready(self._session))
        if self._failure_sent and self.failure is not None:
            channel.put_message(abort_of(self.failure))
        self._receive(peer)  # OpenSSL may hold messages already, which select does not see
        with self.changed:
            self.changed.notify_all()

    def _send_failure(self) -> None:
        assert self.failure is not None
        self._failure_sent = True
        self._send(abort_of(self.failure))

    def _send_ready(self, session: bytes) -> None:
        self._session = session
        self._send(Ready(session))

    def _send(self, message: Message, *, optional: bool = False) -> None:
        """Send a message to all roles; an optional one only where nothing else waits to be sent."""
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

    def _receive(self, peer: _Peer) -> None:
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
                raise MalformedFrameError("a message that was not expected")
        with self.changed:
            self.changed.notify_all()

    @staticmethod
    def _has_moved(peer: _Peer, message: Alive) -> bool:
        """Whether a report shows progress since the last report that did."""
        last = peer.last
        if last is None or message.rounds > last.rounds or message.waits_for != last.waits_for:
            return True
        return message.bytes_moved > last.bytes_moved or message.cpu_s - last.cpu_s > _BUSY * (peer.heard - peer.moved)

    def _lose(self, name: str, peer: _Peer, reason: str) -> None:
        peer.gone = True
        self._selector.unregister(peer.channel)
        if peer.done is None and not self._closing:
            self.fail(RoleError(name, reason))

    def _check_peers(self, now: float) -> None:
        """End the run where a role has been silent or without progress for too long."""
        stopped = now - self._checked > max(self.timeout / 2, 4 * _TICK_SECONDS)
        self._checked = now
        if stopped:  # this process was stopped itself: the messages that arrived meanwhile are not read yet
            for peer in self._peers.values():
                peer.heard = peer.moved = now
        for name, peer in self._peers.items():
            if peer.done is not None:
                continue
            if now - peer.heard > self.timeout:
                self.fail(RoleError(name, f"it has not answered for {counted(self.timeout, 'second')}"))
            elif peer.ready and peer.last and not peer.last.waits_for and now - peer.moved > self.timeout:
                self.fail(RoleError(name, f"it has made no progress for {counted(self.timeout, 'second')}"))
        standstill = _STANDSTILL_TIMEOUTS * self.timeout
        without_progress = [peer for peer in self._peers.values() if peer.ready and now - peer.moved > standstill]
        if self.traffic.waits_for in self.others and len(without_progress) == len(self.others):
            self.fail(
                RoleError(self.traffic.waits_for, f"the run has made no progress for {counted(standstill, 'second')}")
            )
