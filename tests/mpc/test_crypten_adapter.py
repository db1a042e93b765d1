import random

import numpy as np
import pytest
import torch

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.ledger import What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import original, randomness
from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.crypten_adapter.gloo import GlooLinks
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import encode_object
from tests.parties import run_parties

VALUES = np.arange(6.0).reshape(3, 2)


def forbid(name: str):
    def forbidden(*_: object, **__: object):
        raise AssertionError(f"{name} was reached")

    return forbidden


@pytest.mark.parametrize("engine", ["secure", "crypten"])
@pytest.mark.parametrize("number", [2, 3])
def test_no_generator_of_torch_numpy_or_python_is_reached(number, engine, monkeypatch):
    for module, names in (
        (torch, ["randint", "rand", "randn", "randperm", "manual_seed", "seed", "Generator"]),
        (np.random, ["default_rng", "Generator", "seed", "rand", "randint", "random"]),
        (random, ["random", "randint", "getrandbits", "randbytes", "shuffle", "Random"]),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbid(f"{module.__name__}.{name}"))

    def body(session):
        engine = session.engine
        X = session.share_rows(VALUES[: 3 if session.rank == 0 else 0], [3] + [0] * (number - 1))
        engine.execute(engine.enter(X, 1, 3, 60))
        H = engine.execute(engine.label(engine.execute(engine.centroids(X[None])), 60))
        T, _ = engine.execute(engine.sums(H, 8))
        twos = np.full(3, 2)
        halves = engine.execute(engine.divided(engine.execute(engine.divide(T[0], 8)), twos, 2**30, 3))
        session.toss_coins()
        return session.reveal(halves, what=What.CLUSTER_SIZES).tolist()

    for halves in run_parties(number, body, engine=engine):
        assert halves == (VALUES / 2 * 2**24).astype(int).tolist()


def test_a_generator_of_torch_is_refused():
    for draw in (randomness.ring_element, randomness.kbit_element):
        with pytest.raises(TypeError, match="drawn from a Prg"):
            draw((2,), generator=torch.Generator())
    with pytest.raises(TypeError, match="drawn from a Prg"):
        randomness.kbit_element((2,), bitlength=1, generator=None)


def test_shares_of_the_same_row_differ_in_every_run():
    def body(session):
        return session.share_rows(VALUES[: 3 if session.rank == 0 else 0], [3, 0]).tolist()

    first, second = run_parties(2, body), run_parties(2, body)
    assert not np.intersect1d(first, second).size
    for shares in (first, second):  # and together they are the row
        assert (np.sum(shares, axis=0, dtype=np.int64) == (VALUES * 2**24).astype(int)).all()


@pytest.mark.parametrize("transport", ["tls", "gloo"])
@pytest.mark.parametrize("number", [2, 3])
def test_bytes_and_rounds_of_a_product(number, transport):
    def body(session):
        X = crypten.from_public(torch.from_numpy(session.fixed_point.encode(VALUES)))
        before = (session.traffic.rounds, session.traffic.bytes_sent)
        X * X
        return [session.traffic.rounds - before[0], session.traffic.bytes_sent - before[1]]

    first, *others = run_parties(number, body, transport=transport, engine="crypten")
    opened = (number - 1) * 2 * 6 * 8  # x - a and y - b, 6 words of 8 bytes, to every other party
    assert all(other == [1, opened] for other in others)
    request = encode_object({"function": "additive", "args": [[3, 2], [3, 2], "mul"], "kwargs": {}})
    length = 8 if transport == "gloo" else 0  # which goes before it
    assert first == [2, opened + length + len(request)]  # and its answer is a round


@pytest.mark.parametrize(
    "request_",
    [
        {"function": "__init__", "args": [], "kwargs": {}},
        {"function": "additive", "args": [[2], [3], "mul"], "kwargs": {}},
        {"function": "additive", "args": [[2], [2], "__class__"], "kwargs": {}},
        {"function": "additive", "args": [[2], [2], "mul"], "kwargs": None},
        ["additive"],
    ],
    ids=["function", "shapes", "product", "options", "list"],
)
def test_the_dealer_refuses_an_unknown_request(request_):
    def body(session):
        channel = original.comm.get()
        if session.rank == 1:
            channel.send_obj("here", 0)  # and has nothing left to do that the dealer's end could disturb
        else:
            assert channel.recv_obj(1) == "here"
            channel.send_obj(request_, channel.get_ttp_rank())
            with pytest.raises(RoleError, match='role "dealer" failed'):
                channel.recv(torch.empty(1, dtype=torch.long), channel.get_ttp_rank())

    assert run_parties(2, body, engine="crypten") == [None, None]


