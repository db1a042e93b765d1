"""Links over Gloo, for a trusted network: nothing it carries is encrypted.

Keys, handshake and the watch over the other roles stay with the :class:`~secure_kmeans.net.mesh.Mesh`, in TLS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from secure_kmeans.errors import RoleError
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import LARGEST_PAYLOAD, MalformedFrameError, decode_object, encode_object


class GlooLinks:
    """See :class:`~secure_kmeans.net.lines.Lines`.

    Parameters
    ----------
    mesh : Mesh
    rendezvous : str
        Where the ranks find each other: ``tcp://host:port`` of the first party, or ``file://path``.
    """

    def __init__(self, mesh: Mesh, rendezvous: str) -> None:
        self._mesh = mesh
        self._ranks = {role: rank for rank, role in enumerate(mesh.roles)}
        self._going: list[tuple[Any, torch.Tensor]] = []
        with self._blaming(mesh.roles[0]):
            dist.init_process_group(
                "gloo",
                init_method=rendezvous,
                world_size=len(mesh.roles),
                rank=self._ranks[mesh.me],
                timeout=timedelta(days=1),  # the watch knows sooner, and better, who is lost
            )

    def post(self, peer: str, numbers: np.ndarray) -> None:
        """Begin to send."""
        tensor = torch.from_numpy(numbers)
        with self._blaming(peer):
            self._going.append((dist.isend(tensor, self._ranks[peer]), tensor))

    def receive(self, peer: str, target: np.ndarray) -> None:
        """Wait for numbers of the shape and type of ``target``."""
        with self._blaming(peer):
            dist.recv(torch.from_numpy(target), self._ranks[peer])

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Send and receive at once; what was posted before may leave later, when the dealer asks for it."""
        earlier, self._going = self._going, []
        for peer, numbers in outgoing.items():
            self.post(peer, numbers)
        for peer, target in targets.items():
            self.receive(peer, target)
        self.flush()
        self._going = earlier

    def flush(self) -> None:
        """Wait until all that was posted has left."""
        going, self._going = self._going, []
        for request, _kept_alive in going:
            with self._blaming(""):
                request.wait()

    def post_object(self, peer: str, value: Any) -> int:
        """Begin to send plain values; return their bytes."""
        payload = np.frombuffer(encode_object(value), dtype=np.uint8).copy()
        size = np.array([payload.size], dtype=np.int64)
        self.post(peer, size)
        self.post(peer, payload)
        return size.nbytes + payload.nbytes

    def receive_object(self, peer: str) -> Any:
        """Wait for plain values."""
        size = np.empty(1, dtype=np.int64)
        self.receive(peer, size)
        if not 0 < size[0] <= LARGEST_PAYLOAD:
            raise RoleError(peer, "it sent an object of impossible length")
        payload = np.empty(size[0], dtype=np.uint8)
        self.receive(peer, payload)
        try:
            return decode_object(payload.tobytes())
        except MalformedFrameError as error:
            raise RoleError(peer, f"it sent {error}") from None

    @contextmanager
    def _blaming(self, peer: str) -> Iterator[None]:
        """While this lasts the others hear that this role waits; Gloo's errors become the one that names a role."""
        self._mesh.traffic.waits_for = peer or "all"
        try:
            yield
        except RuntimeError as error:
            raise self._mesh.blame(peer or self._mesh.me, "Gloo lost its connection") from error
        finally:
            self._mesh.traffic.waits_for = ""
