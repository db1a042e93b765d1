"""CrypTen's communicator over TLS: every call that the package needs, with its rounds and bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed import ReduceOp

from secure_kmeans.mpc.crypten_adapter import original
from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.net.messages import encode_object
from tests.parties import AtRole, run_parties

everywhere = pytest.mark.parametrize("number", [2, 3])
OBJECT = {"names": ["a", "é"], "numbers": [1, -(2**63), 2.5], "none": None, "yes": True, "bytes": b"\x00\xff", "": {}}
OPERATIONS = {"SUM": (ReduceOp.SUM, np.add), "BXOR": (ReduceOp.BXOR, np.bitwise_xor)}

Body = Callable[[RoleCommunicator, int, list[int]], Any]


def talk(number: int, body: Body) -> list[Any]:
    """What ``body``, given CrypTen's communicator, its rank and all others, returns at each party."""

    def of_party(at: AtRole) -> Any:
        ranks = [rank for rank in range(number) if rank != at.rank]
        return body(original.comm.get(), at.rank, ranks)

    return run_parties(number, of_party, engine="crypten")


def own(rank: int, *shape: int) -> torch.Tensor:
    """Numbers that differ from owner to owner."""
    return torch.arange(int(np.prod(shape))).reshape(shape) + 1000 * (rank + 1)


def combined(operation: np.ufunc, number: int, *shape: int) -> torch.Tensor:
    """The sum or XOR of all parties' :func:`own`."""
    return torch.from_numpy(np.asarray(operation.reduce([own(rank, *shape).numpy() for rank in range(number)])))


def cost(channel: RoleCommunicator, call: Callable[..., Any], *given: Any, **options: Any) -> tuple[Any, int, int]:
    """What a call returns, its rounds and its bytes."""
    before = channel.traffic.rounds, channel.traffic.bytes_sent
    result = call(*given, **options)
    return result, channel.traffic.rounds - before[0], channel.traffic.bytes_sent - before[1]


def equal(tensor: torch.Tensor, expected: torch.Tensor) -> None:
    assert tensor.dtype == expected.dtype
    assert tensor.shape == expected.shape
    assert tensor.tolist() == expected.tolist()


