import numpy as np
import pytest
import torch
from torch.distributed import ReduceOp

from secure_kmeans.errors import RoleError
from secure_kmeans.mpc.crypten_adapter import original
from secure_kmeans.net.messages import encode_object
from tests.parties import run_parties

everywhere = pytest.mark.parametrize(
    ("number", "transport"), [(2, "tls"), (3, "tls"), (2, "gloo"), (3, "gloo")], ids=lambda value: str(value)
)
OBJECT = {"names": ["a", "é"], "numbers": [1, -(2**63), 2.5], "none": None, "yes": True, "bytes": b"\x00\xff", "": {}}
HEADS = {"tls": 0, "gloo": 8}
"""Over Gloo an object is preceded by its length."""


def talk(number, transport, body):
    """What ``body``, given CrypTen's communicator, its rank and all others, returns at each party."""

    def of_party(session):
        ranks = [rank for rank in range(number) if rank != session.rank]
        return body(original.comm.get(), session.rank, ranks)

    return run_parties(number, of_party, transport=transport, engine="crypten")


def own(rank, *shape):
    """Whole numbers that tell their owner."""
    return torch.arange(int(np.prod(shape))).reshape(shape) + 1000 * (rank + 1)


def cost(channel, call):
    """What a call returns, its rounds and its bytes."""
    before = channel.traffic.rounds, channel.traffic.bytes_sent
    result = call()
    return result, channel.traffic.rounds - before[0], channel.traffic.bytes_sent - before[1]


def equal(tensor, expected):
    assert tensor.dtype == expected.dtype
    assert tensor.shape == expected.shape
    assert tensor.tolist() == expected.tolist()


@everywhere
def test_every_role_knows_its_place(number, transport):
    def body(channel, rank, others):
        assert original.comm.is_initialized()
        assert (channel.get_rank(), channel.get_world_size(), channel.get_ttp_rank()) == (rank, number, number)
        assert channel.get_name() == f"party_{rank}"
        channel.set_name("other")
        assert channel.get_name() == "other"
        return [channel.get_distributed_backend(), channel.get_communication_stats()]

    for backend, stats in talk(number, transport, body):
        assert backend == {"tls": "Mesh", "gloo": "GlooLinks"}[transport]
        assert set(stats) == {"rounds", "bytes", "time"}


@everywhere
def test_from_one_party_to_the_next(number, transport):
    def body(channel, rank, others):
        if rank > 0:
            target = torch.zeros(3, 2, dtype=torch.long)
            came, rounds, size = cost(channel, lambda: channel.recv(target, rank - 1))
            assert (rounds, size) == (1, 0)
            equal(came, own(rank - 1, 3, 2))
            assert target.count_nonzero() == 0  # what comes is returned; the argument tells its shape alone
        if rank < number - 1:
            _, rounds, size = cost(channel, lambda: channel.send(own(rank, 3, 2), rank + 1))
            assert (rounds, size) == (0, 48)

    talk(number, transport, body)


@everywhere
def test_every_type_of_numbers_keeps_its_values(number, transport):
    values = [
        torch.tensor([True, False]),
        *(torch.tensor([0, 1, 100], dtype=dtype) for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32)),
        torch.tensor([2**63 - 1, -(2**63)]),
        torch.tensor([1.5, float("inf")], dtype=torch.float32),
        torch.tensor([0.1, -0.0, 1e-300], dtype=torch.float64),
        torch.tensor(7),
    ]

    def body(channel, rank, others):
        for value in values:
            for gathered in channel.all_gather(value):
                equal(gathered, value)

    talk(number, transport, body)


@everywhere
def test_several_outstanding_are_matched_in_the_order_of_their_calls(number, transport):
    def body(channel, rank, others):
        targets = {source: [torch.zeros(2, dtype=torch.long) for _ in range(3)] for source in others}
        coming = {source: [channel.irecv(target, source) for target in targets[source]] for source in others}
        going = []
        for to in others:
            for number in range(3):
                sent = own(rank, 2) + 10 * number
                going.append(channel.isend(sent, to))
                sent += 5  # it has been handed over: what is changed now changes nothing there
        for source in reversed(others):
            for handle in (coming[source][2], coming[source][0], coming[source][1], coming[source][2]):
                handle.wait()
        for handle in reversed(going):
            handle.wait()
        for source in others:
            for number, target in enumerate(targets[source]):
                equal(target, own(source, 2) + 10 * number)
        assert channel.traffic.rounds == 3 * len(others)
        assert channel.traffic.bytes_sent == 3 * len(others) * 16

    talk(number, transport, body)


