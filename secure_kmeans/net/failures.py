"""The failure of a run as a message, and text from a peer as it may be shown."""

from __future__ import annotations

from collections.abc import Sequence

from secure_kmeans.errors import RoleError
from secure_kmeans.net.messages import Abort


def abort_of(failure: RoleError) -> Abort:
    """The message that reports a failure."""
    return Abort(failure.role, printable(failure.reason)[:1000])


def failure_of(abort: Abort, sender: str, roles: Sequence[str]) -> RoleError:
    """The failure that another role reports. It counts as the sender's own where it names no role of the job."""
    return RoleError(abort.role if abort.role in roles else sender, printable(abort.reason))


def printable(text: str) -> str:
    """Text from a peer, without characters that could control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
