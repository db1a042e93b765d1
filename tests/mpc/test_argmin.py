from itertools import product
from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc.argmin import argmin_of_masked, argmin_one_hot, compares_all_pairs
from secure_kmeans.mpc.circuits import comparison, winner
from secure_kmeans.mpc.cleartext import bits_of
from secure_kmeans.mpc.core import Core
from tests.mpc.roles_in_threads import Run, shares_of

MANY = [*range(1, 13), 17, 40, 41]


def argmin(parties: int, values: np.ndarray, bits: int = 64) -> Run:
    return Run(parties, lambda core: core.execute(argmin_one_hot(core, shares_of(values, parties, core.rank), bits)))


def one_hot(values: np.ndarray) -> list[Any]:
    return (values.argmin(axis=0) == np.arange(len(values))[:, None]).astype(int).tolist()


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("k", MANY)
def test_the_first_smallest_among_ties_as_in_numpy(parties: int, k: int) -> None:
    generator = np.random.default_rng(k)
    values = np.concatenate([generator.integers(-2, 2, (k, 150)), generator.integers(0, 2 * k, (k, 150))], axis=1)
    assert argmin(parties, values, 9).opened().tolist() == one_hot(values)


@pytest.mark.parametrize("k", [2, 3, 5, 6, 10, 11, 40])
def test_the_first_smallest_of_wide_values(k: int) -> None:
    values = np.random.default_rng(k).integers(-(2**62), 2**62, (k, 100))
    values[:, :4] = np.where(np.eye(k, 4, dtype=bool), -(2**62), 2**62 - 1)
    values[-1, 4:8] = values[0, 4:8]
    assert argmin(2, values).opened().tolist() == one_hot(values)


@pytest.mark.parametrize("k", [2, 5, 7, 12])
def test_the_first_smallest_among_ten_parties(k: int) -> None:
    values = np.random.default_rng(k).integers(-3, 3, (k, 70))
    assert argmin(10, values, 4).opened().tolist() == one_hot(values)


def test_all_orders_of_four() -> None:
    values = np.array(list(product(range(4), repeat=4))).T.copy()
    assert argmin(3, values, 3).opened().tolist() == one_hot(values)


@pytest.mark.parametrize("bits", [2, 5, 6, 17, 18, 33, 63])
def test_differences_may_take_all_bits(bits: int) -> None:
    spread = 2 ** (bits - 1) - 1
    values = np.random.default_rng(bits).choice([0, 1, spread - 1, spread], (6, 200)) - spread // 2
    assert argmin(2, values, bits).opened().tolist() == one_hot(values)


def test_one_candidate_needs_nobody() -> None:
    run = argmin(3, np.arange(5).reshape(1, 5))
    assert run.opened().tolist() == [[1] * 5]
    assert (run.rounds, run.sent) == (0, {})


def test_many_columns_of_eight_play_a_tournament() -> None:
    k, m, bits = 8, 3000, 51
    assert not compares_all_pairs(k, m, bits)
    values = np.random.default_rng(8).integers(-3, 3, (k, m))
    run = argmin(2, values, bits)
    assert run.opened().tolist() == one_hot(values)
    assert run.rounds == 2 * (1 + 2 + 1 + 1) - 1 + 2  # groups of 4, then of 2, which need no tree; two products


def test_what_costs_less_is_chosen() -> None:
    assert all(compares_all_pairs(k, 10**9, 64) for k in range(2, 8))
    assert all(compares_all_pairs(k, 64, 64) for k in range(8, 11))
    assert not any(compares_all_pairs(k, 64, 64) for k in (11, 12, 100))
    assert [compares_all_pairs(10, m, 51) for m in (100, 100_000)] == [True, False]


@pytest.mark.parametrize("k", [2, 3, 5, 10, 12])
def test_no_columns(k: int) -> None:
    assert argmin(2, np.zeros((k, 0), dtype=np.int64), 20).opened().shape == (k, 0)


@pytest.mark.parametrize(("bits", "stages"), [(5, 0), (17, 1), (40, 2)])
@pytest.mark.parametrize(("k", "conjunctions"), [(2, 0), (5, 1), (6, 2), (10, 2)])
def test_costs_of_all_pairs(k: int, conjunctions: int, bits: int, stages: int) -> None:
    m, words, pairs = 70, 2, k * (k - 1) // 2
    run = argmin(3, np.zeros((k, m), dtype=np.int64), bits)
    assert run.rounds == 1 + stages + conjunctions + 1
    circuit, tree = comparison(bits), winner(k)
    opened = pairs * circuit.opened_bits + sum(len(stage.opened) for stage in tree) + k - 1
    dealt = pairs * circuit.dealt_bits + sum(len(stage.mask_steps) for stage in tree)
    size = -(-bits // 8)
    assert run.bytes_sent == (2 * (size * (k - 1) * m + 8 * words * opened), 8 * words * dealt + 8 * (k - 1) * m)


@pytest.mark.parametrize(("k", "between"), [(11, 5), (17, 5), (20, 5), (21, 6), (40, 6), (41, 6)])
def test_rounds_of_a_tournament(k: int, between: int) -> None:
    within = 5 if k <= 40 else 6  # groups of 4, then of 8
    assert argmin(2, np.zeros((k, 3), dtype=np.int64)).rounds == within + 1 + between + 1


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 6, 10])
def test_argmin_of_differences_under_masks_that_the_dealer_knows(parties: int, k: int) -> None:
    generator = np.random.default_rng(k)
    values = generator.integers(-5, 5, (k, 200))
    differences = values[1:] - values[0]

    def body(core: Core) -> np.ndarray:
        masks = core.provider.uniform(k - 1, 200)
        masked = shares_of(differences, parties, core.rank) + masks
        return core.execute(argmin_of_masked(core, masks, masked, 5))

    found = bits_of(np.bitwise_xor.reduce(Run(parties, body).returned[:-1]), 200)
    assert found.tolist() == one_hot(values)[:-1]
