import numpy as np
import pytest
import torch

from secure_kmeans.ledger import What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.division import divide_by_public, largest_error
from tests.parties import run_parties


@pytest.mark.parametrize("number", [2, 3, 5])
def test_the_error_is_bounded(number):
    generator = np.random.default_rng(5)
    # |x| <= 2^34: of 40,000 divisions one goes astray with a chance below 40,000 * 2^34 / 2^63 < 1e-4.
    values = generator.integers(-(2**34), 2**34, 40_000)
    divisors = np.maximum(1, generator.integers(1, 2 ** generator.integers(1, 24, 40_000)))

    def body(session):
        x = crypten.share(torch.from_numpy(values) if session.rank == 0 else None, 0, values.shape)
        quotient = divide_by_public(x, torch.from_numpy(divisors))
        return session.reveal_to_all(quotient, what=What.STOP_BIT).tolist()

    for quotient in run_parties(number, body):
        error = np.abs(np.array(quotient) - values / divisors)
        assert error.max() < largest_error(number)


def test_hand_computed_bounds():
    assert [largest_error(parties) for parties in (2, 3, 5)] == [2, 11, 21]


def test_refuses_a_divisor_of_zero():
    def body(session):
        divide_by_public(session.from_public(np.ones(2)), torch.tensor([1, 0]))

    with pytest.raises(AssertionError, match="divisor >= 1"):
        run_parties(2, body)
