"""The attack on hidden labels by the means of a party's own column."""

from itertools import combinations

import attack_own_centroids as attack
import numpy as np

from tests.experiments.scripts import run_script


def test_finds_the_sets_that_a_search_through_all_sets_finds() -> None:
    values = np.random.default_rng(1).integers(0, 40, 14)
    for mean in (12, 20):
        expected = {
            frozenset(rows) for rows in combinations(range(14), 5) if (int(values[list(rows)].sum()) + 2) // 5 == mean
        }
        assert attack.sets_with_mean(values, mean) == (len(expected), expected)
        cell = {
            frozenset(rows)
            for rows in combinations(range(14), 5)
            if (int(values[list(rows)].sum()) + 2) // 5 // 8 == mean // 8
        }
        assert attack.sets_with_mean(values, mean, 8) == (len(cell), cell)
        assert expected < cell


def test_a_mean_of_real_numbers_fits_one_set_and_one_on_the_grid_fits_many() -> None:
    assert [attack.attacked(None, 100, seed, on_grid=False) for seed in range(3)] == [1.0] * 3
    assert attack.attacked(None, 100, 0, on_grid=True) > 1e6
    assert attack.attacked(80, 100, 0, on_grid=False) > 1000


def test_the_script_prints_a_table() -> None:
    lines = run_script("attack_own_centroids.py", "--rows", 60, "--runs", 1).splitlines()
    (real,) = (line for line in lines if "real numbers" in line)
    exact, on_grid = (int(cell.strip().replace(",", "")) for cell in real.split("│")[2:4])
    assert exact == 1 < on_grid
