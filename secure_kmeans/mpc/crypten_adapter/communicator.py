"""CrypTen's communicator over a role's links to the others: every one of its calls, counted, and without pickle.

CrypTen's own sits on ``torch.distributed`` directly. This one needs no more than links that carry arrays and plain
values between two roles (:class:`~secure_kmeans.net.lines.Lines`): the mesh of TLS lines, or Gloo.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.distributed import ReduceOp

from secure_kmeans.mpc.crypten_adapter.original import comm
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.watch import Traffic

_GATHER_BYTES: Final = 1 << 18
"""A sum below is one exchange with every party; above, with three parties or more, two that move fewer bytes."""

_COMBINE: Final[dict[Any, np.ufunc]] = {
    ReduceOp.SUM: np.add,
    ReduceOp.BXOR: np.bitwise_xor,
    ReduceOp.BAND: np.bitwise_and,
    ReduceOp.BOR: np.bitwise_or,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
}


class RoleCommunicator(comm.Communicator):  # type: ignore[misc]
    """CrypTen's communicator of one role.

    Ranks are those of the parties; the dealer's is the number of parties. What is counted is the payload: a call that
    waits for another role is a round.
    """

    BYTES_PER_ELEMENT = 8
    instance: RoleCommunicator | None = None
    dealer_answers = False
    """Whether the dealer is CrypTen's, which answers requests."""
    connection: tuple[Mesh, Lines] | None = None
    """What :meth:`initialize` takes: one process, one role."""

    main_group = ttp_group = ttp_comm_group = None  # CrypTen passes them around; a rank says it all

    def __init__(self, mesh: Mesh, links: Lines) -> None:
        self.mesh, self.links = mesh, links
        self.rank = mesh.roles.index(mesh.me)
        self.world_size = len(mesh.roles) - 1
        self.traffic: Traffic = mesh.traffic
        self._others = [rank for rank in range(self.world_size) if rank != self.rank]
        self._coming: dict[int, deque[_Coming]] = {rank: deque() for rank in range(len(mesh.roles))}
        self._name = mesh.me
        self.reset_communication_stats()

    # ---------------------------------------------------------------- its life

    @classmethod
    def initialize(cls, rank: int, world_size: int, init_ttp: bool = False) -> None:
        """Take up :attr:`connection`; the arguments follow from it."""
        assert cls.connection is not None, "this role has not met the others"
        cls.instance = cls(*cls.connection)

    @classmethod
    def is_initialized(cls) -> bool:
        return cls.instance is not None

    @classmethod
    def get(cls) -> RoleCommunicator | None:
        return cls.instance

    @classmethod
    def shutdown(cls) -> None:
        """The first party tells a dealer that answers that nothing more will be asked."""
        channel = cls.instance
        if channel is not None and channel.rank == 0 and cls.dealer_answers:
            channel.send_obj("terminate", channel.get_ttp_rank())
        cls.instance = None

    def get_world_size(self) -> int:
        return self.world_size

    def get_rank(self) -> int:
        return self.rank

    def get_ttp_rank(self) -> int:
        return self.world_size

    def get_name(self) -> str:
        return self._name

    def set_name(self, name: str) -> None:
        self._name = name

    def get_distributed_backend(self) -> str:
        return type(self.links).__name__

    def reset_communication_stats(self) -> None:
        super().reset_communication_stats()
        self._before = self.traffic.rounds, self.traffic.bytes_sent

    def get_communication_stats(self) -> dict[str, float]:
        rounds, sent = self._before
        return {"rounds": self.traffic.rounds - rounds, "bytes": self.traffic.bytes_sent - sent, "time": 0.0}

    def key(self, rank: int, purpose: str) -> bytes:
        """32 bytes that this role shares with another one alone, and that never travelled."""
        return self.mesh.key(self.mesh.roles[rank], purpose)

    # --------------------------------------------------------- from role to role

    def send(self, tensor: torch.Tensor, dst: int) -> None:
        self._post(tensor, dst)
        self.links.flush()

    def recv(self, tensor: torch.Tensor, src: int | None = None) -> torch.Tensor:
        result = torch.empty_like(tensor)
        self.irecv(result, src).wait()
        return result

    def isend(self, tensor: torch.Tensor, dst: int) -> _Going:
        self._post(tensor, dst)
        return _Going()

    def irecv(self, tensor: torch.Tensor, src: int | None = None) -> _Coming:
        if src is None:
            raise ValueError("name the rank to receive from")
        coming = _Coming(self, tensor, src)
        self._coming[src].append(coming)
        return coming

    def _post(self, tensor: torch.Tensor, dst: int) -> None:
        numbers = _numbers(tensor)
        self.traffic.sent(numbers.nbytes)
        self.links.post(self.mesh.roles[dst], numbers.copy() if _shares_memory(tensor, numbers) else numbers)

    def _settle(self, src: int) -> None:
        """Fill what :meth:`irecv` was asked for and did not wait for yet: it was sent before all that follows."""
        if earlier := self._coming[src]:
            earlier[-1].wait()

    def _receive(self, tensor: torch.Tensor, src: int) -> None:
        """Fill a tensor with what another role sends. Not a round of its own: the caller counts."""
        self._settle(src)
        self._fill(tensor, src)

    def _fill(self, tensor: torch.Tensor, src: int) -> None:
        target = np.empty(tuple(tensor.shape), dtype=_numbers(tensor[:0] if tensor.dim() else tensor).dtype)
        self.links.receive(self.mesh.roles[src], target)
        tensor.copy_(torch.from_numpy(target))

    def send_obj(self, obj: Any, dst: int, group: Any = None) -> None:
        self.traffic.sent(self.links.post_object(self.mesh.roles[dst], obj))
        self.links.flush()

    def recv_obj(self, src: int, group: Any = None) -> Any:
        self._settle(src)
        self.traffic.waited()
        return self.links.receive_object(self.mesh.roles[src])

    # ------------------------------------------------------------- among parties

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every party's tensor, all of one shape."""
        own = _numbers(tensor)
        came = self._swap(dict.fromkeys(self._others, own), dict.fromkeys(self._others, own))
        gathered = [_tensor(came[rank], tensor) if rank in came else tensor for rank in range(self.world_size)]
        gathered[self.rank] = tensor.clone()
        return gathered

    def _swap(self, outgoing: dict[int, np.ndarray], like: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """One round: numbers to some parties, and from each in ``like`` an array of that shape and type."""
        for rank in like:
            self._settle(rank)
        came = {rank: np.empty(model.shape, model.dtype) for rank, model in like.items()}
        traffic, roles = self.traffic, self.mesh.roles
        traffic.rounds += bool(came)
        for numbers in outgoing.values():
            traffic.bytes_sent += numbers.nbytes
        self.links.exchange(
            {roles[rank]: numbers for rank, numbers in outgoing.items()},
            {roles[rank]: numbers for rank, numbers in came.items()},
        )
        return came

    def gather(self, tensor: torch.Tensor, dst: int) -> Any:
        """Every party's tensor, at one of them; [None] at all others."""
        if self.rank != dst:
            self.send(tensor, dst)
            return [None]
        self.traffic.waited()
        result = [tensor.clone() for _ in range(self.world_size)]
        for rank in self._others:
            self._receive(result[rank], rank)
        return result

    def scatter(
        self, scatter_list: Sequence[torch.Tensor], src: int, size: Any = None, device: Any = None
    ) -> torch.Tensor:
        """One tensor of a list to each party."""
        if self.rank == src:
            for rank in self._others:
                self._post(scatter_list[rank], rank)
            self.links.flush()
            return scatter_list[self.rank]
        shape = scatter_list[self.rank].shape if size is None else size
        result = torch.empty(shape, dtype=torch.long, device=device)
        self.traffic.waited()
        self._receive(result, src)
        return result

    def broadcast(self, input: Any, src: int, group: Any = None, batched: bool = False) -> Any:
        """One party's tensor, or tensors, to all parties, in place."""
        tensors = input if batched else [input]
        if self.rank != src:
            self.traffic.waited()
        for tensor in tensors:
            if self.rank == src:
                for rank in self._others:
                    self._post(tensor, rank)
            else:
                self._receive(tensor, src)
        self.links.flush()
        return input

    def broadcast_obj(self, obj: Any, src: int, group: Any = None) -> Any:
        """One party's plain values to all parties."""
        if self.rank != src:
            return self.recv_obj(src)
        for rank in self._others:
            self.traffic.sent(self.links.post_object(self.mesh.roles[rank], obj))
        self.links.flush()
        return obj

    def barrier(self) -> None:
        """Wait until all parties have come this far."""
        self.all_gather(torch.zeros(1, dtype=torch.uint8))

    def reduce(self, input: Any, dst: int, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """The sum or XOR at one party alone: every other one sends it its tensor, and receives nothing."""
        tensor, shaped = _flattened(input, batched)
        own = _numbers(tensor)
        if self.rank != dst:
            self._swap({dst: own}, {})
            return None
        came = self._swap({}, dict.fromkeys(self._others, own))
        return shaped(_tensor(_combined(_COMBINE[op], own, came), tensor))

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """All parties' sum or XOR. Several tensors travel as one, in a single exchange."""
        tensor, shaped = _flattened(input, batched)
        own, combine = _numbers(tensor), _COMBINE[op]
        if self.world_size > 2 and own.nbytes > _GATHER_BYTES:
            total = self._reduced_in_parts(own.reshape(-1), combine).reshape(own.shape)
        else:
            came = self._swap(dict.fromkeys(self._others, own), dict.fromkeys(self._others, own))
            total = _combined(combine, own, came)
        return shaped(_tensor(total, tensor))

    def _reduced_in_parts(self, flat: np.ndarray, combine: np.ufunc) -> np.ndarray:
        """Each party adds up one part of all vectors, then tells its sum: two rounds, 2 (P - 1) / P of the bytes."""
        parts = dict(enumerate(np.array_split(flat, self.world_size)))
        own = parts.pop(self.rank)
        total = _combined(combine, own, self._swap(parts, dict.fromkeys(self._others, own)))
        sums = self._swap(dict.fromkeys(self._others, total), parts) | {self.rank: total}
        return np.concatenate([sums[rank] for rank in range(self.world_size)])


class _Going:
    """What :meth:`RoleCommunicator.isend` returns."""

    def wait(self) -> None:
        """Nothing: what is sent was copied, and leaves while this role goes on.

        To wait until it has left would stop all roles where each sends to the next before it receives.
        """


class _Coming:
    """What :meth:`RoleCommunicator.irecv` returns; several from one rank are filled in the order of their calls."""

    def __init__(self, channel: RoleCommunicator, tensor: torch.Tensor, src: int) -> None:
        self._channel, self._tensor, self._src = channel, tensor, src
        self._complete = False

    def wait(self) -> None:
        """Until it has come."""
        earlier = self._channel._coming[self._src]
        while not self._complete:
            coming = earlier.popleft()
            self._channel.traffic.waited()
            self._channel._fill(coming._tensor, self._src)
            coming._complete = True


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's elements as a contiguous array; no copy where it lies like that in memory."""
    if not (tensor.is_cpu and tensor.is_contiguous()):
        tensor = tensor.detach().cpu().contiguous()
    array: np.ndarray = tensor.numpy()
    return array


def _tensor(numbers: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Numbers as a tensor where another one is."""
    return torch.from_numpy(numbers) if like.is_cpu else torch.from_numpy(numbers).to(like.device)


def _shares_memory(tensor: torch.Tensor, numbers: np.ndarray) -> bool:
    return tensor.device.type == "cpu" and tensor.data_ptr() == numbers.ctypes.data


def _combined(combine: np.ufunc, own: np.ndarray, came: Mapping[int, np.ndarray]) -> np.ndarray:
    """The sum, or whatever it is, of this party's numbers and the others'."""
    total = own.copy()
    for numbers in came.values():
        combine(total, numbers, out=total)
    return total


def _flattened(input: Any, batched: bool) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
    """One tensor, or several as a single vector, and how their sum becomes the shape of what was given."""
    if not batched:
        return input, lambda total: total
    flat = torch.cat([tensor.reshape(-1) for tensor in input])

    def shaped(vector: torch.Tensor) -> Any:
        parts = torch.split(vector, [tensor.nelement() for tensor in input])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, input, strict=True)]

    return flat, shaped
