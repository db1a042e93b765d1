import numpy as np
import pytest
import torch

from secure_kmeans.ledger import What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc import division
from secure_kmeans.mpc.division import floor_divide, largest_error
from tests.parties import run_parties

LARGEST = 2**40


def shared(session, values):
    return crypten.share(torch.from_numpy(values) if session.rank == 0 else None, 0, values.shape)


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_exactly_as_numpy_divides_integers(number):
    generator = np.random.default_rng(5)
    # |x| <= 2^34: of 6,000 divisions one goes astray with a chance below 6,000 * 2^34 / 2^64 < 1e-5.
    values = generator.integers(-(2**34), 2**34, 6_000)
    divisors = np.maximum(1, generator.integers(1, 2 ** generator.integers(1, 24, 6_000)))
    values[::3] -= values[::3] % divisors[::3]  # a third without a remainder, where one unit too few would show
    values[1::3] += divisors[1::3] - 1 - values[1::3] % divisors[1::3]  # and a third just below the next quotient

    def body(session):
        quotients, astray = floor_divide(shared(session, values), torch.from_numpy(divisors), LARGEST)
        return [session.reveal_to_all(part, what=What.STOP_BIT).tolist() for part in (quotients, astray)]

    for quotients, astray in run_parties(number, body):
        assert quotients == (values // divisors).tolist()
        assert astray == 0


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_the_error_of_the_division_of_shares_is_bounded(number):
    generator = np.random.default_rng(6)
    values = generator.integers(-(2**34), 2**34, 40_000)
    divisors = np.maximum(1, generator.integers(1, 2 ** generator.integers(1, 24, 40_000)))

    def body(session):
        rough = crypten.divide_locally(shared(session, values), torch.from_numpy(divisors))
        return session.reveal_to_all(rough, what=What.STOP_BIT).tolist()

    for rough in run_parties(number, body):
        assert np.abs(np.array(rough) - values / divisors).max() < largest_error(number)


def test_hand_computed_bounds():
    assert [largest_error(parties) for parties in (2, 3, 4, 5)] == [2, 7, 12, 13]


@pytest.mark.parametrize("divisor", [2, 3, 81, 2**20])
def test_quotients_that_go_astray_are_counted(divisor, monkeypatch):
    values = np.array([5, 1000, -1000, 2**30])
    honest = crypten.divide_locally

    def wrapped(shares, by):
        """What is left where the first and the last of the sums of shares wrap on the other side."""
        rough = honest(shares, by)
        lost = torch.tensor([2**64 // divisor if 2**64 // divisor < 2**63 else -(2**63), 0, 0, 0])
        lost[3] = -lost[0]
        return rough if session_rank[0] else crypten.with_share(rough, rough.share + lost)

    session_rank = [0]
    monkeypatch.setattr(division.crypten, "divide_locally", wrapped)

    def body(session):
        session_rank[0] = session.rank
        _, astray = floor_divide(shared(session, values), torch.tensor(divisor), 2**31)
        return session.reveal_to_all(astray, what=What.STOP_BIT).tolist()

    assert all(astray >= 2 for astray in run_parties(2, body))


def test_refuses_a_divisor_of_zero():
    def body(session):
        floor_divide(session.from_public(np.ones(2)), torch.tensor([1, 0]), 1)

    with pytest.raises(AssertionError, match="divisor >= 1"):
        run_parties(2, body)
