"""The attack on the centroids of every iteration: its pieces, and the experiment in a small form."""

import itertools
import json
from collections import Counter

import attack_iterated_centroids as attack
import centroids_in_the_clear as clear
import numpy as np
import pytest
import rows_from_sums
import sums_from_centroids
from click.testing import CliRunner

from secure_kmeans.plaintext.kmeans import lloyd, nearest_centroids
from tests.experiments.scripts import run_script

SMALL = "20 rows each"
AXIS = np.arange(101)[:, None]
UNIT = (1 << 24) / 100


def run_on(rows: list[int], starts: list[list[float]], least: int = 1) -> clear.Run:
    """A run on one column, of which the attacker owns no row, with these centroids in one start of each iteration."""
    case = clear.Case(columns=1, parties=2, n_clusters=len(starts[0]), min_cluster_size=least)
    table, numbers = np.array(rows)[:, None], np.arange(len(starts[0]))
    iterations = []
    for before, after in itertools.pairwise(starts):
        old, new = (np.rint(np.array(each)[:, None] * UNIT).astype(np.int64) for each in (before, after))
        labels = nearest_centroids(np.rint(table * UNIT).astype(np.int64), old)[0]
        sizes, sums = ((labels == numbers[:, None]) @ each for each in (np.ones(len(rows), np.int64), table))
        of_point = nearest_centroids(np.rint(AXIS * UNIT).astype(np.int64), old)[0]
        iterations.append(clear.Iteration(of_point, old, new, 0 * sizes, 0 * sums, sizes, sums))
    others = np.bincount(rows, minlength=101)
    return clear.Run(case.job(), len(rows), AXIS, table[:0], table.sum(axis=0), [iterations], 0, others)


def leads(run: clear.Run) -> rows_from_sums.View:
    return [[(each, sums_from_centroids.seen_by_leader(run, each)) for each in start] for start in run.starts]


def test_sizes_follow_from_the_denominators_of_the_means_and_from_what_all_rows_add_up_to() -> None:
    rows = [1, 2, 4, 60, 61, 61, 63, 64]  # means 7 / 3 and 309 / 5
    run = run_on(rows, [[0, 100], [7 / 3, 309 / 5]])
    seen = sums_from_centroids.seen_by_party(run, run.starts[0][0])
    assert seen.known.all()
    assert seen.sizes.tolist() == [3, 5]
    assert seen.sums.tolist() == [[7], [309]]


def test_the_sum_of_one_small_cluster_is_what_the_others_leave_of_all_rows() -> None:
    rows = [1, 2, 4, 5, 5, 90, 99]
    run = run_on(rows, [[0, 100], [17 / 5, 100]], least=3)  # the second cluster keeps its centroid
    seen = sums_from_centroids.seen_by_party(run, run.starts[0][0])
    assert seen.known.all()
    assert (seen.sizes.tolist(), seen.sums.tolist()) == ([5, 2], [[17], [189]])


def test_the_totals_follow_from_several_iterations() -> None:
    run = run_on([1, 2, 4, 40, 61, 61, 63, 64], [[0, 80], [7 / 3, 289 / 5], [47 / 4, 249 / 4]])
    found = sums_from_centroids.totals_of(run)
    assert found is not None
    assert found.tolist() == [296]


def test_a_row_that_moves_alone_is_found() -> None:
    rows = [1, 2, 4, 40, 61, 61, 63, 64]
    run = run_on(rows, [[0, 79], [7 / 3, 289 / 5], [12, 62]])  # the border moves from 39.5 to 30.1
    assert not rows_from_sums.rows_alone(run, leads(run))
    run = run_on(rows, [[0, 79], [20, 62], [47 / 4, 249 / 4]])  # to 41
    assert rows_from_sums.rows_alone(run, leads(run)) == Counter({40: 1})


def test_rows_between_two_borders_are_found() -> None:
    rows = [10, 40, 40, 70, 71, 90]
    run = run_on(rows, [[0, 78], [2, 80], [4, 162], [6, 162]])  # borders at 39, 41, 83
    found = rows_from_sums.all_rows(run, leads(run), np.random.default_rng(1), 10)
    assert found == Counter({10: 1, 40: 2, 90: 1})  # 70 + 71 could be 69 + 72


