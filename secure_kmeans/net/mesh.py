"""Mesh: one role's lines to all other roles during a run, for arrays, objects and keys, and the end of the run."""

from __future__ import annotations

import select
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.net.channel import Channel, room_for_object
from secure_kmeans.net.handshake import common_checkpoint
from secure_kmeans.net.messages import (
    Checkpoint,
    Done,
    Hello,
    Kind,
    MalformedFrameError,
    decode_object,
    encode_object,
    kind_of,
)
from secure_kmeans.net.tls import LostError
from secure_kmeans.net.watch import Traffic, Watch

if TYPE_CHECKING:
    from secure_kmeans.net.door import Door

assert sys.byteorder == "little", "numbers are sent as they are in memory"


class Mesh:
    """One role's lines to all other roles; :func:`~secure_kmeans.net.meeting.meet` makes it.

    Attributes
    ----------
    me : str
        The name of this role.
    roles : tuple of str
        The names of all roles, in the order of the job.
    session : 32 bytes
        Identifier of the session: equal at all roles, and different in every session.
    checkpoint : Checkpoint or None
        The last state that all roles which keep states hold.
    resuming : bool
        Whether a run is resumed.
    traffic : Traffic
        This role's activity, which its watch reports to the other roles.
    """

    def __init__(
        self,
        me: str,
        roles: Sequence[str],
        channels: Mapping[str, Channel],
        watch: Watch,
        session: bytes,
        hellos: Mapping[str, Hello],
        door: Door | None,
    ) -> None:
        self.me, self.roles, self.session = me, tuple(roles), session
        self.checkpoint: Checkpoint | None = common_checkpoint(hellos)
        self.resuming = any(hello.resume for hello in hellos.values())
        self._channels, self._watch, self._door = dict(channels), watch, door
        self.traffic: Traffic = watch.traffic
        self.traffic.lines = tuple(channels.values())
        self._sending: list[Channel] = []
        self._given: set[tuple[str, str]] = set()
        self._pollers = {peer: self._poller(channel) for peer, channel in channels.items()}

    def _poller(self, channel: Channel) -> select.poll:
        poller = select.poll()
        poller.register(self._watch.alarm(), select.POLLIN)
        poller.register(channel, select.POLLIN)
        return poller

    # ----------------------------------------------------------------- sending

    def post(self, peer: str, numbers: np.ndarray) -> None:
        """Begin to send a contiguous array, which must not change until it is sent.

        Raises
        ------
        TypeError
            For a type of numbers that is never sent.
        RoleError
            Where a role is lost.
        """
        self._post(self._channels[peer], kind_of(numbers), _bytes_of(numbers))

    def post_object(self, peer: str, value: Any) -> int:
        """Begin to send plain values; return the number of bytes of their payload.

        Raises
        ------
        TypeError, ValueError
            See :func:`~secure_kmeans.net.messages.encode_object`.
        RoleError
            Where a role is lost.
        """
        payload = encode_object(value)
        self._post(self._channels[peer], Kind.OBJECT, payload)
        return len(payload)

    def _post(self, channel: Channel, kind: Kind, payload: bytes | memoryview) -> None:
        try:
            if not channel.post(kind, payload) and channel not in self._sending:
                self._sending.append(channel)
        except LostError as error:
            raise self._watch.blame(channel.peer, str(error)) from None

    def _flush(self, channel: Channel) -> bool:
        try:
            return channel.flush()
        except LostError as error:
            raise self._watch.blame(channel.peer, str(error)) from None

    def flush(self) -> None:
        """Wait until everything that was posted is sent.

        Raises
        ------
        RoleError
            Where a role is lost.
        """
        while self._sending:
            self._wait(None)

    # --------------------------------------------------------------- receiving

    def receive(self, peer: str, target: np.ndarray) -> None:
        """Wait for numbers from a peer, and fill a contiguous array with them.

        What was posted before is sent meanwhile.

        Raises
        ------
        RoleError
            Where a role is lost, or the peer sends anything else.
        """
        channel, kind, view = self._channels[peer], kind_of(target), _bytes_of(target)
        try:
            if not (
                self._sending or channel.line.pending()
            ):  # most likely nothing has arrived yet: wait before the first attempt to read
                self.traffic.waits_for = peer
                self._pollers[peer].poll()
                self.traffic.waits_for = ""
                self._watch.check()
            while not channel.advance_numbers(kind, view):
                self._wait(channel)
        except (LostError, MalformedFrameError) as error:
            raise self._blame(peer, error) from None

    def receive_object(self, peer: str) -> Any:
        """Wait for plain values from a peer.

        What was posted before is sent meanwhile.

        Raises
        ------
        RoleError
            Where a role is lost, or the peer sends anything else.
        """
        channel = self._channels[peer]
        try:
            while (frame := channel.advance(room_for_object)) is None:
                self._wait(channel)
            return decode_object(bytes(frame[1]))
        except (LostError, MalformedFrameError) as error:
            raise self._blame(peer, error) from None

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Send numbers to peers and receive numbers from peers at the same time. Rounds: 1.

        Parameters
        ----------
        outgoing : mapping of name to array
            See :meth:`post`.
        targets : mapping of name to array
            See :meth:`receive`.

        Raises
        ------
        RoleError
            Where a role is lost, or a peer sends anything else.
        """
        for peer, numbers in outgoing.items():
            self.post(peer, numbers)
        for peer, target in targets.items():
            self.receive(peer, target)
        if self._sending:
            self.flush()

    def blame(self, peer: str, reason: str) -> RoleError:
        """The failure of the run; see :meth:`Watch.blame <secure_kmeans.net.watch.Watch.blame>`."""
        return self._watch.blame(peer, reason)

    def _blame(self, peer: str, error: Exception) -> RoleError:
        return self._watch.blame(peer, f"it sent {error}" if isinstance(error, MalformedFrameError) else str(error))

    def _wait(self, channel: Channel | None) -> None:
        """Wait until ``channel`` can be read or more of what was posted can be sent, and send that.

        Raises
        ------
        RoleError
            Where the run has failed meanwhile.
        """
        wanted = dict.fromkeys(self._sending, select.POLLOUT)
        if channel is not None:
            wanted[channel] = wanted.get(channel, 0) | select.POLLIN
        poller = select.poll()
        poller.register(self._watch.alarm(), select.POLLIN)
        for line, events in wanted.items():
            poller.register(line, events)
        self.traffic.waits_for = channel.peer if channel is not None else self._sending[0].peer
        poller.poll()
        self.traffic.waits_for = ""
        self._watch.check()
        self._sending = [sending for sending in self._sending if not self._flush(sending)]

    # -------------------------------------------------------- keys and the end

    def key(self, peer: str, purpose: str) -> bytes:
        """32 bytes that only this role and ``peer`` know, different for each purpose and in each session.

        Each key is given once. A second computation under the same keys would draw the same masks again, and open
        X - A and Y - A.

        Raises
        ------
        ProtocolError
            Where this key was given before.
        """
        refuse_a_second_key(self._given, peer, purpose)
        return self._channels[peer].line.exported_key(purpose, self.session)

    def finish(self) -> dict[str, Done]:
        """Report this role's completion and wait for that of all others; return what each other role did.

        Raises
        ------
        RoleError
            Where a role is lost before.
        """
        self.flush()
        self._watch.tell_done()
        others = set(self.roles) - {self.me}
        self._watch.wait(lambda: others <= self._watch.done().keys())
        return self._watch.done()

    def fail(self, reason: str) -> None:
        """End the run for all roles, because this role failed for this reason."""
        self._watch.fail(RoleError(self.me, reason))

    @property
    def failure(self) -> RoleError | None:
        """The failure of the run, or None."""
        return self._watch.failure

    def close(self) -> None:
        """End all lines. It is called after :meth:`finish` or :meth:`fail`."""
        if self._door is not None:
            self._door.close()
        self._watch.close()
        for channel in self._channels.values():
            channel.line.close()


def refuse_a_second_key(given: set[tuple[str, str]], peer: str, purpose: str) -> None:
    """Add a key's peer and purpose to those that were given before.

    Raises
    ------
    ProtocolError
        Where they are there already.
    """
    if (peer, purpose) in given:
        raise ProtocolError(
            f'the key with role "{peer}" for "{purpose}" was given before in this session, and the same masks would be '
            "drawn again; let the roles meet anew for another computation"
        )
    given.add((peer, purpose))


def _bytes_of(numbers: np.ndarray) -> memoryview:
    """The memory of a contiguous array."""
    return memoryview(numbers.data).cast("B") if numbers.size else memoryview(bytearray())
