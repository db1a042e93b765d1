"""Means of clusters whose sizes nobody learns: the factor q, its quotients and its bounds, at their worst cases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.job.fixed_point import bits_to_hold, common_multiple
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import share_of, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.packing import bytes_for
from secure_kmeans.mpc.withholding import dividends, sizes_below
from tests.mpc.roles_in_threads import Run, shares_of

LARGEST = math.ceil(1.02 * 2**24)
"""Bound of a coordinate, in units of the fixed point."""
LEAST = range(2, 17)
"""All that a job may have where sizes are disclosed."""


def on_shares(parties: int, step: Any, *values: np.ndarray, modulus_bits: int = 64) -> np.ndarray:
    """What a step on an engine and encrypted tensors returns for these values."""

    def body(core: Core) -> np.ndarray:
        tensors = [wrap(shares_of(each, parties, core.rank, seed)) for seed, each in enumerate(values)]
        return share_of(step(SecureEngine(core), *tensors))

    return Run(parties, body).opened(modulus_bits)


def mean(total: int, count: int) -> int:
    """The mean to the nearest integer, halves upwards, as the loop takes it of public sizes."""
    return (total + count // 2) // count


def means_on_shares(parties: int, T: np.ndarray, t: np.ndarray, C: np.ndarray, least: int, n: int) -> np.ndarray:
    """Means (k, d) of sums (k, d), sizes (k,) and old centroids (k, d), by the steps of Lloyd's loop."""
    multiple, most = common_multiple(least), max(n, common_multiple(least))
    size = bytes_for(bits_to_hold(float(most) * LARGEST) + 2)

    def step(engine: SecureEngine, T: Any, t: Any, C: Any) -> Any:
        below = engine.execute(sizes_below(engine, t.unsqueeze(0), range(1, least + 1), n))
        D = engine.execute(dividends(engine, T.unsqueeze(0), C.unsqueeze(0), below, least))
        divided = engine.execute(engine.divide(D, size))
        return engine.execute(engine.divided(divided, divisors[None], LARGEST, most))

    divisors = np.where(t >= least, t, multiple)
    return on_shares(parties, step, T, t, C)[0]


@pytest.mark.parametrize("least", LEAST)
def test_quotients_at_the_largest_sums_for_every_size(least: int) -> None:
    """All sizes from 0 to n, with the largest sums, and those at which a mean rounds the other way."""
    n = 40
    t = np.arange(n + 1)
    columns = [t * LARGEST, -t * LARGEST, t * 5 + t // 2, t * 5 + (t - 1) // 2, -(t // 2), t * LARGEST - 1]
    T = np.stack(columns, axis=1) * (t > 0)[:, None]
    C = np.tile([LARGEST, -LARGEST, 7, -7, 0, 1], (n + 1, 1))
    expected = [
        [mean(int(total), int(count)) if count else int(old) for total, old in zip(row, olds, strict=True)]
        for row, count, olds in zip(T, t, C, strict=True)
    ]
    assert means_on_shares(2, T, t, C, least, n).tolist() == expected


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_sums_of_any_sizes(data: st.DataObject) -> None:
    least, n = data.draw(st.sampled_from(LEAST)), data.draw(st.sampled_from([1, 5, 266, 10**6]))
    sizes = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=6))
    T = np.array([[data.draw(st.integers(-count * LARGEST, count * LARGEST))] for count in sizes])
    C = np.array([[data.draw(st.integers(-LARGEST, LARGEST))] for _ in sizes])
    expected = [
        [mean(int(total), count) if count else int(old)] for (total,), count, (old,) in zip(T, sizes, C, strict=True)
    ]
    assert means_on_shares(3, T, np.array(sizes), C, least, n).tolist() == expected


@pytest.mark.parametrize("least", LEAST)
def test_a_quotient_by_the_multiple_is_the_mean(least: int) -> None:
    """In plain integers: for all t below the least size and all sums that decide how a mean rounds."""
    multiple = common_multiple(least)
    for count in range(1, least):
        assert multiple % count == 0
        for total in range(-3 * count, 3 * count + 1):
            assert (total * (multiple // count) + multiple // 2) // multiple == mean(total, count)


def test_the_multiples() -> None:
    assert [common_multiple(least) for least in (1, 2, 3, 5, 16)] == [1, 1, 2, 12, 360_360]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("n", [1, 2, 14, 15, 16, 4093, 4094, 4095, 2**20])
def test_sizes_at_every_limit(parties: int, n: int) -> None:
    """The bits of the comparison hold every difference of a size and a limit, also of few rows and a large limit."""
    t = np.unique([0, 1, 2, 3, 14, 15, 16, 17, n - 1, n]).clip(0, n)
    found = on_shares(parties, lambda engine, t: engine.execute(sizes_below(engine, t, range(1, 17), n)), t)
    assert found.tolist() == (t < np.arange(1, 17)[:, None]).astype(int).tolist()