@everywhere
def test_a_later_call_waits_for_what_came_before_it(number, transport):
    def body(channel, rank, others):
        with pytest.raises(ValueError, match="name the rank"):
            channel.irecv(torch.zeros(1))
        first = torch.zeros(2, dtype=torch.long)
        peer = others[0]
        if rank > 1:
            return
        outstanding = channel.irecv(first, peer)
        channel.isend(own(rank, 2), peer)
        channel.isend(own(rank, 2) + 7, peer)
        equal(channel.recv(torch.empty(2, dtype=torch.long), peer), own(peer, 2) + 7)
        outstanding.wait()
        equal(first, own(peer, 2))

    talk(number, transport, body)


@everywhere
def test_gather_and_scatter(number, transport):
    def body(channel, rank, others):
        gathered, rounds, size = cost(channel, lambda: channel.all_gather(own(rank, 2, 3)))
        assert (rounds, size) == (1, len(others) * 48)
        for source, tensor in enumerate(gathered):
            equal(tensor, own(source, 2, 3))
        for place in range(number):
            gathered, rounds, size = cost(channel, lambda place=place: channel.gather(own(rank, 4), place))
            assert (rounds, size) == ((1, 0) if rank == place else (0, 32))
            if rank == place:
                for source, tensor in enumerate(gathered):
                    equal(tensor, own(source, 4))
            else:
                assert gathered == [None]
            parts = [own(place, 3) + 10 * to if rank == place else torch.empty(3) for to in range(number)]
            size = None if place else (3,)
            part, rounds, sent = cost(
                channel, lambda place=place, parts=parts, size=size: channel.scatter(parts, place, size)
            )
            assert (rounds, sent) == ((0, 24 * len(others)) if rank == place else (1, 0))
            equal(part, own(place, 3) + 10 * rank)

    talk(number, transport, body)


@everywhere
def test_broadcast_of_a_tensor_and_of_several(number, transport):
    def body(channel, rank, others):
        for source in range(number):
            tensor = own(source, 2, 2) if rank == source else torch.zeros(2, 2, dtype=torch.long)
            answer, rounds, sent = cost(channel, lambda tensor=tensor, source=source: channel.broadcast(tensor, source))
            assert (rounds, sent) == ((0, 32 * len(others)) if rank == source else (1, 0))
            assert answer is tensor
            equal(tensor, own(source, 2, 2))
            several = [own(source, size) if rank == source else torch.zeros(size).long() for size in (1, 3)]
            answer, rounds, sent = cost(
                channel, lambda several=several, source=source: channel.broadcast(several, source, batched=True)
            )
            assert (rounds, sent) == ((0, 32 * len(others)) if rank == source else (1, 0))
            for size, tensor in zip((1, 3), answer, strict=True):
                equal(tensor, own(source, size))

    talk(number, transport, body)


@everywhere
def test_objects(number, transport):
    size = len(encode_object(OBJECT)) + HEADS[transport]

    def body(channel, rank, others):
        for source in range(number):
            given = OBJECT if rank == source else None
            answer, rounds, sent = cost(
                channel, lambda given=given, source=source: channel.broadcast_obj(given, source)
            )
            assert answer == OBJECT
            assert (rounds, sent) == ((0, size * len(others)) if rank == source else (1, 0))
        if rank == 0:
            for source in others:
                assert cost(channel, lambda source=source: channel.recv_obj(source)) == ([source], 1, 0)
        else:
            _, rounds, sent = cost(channel, lambda: channel.send_obj([rank], 0))
            assert (rounds, sent) == (0, len(encode_object([rank])) + HEADS[transport])

    talk(number, transport, body)


