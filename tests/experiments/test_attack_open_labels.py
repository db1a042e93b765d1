"""The attack on labels of each iteration: its pieces, and the experiment in a small form."""

import json

import attack_open_labels as attack
import labels_in_the_clear as clear
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from tests.experiments.scripts import run_script

MALL = "mall, 1 + 1 columns"


def mall(n_starts: int = 2) -> tuple[np.ndarray, dict[str, clear.View]]:
    return clear.views(clear.CASES[MALL], "random", n_starts, 3)


@pytest.mark.parametrize("what", ["open labels", "final labels", "public seed"])
def test_the_true_values_agree_with_all_labels_of_a_view(what: str) -> None:
    true, seen = mall()
    view = seen[what]
    distances, _ = attack._distances(true, attack._own_distances(view.own, view.weights), view.weights)
    of_label = np.take_along_axis(distances, view.labels[:, :, None], axis=2)[:, :, 0]
    assert (of_label - distances.min(axis=2)).max() < 1e-5
    assert np.allclose(view.weights.sum(axis=2), 1)


def test_the_views_differ_in_what_the_options_disclose() -> None:
    true, seen = mall()
    assert len(seen["final labels"].labels) == len(seen["hidden labels"].labels) == 1
    assert len(seen["public seed"].labels) == len(seen["open labels"].labels) + len(seen["open labels"].first)
    known = seen["open, all centroids"].centroids
    assert known is not None
    assert seen["open labels"].centroids is None
    means = [true[seen["open labels"].final == j].mean() for j in range(len(known))]
    assert known[:, 0].tolist() == pytest.approx(means, abs=1e-6)


def test_an_empty_cluster_keeps_the_rows_that_its_centroid_is_the_mean_of() -> None:
    before = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert clear.weights_of(np.array([1, 1, 1]), before).tolist() == [[0.5, 0.5, 0.0], [1 / 3] * 3]


def test_the_gradient_is_that_of_the_labels_likelihood() -> None:
    _, seen = clear.views(clear.CASES["iris, 2 + 2"], "random", 1, 3)
    view = seen["open labels"]
    owned = attack._own_distances(view.own, view.weights).astype(float)
    is_own = view.labels[:, :, None] == np.arange(3)
    values = np.random.default_rng(1).random((len(view.own), 2))

    def negative_logarithm(at: np.ndarray) -> float:
        distances = attack._distances(at, owned, view.weights)[0] / 0.1
        return float((distances[is_own] + np.log(np.exp(-distances).sum(axis=2)).ravel()).sum() / len(view.labels))

    slope = attack._slope(values, owned, view.weights, is_own, 0.1)
    for row, column in [(0, 0), (70, 1), (149, 0)]:
        step = np.zeros_like(values)
        step[row, column] = 1e-5
        rise = (negative_logarithm(values + step) - negative_logarithm(values - step)) / 2e-5
        assert slope[row, column] == pytest.approx(rise, rel=1e-4, abs=1e-6)


def test_the_rows_of_a_start_are_found_from_its_first_labels_and_the_values() -> None:
    true, seen = mall()
    view = seen["open labels"]
    rows, wrong = attack.first_rows(np.hstack([view.own, true]), view.first, 5)
    for labels, chosen in zip(view.first, rows, strict=True):
        assert labels[chosen].tolist() == list(range(5))  # each in its own cluster
    assert wrong.max() < 1e-3


def test_estimates_are_rotated_as_it_fits() -> None:
    true = np.random.default_rng(2).random((50, 2))
    true = (true - true.min(axis=0)) / np.ptp(true, axis=0)
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])
    assert attack.aligned(3 + true @ turn, true) == pytest.approx(true)


def test_estimates_that_are_further_from_agreement_are_not_averaged() -> None:
    good, bad = np.linspace(0, 1, 5)[:, None], np.array([[0.1], [0.9], [0.2], [0.8], [0.5]])
    assert attack._agreed([(bad, 0.01), (good, 0.0), (1 - good, 1e-7)]) == pytest.approx(good)


def test_labels_that_all_rows_share_say_nothing() -> None:
    true, seen = mall()
    alone = np.zeros_like(seen["final labels"].labels)
    weights = np.full((1, 1, len(true)), 1 / len(true))
    view = clear.View(seen["final labels"].own, 1, alone, weights, alone[:0], alone[0])
    estimates = attack.attacked(view, np.random.default_rng(1))
    assert abs(spearmanr(estimates[:, 0], true[:, 0]).statistic) < 0.25


def test_the_attack_works_with_open_labels_and_fails_with_hidden_ones() -> None:
    arguments = ["--case", MALL, "--init", "random", "--starts", "2", "--seed", "2", "--json"]
    ended = CliRunner().invoke(attack.main, arguments, catch_exceptions=False)
    assert ended.exit_code == 0
    figures = json.loads(ended.stdout)["figures"][MALL]["random"]["2"]
    assert list(figures) == list(attack.VIEWS)
    assert figures["open labels"]["rank"] > 0.9
    assert figures["open, all centroids"]["error"] < 0.06
    assert figures["hidden labels"]["rank"] < 0.3
    assert figures["hidden labels"]["error"] > 0.2


def measured(open_error: float, hidden_rank: float) -> attack.Measured:
    figures = {what: {"rank": 0.9, "error": open_error} for what in attack.VIEWS}
    return {MALL: {"farthest": {5: figures | {"hidden labels": {"rank": hidden_rank, "error": 0.3}}}}}


def test_a_leak_of_hidden_labels_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attack.judged(measured(0.05, 0.1)) == (True, True)
    assert attack.judged(measured(0.05, 0.8)) == (True, False)
    assert attack.judged(measured(0.2, 0.1)) == (False, True)
    assert attack.judged({"iris, 2 + 2": measured(0.2, 0.8)[MALL]}) == (True, True)  # its columns are related
    monkeypatch.setattr(attack, "measure", lambda *_: measured(0.05, 0.8)[MALL]["farthest"][5])
    ended = CliRunner().invoke(attack.main, ["--case", MALL, "--starts", "5"], catch_exceptions=False)
    assert ended.exit_code == 1
    assert "Hidden labels do, too." in ended.stdout


def test_the_script_starts() -> None:
    assert "Estimate the other party's columns of single rows" in run_script("attack_open_labels.py", "--help")
