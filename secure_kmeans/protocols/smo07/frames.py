"""Frames of multi-party addition: byte strings of public sizes, each bound to one step of one addition.

A frame is 32 bytes of binding, then items of equal size::

    binding = SHA-256(label || items)
    label   = SHA-256(what for || session || ... || position of the receiver)

A receiver knows the label and the number and size of the items beforehand. So a frame of another session, of an earlier
addition, of another step, under another key or for another party is refused, and so is one that was changed on its way.
The binding is no signature: the lines authenticate the sender.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from secure_kmeans.protocols.base import Context

BINDING_BYTES: Final = 32


def label_of(*parts: bytes | int) -> bytes:
    """SHA-256 of byte strings and of integers from 0 to 2^64 - 1, which no other list of parts has."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.to_bytes(8, "big") if isinstance(part, int) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def bound(label: bytes, items: bytes) -> bytes:
    """Items with their binding before them."""
    return hashlib.sha256(label + items).digest() + items


def unbound(context: Context[Any], peer: str, label: bytes, frame: bytes, what: str) -> bytes:
    """The items of a frame.

    Raises
    ------
    RoleError
        Names the peer, where the frame is bound to anything else.
    """
    items = frame[BINDING_BYTES:]
    if not hmac.compare_digest(frame, bound(label, items)):
        reason = f"it sent {what} of another addition, step or key, or that were changed on their way"
        raise context.mesh.blame(peer, reason)
    return items


def send(context: Context[Any], peer: str, label: bytes, items: Sequence[bytes]) -> None:
    """Send items to a peer."""
    context.send(peer, np.frombuffer(bound(label, b"".join(items)), dtype=np.uint8))


def receive(
    context: Context[Any], labels: Mapping[str, bytes], count: int, size: int, what: str
) -> dict[str, list[bytes]]:
    """Receive the items of one frame from each of some peers. Rounds: 1.

    Parameters
    ----------
    context : Context
    labels : mapping of name to 32 bytes
        The expected label of each peer's frame.
    count, size : int
        Number and bytes of a frame's items.
    what : str
        Plural of what is received, for a message.

    Raises
    ------
    RoleError
        Where a role is lost; or names the peer that sent anything else.
    """
    received = {}
    context.mesh.traffic.waited()
    for peer, label in labels.items():
        frame = np.empty(BINDING_BYTES + count * size, dtype=np.uint8)
        context.mesh.receive(peer, frame)
        items = unbound(context, peer, label, frame.tobytes(), what)
        received[peer] = [items[start : start + size] for start in range(0, len(items), size)]
    return received