@everywhere
def test_what_is_not_a_plain_value_is_refused_and_nothing_is_sent(number, transport):
    def body(channel, rank, others):
        for value in (object(), torch.zeros(2), np.zeros(2), {1: 2}, {1, 2}, [np.int64(1)], 1j, 2**64, len):
            for call in (channel.send_obj, channel.broadcast_obj):
                with pytest.raises(TypeError):
                    call(value, rank if call == channel.broadcast_obj else others[0])
        if transport == "tls":
            with pytest.raises(TypeError, match="not sent"):
                channel.send(torch.zeros(1, dtype=torch.complex64), others[0])
        assert [len(gathered) for gathered in channel.all_gather(own(rank, 2))] == [2] * number  # the lines still work
        return channel.traffic.rounds

    assert talk(number, transport, body) == [1] * number


OPERATIONS = {
    "SUM": (ReduceOp.SUM, np.add),
    "BXOR": (ReduceOp.BXOR, np.bitwise_xor),
    "BAND": (ReduceOp.BAND, np.bitwise_and),
    "BOR": (ReduceOp.BOR, np.bitwise_or),
    "PRODUCT": (ReduceOp.PRODUCT, np.multiply),
    "MIN": (ReduceOp.MIN, np.minimum),
    "MAX": (ReduceOp.MAX, np.maximum),
}


def combined(operation, number, *shape):
    """What all parties' :func:`own` come to."""
    return torch.from_numpy(np.asarray(operation.reduce([own(rank, *shape).numpy() for rank in range(number)])))


@everywhere
def test_every_operation_of_reduce_and_all_reduce(number, transport):
    def body(channel, rank, others):
        assert channel.all_reduce(torch.tensor([2**63 - 1])).tolist() == [-2 if number == 2 else 2**63 - 3]
        for name, (op, operation) in OPERATIONS.items():
            expected = combined(operation, number, 2, 3)
            mine = own(rank, 2, 3)
            answer, rounds, sent = cost(channel, lambda mine=mine, op=op: channel.all_reduce(mine, op=op))
            assert (name, rounds, sent) == (name, 1, 48 * len(others))
            equal(answer, expected)
            equal(mine, own(rank, 2, 3))
            answer, rounds, sent = cost(channel, lambda mine=mine, op=op: channel.reduce(mine, 1, op=op))
            assert (rounds, sent) == ((1, 0) if rank == 1 else (0, 48))
            if rank == 1:
                equal(answer, expected)
            else:
                assert answer is None

    talk(number, transport, body)


@everywhere
def test_several_tensors_are_reduced_in_one_exchange(number, transport):
    def body(channel, rank, others):
        shapes = [(2, 2), (), (3,), (0,), (1, 4)]
        mine = [own(rank, *shape) for shape in shapes]
        words = sum(tensor.nelement() for tensor in mine)
        for op, operation in (OPERATIONS["SUM"], OPERATIONS["BXOR"]):
            answer, rounds, sent = cost(channel, lambda op=op: channel.all_reduce(mine, op=op, batched=True))
            assert (rounds, sent) == (1, 8 * words * len(others))
            for shape, tensor in zip(shapes, answer, strict=True):
                equal(tensor, combined(operation, number, *shape))
        answer, rounds, sent = cost(channel, lambda: channel.reduce(mine, 0, batched=True))
        assert (rounds, sent) == ((1, 0) if rank == 0 else (0, 8 * words))
        if rank == 0:
            for shape, tensor in zip(shapes, answer, strict=True):
                equal(tensor, combined(np.add, number, *shape))

    talk(number, transport, body)


