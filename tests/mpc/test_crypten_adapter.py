import random

import numpy as np
import pytest
import torch

from secure_kmeans.ledger import What
from secure_kmeans.mpc.argmin import argmin_one_hot
from secure_kmeans.mpc.crypten_adapter import original, randomness
from secure_kmeans.mpc.division import floor_divide
from secure_kmeans.protocols.distances import scores
from tests.parties import run_parties

VALUES = np.arange(6.0).reshape(3, 2)


def forbid(name: str):
    def forbidden(*_: object, **__: object):
        raise AssertionError(f"{name} was reached")

    return forbidden


@pytest.mark.parametrize("number", [2, 3])
def test_no_generator_of_torch_numpy_or_python_is_reached(number, monkeypatch):
    for module, names in (
        (torch, ["randint", "rand", "randn", "randperm", "manual_seed", "seed", "Generator"]),
        (np.random, ["default_rng", "Generator", "seed", "rand", "randint", "random"]),
        (random, ["random", "randint", "getrandbits", "randbytes", "shuffle", "Random"]),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbid(f"{module.__name__}.{name}"))

    def body(session):
        X = session.share_rows(VALUES[: 3 if session.rank == 0 else 0], [3] + [0] * (number - 1))
        H = argmin_one_hot(scores(X, X))
        halves, _ = floor_divide(H.t().matmul(X), torch.tensor(2), 2**30)
        session.toss_coins()
        return session.reveal_to_all(halves, what=What.CLUSTER_SIZES).tolist()

    for halves in run_parties(number, body):
        assert halves == (VALUES / 2 * 2**24).astype(int).tolist()


def test_a_generator_of_torch_is_refused():
    for draw in (randomness.ring_element, randomness.kbit_element):
        with pytest.raises(TypeError, match="drawn from a Prg"):
            draw((2,), generator=torch.Generator())
    with pytest.raises(TypeError, match="drawn from a Prg"):
        randomness.kbit_element((2,), bitlength=1, generator=None)


def test_shares_of_the_same_row_differ_in_every_run():
    def body(session):
        return session.share_rows(VALUES[: 3 if session.rank == 0 else 0], [3, 0]).share.tolist()

    first, second = run_parties(2, body), run_parties(2, body)
    assert not np.intersect1d(first, second).size
    for shares in (first, second):  # and together they are the row
        assert (np.sum(shares, axis=0, dtype=np.int64) == (VALUES * 2**24).astype(int)).all()


@pytest.mark.parametrize("number", [2, 3])
def test_bytes_and_rounds_of_a_product(number):
    def body(session):
        X = session.from_public(VALUES)
        before = (session.traffic.rounds, session.traffic.bytes_sent)
        X * X
        return [session.traffic.rounds - before[0], session.traffic.bytes_sent - before[1]]

    first, *others = run_parties(number, body)
    opened = (number - 1) * 2 * 6 * 8  # x - a and y - b, 6 words of 8 bytes, to every other party
    assert all(other == [1, opened] for other in others)
    assert first == [2, opened + 512]  # and one request to the dealer, with its answer


def test_the_dealer_refuses_an_unknown_request():
    def body(session):
        channel = original.comm.get()
        if session.rank == 0:
            channel.send_obj({"function": "__init__", "args": []}, channel.get_ttp_rank(), channel.ttp_group)
            answer = torch.empty(1, dtype=torch.long)
            with pytest.raises(RuntimeError):
                torch.distributed.recv(answer, src=channel.get_ttp_rank(), group=channel.ttp_group)

    # The dealer ends; the parties cannot tell it goodbye, which is an error at the first of them.
    assert run_parties(2, body) == [None, None]


def test_what_is_not_counted_is_refused():
    def body(session):
        channel = original.comm.get()
        for call in (channel.send, channel.recv, channel.scatter, channel.broadcast, channel.barrier):
            with pytest.raises(NotImplementedError, match="not counted"):
                call(torch.zeros(1), 0)

    run_parties(2, body)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_what_one_party_learns_reaches_no_other(number, monkeypatch):
    """Only its owner receives anything: Gloo's own reduce leaves sums of a part with every party."""
    received = []
    for name in ("reduce", "all_reduce", "all_gather", "gather", "broadcast", "recv", "irecv"):
        honest = getattr(torch.distributed, name)
        monkeypatch.setattr(
            torch.distributed,
            name,
            lambda *a, honest=honest, name=name, **k: (received.append(name), honest(*a, **k))[1],
        )

    def body(session):
        secret = session.share_rows(VALUES[: 3 if session.rank == 0 else 0], [3] + [0] * (number - 1))
        received.clear()
        opened = session.reveal(secret, to="party_1", what=What.OWN_LABELS)
        return [list(received), None if opened is None else opened.tolist()]

    answers = run_parties(number, body)
    assert answers[1] == [["recv"] * (number - 1), (VALUES * 2**24).astype(int).tolist()]
    assert all(answer == [[], None] for rank, answer in enumerate(answers) if rank != 1)
