"""How the roles of a job come together.

Each role listens for those before it in the job and dials those after it; the dealer comes last and only listens, the
first party only dials. A pair of roles has two lines: one for data, one on which they hear whether the other is alive.
Strangers are refused in the TLS handshake, and whatever they send costs them more than this role.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from secure_kmeans.errors import JobError, RoleError
from secure_kmeans.job import DEALER, Job, split_address
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.door import Door
from secure_kmeans.net.handshake import difference, hello_of, session_of
from secure_kmeans.net.identity import Identity
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Abort, Checkpoint, Hello, MalformedFrameError, Refusal, encode_message
from secure_kmeans.net.tls import LostError, RejectedError, SilentError, TlsLine
from secure_kmeans.net.watch import Watch, abort_of, failure_of, printable

log: Final = logging.getLogger(__name__)

LINES: Final = ("control", "data")
_TRY_AGAIN_SECONDS: Final = (0.05, 2.0)
_REMIND_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Attendance:
    """What a role brings to the meeting.

    Attributes
    ----------
    job : Job
        With the address and the fingerprint of every role.
    role : str
        This one's name.
    identity : Identity
    resume : bool
    checkpoints : sequence of Checkpoint
        States that this party could resume from.
    listener : socket, optional
        Already listening; None: listen at the role's address in the job.
    wait : float or None
        Seconds to wait for the other roles; None: for ever.
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
        return socket.create_server((host, port), family=family, backlog=64, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "this is no address of this machine"
        raise OSError(getattr(error, "errno", None), why, f"cannot listen on {address}") from None


def meet(attendance: Attendance) -> Mesh:
    """Find all other roles of the job, and agree with each that it is the same job.

    Raises
    ------
    RoleError
        Where a role does not come in time, is lost, or differs; it names the role.
    OSError
        Where this role cannot listen.
    """
    return _Meeting(attendance).hold()


class _Meeting:
    def __init__(self, attendance: Attendance) -> None:
        self.attendance = attendance
        job, role = attendance.job, attendance.role
        self.job, self.role = job, role
        self.nonce = os.urandom(32)
        place = job.roles.index(role)
        self.earlier, self.later = job.roles[:place], job.roles[place + 1 :]
        self.others = (*self.earlier, *self.later)
        self.hellos: dict[str, Hello] = {role: self._own_hello("data")}
        try:
            encode_message(self.hellos[role])
        except ValueError:
            raise JobError(f"{len(job.columns)} columns have names too long to be compared") from None
        self.channels: dict[tuple[str, str], Channel] = {}
        self.taken: set[tuple[str, str]] = set()
        self.lock = threading.Lock()
        self.ended = False
        self.watch = Watch(role, self.others, job.timeout, attendance.give_up)

    def hold(self) -> Mesh:
        door = None
        try:
            if self.earlier:
                listener = self.attendance.listener or listen(self.job.place(self.role).address or "")
                pinned = {self.job.place(name).fingerprint or "": name for name in self.earlier}
                door = Door(listener, self.attendance.identity, pinned, self._admit)
                log.info("listening on %s port %d", *listener.getsockname()[:2])
            for name in self.later:
                threading.Thread(target=self._reach, args=(name,), name=f"dial {name}", daemon=True).start()
            self._wait_for_all()
            session = session_of(self.job.digest, self.hellos, self.job.roles)
            self.watch.tell_ready(session)
            self._wait_until("it has not met all others", lambda: set(self.watch.sessions()))
            for name, theirs in self.watch.sessions().items():
                if theirs != session:
                    raise self.watch.blame(name, "it is in another session: it told others something else")
        except BaseException as error:
            self.ended = True
            if isinstance(error, RoleError):
                self.watch.fail(error)
            else:
                interrupted = isinstance(error, KeyboardInterrupt)
                reason = "it was interrupted" if interrupted else f"{type(error).__name__} while it met the others"
                self.watch.fail(RoleError(self.role, reason))
            if door is not None:
                door.close()
            self.watch.close()
            raise
        data = {name: self.channels[name, "data"] for name in self.others}
        return Mesh(self.role, self.job.roles, data, self.watch, session, self.hellos, door)

    def _own_hello(self, line: str) -> Hello:
        attendance = self.attendance
        resume = None if self.role == DEALER else attendance.resume
        return hello_of(self.job, self.role, line, self.nonce, resume, attendance.checkpoints)

    # ------------------------------------------------------------------ waiting

    def _wait_for_all(self) -> None:
        def here() -> set[str]:
            return {name for name in self.others if all((name, line) in self.channels for line in LINES)}

        self._wait_until("it has not come", here)

    def _wait_until(self, complaint: str, here: Callable[[], set[str]]) -> None:
        began = time.monotonic()
        told: set[str] | None = None
        remind = began + 1.0
        while missing := [name for name in self.others if name not in here()]:
            self.watch.traffic.waits_for = missing[0]
            now = time.monotonic()
            if self.attendance.wait is not None and now - began > self.attendance.wait:
                raise RoleError(missing[0], f"{complaint} within {self.attendance.wait:g} seconds")
            if now > remind and (told != set(missing) or now > remind + _REMIND_SECONDS):
                places = [f"{name} ({self.job.place(name).address})" for name in missing]
                log.info("waiting for %s: %s", ", ".join(places), complaint)
                told, remind = set(missing), now
            with self.watch.changed:
                self.watch.check()
                self.watch.changed.wait(0.1)
        self.watch.traffic.waits_for = ""
        self.watch.check()

    def _joined(self, name: str, line: str, channel: Channel, hello: Hello) -> None:
        """Take a line into the meeting, if the other one of its pair came from the same process."""
        with self.lock:
            known = self.hellos.setdefault(name, hello)
            self.channels[name, line] = channel
            both = all((name, each) in self.channels for each in LINES)
        if known.nonce != hello.nonce:
            self.watch.fail(RoleError(name, "two processes speak for it"))
        if line == "control":
            self.watch.add(channel)
        if both:
            log.info("%s is here", name)
        with self.watch.changed:
            self.watch.changed.notify_all()

    # ---------------------------------------------------------------- those before

    def _admit(self, channel: Channel, deadline: float) -> str | None:
        """A caller whose certificate is known says Hello: take it in, or say why not."""
        theirs = channel.receive_message(deadline)
        if not isinstance(theirs, Hello):
            return "it did not say Hello"
        name = channel.peer
        with self.lock:
            second = self.ended or (name, theirs.line) in self.taken
            self.taken.add((name, theirs.line))
        if (failure := self.watch.failure) is not None:
            channel.send_message(abort_of(failure), deadline)
            return "the run has failed"
        if second:
            channel.send_message(Refusal(f'"{name}" is connected already'), deadline)
            return f'a second connection under the name of "{name}"'
        try:
            channel.send_message(self._own_hello(theirs.line), deadline)
        except LostError:
            self.taken.discard((name, theirs.line))
            raise
        if reason := difference(self._own_hello(theirs.line), theirs, name):
            self.watch.fail(RoleError(name, printable(reason)))
            return printable(reason)
        self._joined(name, theirs.line, channel, theirs)
        return None

    # ----------------------------------------------------------------- those after

    def _reach(self, name: str) -> None:
        for line in LINES:
            pause, said = _TRY_AGAIN_SECONDS[0], ""
            while not self.ended and self.watch.failure is None:
                try:
                    self._dial(name, line)
                    break
                except RejectedError as error:
                    self.watch.fail(RoleError(name, self._rejection(name, error)))
                except SilentError:
                    self.watch.fail(RoleError(name, f"it has not answered for {self.job.timeout:g} seconds"))
                except MalformedFrameError as error:
                    self.watch.fail(RoleError(name, f"it sent {error}"))
                except RoleError as error:
                    self.watch.fail(error)
                except (OSError, UnicodeError) as error:  # of the socket or its address, or a LostError
                    why = getattr(error, "strerror", None) or str(error)
                    if why != said and not isinstance(error, ConnectionRefusedError):
                        log.warning("cannot reach %s yet: %s", name, why)
                    said = why
                except Exception as error:
                    self.watch.fail(RoleError(self.role, f"{type(error).__name__} while it dialled {name}"))
                time.sleep(pause)
                pause = min(2 * pause, _TRY_AGAIN_SECONDS[1])

    def _dial(self, name: str, line: str) -> None:
        place = self.job.place(name)
        patience = self.job.timeout
        connected = socket.create_connection(split_address(place.address or ""), timeout=patience)
        deadline = time.monotonic() + patience
        tls = TlsLine(connected, self.attendance.identity, {place.fingerprint or ""}, server=False)
        try:
            tls.shake_hands(deadline)
            channel = Channel(tls, name)
            own = self._own_hello(line)
            channel.send_message(own, deadline)
            theirs = channel.receive_message(deadline)
            if isinstance(theirs, Abort):
                raise failure_of(theirs, name, self.job.roles)
            if isinstance(theirs, Refusal):
                raise RoleError(name, f"it refused the connection: {printable(theirs.reason)}")
            if not isinstance(theirs, Hello):
                raise MalformedFrameError("no Hello")
            if reason := difference(own, theirs, name):
                raise RoleError(name, printable(reason))
        except BaseException:
            tls.close()
            raise
        self._joined(name, line, channel, theirs)

    def _rejection(self, name: str, error: RejectedError) -> str:
        place = self.job.place(name)
        if "showed" in str(error):
            return f"at {place.address} {error}, the job says {place.fingerprint}"
        return f"{error}, whose fingerprint is {self.attendance.identity.fingerprint}: compare it with the job"
