"""CrypTen, fenced in: the only file that imports or patches it.

CrypTen 0.4.1 brings the shared tensors, the Beaver products, the adder circuits, the trusted third
party (here: the dealer) and ``run_multiprocess``. What it brings and must not be used as it is, this
file replaces when it is imported:

- **Randomness.** CrypTen draws every share and mask from MT19937 seeded with 32 effective bits, and the
  third party's seeds from a generator that each forked party can rewind. Here all of them come from
  :class:`secure_kmeans.crypto.prg.Prg`: one AES-CTR stream for each pair of roles, keys from the
  operating system. A generator of torch where CrypTen expects one is an error.
- **Pickle.** Requests to the dealer and its answers travel as JSON.
- **Counting.** Rounds and bytes of every role are counted where they are sent.
- **Waiting.** A collective that nobody answers ends after the job's timeout, not after 30 minutes.
- **The ONNX importer**, which needs internals that torch has moved, is left out.

All tensors here are integers to CrypTen (``precision=0``): the fixed point is ours, so CrypTen never
truncates a product, which it does with a chance of an error of 2^32 units.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import torch
from torch.distributed import ReduceOp

from secure_kmeans.crypto.prg import KEY_BYTES, Prg, fresh_key


def _refuse(*_: object, **__: object) -> None:
    raise NotImplementedError("the ONNX importer is left out")


def _import_crypten() -> types.ModuleType:
    stub: Any = types.ModuleType("crypten.nn.onnx_converter")
    stub.from_onnx = stub.from_pytorch = stub.from_tensorflow = _refuse
    stub.TF_AND_TF2ONNX = False
    sys.modules.setdefault("crypten.nn.onnx_converter", stub)
    import crypten

    module: types.ModuleType = crypten
    return module


crypten: Any = _import_crypten()

import crypten.communicator as comm  # noqa: E402
import crypten.communicator.distributed_communicator as distributed  # noqa: E402
import crypten.mpc.context as context  # noqa: E402
import crypten.mpc.primitives.arithmetic as arithmetic  # noqa: E402
import crypten.mpc.primitives.beaver as beaver  # noqa: E402
import crypten.mpc.primitives.binary as binary  # noqa: E402
import crypten.mpc.provider.ttp_provider as ttp  # noqa: E402
from crypten.mpc import MPCTensor  # noqa: E402
from crypten.mpc.ptype import ptype as Ptype  # noqa: E402

Shared = Any
"""A CrypTen encrypted tensor (``MPCTensor``) of integers: additive shares over Z/2^64, or XOR shares of bits."""

_REQUEST_BYTES: Final = 512
_GATHER_BYTES: Final = 1 << 18  # below, a sum is one all-gather: fewer messages, more bytes for P > 2

logging.getLogger().setLevel(logging.ERROR)


# ---------------------------------------------------------------------- randomness


class _Stream(Prg):
    """A :class:`Prg` in the place of the ``torch.Generator`` that CrypTen passes around."""

    device = torch.device("cpu")


def _size_of(size: Sequence[int] | int) -> torch.Size:
    return torch.Size([size] if isinstance(size, int) else size)


def _ring_element(size: Any, ring_size: int = 2**64, generator: Any = None, **_: Any) -> torch.Tensor:
    if not isinstance(generator, Prg) or ring_size != 2**64:
        raise TypeError("shares and masks are drawn from a Prg, over the whole ring")
    shape = _size_of(size)
    return torch.from_numpy(generator.ring(shape.numel())).reshape(shape)


def _kbit_element(size: Any, bitlength: int | None = None, generator: Any = None, **_: Any) -> torch.Tensor:
    if bitlength in (None, 64):
        return _ring_element(size, generator=generator)
    if not isinstance(generator, Prg):
        raise TypeError("shares and masks are drawn from a Prg")
    shape = _size_of(size)
    return torch.from_numpy(generator.bits(shape.numel(), int(bitlength or 64))).reshape(shape)


def _key_tensor(key: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(key, dtype=np.int64).copy())


def _key_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()


def _set_up_zero_sharing() -> None:
    """One key with each neighbour in the ring of parties: CrypTen's zero-sharings come from these."""
    channel = comm.get()
    rank, parties = channel.get_rank(), channel.get_world_size()
    own = fresh_key()
    received = torch.empty(KEY_BYTES // 8, dtype=torch.long)
    sending = channel.isend(_key_tensor(own), (rank + 1) % parties)
    channel.irecv(received, src=(rank - 1) % parties).wait()
    sending.wait()
    for name, key in (("next", own), ("prev", _key_bytes(received)), ("local", fresh_key())):
        crypten.generators[name] = {torch.device("cpu"): _Stream(key)}
    crypten.generators["global"] = {}


def _receive_key_from_dealer(client: Any) -> None:
    key = torch.empty(KEY_BYTES // 8, dtype=torch.long)
    channel = comm.get()
    torch.distributed.recv(key, src=channel.get_ttp_rank(), group=channel.ttp_group)
    client.generator = _Stream(_key_bytes(key))


# -------------------------------------------------------------------------- dealer


class Dealer(ttp.TTPServer):  # type: ignore[misc]
    """CrypTen's trusted third party: it expands every party's stream and sends the first one corrections.

    It sees shapes, never a share or an opened value.
    """

    def __init__(self) -> None:
        self.device = "cpu"
        self._channel = comm.get()
        self._send_keys()

    def _send_keys(self) -> None:
        keys = [fresh_key() for _ in range(self._channel.get_world_size())]
        for rank, key in enumerate(keys):
            torch.distributed.send(_key_tensor(key), dst=rank, group=self._channel.ttp_group)
            self._channel.traffic.sent(KEY_BYTES)
        self.generators = [_Stream(key) for key in keys]

    def serve(self) -> None:
        """Answer the first party's requests until it says that the run is over."""
        while (request := self._channel.recv_obj(0, self._channel.ttp_group)) != "terminate":
            if request["function"] not in ttp.TTP_FUNCTIONS:
                raise RuntimeError("an unknown request")
            correction = getattr(self, request["function"])(*request["args"]).contiguous()
            torch.distributed.send(correction, dst=0, group=self._channel.ttp_group)
            self._channel.traffic.sent(_bytes_of(correction))


def _request(client: Any, function: str, device: Any, *args: Any) -> torch.Tensor:
    """One request to the dealer and its answer, whose shape follows from the request."""
    channel = comm.get()
    channel.send_obj({"function": function, "args": args}, channel.get_ttp_rank(), channel.ttp_group)
    channel.traffic.waited()
    answer = torch.empty(_shape_of_answer(function, *args), dtype=torch.long)
    torch.distributed.recv(answer, src=channel.get_ttp_rank(), group=channel.ttp_group)
    return answer


def _shape_of_answer(function: str, size: torch.Size, other: torch.Size | None = None, op: str = "mul") -> torch.Size:
    if other is None:
        return size
    if function == "binary" or op == "mul":
        return torch.Size(np.broadcast_shapes(size, other))
    assert op == "matmul"
    return torch.Size((*np.broadcast_shapes(size[:-2], other[:-2]), size[-2], other[-1]))


# ------------------------------------------------------------------- communication


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


def _bytes_of(tensors: Any) -> int:
    if isinstance(tensors, list):
        return sum(_bytes_of(tensor) for tensor in tensors)
    return int(tensors.nelement() * tensors.element_size())


class CountingCommunicator(distributed.DistributedCommunicator):  # type: ignore[misc]
    """CrypTen's communicator over Gloo, with counted traffic and without pickle.

    Only the calls that CrypTen makes under this package are counted; any other one is refused, so
    that nothing travels uncounted.
    """

    traffic = Traffic()  # one process, one role

    def isend(self, tensor: torch.Tensor, dst: int) -> Any:
        self.traffic.sent(_bytes_of(tensor))
        return super().isend(tensor, dst)

    def irecv(self, tensor: torch.Tensor, src: int | None = None) -> Any:
        self.traffic.waited()
        return super().irecv(tensor, src)

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """All parties' sum or XOR. Several small tensors travel as one, in a single exchange."""
        tensors = input if batched else [input]
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        if _bytes_of(flat) > _GATHER_BYTES:
            parties = self.get_world_size()
            self.traffic.waited()
            self.traffic.sent(2 * (parties - 1) / parties * _bytes_of(flat))
            total = super().all_reduce(flat, op=op)
        else:
            own, *others = self.all_gather(flat)
            combine = torch.bitwise_xor if op == ReduceOp.BXOR else torch.add
            total = functools.reduce(combine, others, own)
        parts = torch.split(total, [tensor.nelement() for tensor in tensors])
        shaped = [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
        return shaped if batched else shaped[0]

    def reduce(self, input: Any, dst: int, *args: Any, **kwargs: Any) -> Any:
        if self.get_rank() == dst:
            self.traffic.waited()
        else:
            self.traffic.sent(_bytes_of(input))
        return super().reduce(input, dst, *args, **kwargs)

    def gather(self, tensor: torch.Tensor, dst: int) -> Any:
        if self.get_rank() == dst:
            self.traffic.waited()
        else:
            self.traffic.sent(_bytes_of(tensor))
        return super().gather(tensor, dst)

    def all_gather(self, tensor: torch.Tensor) -> Any:
        self.traffic.waited()
        self.traffic.sent((self.get_world_size() - 1) * _bytes_of(tensor))
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
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )


def traffic() -> Traffic:
    """This process's counters; all 0 before it has joined the others."""
    return CountingCommunicator.traffic


# ----------------------------------------------------------------------- launching

_INITIALISE: Final = torch.distributed.init_process_group
_LAUNCH: Final = context._launch

Guard = Callable[[int, Callable[[], None]], None]
"""Given a role's rank, the dealer's being the last, and all that the role does: it has to call that."""


def _unguarded(rank: int, life: Callable[[], None]) -> None:
    del rank
    life()


def run_roles(parties: int, party: Callable[[int], None], *, timeout: float, guard: Guard = _unguarded) -> bool:
    """Run all roles on this machine by ``crypten.mpc.run_multiprocess``; return whether all ended well.

    Parameters
    ----------
    parties : int
        How many; one process each, and one more for the dealer.
    party : callable
        Given its rank, called in each party's process once all roles are connected.
    timeout : float
        Seconds after which a collective that nobody answers fails.
    guard : callable, optional
        Called in each role's process around its whole life, from before it connects to its end.
    """

    def initialise(*args: Any, **kwargs: Any) -> None:
        torch.set_num_threads(1)
        _INITIALISE(*args, **kwargs | {"timeout": timedelta(seconds=timeout)})

    def launch(func: Any, rank: int, *args: Any) -> None:
        guard(rank, lambda: _LAUNCH(func, rank, *args))

    crypten.cfg.mpc.provider = "TTP"
    distributed.dist.init_process_group = initialise
    context._launch = launch
    crypten.mpc.provider.TTPServer = lambda: Dealer().serve()
    return context.run_multiprocess(parties)(lambda: party(comm.get().get_rank()))() is not None


# ------------------------------------------------------------------ shared tensors


def share(values: torch.Tensor | None, owner: int, shape: Sequence[int]) -> Shared:
    """Enter integers that one party knows.

    No message: the parties expand a zero-sharing, and the owner adds its values.

    Parameters
    ----------
    values : int64 tensor of ``shape``, at the owner; None elsewhere
    owner : int
    shape : sequence of int
    """
    if values is None:
        values = torch.zeros(*shape, dtype=torch.long)
    assert tuple(values.shape) == tuple(shape)
    assert values.dtype == torch.long
    return MPCTensor(values, src=owner, precision=0)


def from_public(values: torch.Tensor) -> Shared:
    """Integers that all parties know, as shares: the first party's is the value, all others are 0."""
    own = values if comm.get().get_rank() == 0 else torch.zeros_like(values)
    return MPCTensor.from_shares(own.clone(), precision=0)


def with_share(like: Shared, own: torch.Tensor) -> Shared:
    """A tensor of the same kind whose share at this party is ``own``: for local linear steps."""
    return MPCTensor.from_shares(own, precision=0, ptype=like.ptype)


def cat(tensors: Sequence[Shared], dim: int = 0) -> Shared:
    """Concatenate shared tensors, locally."""
    return with_share(tensors[0], torch.cat([tensor.share for tensor in tensors], dim=dim))


def sign_bits(values: Shared) -> Shared:
    """XOR shares of [x < 0], in the lowest bit of each word; all other bits are 0.

    Rounds and bytes: those of CrypTen's conversion, one adder of 7 rounds for each doubling of P.
    """
    bits = values.to(Ptype.binary)
    return with_share(bits, (bits.share >> (torch.iinfo(torch.long).bits - 1)) & 1)


def bits_and(left: Shared, right: Shared) -> Shared:
    """Bitwise AND of XOR-shared words. Rounds: 1."""
    result = left.shallow_copy()
    result._tensor = left._tensor & right._tensor
    return result


def bits_xor_public(bits: Shared, public: torch.Tensor) -> Shared:
    """Bitwise XOR of XOR-shared words with public ones, locally."""
    return with_share(bits, bits.share ^ public if comm.get().get_rank() == 0 else bits.share.clone())


def bit_to_integer(bits: Shared) -> Shared:
    """Additive shares of the lowest bit of XOR-shared words. Rounds: 1."""
    return bits.to(Ptype.arithmetic, precision=0, bits=1)


def squares(values: Shared) -> Shared:
    """Elementwise squares. Rounds: 1, with one opened number for each element where a product has two."""
    result = values.shallow_copy()
    result._tensor = beaver.square(values._tensor)
    return result


def divide_locally(values: Shared, divisor: torch.Tensor) -> Shared:
    """Quotient of additive shares by public integers, towards zero; see :mod:`secure_kmeans.mpc.division`."""
    return values.div(divisor)


def open_to_all(values: Shared) -> torch.Tensor:
    """Publish a value to all parties. Rounds: 1. Only ``Session.reveal`` calls this."""
    opened: torch.Tensor = values.reveal()
    return opened


def open_to_one(values: Shared, rank: int) -> torch.Tensor | None:
    """Publish a value to one party; None at all others. Rounds: 1. Only ``Session.reveal`` calls this."""
    opened: torch.Tensor | None = values.reveal(dst=rank)
    return opened


def exchange(own: torch.Tensor) -> torch.Tensor:
    """Every party's public tensor, of shape (parties, ...). Rounds: 1."""
    return torch.stack(comm.get().all_gather(own))


# --------------------------------------------------------------------- the patches


def _plain(settings: Any) -> Any:
    """CrypTen's settings as plain attributes: it reads them in its hottest paths, 80 microseconds each."""
    if hasattr(settings, "items"):
        return types.SimpleNamespace(**{key: _plain(value) for key, value in settings.items()})
    return settings


def _install() -> None:
    crypten.cfg.set_config(_plain(crypten.cfg.config))
    for module in (arithmetic, binary, ttp):
        for name, ours in (
            ("generate_random_ring_element", _ring_element),
            ("generate_kbit_random_tensor", _kbit_element),
        ):
            if hasattr(module, name):
                setattr(module, name, ours)
    crypten._setup_prng = _set_up_zero_sharing
    client = ttp.TTPClient._TTPClient__TTPClient
    client._setup_generators, client.ttp_request = _receive_key_from_dealer, _request
    for module in (comm, distributed, context):
        module.DistributedCommunicator = CountingCommunicator


_install()
