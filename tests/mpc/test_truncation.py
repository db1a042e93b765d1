from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secure_kmeans.mpc.comparison import less_than
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.truncation import shift_right, truncate
from tests.mpc.roles_in_threads import Run, shares_of

LARGEST = 2**62 - 1
WIDTHS = [1, 2, 4, 5, 16, 17, 31, 32, 33, 61, 62]


def run(parties: int, step: Any, values: np.ndarray, bits: int) -> Run:
    return Run(parties, lambda core: core.execute(step(core, shares_of(values, parties, core.rank), bits)))


def numbers_for(bits: int) -> np.ndarray:
    """Extremes, whole multiples of 2^bits and what lies beside them, and random numbers of all magnitudes."""
    generator = np.random.default_rng(bits)
    random = generator.integers(-LARGEST, LARGEST, 400, endpoint=True) >> generator.integers(0, 62, 400)
    edges = [0, 1, -1, LARGEST, -LARGEST, LARGEST - 1, 1 - LARGEST, 2**61, -(2**61)]
    multiples = (random[:50] >> bits) << bits
    return np.clip(np.concatenate([edges, random, multiples, multiples + 1, multiples - 1]), -LARGEST, LARGEST)


@pytest.mark.parametrize("parties", [2, 3, 10])
@pytest.mark.parametrize("bits", WIDTHS)
def test_truncate_is_off_by_less_than_one_unit(parties: int, bits: int) -> None:
    values = numbers_for(bits)
    up = run(parties, truncate, values, bits).opened() - (values >> bits)
    assert set(up.tolist()) == {0, 1}
    assert not up[values % 2**bits == 0].any()


def test_truncate_never_goes_astray_in_a_million() -> None:
    values = np.random.default_rng(5).integers(-(2**40), 2**40, 10**6)

    def body(core: Core) -> Any:
        return core.execute(truncate(core, shares_of(values, 2, core.rank), 20))

    first, second, _ = Run(2, body).returned
    up = first + second - (values >> 20)
    assert set(up.tolist()) == {0, 1}
    # Upwards as often as the rest is large: of a million the mean is nearer than 0.002, four standard deviations.
    assert abs(up.mean() - (values % 2**20).mean() / 2**20) < 0.002


@pytest.mark.parametrize("parties", [2, 3, 10])
@pytest.mark.parametrize("bits", WIDTHS)
def test_shift_right_is_exact(parties: int, bits: int) -> None:
    values = numbers_for(bits)
    assert run(parties, shift_right, values, bits).opened().tolist() == (values >> bits).tolist()


@settings(max_examples=40)
@given(st.lists(st.integers(-LARGEST, LARGEST), min_size=1, max_size=70), st.integers(1, 62), st.integers(2, 3))
@example([LARGEST, -LARGEST], 62, 2)
@example([LARGEST, -LARGEST], 1, 3)
def test_any_values_and_bits(drawn: list[int], bits: int, parties: int) -> None:
    values = np.array(drawn)

    def body(core: Core) -> Any:
        share = shares_of(values, parties, core.rank)
        return np.stack(core.together(truncate(core, share, bits), shift_right(core, share, bits)))

    near, exact = Run(parties, body).opened()
    assert exact.tolist() == [value >> bits for value in drawn]
    assert set((near - exact).tolist()) <= {0, 1}


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("m", [1, 64, 65])
@pytest.mark.parametrize(("bits", "stages"), [(1, 0), (4, 0), (5, 1), (16, 1), (17, 2), (62, 2)])
def test_costs(parties: int, m: int, bits: int, stages: int) -> None:
    values = np.zeros(m, dtype=np.int64)
    cost = run(parties, truncate, values, bits)
    assert cost.rounds == 1
    assert cost.bytes_sent == ((parties - 1) * 8 * m, 16 * m)

    # Beyond that, what a comparison of numbers of one more bit opens after its first opening.
    compared = Run(parties, lambda core: core.execute(less_than(core, values, values, bits + 1)))
    party, dealer = compared.bytes_sent
    party -= (parties - 1) * -(-(bits + 1) // 8) * m
    cost = run(parties, shift_right, values, bits)
    assert cost.rounds == 1 + stages + 1
    assert cost.bytes_sent == ((parties - 1) * 8 * m + party, 16 * m + dealer)


def test_truncate_keeps_the_shape() -> None:
    values = np.arange(24).reshape(2, 3, 4) << 10
    assert run(3, truncate, values, 10).opened().tolist() == (values >> 10).tolist()
