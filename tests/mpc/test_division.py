from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import JobError
from secure_kmeans.job.fixed_point import bits_to_hold, division_bits
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.division import divide_by_secret, dividend, quotient
from secure_kmeans.words import counted
from tests.mpc.roles_in_threads import Run, shares_of

MOST = 10**7


def by_public(parties: int, T: np.ndarray, t: np.ndarray, size: int, largest: int, most: int) -> Run:
    def body(core: Core) -> Any:
        waiting = core.execute(dividend(core, shares_of(T, parties, core.rank), size))
        return core.execute(quotient(core, waiting, t, largest, most))

    return Run(parties, body)


def by_secret(parties: int, T: np.ndarray, t: np.ndarray, otherwise: np.ndarray, largest: int, least: int = 1) -> Run:
    def body(core: Core) -> Any:
        shares = [shares_of(values, parties, core.rank, seed) for seed, values in enumerate((T, t, otherwise))]
        sums, counts, instead = shares
        return core.execute(divide_by_secret(core, sums, counts, instead, largest, least))

    return Run(parties, body)


def rounded(T: np.ndarray, t: np.ndarray) -> list[Any]:
    return ((T + (t // 2)[:, None]) // np.maximum(t, 1)[:, None]).tolist()


def dividends(t: np.ndarray, largest: int, bound: int, columns: int = 40) -> np.ndarray:
    """For each divisor the first and last dividends of a quotient, exact multiples, what lies beside, and others.

    |T| <= bound, |T| <= t largest.
    """
    generator = np.random.default_rng(largest)
    limit = np.minimum(t * largest, bound)[:, None]
    quotients = generator.integers(-(limit // t[:, None]), limit // t[:, None], (len(t), columns), endpoint=True)
    quotients[:, :2] = [0, -1]
    starts = quotients * t[:, None] - t[:, None] // 2
    found = [starts, starts - 1, starts + t[:, None] - 1, quotients * t[:, None], quotients * t[:, None] - 1]
    found += [limit, -limit, limit - 1, 1 - limit, generator.integers(-limit, limit, (len(t), columns), endpoint=True)]
    return np.clip(np.concatenate(found, axis=1), -limit, limit)


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize(
    ("size", "largest", "most"),
    [(5, 2**24, 2**13), (5, 3, 1), (6, 17_112_761, 10**5), (7, 2**28 - 1, MOST), (8, 2**28 - 1, MOST), (8, 40, MOST)],
)
def test_exact_by_public_divisors(parties: int, size: int, largest: int, most: int) -> None:
    t = np.unique(np.clip([1, 2, 3, 5, 7, 64, 127, 4095, 65_537, 999_999, 2**23 + 1, most - 1, most], 1, most))
    T = dividends(t, largest, 2 ** (8 * size - 2) - 1)
    run = by_public(parties, T, t, size, largest, most)
    assert run.opened().tolist() == rounded(T, t)


def test_exact_by_all_small_divisors() -> None:
    t = np.arange(1, 400)
    T = dividends(t, 50_000, 2**30, columns=5)
    assert by_public(2, T, t, 4, 50_000, 399).opened().tolist() == rounded(T, t)


def test_exact_by_divisors_nobody_thought_of() -> None:
    t = np.random.default_rng(8).integers(1, MOST, 400, endpoint=True)
    T = dividends(t, 2**26, 2**54 - 1, columns=10)
    assert by_public(2, T, t, 7, 2**26, MOST).opened().tolist() == rounded(T, t)


def test_shares_need_to_add_up_modulo_the_size_alone() -> None:
    T, t = np.array([[1000], [-999]]), np.array([7, 2])

    def body(core: Core) -> Any:
        share = shares_of(T, 2, core.rank) + (core.rank + 1) * 2**40
        return core.execute(quotient(core, core.execute(dividend(core, share, 5)), t, 1000, 10))

    assert Run(2, body).opened().tolist() == [[143], [-499]]


@pytest.mark.parametrize("secret", [False, True])
def test_hand_computed(secret: bool) -> None:
    T = np.array([[7, -7, 8, -8, 0], [10, 11, 12, -10, -11], [5, -5, 0, 1, -1]])
    t = np.array([2, 7, 1])
    expected = [[4, -3, 4, -4, 0], [1, 2, 2, -1, -2], [5, -5, 0, 1, -1]]  # halves upwards; 11/7 is nearer to 2
    run = by_secret(2, T, t, 0 * T, 64) if secret else by_public(2, T, t, 5, 64, 7)
    assert run.opened().tolist() == expected


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_costs_of_public_divisors(parties: int) -> None:
    T, t = np.zeros((4, 3), dtype=np.int64), np.full(4, 9)
    run = Run(parties, lambda core: core.execute(dividend(core, T, 6)))
    assert run.rounds == 1
    assert run.bytes_sent == ((parties - 1) * 6 * 12, (16 * 6 + 8) * 12)
    assert by_public(parties, T, t, 6, 100, 9).rounds == 1 + 3  # 12 bits more: one stage
    assert by_public(parties, T, t, 6, 100, 266).rounds == 1 + 3  # 16
    assert by_public(parties, T, t, 6, 100, 267).rounds == 1 + 4  # 17
    assert by_public(parties, T, t, 6, 100, MOST).rounds == 1 + 4


def test_extra_bits_are_those_that_exactness_takes() -> None:
    assert division_bits(100, 1) == 8  # 2 * 123 < 2^8
    assert division_bits(100, 266) == 16
    assert division_bits(100, 267) == 17
    assert division_bits(100, MOST) == 32


@pytest.mark.parametrize(("fits", "most"), [(2**28 - 1, MOST), (2**44 - 1, 266), (2**52 - 1, 1)])
def test_no_room_for_larger_quotients(fits: int, most: int) -> None:
    assert division_bits(fits, most) + bits_to_hold(2 * fits + 2) == 61
    with pytest.raises(JobError) as caught:
        division_bits(fits + 1, most)
    rows = counted(most, "row")
    assert str(caught.value) == (
        f"precision_bits: the ring has no room to divide sums of {rows} exactly; use fewer rows"
    )
    with pytest.raises(JobError):
        by_public(2, np.zeros((1, 1), dtype=np.int64), np.ones(1, dtype=np.int64), 8, fits + 1, most)


EDGES = [edge for bits in range(1, 24) for edge in (2**bits - 1, 2**bits, 2**bits + 1)]


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("largest", [17_112_761, 2**31 - 1, 64, 32, 1])
def test_exact_by_secret_divisors(parties: int, largest: int) -> None:
    t = np.array([1, 2, 3, MOST, MOST - 1, 2**24 - 1, *EDGES])
    T = dividends(t, largest, 2**62, columns=3)
    assert by_secret(parties, T, t, T, largest).opened().tolist() == rounded(T, t)


def test_exact_by_secret_divisors_nobody_thought_of() -> None:
    generator = np.random.default_rng(9)
    t = 1 + (generator.integers(0, MOST, 1500) >> generator.integers(0, 23, 1500))
    T = dividends(t, 2**25, 2**62, columns=2)
    assert by_secret(2, T, t, 0 * T, 2**25).opened().tolist() == rounded(T, t)


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_where_the_count_is_0_the_other_value_stays(parties: int) -> None:
    T = np.array([[0, 0], [90, -90], [0, 0]])
    otherwise = np.array([[-1000, 999], [3, 4], [-(2**62), 2**62]])
    run = by_secret(parties, T, np.array([0, 9, 0]), otherwise, 1000)
    assert run.opened().tolist() == [[-1000, 999], [10, -10], [-(2**62), 2**62]]


@pytest.mark.parametrize("least", [1, 2, 3, 64, 100, 2**24 - 1, 2**24, 2**40])
def test_a_count_below_the_least_keeps_the_other_value(least: int) -> None:
    edges = {0, 1, 2, 99, 100, 101, 2**23, 2**24 - 2, 2**24 - 1, least - 1, least, least + 1}
    t = np.array(sorted(edge for edge in edges if edge < 2**24))
    limit = t[:, None] * (2**31 - 1)
    T = np.concatenate([limit, -limit, limit // 2, -limit // 3], axis=1)
    otherwise = np.random.default_rng(3).integers(-(2**31), 2**31, T.shape)
    expected = np.where(t[:, None] >= least, (T + t[:, None] // 2) // np.maximum(t, 1)[:, None], otherwise)
    run = by_secret(2, T, t, otherwise, 2**31 - 1, least)
    assert run.opened().tolist() == expected.tolist()
    assert run.rounds == 26


@pytest.mark.parametrize("largest", [64, 2**24, 2**31 - 1])
def test_rounds_of_secret_divisors(largest: int) -> None:
    T = np.zeros((2, 3), dtype=np.int64)
    run = by_secret(2, T, np.array([4, 0]), T, largest)
    assert run.rounds == 26
