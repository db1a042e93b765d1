"""Lines: the interface through which a protocol sends arrays and plain values to the other roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Lines(Protocol):
    """A role's lines to all other roles.

    A line carries messages between two roles, in the order in which they are sent. Both roles know the shape and the
    type of every array beforehand. :class:`~secure_kmeans.net.mesh.Mesh` implements this over TLS.
    """

    def post(self, peer: str, numbers: np.ndarray) -> None:
        """Start to send an array to ``peer`` and return; the array must not change until :meth:`flush` returns."""

    def receive(self, peer: str, target: np.ndarray) -> None:
        """Wait for an array from ``peer`` that has the shape and type of ``target``, and write it to ``target``."""

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Send an array to each peer in ``outgoing`` and receive one from each peer in ``targets``, in one round."""

    def flush(self) -> None:
        """Wait until all posted arrays have been sent."""

    def post_object(self, peer: str, value: Any) -> int:
        """Start to send plain values to ``peer``; return their size in bytes."""

    def receive_object(self, peer: str) -> Any:
        """Wait for plain values from ``peer``."""
