import numpy as np
import pytest
import torch

from secure_kmeans.ledger import What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.comparison import less_or_equal, less_than
from tests.parties import run_parties

LARGEST = 2**62 - 1


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of small and of extreme numbers whose difference fits, and random ones of every magnitude."""
    extremes = [0, 1, -1, 2, 2**31, 2**32, -(2**47), LARGEST, -LARGEST]
    grid = np.array([(a, b) for a in extremes for b in extremes])
    generator = np.random.default_rng(7)
    magnitudes = generator.integers(1, 62, 500)
    random = np.array([generator.integers(-(2 ** int(m)), 2 ** int(m), 2) for m in magnitudes])
    left, right = np.concatenate([grid, random]).T
    return left, right


@pytest.mark.parametrize("number", [2, 3, 5])
def test_as_numpy_compares(number):
    left, right = pairs()

    def body(session):
        a = crypten.share(torch.from_numpy(left) if session.rank == 0 else None, 0, left.shape)
        b = crypten.share(torch.from_numpy(right) if session.rank == 1 else None, 1, right.shape)
        strictly = crypten.bit_to_integer(less_than(a, b))
        return [
            session.reveal_to_all(strictly, what=What.STOP_BIT).tolist(),
            session.reveal_to_all(less_or_equal(a, b), what=What.STOP_BIT).tolist(),
        ]

    for strictly, loosely in run_parties(number, body):
        assert strictly == (left < right).astype(int).tolist()
        assert loosely == (left <= right).astype(int).tolist()


@pytest.mark.parametrize(("number", "adders"), [(2, 1), (3, 2), (4, 2), (5, 3)])
def test_rounds_are_what_the_docstring_says(number, adders):
    def body(session):
        a = session.from_public(np.zeros((3, 2)))
        before = session.traffic.rounds
        less_than(a, a)
        return session.traffic.rounds - before

    rounds = run_parties(number, body)
    assert rounds[0] == 2 * 7 * adders  # openings, and the dealer's answers to the first party
    assert set(rounds[1:]) == {7 * adders}
