"""The attack on hidden sizes: its pieces, and the experiment in a small form."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import attack_hidden_sizes as attack
import centroids_on_a_grid as grids
import numpy as np
import pytest
from click.testing import CliRunner

from secure_kmeans.protocols.shk import ShkJob
from tests.experiments.scripts import run_script

LOW, HIGH = (0, 0, 1, 1, 2, 2, 3), (80, 80, 81, 81, 82, 83)
"""Means: nine sevenths, and 487 sixths."""


def two_groups(chance: np.random.Generator) -> np.ndarray:
    return chance.permutation(np.array(LOW + HIGH))[:, None]


def run(grid: grids.Grid, case: str = "whole numbers from 0 to 81, k = 2", seed: int = 1) -> grids.Run:
    return grids.run_of(grids.CASES[case], grid, np.random.default_rng(seed))


def test_sizes_are_multiples_of_the_denominator_of_a_mean_with_all_its_digits() -> None:
    case = grids.Case(two_groups, (0,), (100,), 2)
    found = grids.run_of(case, "all digits", np.random.default_rng(1))
    possible = {
        round(float(centroid[0])): np.flatnonzero(of).tolist()
        for centroid, of in zip(found.centroids, attack.possible_from_centroids(found), strict=True)
    }
    assert possible == {1: [7], 81: [6, 12]}
    assert attack.ways(attack.possible_from_centroids(found), 13) == 1.0


def test_on_a_grid_no_finer_than_the_grain_each_size_is_possible_with_each_centroid() -> None:
    found = run("resolution")
    step = float(found.steps[0])
    assert 1 <= step < 2
    for cell in range(int(81 / step) + 1):
        possible = attack.possible_from_centroids(replace(found, cells=np.full((2, 1), cell)))
        assert possible[:, 1:].all()
        assert not possible[:, 0].any()


def test_on_a_grid_of_the_width_by_the_root_of_n_each_size_from_the_root_on_is_possible() -> None:
    found = run("root of n", "six questions, yes or no")
    steps = np.array([float(step) for step in found.steps])
    assert ((1 / math.sqrt(found.n) <= steps) & (steps < 2 / math.sqrt(found.n))).all()
    for cell in range(int(1 / steps[0]) + 1):
        possible = attack.possible_from_centroids(replace(found, cells=np.full_like(found.cells, cell)))
        assert possible[:, math.ceil(math.sqrt(found.n)) :].all()


def test_ways_are_counted() -> None:
    assert attack.ways(np.ones((3, 11), dtype=bool), 10) == math.comb(12, 2)
    some = np.array([[True, False, True], [False, True, True]])
    assert attack.ways(some, 2) == 1  # 0 + 2


@pytest.mark.parametrize("grid", grids.GRIDS)
@pytest.mark.parametrize("case", ["mall customers, ages, k = 3", "one of six categories"])
def test_the_true_sizes_are_always_possible(case: str, grid: grids.Grid) -> None:
    found = run(grid, case)
    ways = attack.attacked(found, np.random.default_rng(1))  # asserts it of the centroids and the own rows
    assert ways["own rows"] >= ways["inertia"] >= 1
    assert ways["rounded inertia"] == ways["own rows"]


def test_the_inertia_with_all_its_digits_leaves_few_sizes() -> None:
    ways = [attack.attacked(run("resolution", seed=seed), np.random.default_rng(1)) for seed in range(20)]
    assert all(each["own rows"] > 90 for each in ways)
    assert [each["inertia"] for each in ways].count(1.0) >= 10


def test_an_inertia_that_no_sizes_have_leaves_none() -> None:
    found = run("resolution")
    other = replace(found, others_inertia=found.others_inertia + Fraction(1, 3 << 40))
    possible = attack.possible_with_own_rows(found)
    assert attack.ways_left_by_inertia(other, possible, 1e-15, np.random.default_rng(1)) == 0


def test_the_experiment_tells_that_a_grid_hides_the_sizes() -> None:
    ended = CliRunner().invoke(
        attack.main, ["--case", "mall customers, ages, k = 2", "--runs", "2", "--json"], catch_exceptions=False
    )
    assert ended.exit_code == 0
    figures = json.loads(ended.stdout)["figures"]["mall customers, ages, k = 2"]
    assert figures["all digits"]["left"]["centroids"] <= 2
    assert figures["root of n"]["parts"]["own rows"] > 0.9
    assert figures["root of n"]["parts"]["inertia"] < 0.5


def test_the_experiment_fails_where_the_grid_is_too_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShkJob, "centroid_shifts", lambda _job, _n: np.array([8]))
    arguments = ["--case", "whole numbers from 0 to 81, k = 2", "--runs", "2"]
    ended = CliRunner().invoke(attack.main, arguments, catch_exceptions=False)
    assert ended.exit_code == 1
    assert "On a grid the centroids do not hide them." in ended.stdout


def test_the_script_starts() -> None:
    assert "Solve for the sizes of clusters that a run hides" in run_script("attack_hidden_sizes.py", "--help")
