"""The sum of one large integer of each party, and the reals that are disclosed by it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.summation import SUM_BITS, sum_of_all
from tests.mpc.roles_in_threads import DEALER, Run
from tests.parties import NUMBERS, AtRole, run_parties

EVERY = pytest.mark.parametrize("parties", range(2, 11))
HALF = 1 << SUM_BITS - 1


def sums(numbers: list[int]) -> Run:
    return Run(len(numbers), lambda core: core.execute(sum_of_all(core, [*numbers, 7][core.rank])))


def sent(run: Run, rank: int, to: int) -> int:
    """The masked number that a party sent to another one."""
    [limbs] = run.sent[f"party_{rank}", f"party_{to}"]
    return sum(int(limb) << 32 * number for number, limb in enumerate(limbs.view(np.int64)))


@EVERY
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums(parties: int, sign: int) -> None:
    each = (HALF - 1) // parties
    numbers = [sign * each] * parties
    run = sums(numbers)
    assert run.returned == [sum(numbers)] * parties + [0]
    assert abs(sum(numbers)) > HALF - 1 - parties


@EVERY
def test_the_ends_of_the_range(parties: int) -> None:
    assert sums([HALF - 1] + [0] * (parties - 1)).returned[0] == HALF - 1
    assert sums([-HALF] + [0] * (parties - 1)).returned[0] == -HALF
    assert sums([HALF - 1, -HALF, *[0] * (parties - 2)]).returned[0] == -1


@settings(max_examples=40)
@given(st.integers(2, 10).flatmap(lambda n: st.tuples(*[st.integers(-HALF // n + 1, HALF // n - 1)] * n)))
def test_signed_numbers_of_any_size(numbers: tuple[int, ...]) -> None:
    assert sums(list(numbers)).returned[:-1] == [sum(numbers)] * len(numbers)


@EVERY
def test_costs_as_stated(parties: int) -> None:
    run = sums([3] * parties)
    assert (run.rounds, run.bytes_sent) == (1, (64 * (parties - 1), 0))
    assert not [line for line in run.sent if DEALER in line], "the dealer takes part"


@pytest.mark.parametrize("parties", [2, 3, 10])
def test_a_party_shows_its_number_under_a_mask_of_every_other_party(parties: int) -> None:
    """The masks are what is sent for zeros; those of the same keys, since streams begin anew in each run."""
    masks, run = sums([0] * parties), sums([(rank + 1) ** 70 for rank in range(parties)])
    shown = [sent(run, rank, (rank + 1) % parties) for rank in range(parties)]
    drawn = [sent(masks, rank, (rank + 1) % parties) for rank in range(parties)]
    assert [(one - other) % (1 << SUM_BITS) for one, other in zip(shown, drawn, strict=True)] == [
        (rank + 1) ** 70 for rank in range(parties)
    ]
    assert sum(drawn) % (1 << SUM_BITS) == 0
    # No proper subset of the parties' masks cancels: one honest party more is enough.
    for number in range(1, parties):
        assert sum(drawn[:number]) % (1 << SUM_BITS) != 0
    assert all(mask.bit_length() > SUM_BITS - 40 for mask in drawn)


def test_each_sum_has_masks_of_its_own() -> None:
    def body(core: Core) -> list[int]:
        return [core.execute(sum_of_all(core, 5)) for _ in range(2)]

    run = Run(2, body)
    assert run.returned == [[10, 10], [10, 10], [0, 0]]
    first, second = (limbs.view(np.int64).tolist() for limbs in run.sent["party_0", "party_1"])
    assert not set(first) & set(second)


# --------------------------------------------------------------------------------------------------------- the reals


def revealed(own: list[float], bound: float) -> float:
    def body(at: AtRole) -> Any:
        return at.sharing.reveal_sum([*own, 0.0][at.rank], NUMBERS, bound=bound)

    totals = run_parties(len(own), body)
    assert len(set(totals)) == 1
    return float(totals[0])


@pytest.mark.parametrize(
    ("own", "bound"),
    [
        ([0.0025, 0.0075], 4e18),  # four rows of the unit square, within bounds a thousand million wide
        ([1e-15, 3e-15, 5e-15], 1e6),
        ([1e300, 1e300], 2e300),
        ([3e-40, 4e-40], 1e-3),
        ([2.0**52 + 1, 0.5], 2.0**53),
        ([0.0, 0.0], 1.0),
        ([1e-300, 1e-300], 1.0),
    ],
)
def test_a_sum_keeps_its_digits_whatever_the_bound(own: list[float], bound: float) -> None:
    exact = sum(map(Fraction, own))
    found = Fraction(revealed(own, bound))
    units = Fraction(2) ** -200 * Fraction(max(1.0, bound)) * 2 * len(own)
    assert abs(found - exact) <= units + exact * Fraction(2) ** -53
    if exact > Fraction(10) ** -40 * Fraction(bound):
        assert abs(found - exact) <= exact * Fraction(10) ** -15