def test_a_dealer_that_walks_along_is_asked_for_nothing():
    def body(session):
        if session.rank == 0:  # who speaks to CrypTen's dealer
            X = crypten.from_public(torch.from_numpy(session.fixed_point.encode(VALUES)))
            with pytest.raises(ProtocolError, match="answers nobody"):
                X * X

    assert run_parties(2, body) == [None, None]


def test_nothing_of_crypten_s_own_communicator_is_left():
    calls = {name for name in vars(original.comm.Communicator) if not name.startswith("_") and name.islower()}
    assert calls - set(vars(RoleCommunicator)) == {"print_communication_stats"}
    for module in (original.comm, original.distributed, original.context):
        assert module.DistributedCommunicator is RoleCommunicator


@pytest.mark.parametrize(("number", "transport"), [(2, "tls"), (3, "tls"), (5, "tls"), (3, "gloo")])
def test_what_one_party_learns_reaches_no_other(number, transport, monkeypatch):
    """Not even as a summand: nobody but the owner receives any byte of it."""
    received = []
    for links in (Mesh, GlooLinks):
        for name in ("receive", "receive_object"):
            honest = getattr(links, name)

            def counted(self, peer, *target, honest=honest, name=name):
                if name == "receive_object" or target[0].size:
                    received.append(peer)
                return honest(self, peer, *target)

            monkeypatch.setattr(links, name, counted)

    def body(session):
        secret = session.share_rows(VALUES[: 3 if session.rank == 0 else 0], [3] + [0] * (number - 1))
        received.clear()
        opened = session.reveal(secret, to="party_1", what=What.OWN_LABELS)
        return [sorted(received), opened.tolist()]

    answers = run_parties(number, body, transport=transport)
    others = [f"party_{rank}" for rank in range(number) if rank != 1]
    assert answers[1] == [others, (VALUES * 2**24).astype(int).tolist()]
    assert all(answer == [[], [[0, 0]] * 3] for rank, answer in enumerate(answers) if rank != 1)


X = torch.tensor([[0.5, -1.25, 1.75], [1.5, 0.25, -0.75]])
Y = torch.tensor([[1.125, 1.875, -0.375], [0.75, -1.875, 1.375]])
IMAGE = (torch.arange(32.0).reshape(1, 2, 4, 4) - 13.3) / 10
KERNEL = (torch.arange(16.0).reshape(2, 2, 2, 2) - 7.2) / 8
EXACTLY = {
    "sum of two": lambda x, y, f: x + y,
    "difference": lambda x, y, f: x - y,
    "negative": lambda x, y, f: -x,
    "sum": lambda x, y, f: x.sum(0),
    "sum so far": lambda x, y, f: x.cumsum(1),
    "transposed": lambda x, y, f: x.t(),
    ">": lambda x, y, f: x > y,
    ">=": lambda x, y, f: x >= y,
    "<": lambda x, y, f: x < y,
    "<=": lambda x, y, f: x <= y,
    "==": lambda x, y, f: x == x - y + y,
    "!=": lambda x, y, f: x != y,
    "sign": lambda x, y, f: x.sign(),
    "relu": lambda x, y, f: x.relu(),
    "absolute value": lambda x, y, f: x.abs(),
}
NEARLY = {
    "product": lambda x, y, f: x * y,
    "product with a public number": lambda x, y, f: x * 2.5,
    "quotient by a public number": lambda x, y, f: x / 4,
    "matrix product": lambda x, y, f: x.matmul(y.t()),
    "square": lambda x, y, f: x.square(),
    "power": lambda x, y, f: x.pow(3),
    "mean": lambda x, y, f: x.mean(),
    "variance": lambda x, y, f: x.var(),
    "conv2d": lambda x, y, f: f.conv2d(f.image, f.kernel),
    "conv_transpose2d": lambda x, y, f: f.conv_transpose2d(f.image, f.kernel),
    "conv1d": lambda x, y, f: f.conv1d(f.image[0], f.kernel.reshape(2, 4, 2)),
    "mean of pixels": lambda x, y, f: f.avg_pool2d(f.image, 2),
}
APPROXIMATELY = {
    "exponential": lambda x, y, f: x.exp(),
    "square root": lambda x, y, f: (x.abs() + 0.5).sqrt(),
    "norm": lambda x, y, f: x.norm(),
    "cosine": lambda x, y, f: x.cos(),
    "sine": lambda x, y, f: x.sin(),
}
WITH_OTHER_SETTINGS = {
    "reciprocal": lambda x, y, f: (x.abs() + 0.5).reciprocal(),
    "quotient": lambda x, y, f: x / y,
    "logarithm": lambda x, y, f: (x.abs() + 0.5).log(),
    "sigmoid": lambda x, y, f: x.sigmoid(),
    "tanh": lambda x, y, f: x.tanh(),
}
WITH_TIES_DRAWN = {
    "largest": lambda x, y, f: x.max(),
    "smallest": lambda x, y, f: x.min(),
    "largest of each row": lambda x, y, f: x.max(dim=1)[0],
    "softmax": lambda x, y, f: x.softmax(1),
    "largest pixels": lambda x, y, f: f.max_pool2d(f.image, 2),
}