def test_what_all_sets_of_points_with_a_total_have_in_common() -> None:
    points = np.array([[3], [4], [5], [9]])
    names = np.array([30, 40, 50, 90])
    assert rows_from_sums.sure_rows(points, names, 1, np.array([9])) == Counter({90: 1})
    assert rows_from_sums.sure_rows(points, names, 2, np.array([8])) == Counter()  # 4 + 4, or 3 + 5
    assert rows_from_sums.sure_rows(points, names, 2, np.array([9])) == Counter({40: 1, 50: 1})
    assert rows_from_sums.sure_rows(points, names, 3, np.array([17])) == Counter({90: 1})  # with 4 + 4, or 3 + 5
    assert rows_from_sums.sure_rows(points, names, 2, np.array([1])) == Counter()


@pytest.mark.parametrize("name", ["1 column", "min_cluster_size = 20", 'init = "uniform"'])
def test_the_true_rows_agree_with_what_the_attacker_derives(name: str) -> None:
    run = clear.run_of(clear.CASES[name], [3, 1])
    for view in attack.views(run).values():
        assert rows_from_sums.Cells.of(run, view).agree_with(run.points, run.others)
        wrong = run.others.copy()
        wrong[[10, 50]] += [1, -1]
        assert not rows_from_sums.Cells.of(run, view).agree_with(run.points, wrong)


def test_the_attack_finds_rows_from_every_iteration_and_none_from_the_end() -> None:
    ended = CliRunner().invoke(attack.main, ["--case", SMALL, "--runs", "1", "--json"], catch_exceptions=False)
    assert ended.exit_code == 0
    figures = json.loads(ended.stdout)["figures"][SMALL]
    assert figures["party"]["found"] > 0.3
    assert figures["party"]["wrong"] < 0.05
    assert figures["the end"]["found"] == 0


def test_rows_that_the_end_gives_away_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"known": 1.0, "alone": 0.0, "found": 0.5, "wrong": 0.0, "least": 0.5, "most": 0.5}
    measured = dict.fromkeys(attack.VIEWS, figures)
    assert attack.judged({clear.BASE: measured | {"the end": figures | {"found": 0.0}}}) == (True, True)
    assert attack.judged({clear.BASE: measured}) == (True, False)
    assert attack.judged({clear.BASE: dict.fromkeys(attack.VIEWS, figures | {"found": 0.0})}) == (False, True)
    monkeypatch.setattr(attack, "measure", lambda *_: measured)
    ended = CliRunner().invoke(attack.main, ["--case", SMALL], catch_exceptions=False)
    assert ended.exit_code == 1
    assert "Those of the end alone do, too." in ended.stdout


def test_the_script_starts() -> None:
    assert "Find the other parties' rows from the centroids" in run_script("attack_iterated_centroids.py", "--help")


@pytest.mark.parametrize(("k", "columns"), [(2, 1), (3, 1), (3, 2)])
def test_of_numbers_with_all_their_digits_the_totals_alone_leave_one_choice_of_sizes(k: int, columns: int) -> None:
    """Not only of whole numbers: sums are sizes times centroids, but for half a unit a row."""
    n, generator = 200, np.random.default_rng(1)
    rows, start = (generator.integers(0, 1 << 24, (count, columns)) for count in (n, k))
    run = lloyd(rows, start, max_iter=30, tol=0)
    choices = np.array([(*each, n - sum(each)) for each in np.ndindex(*[n + 1] * (k - 1)) if sum(each) <= n])
    for after, sizes in zip([*run.centroids_by_iteration[1:], run.centroids], run.sizes_by_iteration, strict=True):
        if min(sizes) > 0:  # all centroids are means
            off = np.abs(choices @ after - rows.sum(axis=0))
            assert choices[(off <= n / 2 + k).all(axis=1)].tolist() == [sizes]
