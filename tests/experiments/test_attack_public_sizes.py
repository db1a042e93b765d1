"""The attack on public starting rows: its pieces, and the experiment in a small form."""

import json

import attack_public_sizes as attack
import numpy as np
import pytest
import starts_in_the_clear as clear
from click.testing import CliRunner

from secure_kmeans.job import Init
from secure_kmeans.plaintext.initialisation import farthest_rows
from secure_kmeans.plaintext.kmeans import lloyd
from tests.experiments.scripts import run_script

CHANCE = np.random.default_rng(7)


@pytest.mark.parametrize("columns", [1, 2])
def test_the_compiled_loops_find_what_the_run_in_the_clear_finds(columns: int) -> None:
    table = clear.clustered(np.random.default_rng(3), columns)
    coins = clear.Coins.tossed(np.random.default_rng(4), "farthest", 4, 20)
    disclosed = clear.disclosed(table, "farthest", coins, "sizes")
    stops = clear.disclosed(table, "farthest", coins, "stops")
    X = table * clear.UNITS
    for start, (sizes, goes_on) in enumerate(zip(disclosed, stops[:, :, 0], strict=True)):
        rows = farthest_rows(X, 4, int(coins.rows[start, 0]))
        run = lloyd(X, X[rows], max_iter=clear.ITERATIONS, tol=0)
        counts = np.rint(sizes * clear.ROWS).astype(int)
        assert counts[: run.n_iter].tolist() == run.sizes_by_iteration
        assert (counts[run.n_iter :] == run.sizes).all()
        assert goes_on.sum() <= run.n_iter - 1


def test_k_means_plus_plus_draws_rows_in_proportion_to_their_squared_distances() -> None:
    table = np.zeros((clear.ROWS, 1), dtype=np.int64)
    table[50], table[150] = 10, 20  # 100 and 400 of 500
    draws = np.array([[0.0], [0.19], [0.21], [0.99]])
    rows = clear._chosen(table, np.zeros(4, dtype=np.int64), draws, False)
    assert rows.tolist() == [[0, 50], [0, 50], [0, 150], [0, 150]]


@pytest.mark.parametrize("init", attack.INITS)
def test_coins_name_different_rows(init: Init) -> None:
    rows = clear.Coins.tossed(CHANCE, init, 5, clear.ROWS).rows
    each = [set(start) for start in rows.tolist()] if init == "random" else [set(rows[:, 0].tolist())]
    assert {len(start) for start in each} == {5 if init == "random" else clear.ROWS}


def test_matching_takes_the_value_of_the_own_start_with_the_most_similar_sizes() -> None:
    own = np.array([[11], [22], [33]])
    seen = np.zeros((4, clear.ITERATIONS, 2))
    seen[:, 0, 0] = [0.1, 0.5, 0.9, 0.55]
    view = attack.View(own, "farthest", 2, "sizes", seen, None)
    estimates = attack.by_matching(view, np.array([[0], [1], [2], [3]]), 4)
    assert estimates[3].tolist() == [[22.0]]
    assert np.isnan(estimates[:3]).all()
    assert np.isnan(attack.by_matching(view, np.array([[3], [4]]), 2)).all()  # no start of its own


def test_estimates_are_compared_with_rows_of_the_other_party_alone() -> None:
    table = np.array([[0], [5], [10], [11], [30], [70]])  # the first two are the attacker's
    score = attack.Score()
    score.add(table, 2, np.array([[[5.0]], [[12.0]], [[30.0]]]), np.array([[1], [2], [5]]))
    figures = score.figures()
    assert figures["estimates"] == 2
    assert (figures["hits"], figures["exact"]) == (0.5, 0.0)
    assert figures["chance"] == (2 / 4 + 1 / 4) / 2
    assert figures["p"] == pytest.approx(1 - 1 / 2 * 3 / 4)


def test_a_probability_of_many_coins_agrees_with_that_of_few() -> None:
    assert attack.by_chance(2, np.array([0.5, 0.5])) == pytest.approx(0.25)
    exact, approximate = attack.by_chance(330, np.full(3000, 0.1)), attack.by_chance(330, np.full(3001, 0.1))
    assert exact == pytest.approx(approximate, rel=0.1)


def test_the_attack_works_with_public_rows_and_fails_with_secret_ones() -> None:
    ended = CliRunner().invoke(
        attack.main, ["--case", "clustered", "--init", "farthest", "--tables", "8", "--json"], catch_exceptions=False
    )
    assert ended.exit_code == 0
    figures = json.loads(ended.stdout)["figures"]["clustered: from the sizes of each iteration, 8 tables"]["farthest"]
    many, one = figures["matching"]["200"], figures["simulation"]["1"]
    assert many["public"]["hits"] > 0.8 > 0.3 > many["public"]["chance"]
    assert many["secret"]["hits"] == pytest.approx(many["secret"]["chance"], abs=0.05)
    assert one["public"]["hits"] > 0.5
    assert one["some row"]["hits"] > 0.4  # what sizes still say
    assert one["secret"]["p"] > 0.01


def measured(public: float, secret: float) -> attack.Measured:
    return {"simulation": {1: {"public": {"p": public}, "secret": {"p": secret}, "some row": {"p": 0.0}}}}


def test_a_leak_of_secret_rows_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attack.judged([("sizes", measured(1e-9, 0.4)), ("stops", measured(0.3, 0.2))]) == (True, True)
    assert attack.judged([("sizes", measured(1e-9, 0.4)), ("stops", measured(0.3, 1e-5))]) == (True, False)
    assert attack.judged([("sizes", measured(0.2, 0.4))]) == (False, True)
    monkeypatch.setattr(attack, "judged", lambda _everything: (True, False))
    arguments = ["--case", "uniform", "--init", "farthest", "--tables", "2"]
    ended = CliRunner().invoke(attack.main, arguments, catch_exceptions=False)
    assert ended.exit_code == 1
    assert "With secret rows it works." in ended.stdout


def test_the_largest_number_without_a_leak_is_the_last_before_the_first_leak() -> None:
    probabilities = {1: 0.5, 2: 0.4, 5: 0.001, 10: 0.3}
    starts = {number: measured(p, 0.5)["simulation"][1] for number, p in probabilities.items()}
    assert attack.largest_without_a_leak(starts) == 2
    assert attack.largest_without_a_leak({1: starts[5]}) == 0


def test_the_script_starts() -> None:
    assert "Estimate the values of the other party's starting rows" in run_script("attack_public_sizes.py", "--help")
