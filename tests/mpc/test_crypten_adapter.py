"""CrypTen across the adapter: no generator but ours, costs of a product, and who learns what."""

import random
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch

from secure_kmeans.errors import ProtocolError
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import original, randomness
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import encode_object
from tests.parties import OWN_NUMBERS, AtRole, run_parties

VALUES = np.arange(6.0).reshape(3, 2)


def forbid(name: str) -> Callable[..., None]:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError(f"{name} was reached")

    return forbidden


@pytest.mark.parametrize("engine", ["secure", "crypten"])
@pytest.mark.parametrize("number", [2, 3])
def test_no_generator_of_torch_numpy_or_python_is_reached(
    number: int, engine: Literal["secure", "crypten"], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules: list[tuple[Any, list[str]]] = [
        (torch, ["randint", "rand", "randn", "randperm", "manual_seed", "seed", "Generator"]),
        (np.random, ["default_rng", "Generator", "seed", "rand", "randint", "random"]),
        (random, ["random", "randint", "getrandbits", "randbytes", "shuffle", "Random"]),
    ]
    for module, names in modules:
        for name in names:
            monkeypatch.setattr(module, name, forbid(f"{module.__name__}.{name}"))

    def body(at: AtRole) -> Any:
        engine = at.sharing.engine
        X = at.sharing.enter_rows(VALUES[: 3 if at.rank == 0 else 0], [3] + [0] * (number - 1))
        rows = engine.execute(engine.enter(X, 60))
        H = engine.execute(rows.label(engine.execute(engine.centroids(X.unsqueeze(0))), 60))
        T, _ = engine.execute(rows.sums(H, 8))
        twos = np.full(3, 2)
        halves = engine.execute(engine.divided(engine.execute(engine.divide(T[0], 8)), twos, 2**30, 3))
        return at.reveal(halves)

    for halves in run_parties(number, body, engine=engine, processes=True):
        assert halves == (VALUES / 2 * 2**24).astype(int).tolist()


def test_a_generator_of_torch_is_refused() -> None:
    for draw in (randomness.ring_element, randomness.kbit_element):
        with pytest.raises(TypeError, match="drawn from a Prg"):
            draw((2,), generator=torch.Generator())
    with pytest.raises(TypeError, match="drawn from a Prg"):
        randomness.kbit_element((2,), bitlength=1, generator=None)


def test_the_dealer_is_crypten_s_only_provider() -> None:
    assert type(original.crypten.mpc.get_default_provider()) is original.ttp.TrustedThirdParty
    original.crypten.cfg.mpc.provider = "TFP"
    try:
        with pytest.raises(KeyError, match="TFP"):
            original.crypten.mpc.get_default_provider()
    finally:
        original.crypten.cfg.mpc.provider = "TTP"


def test_shares_of_the_same_row_differ_in_every_run() -> None:
    def body(at: AtRole) -> Any:
        X = at.sharing.enter_rows(VALUES[: 3 if at.rank == 0 else 0], [3, 0])
        return crypten.share_of(X).tolist()

    first, second = (run_parties(2, body, processes=True) for _ in range(2))
    assert not np.intersect1d(first, second).size
    for shares in (first, second):  # and together they are the row
        assert (np.sum(shares, axis=0, dtype=np.int64) == (VALUES * 2**24).astype(int)).all()


@pytest.mark.parametrize("number", [2, 3])
def test_bytes_and_rounds_of_a_product(number: int) -> None:
    def body(at: AtRole) -> list[int]:
        X = crypten.from_public(torch.from_numpy(at.fixed_point.encode(VALUES)))
        before = (at.traffic.rounds, at.traffic.bytes_sent)
        X * X
        return [at.traffic.rounds - before[0], at.traffic.bytes_sent - before[1]]

    first, *others = run_parties(number, body, engine="crypten")
    opened = (number - 1) * 2 * 6 * 8  # x - a and y - b, 6 words of 8 bytes, to every other party
    assert all(other == [1, opened] for other in others)
    request = encode_object({"function": "additive", "args": [[3, 2], [3, 2], "mul"], "kwargs": {}})
    assert first == [2, opened + len(request)]  # and its answer is a round


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
def test_the_dealer_refuses_an_unknown_request(request_: Any) -> None:
    def body(at: AtRole) -> None:
        channel = crypten.channel()
        if at.rank == 1:
            channel.send_obj("here", 0)  # and has nothing left to do that the dealer's end could disturb
        else:
            assert channel.recv_obj(1) == "here"
            channel.send_obj(request_, channel.get_ttp_rank())
            channel.recv(torch.empty(1, dtype=torch.long), channel.get_ttp_rank())

    with pytest.raises(AssertionError, match="the first party asked the dealer for something unknown"):
        run_parties(2, body, engine="crypten")


def test_the_core_s_dealer_is_asked_for_nothing() -> None:
    def body(at: AtRole) -> None:
        if at.rank == 0:  # the one party that asks CrypTen's dealer
            X = crypten.from_public(torch.from_numpy(at.fixed_point.encode(VALUES)))
            with pytest.raises(ProtocolError, match="answers nobody"):
                X * X

    assert run_parties(2, body, processes=True) == [None, None]


@pytest.mark.parametrize("number", [2, 3, 5])
def test_what_one_party_learns_reaches_no_other(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even as a summand: no other role receives a byte of it."""
    received: list[str] = []
    for name in ("receive", "receive_object"):
        honest = getattr(Mesh, name)

        def counted(self: Mesh, peer: str, *target: Any, honest: Any = honest, name: str = name) -> Any:
            if name == "receive_object" or target[0].size:
                received.append(peer)
            return honest(self, peer, *target)

        monkeypatch.setattr(Mesh, name, counted)

    def body(at: AtRole) -> Any:
        secret = at.sharing.enter_rows(VALUES[: 3 if at.rank == 0 else 0], [3] + [0] * (number - 1))
        received.clear()
        opened = at.sharing.engine.execute(at.sharing.revealing(secret, OWN_NUMBERS, to="party_1"))
        return [sorted(received), opened.tolist()]

    answers = run_parties(number, body, processes=True)
    others = [f"party_{rank}" for rank in range(number) if rank != 1]
    assert answers[1] == [others, (VALUES * 2**24).astype(int).tolist()]
    assert all(answer == [[], [[0, 0]] * 3] for rank, answer in enumerate(answers) if rank != 1)


X = torch.tensor([[0.5, -1.25, 1.75], [1.5, 0.25, -0.75]])
Y = torch.tensor([[1.125, 1.875, -0.375], [0.75, -1.875, 1.375]])
Operation = Callable[[Any, Any], Any]
EXACTLY: dict[str, Operation] = {
    "sum of two": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "negative": lambda x, y: -x,
    "sum": lambda x, y: x.sum(0),
    "transposed": lambda x, y: x.t(),
    "<": lambda x, y: x < y,
    ">=": lambda x, y: x >= y,
    "==": lambda x, y: x == x - y + y,
    "sign": lambda x, y: x.sign(),
}
NEARLY: dict[str, Operation] = {
    "product": lambda x, y: x * y,
    "product with a public number": lambda x, y: x * 2.5,
    "quotient by a public number": lambda x, y: x / 4,
    "matrix product": lambda x, y: x.matmul(y.t()),
    "square": lambda x, y: x.square(),
    "mean": lambda x, y: x.mean(),
}


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(("operations", "error"), [(EXACTLY, 0), (NEARLY, 1e-3)], ids=["exactly", "nearly"])
def test_crypten_s_own_operations_work_across_it(number: int, operations: dict[str, Operation], error: float) -> None:
    """With CrypTen's own fixed point, as its users call it."""

    def body(at: AtRole) -> dict[str, Any]:
        x, y = (original.crypten.cryptensor(of, src=src) for src, of in enumerate((X, Y)))
        found = {}
        for name, operation in operations.items():
            shared = operation(x, y)
            found[name] = (shared.reveal().double() / shared.encoder.scale).tolist()
        return found

    answers = run_parties(number, body, engine="crypten")
    assert all(answer == answers[0] for answer in answers)
    for name, operation in operations.items():
        expected = operation(X, Y).double()
        assert np.allclose(answers[0][name], expected, rtol=error, atol=error), name