class Plain:
    """torch's functions, under the names that CrypTen's tensors have."""

    image, kernel = IMAGE, KERNEL

    def __getattr__(self, name):
        return getattr(torch.nn.functional, name)


class Encrypted:
    """CrypTen's, as torch spells them."""

    def __init__(self):
        self.image, self.kernel = (original.crypten.cryptensor(of, src=src) for src, of in enumerate((IMAGE, KERNEL)))

    def __getattr__(self, name):
        return lambda tensor, *arguments: getattr(tensor, name)(*arguments)


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    ("operations", "error"),
    [(EXACTLY, 0), (NEARLY, 1e-3), (APPROXIMATELY, 0.1), (WITH_OTHER_SETTINGS, 0.1), (WITH_TIES_DRAWN, 0.1)],
    ids=["exactly", "nearly", "approximately", "settings", "ties"],
)
def test_crypten_s_own_operations_work_across_it(number, operations, error):
    def body(session):
        x, y = (original.crypten.cryptensor(of, src=src) for src, of in enumerate((X, Y)))
        encrypted = Encrypted()
        found = {}
        for name, operation in operations.items():
            shared = operation(x, y, encrypted)
            found[name] = (shared.reveal().double() / shared.encoder.scale).tolist()
        return found

    answers = run_parties(number, body, engine="crypten")
    assert all(answer == answers[0] for answer in answers)
    for name, operation in operations.items():
        expected = operation(X, Y, Plain()).double()
        assert np.allclose(answers[0][name], expected, rtol=error, atol=error), name


def test_crypten_s_own_tensors_are_revealed_to_one_party_alone():
    def body(session):
        x = original.crypten.cryptensor(X, src=1)
        plain = x.get_plain_text(dst=2)
        return None if plain is None or not plain.numel() else plain.tolist()

    assert run_parties(3, body, engine="crypten") == [None, None, X.tolist()]


@pytest.mark.parametrize("transport", ["tls", "gloo"])
@pytest.mark.parametrize("words", [2, 3_000_000])  # more than any socket holds
def test_a_ring_in_which_each_sends_before_it_receives_does_not_stop(words, transport):
    def body(session):
        channel, following, preceding = original.comm.get(), (session.rank + 1) % 3, (session.rank - 1) % 3
        large, small = torch.zeros(words, dtype=torch.long), torch.zeros(2, dtype=torch.long)
        going = channel.isend(torch.full((words,), session.rank), following)
        coming = channel.irecv(large, preceding)
        going.wait()
        coming.wait()
        outstanding = channel.irecv(small, preceding)
        channel.isend(torch.full((2,), 10 + session.rank), following)
        gathered = channel.all_gather(torch.full((2,), session.rank))  # comes after what is outstanding
        outstanding.wait()
        return [large.unique().tolist(), small.tolist(), [each.tolist() for each in gathered]]

    for rank, answer in enumerate(run_parties(3, body, transport=transport, engine="crypten")):
        preceding = (rank - 1) % 3
        assert answer == [[preceding], [10 + preceding] * 2, [[0, 0], [1, 1], [2, 2]]]