@everywhere
@pytest.mark.parametrize("op", ["SUM", "BXOR"])
def test_a_large_sum_moves_fewer_bytes_among_three(number, transport, op):
    words = (1 << 18) // 8 + 2  # two more than a gathering takes; it does not divide by three

    def body(channel, rank, others):
        at_most = own(rank, words - 2)
        answer, rounds, sent = cost(channel, lambda: channel.all_reduce(at_most, op=OPERATIONS[op][0]))
        assert (rounds, sent) == (1, (1 << 18) * len(others))
        equal(answer, combined(OPERATIONS[op][1], number, words - 2))
        more = own(rank, 2, words // 2).t()  # not contiguous
        answer, rounds, sent = cost(channel, lambda: channel.all_reduce(more, op=OPERATIONS[op][0]))
        equal(answer, combined(OPERATIONS[op][1], number, 2, words // 2).t())
        equal(more, own(rank, 2, words // 2).t())
        if number == 2:
            assert (rounds, sent) == (1, 8 * words)
        else:
            parts = [len(part) for part in np.array_split(np.empty(words), 3)]
            assert parts == [10924, 10923, 10923]
            assert rounds == 2
            assert sent == 8 * (words - parts[rank] + 2 * parts[rank])  # the others' parts, then twice its own
        answer = channel.all_reduce([more, at_most, torch.tensor(5)], op=OPERATIONS[op][0], batched=True)
        assert [tuple(tensor.shape) for tensor in answer] == [(words // 2, 2), (words - 2,), ()]
        equal(answer[1], combined(OPERATIONS[op][1], number, words - 2))

    talk(number, transport, body)


@everywhere
def test_large_messages_both_ways_at_once(number, transport):
    words = 1 << 20  # more than the buffers of a socket hold

    def body(channel, rank, others):
        gathered = channel.all_gather(own(rank, words))
        assert all(torch.equal(tensor, own(source, words)) for source, tensor in enumerate(gathered))
        going = [channel.isend(own(rank, words), to) for to in others]
        for source in others:
            assert torch.equal(channel.recv(torch.empty(words, dtype=torch.long), source), own(source, words))
        for handle in going:
            handle.wait()

    talk(number, transport, body)


@everywhere
def test_tensors_that_are_not_contiguous(number, transport):
    def body(channel, rank, others):
        views = [lambda of: of(3, 4).t(), lambda of: of(4, 6)[::2, 1::3], lambda of: of(1, 3).expand(2, 3)]
        for view in views:

            def seen(source, view=view):
                return view(lambda *shape: own(source, *shape))

            for source, tensor in enumerate(channel.all_gather(seen(rank))):
                equal(tensor, seen(source))
            gathered = channel.gather(seen(rank), 0)
            if rank == 0:
                for source, tensor in enumerate(gathered):
                    equal(tensor, seen(source))
            going = channel.isend(seen(rank), (rank + 1) % number)
            equal(channel.recv(seen(rank), (rank - 1) % number), seen((rank - 1) % number))
            going.wait()
        whole = own(rank, 4, 4)
        channel.broadcast(whole[:, 1], 0)  # into a column of a matrix
        expected = own(rank, 4, 4)
        expected[:, 1] = own(0, 4, 4)[:, 1]
        equal(whole, expected)

    talk(number, transport, body)


@everywhere
def test_tensors_without_elements(number, transport):
    def body(channel, rank, others):
        nothing = torch.empty(0, 3, dtype=torch.long)
        for tensor in channel.all_gather(nothing):
            equal(tensor, nothing)
        equal(channel.all_reduce(nothing), nothing)
        going = channel.isend(nothing, (rank + 1) % number)
        equal(channel.recv(nothing, (rank - 1) % number), nothing)
        going.wait()
        equal(channel.broadcast(nothing, 0), nothing)
        answer = channel.reduce(nothing, 0)
        assert (answer is None) == (rank != 0)
        equal(channel.scatter([nothing] * number, 0), nothing)
        assert channel.traffic.bytes_sent == 0
        channel.barrier()
        assert channel.traffic.bytes_sent == len(others)

    talk(number, transport, body)


@everywhere
def test_nobody_passes_a_barrier_before_all_have_come(number, transport, tmp_path):
    def body(channel, rank, others):
        for turn in range(number):
            if rank == turn:
                (tmp_path / str(turn)).write_text("here")
            _, rounds, _ = cost(channel, channel.barrier)
            assert rounds == 1
            assert (tmp_path / str(turn)).exists()

    talk(number, transport, body)


@pytest.mark.parametrize("sent", [own(0, 3), own(0, 2).int(), torch.zeros(0).long()], ids=["longer", "type", "empty"])
def test_numbers_of_another_shape_or_type_are_no_result(sent):
    def body(channel, rank, others):
        if rank == 0:
            channel.send(sent, 1)
        else:
            with pytest.raises(RoleError, match='"party_0" failed: it sent a frame of'):
                channel.recv(torch.zeros(2, dtype=torch.long), 0)

    talk(2, "tls", body)
