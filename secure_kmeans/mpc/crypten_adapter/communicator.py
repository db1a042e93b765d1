"""CrypTen's communicator over a role's lines to the other roles, with every round and byte counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import numpy as np
import torch
from torch.distributed import ReduceOp

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.mpc.crypten_adapter.original import comm
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.watch import Traffic

_GATHER_BYTES: Final = 1 << 18
"""A sum of up to this size is one exchange with every party. A larger one, with three parties or more, is two exchanges
that move fewer bytes."""

_COMBINE: Final[dict[Any, np.ufunc]] = {ReduceOp.SUM: np.add, ReduceOp.BXOR: np.bitwise_xor}


def _unused(name: str) -> Callable[..., NoReturn]:
    """A method of CrypTen's interface that this package has no use for."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise NotImplementedError(f"CrypTen called its communicator's {name}, which nothing in this package needs")

    return refuse


class _OfThread(threading.local):
    """What CrypTen keeps once in a process.

    Attributes
    ----------
    instance : RoleCommunicator or None
    mesh : Mesh or None
        The argument that CrypTen's ``initialize`` has no parameter for.
    dealer_answers : bool
        Whether the dealer answers CrypTen's requests.
    """

    instance: RoleCommunicator | None = None
    mesh: Mesh | None = None
    dealer_answers: bool = False


