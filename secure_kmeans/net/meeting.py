"""The meeting: how all roles of a job connect to each other at the start of a run.

Each role listens for the roles before it in the job and dials the roles after it. The last role only listens, the first
only dials. A pair of roles has two lines: the data line, and the control line, on which each role learns whether the
other is alive. Strangers are refused in the TLS handshake; what they send costs them more than it costs this role.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from secure_kmeans.errors import JobError, RoleError
from secure_kmeans.job import MOST_ROLES, Job, Role, split_address
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.door import Door
from secure_kmeans.net.failures import abort_of, failure_of, printable
from secure_kmeans.net.handshake import difference, hello_of, session_of
from secure_kmeans.net.identity import Identity
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Abort, Checkpoint, Hello, MalformedFrameError, Refusal, encode_message
from secure_kmeans.net.tls import LostError, RejectedError, SilentError, TlsLine
from secure_kmeans.net.watch import Watch
from secure_kmeans.words import counted

log: Final = logging.getLogger(__name__)

LINES: Final = ("control", "data")
"""The lines between two roles, in the order in which they are dialled."""
BACKLOG: Final = 4 * MOST_ROLES
"""Connections that may wait at a listening socket to be accepted."""
_PAUSE_SECONDS: Final = (0.05, 2.0)
"""Between two attempts to dial a role: at first, and at most."""
_REMINDER_SECONDS: Final = 30.0
"""Between two log lines about the same missing roles."""


@dataclass(frozen=True)
class Attendance:
    """What one role needs for a meeting.

    Attributes
    ----------
    job : Job
        With the address and the fingerprint of every role.
    role : str
        The name of this role.
    identity : Identity
    resume : bool
        Whether a run is resumed. Ignored for a role that keeps no states.
    checkpoints : sequence of Checkpoint
        States that this role could resume from.
    listener : socket, optional
        Already listening; None: listen at the role's address in the job.
    wait : float or None
        Seconds to wait for the other roles; None: without a limit.
    give_up : callable, optional
        See :class:`~secure_kmeans.net.watch.Watch`.
    """

    job: Job
    role: str
    identity: Identity
    resume: bool = False
    checkpoints: Sequence[Checkpoint] = ()
    listener: socket.socket | None = None
    wait: float | None = None
    give_up: Callable[[RoleError], None] | None = None


def listen(address: str) -> socket.socket:
    """A listening socket.

    Raises
    ------
    OSError
        Where the address is not this machine's, or in use; its filename is the address.
    """
    host, port = split_address(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "this is no address of this machine"
        raise OSError(getattr(error, "errno", None), why, f"cannot listen on {address}") from None


def meet(attendance: Attendance) -> Mesh:
    """Connect to all other roles of the job, and check with each that it has the same job.

    Raises
    ------
    JobError
        Where a role of the job has no address or no fingerprint, or the job is too long to be compared.
    RoleError
        Where a role does not connect in time, is lost, or has another job; it names the role.
    OSError
        Where this role cannot listen.
    """
    return _Meeting(attendance).hold()


class _Meeting:
    def __init__(self, attendance: Attendance) -> None:
        self.attendance = attendance
        self.job = attendance.job
        self.job.check_endpoints()
        self.roles = {role.name: role for role in self.job.roles}
        self.me = self.roles[attendance.role]
        position = self.job.roles.index(self.me)
        self.earlier, self.later = self.job.roles[:position], self.job.roles[position + 1 :]
        self.others = tuple(role.name for role in (*self.earlier, *self.later))
        self.own = hello_of(self.job, self.me.name, "data", os.urandom(32), attendance.resume, attendance.checkpoints)
        try:
            encode_message(self.own)
        except ValueError:
            raise JobError(
                f"the job has {len(self.own.keys)} keys and elements of lists, too many to be compared between roles"
            ) from None
        self.hellos: dict[str, Hello] = {self.me.name: self.own}
        self.channels: dict[tuple[str, str], Channel] = {}
        self.answered: set[tuple[str, str]] = set()
        self.lock = threading.Lock()
        self.ended = False
        self.watch = Watch(self.me.name, self.others, self.job.timeout, attendance.give_up)

    def hold(self) -> Mesh:
        door = None
        try:
            if self.earlier:
                listener = self.attendance.listener or listen(_address_of(self.me))
                pinned = {_fingerprint_of(role): role.name for role in self.earlier}
                door = Door(listener, self.attendance.identity, pinned, self._admit)
                log.info("listening on %s port %d", *listener.getsockname()[:2])
            for role in self.later:
                threading.Thread(target=self._reach, args=(role,), name=f"dial {role.name}", daemon=True).start()
            session = self._meet_all()
        except BaseException as error:
            self.ended = True
            self.watch.fail(self._failure_from(error))
            if door is not None:
                door.close()
            self.watch.close()
            raise
        data = {name: self.channels[name, "data"] for name in self.others}
        return Mesh(self.me.name, tuple(self.roles), data, self.watch, session, self.hellos, door)

    def _meet_all(self) -> bytes:
        """Wait until all roles are connected to all roles; return the identifier of their session."""
        self._wait_for_all("connect", self._connected)
        session = session_of(self.job.digest, self.hellos, tuple(self.roles))
        self.watch.tell_ready(session)
        self._wait_for_all("connect to all other roles", self.watch.sessions)
        for name, theirs in self.watch.sessions().items():
            if theirs != session:
                raise self.watch.blame(name, "it is in another session: it sent other roles a different Hello")
        return session

    def _failure_from(self, error: BaseException) -> RoleError:
        """The failure of the run that follows from an exception in this role's meeting."""
        if isinstance(error, RoleError):
            return error
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "it was interrupted" if interrupted else f"{type(error).__name__} while it connected to the others"
        return RoleError(self.me.name, reason)

    # ------------------------------------------------------------------ waiting

    def _connected(self) -> set[str]:
        """The roles with which all lines are connected."""
        return {name for name in self.others if all((name, line) in self.channels for line in LINES)}

    def _wait_for_all(self, what: str, done: Callable[[], Collection[str]]) -> None:
        """Wait until ``done`` returns all other roles. ``what`` says what the others have to do, as an infinitive."""
        began = time.monotonic()
        logged: set[str] | None = None
        next_log = began + 1.0
        while missing := self._not_in(done()):
            self.watch.traffic.waits_for = missing[0]
            now = time.monotonic()
            wait = self.attendance.wait
            if wait is not None and now - began > wait:
                raise RoleError(missing[0], f"it did not {what} within {counted(wait, 'second')}")
            if now > next_log and (logged != set(missing) or now > next_log + _REMINDER_SECONDS):
                named = [f"{name} ({self.roles[name].address})" for name in missing]
                log.info("waiting for %s to %s", ", ".join(named), what)
                logged, next_log = set(missing), now
            with self.watch.changed:
                self.watch.check()
                self.watch.changed.wait(0.1)
        self.watch.traffic.waits_for = ""
        self.watch.check()

    def _not_in(self, names: Collection[str]) -> list[str]:
        return [name for name in self.others if name not in names]

    def _add_line(self, name: str, line: str, channel: Channel, hello: Hello) -> None:
        """Add a line to the meeting. Both lines of a role must lead to the same process, which the nonce shows."""
        with self.lock:
            first = self.hellos.setdefault(name, hello)
            self.channels[name, line] = channel
            complete = all((name, each) in self.channels for each in LINES)
        if first.nonce != hello.nonce:
            self.watch.fail(RoleError(name, "two processes use its certificate"))
        if line == "control":
            self.watch.add(channel)
        if complete:
            log.info("%s is connected", name)
        with self.watch.changed:
            self.watch.changed.notify_all()

    # --------------------------------------------------- lines from earlier roles

    def _admit(self, channel: Channel, deadline: float) -> str | None:
        """Accept a caller whose certificate is known after its Hello, or return the reason for a refusal."""
        theirs = channel.receive_message(deadline)
        if not isinstance(theirs, Hello):
            return "it did not say Hello"
        name, line = channel.peer, theirs.line
        with self.lock:
            second = self.ended or (name, line) in self.answered
            self.answered.add((name, line))
        if (failure := self.watch.failure) is not None:
            channel.send_message(abort_of(failure), deadline)
            return "the run has failed"
        if second:
            channel.send_message(Refusal(f'"{name}" is connected already'), deadline)
            return f'a second connection under the name of "{name}"'
        own = self._own_hello(line)
        try:
            channel.send_message(own, deadline)
        except LostError:
            self.answered.discard((name, line))
            raise
        if reason := difference(own, theirs, self.roles[name]):
            self.watch.fail(RoleError(name, printable(reason)))
            return printable(reason)
        self._add_line(name, line, channel, theirs)
        return None

    # ----------------------------------------------------- lines to later roles

    def _reach(self, role: Role) -> None:
        """Dial a role until both lines are connected or the meeting has ended."""
        for line in LINES:
            pause, logged = _PAUSE_SECONDS[0], ""
            while not self.ended and self.watch.failure is None:
                try:
                    self._dial(role, line)
                    break
                except RejectedError as error:
                    self.watch.fail(RoleError(role.name, self._rejection(role, error)))
                except SilentError:
                    self.watch.fail(
                        RoleError(role.name, f"it has not answered for {counted(self.job.timeout, 'second')}")
                    )
                except MalformedFrameError as error:
                    self.watch.fail(RoleError(role.name, f"it sent {error}"))
                except RoleError as error:
                    self.watch.fail(error)
                except (OSError, UnicodeError) as error:  # of the socket or its address, or a LostError
                    why = getattr(error, "strerror", None) or str(error)
                    if why != logged and not isinstance(error, ConnectionRefusedError):
                        log.warning("cannot reach %s yet: %s", role.name, why)
                    logged = why
                except Exception as error:
                    self.watch.fail(RoleError(self.me.name, f"{type(error).__name__} while it dialled {role.name}"))
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS[1])

    def _dial(self, role: Role, line: str) -> None:
        """Connect one line to a role.

        Raises
        ------
        OSError, UnicodeError, MalformedFrameError, RoleError
        """
        timeout = self.job.timeout
        connected = socket.create_connection(split_address(_address_of(role)), timeout=timeout)
        deadline = time.monotonic() + timeout
        tls = TlsLine(connected, self.attendance.identity, {_fingerprint_of(role)}, server=False)
        try:
            tls.shake_hands(deadline)
            channel = Channel(tls, role.name)
            own = self._own_hello(line)
            channel.send_message(own, deadline)
            theirs = channel.receive_message(deadline)
            if isinstance(theirs, Abort):
                raise failure_of(theirs, role.name, tuple(self.roles))
            if isinstance(theirs, Refusal):
                raise RoleError(role.name, f"it refused the connection: {printable(theirs.reason)}")
            if not isinstance(theirs, Hello):
                raise MalformedFrameError("no Hello")
            if reason := difference(own, theirs, role):
                raise RoleError(role.name, printable(reason))
        except BaseException:
            tls.close()
            raise
        self._add_line(role.name, line, channel, theirs)

    def _own_hello(self, line: str) -> Hello:
        return msgspec.structs.replace(self.own, line=line)

    def _rejection(self, role: Role, error: RejectedError) -> str:
        if "showed" in str(error):
            return f"at {role.address} {error}, the job says {role.fingerprint}"
        return f"{error}, whose fingerprint is {self.attendance.identity.fingerprint}: compare it with the job"


def _address_of(role: Role) -> str:
    assert role.address is not None, "the endpoints of the job were checked"
    return role.address


def _fingerprint_of(role: Role) -> str:
    assert role.fingerprint is not None, "the endpoints of the job were checked"
    return role.fingerprint
