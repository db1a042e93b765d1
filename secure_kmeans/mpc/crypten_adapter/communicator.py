"""CrypTen's communicator over Gloo, with counted traffic and without pickle."""

from __future__ import annotations

import functools
import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.distributed import ReduceOp

from secure_kmeans.mpc.crypten_adapter.original import distributed

_REQUEST_BYTES: Final = 512
_GATHER_BYTES: Final = 1 << 18  # below, a sum is one all-gather: fewer messages, more bytes for P > 2


@dataclass
class Traffic:
    """What a role has sent so far.

    Attributes
    ----------
    rounds : int
        How often the role waited for another role's message.
    bytes_sent : int
        Payload handed to the transport. An all-gather counts ``P - 1`` times the tensor, an
        all-reduce ``2 (P - 1) / P`` times: what Gloo's ring algorithms send for P parties.
    """

    rounds: int = 0
    bytes_sent: int = 0

    def waited(self) -> None:
        """One more round."""
        self.rounds += 1

    def sent(self, size: float) -> None:
        """``size`` more bytes."""
        self.bytes_sent += round(size)


def bytes_of(tensors: Any) -> int:
    """Payload of a tensor, or of a list of them."""
    if isinstance(tensors, list):
        return sum(bytes_of(tensor) for tensor in tensors)
    return int(tensors.nelement() * tensors.element_size())


class CountingCommunicator(distributed.DistributedCommunicator):  # type: ignore[misc]
    """CrypTen's communicator over Gloo, with counted traffic and without pickle.

    Only the calls that CrypTen makes under this package are counted; any other one is refused, so
    that nothing travels uncounted.
    """

    traffic = Traffic()  # one process, one role

    def isend(self, tensor: torch.Tensor, dst: int) -> Any:
        self.traffic.sent(bytes_of(tensor))
        return super().isend(tensor, dst)

    def irecv(self, tensor: torch.Tensor, src: int | None = None) -> Any:
        self.traffic.waited()
        return super().irecv(tensor, src)

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """All parties' sum or XOR. Several small tensors travel as one, in a single exchange."""
        tensors = input if batched else [input]
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        if bytes_of(flat) > _GATHER_BYTES:
            parties = self.get_world_size()
            self.traffic.waited()
            self.traffic.sent(2 * (parties - 1) / parties * bytes_of(flat))
            total = super().all_reduce(flat, op=op)
        else:
            own, *others = self.all_gather(flat)
            combine = torch.bitwise_xor if op == ReduceOp.BXOR else torch.add
            total = functools.reduce(combine, others, own)
        parts = torch.split(total, [tensor.nelement() for tensor in tensors])
        shaped = [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
        return shaped if batched else shaped[0]

    def reduce(self, input: Any, dst: int, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """The sum or XOR, at one party alone: every other one sends it its tensor, and receives nothing.

        Gloo's own reduce is a ring, on which each party ends up with sums of a part: it would show them.
        """
        assert not batched
        if self.get_rank() != dst:
            self.traffic.sent(bytes_of(input))
            torch.distributed.send(input.contiguous(), dst=dst, group=self.main_group)
            return None
        self.traffic.waited()
        total = input.clone()
        for rank in range(self.get_world_size()):
            if rank != dst:
                received = torch.empty_like(total)
                torch.distributed.recv(received, src=rank, group=self.main_group)
                total = torch.bitwise_xor(total, received) if op == ReduceOp.BXOR else total + received
        return total

    def gather(self, tensor: torch.Tensor, dst: int) -> Any:
        if self.get_rank() == dst:
            self.traffic.waited()
        else:
            self.traffic.sent(bytes_of(tensor))
        return super().gather(tensor, dst)

    def all_gather(self, tensor: torch.Tensor) -> Any:
        self.traffic.waited()
        self.traffic.sent((self.get_world_size() - 1) * bytes_of(tensor))
        return super().all_gather(tensor)

    def send_obj(self, obj: Any, dst: int, group: Any = None) -> None:
        text = json.dumps(obj).encode()
        if len(text) > _REQUEST_BYTES:
            raise RuntimeError("a request to the dealer is too long")
        data = torch.from_numpy(np.frombuffer(text.ljust(_REQUEST_BYTES), dtype=np.uint8).copy())
        torch.distributed.send(data, dst=dst, group=group)
        self.traffic.sent(_REQUEST_BYTES)

    def recv_obj(self, src: int, group: Any = None) -> Any:
        self.traffic.waited()
        data = torch.empty(_REQUEST_BYTES, dtype=torch.uint8)
        torch.distributed.recv(data, src=src, group=group)
        return json.loads(data.numpy().tobytes())

    def _uncounted(self, *_: object, **__: object) -> Any:
        raise NotImplementedError("this call is not counted, so it is not used")

    send = recv = scatter = broadcast = broadcast_obj = barrier = _uncounted


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error says that another role is gone or silent: Gloo knows no type of its own for that."""
    if isinstance(error, torch.distributed.DistError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    raised_in_torch = bool(frames) and "distributed" in Path(frames[-1].filename).parts
    return isinstance(error, RuntimeError) and (raised_in_torch or "gloo" in str(error).lower())


def traffic() -> Traffic:
    """This process's counters; all 0 before it has joined the others."""
    return CountingCommunicator.traffic