@everywhere
def test_every_role_knows_its_rank(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> list[object]:
        ranks = [channel.get_rank(), channel.get_world_size(), channel.get_ttp_rank()]
        return [original.comm.is_initialized(), channel.mesh.me, ranks]

    assert talk(number, body) == [[True, f"party_{rank}", [rank, number, number]] for rank in range(number)]


@everywhere
def test_from_one_party_to_the_next(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        if rank > 0:
            model = torch.zeros(3, 2, dtype=torch.long)
            received, rounds, size = cost(channel, channel.recv, model, rank - 1)
            assert (rounds, size) == (1, 0)
            equal(received, own(rank - 1, 3, 2))
            assert model.count_nonzero() == 0  # it gives the shape alone
        if rank < number - 1:
            _, rounds, size = cost(channel, channel.send, own(rank, 3, 2), rank + 1)
            assert (rounds, size) == (0, 48)

    assert talk(number, body) == [None] * number


@everywhere
def test_every_type_of_numbers_keeps_its_values(number: int) -> None:
    values = [
        torch.tensor([True, False]),
        *(torch.tensor([0, 1, 100], dtype=dtype) for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32)),
        torch.tensor([2**63 - 1, -(2**63)]),
        torch.tensor([1.5, float("inf")], dtype=torch.float32),
        torch.tensor([0.1, -0.0, 1e-300], dtype=torch.float64),
        torch.tensor(7),
    ]

    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        for value in values:
            for gathered in channel.all_gather(value):
                equal(gathered, value)

    assert talk(number, body) == [None] * number


@everywhere
def test_gathering(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        gathered, rounds, size = cost(channel, channel.all_gather, own(rank, 2, 3))
        assert (rounds, size) == (1, len(others) * 48)
        for source, tensor in enumerate(gathered):
            equal(tensor, own(source, 2, 3))
        for target in range(number):
            gathered, rounds, size = cost(channel, channel.gather, own(rank, 4), target)
            assert (rounds, size) == ((1, 0) if rank == target else (0, 32))
            if rank == target:
                for source, tensor in enumerate(gathered):
                    equal(tensor, own(source, 4))
            else:
                assert gathered == [None]

    assert talk(number, body) == [None] * number


@everywhere
def test_objects(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        if rank == 0:
            for source in others:
                assert cost(channel, channel.recv_obj, source) == ([source, OBJECT], 1, 0)
        else:
            value = [rank, OBJECT]
            _, rounds, sent = cost(channel, channel.send_obj, value, 0)
            assert (rounds, sent) == (0, len(encode_object(value)))

    assert talk(number, body) == [None] * number


@everywhere
def test_what_is_not_a_plain_value_is_refused_and_nothing_is_sent(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> int:
        for value in (object(), torch.zeros(2), np.zeros(2), {1: 2}, {1, 2}, [np.int64(1)], 1j, 2**64, len):
            with pytest.raises(TypeError):
                channel.send_obj(value, others[0])
        with pytest.raises(TypeError, match="not sent"):
            channel.send(torch.zeros(1, dtype=torch.complex64), others[0])
        assert [len(gathered) for gathered in channel.all_gather(own(rank, 2))] == [2] * number  # the lines still work
        return channel.traffic.rounds

    assert talk(number, body) == [1] * number


@everywhere
def test_sums_and_xors(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        assert channel.all_reduce(torch.tensor([2**63 - 1])).tolist() == [-2 if number == 2 else 2**63 - 3]
        for name, (op, operation) in OPERATIONS.items():
            mine = own(rank, 2, 3)
            answer, rounds, sent = cost(channel, channel.all_reduce, mine, op=op)
            assert (name, rounds, sent) == (name, 1, 48 * len(others))
            equal(answer, combined(operation, number, 2, 3))
            equal(mine, own(rank, 2, 3))

    assert talk(number, body) == [None] * number


@everywhere
def test_several_tensors_are_reduced_in_one_exchange(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        shapes: list[tuple[int, ...]] = [(2, 2), (), (3,), (0,), (1, 4)]
        mine = [own(rank, *shape) for shape in shapes]
        words = sum(tensor.nelement() for tensor in mine)
        for op, operation in OPERATIONS.values():
            answer, rounds, sent = cost(channel, channel.all_reduce, mine, op=op, batched=True)
            assert (rounds, sent) == (1, 8 * words * len(others))
            for shape, tensor in zip(shapes, answer, strict=True):
                equal(tensor, combined(operation, number, *shape))

    assert talk(number, body) == [None] * number


@everywhere
@pytest.mark.parametrize("op", ["SUM", "BXOR"])
def test_a_large_sum_moves_fewer_bytes_among_three(number: int, op: str) -> None:
    words = (1 << 18) // 8 + 2  # two more than a gathering takes; it does not divide by three
    reduce, operation = OPERATIONS[op]

    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        at_most = own(rank, words - 2)
        answer, rounds, sent = cost(channel, channel.all_reduce, at_most, op=reduce)
        assert (rounds, sent) == (1, (1 << 18) * len(others))
        equal(answer, combined(operation, number, words - 2))
        more = own(rank, 2, words // 2).t()  # not contiguous
        answer, rounds, sent = cost(channel, channel.all_reduce, more, op=reduce)
        equal(answer, combined(operation, number, 2, words // 2).t())
        equal(more, own(rank, 2, words // 2).t())
        if number == 2:
            assert (rounds, sent) == (1, 8 * words)
        else:
            parts = [len(part) for part in np.array_split(np.empty(words), 3)]
            assert parts == [10924, 10923, 10923]
            assert rounds == 2
            assert sent == 8 * (words - parts[rank] + 2 * parts[rank])  # the others' parts, then twice its own
        answer = channel.all_reduce([more, at_most, torch.tensor(5)], op=reduce, batched=True)
        assert [tuple(tensor.shape) for tensor in answer] == [(words // 2, 2), (words - 2,), ()]
        equal(answer[1], combined(operation, number, words - 2))

    assert talk(number, body) == [None] * number


@everywhere
def test_large_messages_both_ways_at_once(number: int) -> None:
    words = 1 << 20  # more than the buffers of a socket hold

    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> list[bool]:
        gathered = channel.all_gather(own(rank, words))
        return [torch.equal(tensor, own(source, words)) for source, tensor in enumerate(gathered)]

    assert talk(number, body) == [[True] * number] * number


@everywhere
def test_tensors_that_are_not_contiguous(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        views: list[Callable[[int], torch.Tensor]] = [
            lambda source: own(source, 3, 4).t(),
            lambda source: own(source, 4, 6)[::2, 1::3],
            lambda source: own(source, 1, 3).expand(2, 3),
        ]
        for view in views:
            for source, tensor in enumerate(channel.all_gather(view(rank))):
                equal(tensor, view(source))
            gathered = channel.gather(view(rank), 0)
            if rank == 0:
                for source, tensor in enumerate(gathered):
                    equal(tensor, view(source))
                channel.send(view(0), 1)
            if rank == 1:
                equal(channel.recv(view(1), 0), view(0))

    assert talk(number, body) == [None] * number


@everywhere
def test_tensors_without_elements(number: int) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> int:
        nothing = torch.empty(0, 3, dtype=torch.long)
        for tensor in channel.all_gather(nothing):
            equal(tensor, nothing)
        equal(channel.all_reduce(nothing), nothing)
        return channel.traffic.bytes_sent

    assert talk(number, body) == [0] * number


@pytest.mark.parametrize("sent", [own(0, 3), own(0, 2).int(), torch.zeros(0).long()], ids=["longer", "type", "empty"])
def test_numbers_of_another_shape_or_type_are_refused(sent: torch.Tensor) -> None:
    def body(channel: RoleCommunicator, rank: int, others: list[int]) -> None:
        if rank == 0:
            channel.send(sent, 1)
        else:
            channel.recv(torch.zeros(2, dtype=torch.long), 0)

    with pytest.raises(AssertionError, match='"party_0" failed: it sent a frame of'):
        talk(2, body)


def test_nothing_of_crypten_s_own_communicator_is_left() -> None:
    calls = {name for name in vars(original.comm.Communicator) if not name.startswith("_") and name.islower()}
    assert calls <= set(vars(RoleCommunicator))
    for module in (original.comm, original.context):
        assert module.DistributedCommunicator is RoleCommunicator


@pytest.mark.parametrize(
    "name",
    ["isend", "irecv", "scatter", "reduce", "broadcast", "broadcast_obj", "barrier", "get_name", "set_name"]
    + [f"{what}_communication_stats" for what in ("get", "print", "reset")],
)
def test_a_call_that_nothing_needs_is_refused(name: str) -> None:
    call = getattr(object.__new__(RoleCommunicator), name)
    with pytest.raises(NotImplementedError, match=f"communicator's {name}, which nothing in this package needs"):
        call(torch.zeros(1), 0)
