import numpy as np
import pytest
import torch

from secure_kmeans.ledger import What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.argmin import argmax_one_hot, argmin_one_hot, row_of_largest
from tests.parties import run_parties


def shared(session, values: np.ndarray):
    """The last party's values."""
    owner = len(session.parties) - 1
    return crypten.share(torch.from_numpy(values) if session.rank == owner else None, owner, values.shape)


def revealed(session, values) -> list:
    return session.reveal_to_all(values, what=What.STOP_BIT).tolist()


def one_hot(places: np.ndarray, k: int) -> list:
    return np.eye(k, dtype=int)[places].tolist()


@pytest.mark.parametrize("number", [2, 3])
def test_one_hot_of_the_first_smallest_and_largest(number):
    generator = np.random.default_rng(3)
    # Of so few different values most are tied; the others use the whole range that a comparison allows.
    ties = {k: generator.integers(0, 3, (6, 5, k)) for k in (1, 2, 3, 5, 16, 17, 40)}
    wide = {k: generator.integers(-(2**61), 2**61, (20, k)) for k in (2, 5, 17)}
    tables = [*ties.values(), *wide.values()]

    def body(session):
        return [
            [revealed(session, choose(shared(session, values))) for choose in (argmin_one_hot, argmax_one_hot)]
            for values in tables
        ]

    for answers in run_parties(number, body):
        for values, (least, most) in zip(tables, answers, strict=True):
            assert least == one_hot(values.argmin(-1), values.shape[-1])
            assert most == one_hot(values.argmax(-1), values.shape[-1])


@pytest.mark.parametrize("number", [2, 3])
def test_row_of_the_first_largest(number):
    generator = np.random.default_rng(4)
    sizes = (1, 2, 3, 7, 8, 9, 64, 65, 5000)
    cases = [(generator.integers(0, max(2, n // 4), (2, n)), generator.integers(-99, 99, (n, 3))) for n in sizes]

    def body(session):
        return [
            revealed(session, row_of_largest(shared(session, values), shared(session, rows))) for values, rows in cases
        ]

    for answers in run_parties(number, body):
        for (values, rows), answer in zip(cases, answers, strict=True):
            assert answer == rows[values.argmax(axis=1)].tolist()


@pytest.mark.parametrize(("k", "ands"), [(2, 0), (3, 1), (5, 2), (6, 3), (16, 4)])
def test_rounds_are_what_the_docstring_says(k, ands):
    def body(session):
        values = session.from_public(np.zeros((3, k)))
        before = session.traffic.rounds
        argmin_one_hot(values)
        return session.traffic.rounds - before

    first, second = run_parties(2, body)
    assert second == 7 + ands + 1  # comparison, ANDs, bit conversion
    assert first == 2 * second  # and as many answers of the dealer