class RoleCommunicator(comm.Communicator):  # type: ignore[misc]
    """CrypTen's communicator of one role, with the calls that this package makes CrypTen do and no others.

    ===================================  =======================================================================
    ``all_reduce``, sum and XOR          openings inside of products, adders and conversions
    ``gather``                           the division of shares among three parties or more
    ``send_obj``, ``recv``               a request to a dealer that answers, and its answer
    ``recv_obj``, ``send``               the same at the dealer
    ``all_gather``                       nothing of a run: ``experiments/benchmark_transport.py`` measures it
    ===================================  =======================================================================

    All other methods of CrypTen's interface raise NotImplementedError. Numbers and plain values travel without pickle.

    Attributes
    ----------
    mesh : Mesh
    links : Lines
        What carries arrays and plain values: the mesh. A benchmark puts something else in its place.
    rank : int
        In the order of the mesh; the dealer's is the number of parties.
    world_size : int
        The number of parties.
    traffic : Traffic
        Rounds and bytes of this role. Bytes are payload; a call that waits for another role is a round.
    dealer_answers : bool
        Whether the dealer answers CrypTen's requests.
    zero_sharing : dict of str to Prg
        The streams that this role shares with its neighbours, "next" and "prev".
    """

    in_this_thread = _OfThread()
    """CrypTen has one communicator in a process. Here each thread has its own, so that a thread can be a role."""

    ttp_group = ttp_comm_group = None  # CrypTen passes them along; a rank is enough here

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.links: Lines = mesh
        self.rank = mesh.roles.index(mesh.me)
        self.world_size = len(mesh.roles) - 1
        self.traffic: Traffic = mesh.traffic
        self.dealer_answers = self.in_this_thread.dealer_answers
        self.zero_sharing: dict[str, Prg] = {}
        self._others = [rank for rank in range(self.world_size) if rank != self.rank]

    @classmethod
    def initialize(cls, rank: int, world_size: int, init_ttp: bool = False) -> None:
        """Create this thread's instance. The mesh says what the arguments say."""
        mesh = cls.in_this_thread.mesh
        assert mesh is not None, "CrypTen is initialised by joined() alone"
        cls.in_this_thread.instance = cls(mesh)

    @classmethod
    def is_initialized(cls) -> bool:
        return cls.in_this_thread.instance is not None

    @classmethod
    def get(cls) -> RoleCommunicator | None:
        return cls.in_this_thread.instance

    @classmethod
    def shutdown(cls) -> None:
        cls.in_this_thread.instance = None

    def get_world_size(self) -> int:
        return self.world_size

    def get_rank(self) -> int:
        return self.rank

    def get_ttp_rank(self) -> int:
        return self.world_size

    def key(self, rank: int, purpose: str) -> bytes:
        """32 bytes that only this role and that of ``rank`` know, and that never travelled."""
        return self.mesh.key(self.mesh.roles[rank], purpose)

    # --------------------------------------------------------- from role to role

    def send(self, tensor: torch.Tensor, dst: int) -> None:
        """Send numbers and wait until they have left."""
        numbers = _numbers(tensor)
        self.traffic.sent(numbers.nbytes)
        self.links.post(self.mesh.roles[dst], numbers)
        self.links.flush()

    def recv(self, tensor: torch.Tensor, src: int) -> torch.Tensor:
        """Numbers of the shape and type of ``tensor``, which keeps its own. Rounds: 1."""
        self.traffic.waited()
        return self._received(tensor, src)

    def _received(self, like: torch.Tensor, src: int) -> torch.Tensor:
        target = np.empty_like(_numbers(like))
        self.links.receive(self.mesh.roles[src], target)
        return torch.from_numpy(target)

    def send_obj(self, obj: Any, dst: int, group: Any = None) -> None:
        """Send plain values and wait until they have left."""
        self.traffic.sent(self.links.post_object(self.mesh.roles[dst], obj))
        self.links.flush()

    def recv_obj(self, src: int, group: Any = None) -> Any:
        """Plain values. Rounds: 1."""
        self.traffic.waited()
        return self.links.receive_object(self.mesh.roles[src])

    # ------------------------------------------------------------- among parties

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every party's tensor, all of one shape and type, in rank order. Rounds: 1."""
        own = _numbers(tensor)
        received = self._swap(dict.fromkeys(self._others, own), dict.fromkeys(self._others, own))
        return [torch.from_numpy(received.get(rank, own)) for rank in range(self.world_size)]

    def gather(self, tensor: torch.Tensor, dst: int) -> Any:
        """Every party's tensor in rank order at one party, [None] at the others. Rounds: 1 there, 0 elsewhere."""
        if self.rank != dst:
            self.send(tensor, dst)
            return [None]
        self.traffic.waited()
        return [tensor if rank == dst else self._received(tensor, rank) for rank in range(self.world_size)]

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """The sum or XOR of all parties' tensors. A list of tensors (``batched``) travels as one.

        Rounds: 1; 2 for more than 256 KiB among three parties or more.
        """
        tensor, shaped = _flattened(input, batched)
        own, combine = _numbers(tensor), _COMBINE[op]
        if self.world_size > 2 and own.nbytes > _GATHER_BYTES:
            total = self._reduced_in_parts(own.reshape(-1), combine).reshape(own.shape)
        else:
            total = self._combined(combine, own, dict.fromkeys(self._others, own))
        return shaped(torch.from_numpy(total))

    def _reduced_in_parts(self, flat: np.ndarray, combine: np.ufunc) -> np.ndarray:
        """Each party adds up one part of all vectors, then sends the sum: two rounds, 2 (P - 1) / P of the bytes."""
        parts = dict(enumerate(np.array_split(flat, self.world_size)))
        own = parts.pop(self.rank)
        total = self._combined(combine, own, parts)
        sums = self._swap(dict.fromkeys(self._others, total), parts) | {self.rank: total}
        return np.concatenate([sums[rank] for rank in range(self.world_size)])

    def _combined(self, combine: np.ufunc, own: np.ndarray, outgoing: dict[int, np.ndarray]) -> np.ndarray:
        """One round: send ``outgoing``, and combine ``own`` with what all other parties send."""
        total = own.copy()
        for numbers in self._swap(outgoing, dict.fromkeys(self._others, own)).values():
            combine(total, numbers, out=total)
        return total

    def _swap(self, outgoing: Mapping[int, np.ndarray], like: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """One round: numbers to some parties, and from each in ``like`` an array of that shape and type."""
        received = {rank: np.empty_like(model) for rank, model in like.items()}
        traffic, roles = self.traffic, self.mesh.roles
        traffic.waited()
        for numbers in outgoing.values():
            traffic.sent(numbers.nbytes)
        self.links.exchange(
            {roles[rank]: numbers for rank, numbers in outgoing.items()},
            {roles[rank]: numbers for rank, numbers in received.items()},
        )
        return received

    isend, irecv = _unused("isend"), _unused("irecv")
    scatter, reduce = _unused("scatter"), _unused("reduce")
    broadcast, broadcast_obj, barrier = _unused("broadcast"), _unused("broadcast_obj"), _unused("barrier")
    get_name, set_name = _unused("get_name"), _unused("set_name")
    get_communication_stats = _unused("get_communication_stats")
    print_communication_stats = _unused("print_communication_stats")
    reset_communication_stats = _unused("reset_communication_stats")


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's elements as a contiguous array, without a copy where the tensor is contiguous."""
    array: np.ndarray = tensor.contiguous().numpy()
    return array


def _flattened(input: Any, batched: bool) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
    """One tensor, or several as a single vector; and a function that gives a result the shape of the input."""
    if not batched:
        return input, lambda total: total
    flat = torch.cat([tensor.reshape(-1) for tensor in input])

    def shaped(vector: torch.Tensor) -> Any:
        parts = torch.split(vector, [tensor.nelement() for tensor in input])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, input, strict=True)]

    return flat, shaped
