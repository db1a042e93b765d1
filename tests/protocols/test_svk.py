"""SVK against the plaintext run on the joined rows from the same start, and against answers computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import make_blobs

from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import Scaling
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.ledger import ALL, Entry
from secure_kmeans.mpc import rows as rows_module
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols.lloyd import excess_bits
from secure_kmeans.protocols.svk import SVK
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.job import DEALER
from tests.protocols.columns import (
    check_against_plaintext,
    check_svk_against_plaintext,
    first_centroids_of,
    fit,
    job_for,
    side_by_side,
    start_in_secret_at,
    tables_of,
    ways_taken,
)
from tests.threads import run_protocol

BLOBS = make_blobs(60, centers=4, n_features=5, random_state=1)[0]
EVEN = np.random.default_rng(2).random((60, 5))  # without clusters, so that a run takes many iterations
TIES = np.array([[x, y] for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)] * 2)  # a grid, each row twice
DIVISIONS = [(1, 4), (3, 2), (1, 3, 1), (1, 2, 1, 1), (1, 1, 1, 1, 1)]
INITS = ["farthest", "k-means++", "random"]


@pytest.mark.parametrize("widths", DIVISIONS)
@pytest.mark.parametrize("init", INITS)
def test_equals_the_plaintext_from_the_same_coins(widths: tuple[int, ...], init: str) -> None:
    check_against_plaintext(job_for(BLOBS, widths, 4, init=init, n_init=3, seed=11), BLOBS)


@pytest.mark.parametrize("widths", [(1, 4), (1, 3, 1)])
@pytest.mark.parametrize(
    "keys", [{"init": "farthest"}, {"init": "random", "min_cluster_size": 5}], ids=["all", "large"]
)
def test_hidden_labels_change_nothing_but_what_is_disclosed(widths: tuple[int, ...], keys: dict[str, Any]) -> None:
    check_against_plaintext(job_for(BLOBS, widths, 5, n_init=2, seed=3, hide_labels=True, **keys), BLOBS)


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 5, 6, 8, 10, 11, 12])  # from 11 on a tournament
def test_few_and_many_clusters(n_clusters: int) -> None:
    check_against_plaintext(job_for(BLOBS, (3, 2), n_clusters, init="random", seed=3, n_init=2), BLOBS)


@pytest.mark.parametrize("n_clusters", [1, 6, 12])
def test_few_and_many_clusters_from_a_start_on_shares(n_clusters: int) -> None:
    check_against_plaintext(job_for(BLOBS, (3, 2), n_clusters, init="farthest", seed=3, n_init=2), BLOBS)


@pytest.mark.parametrize("n_clusters", [1, 12])
def test_few_and_many_clusters_with_hidden_labels(n_clusters: int) -> None:
    check_against_plaintext(job_for(BLOBS, (3, 2), n_clusters, init="random", seed=3, hide_labels=True), BLOBS)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("hide_labels", [False, True])
def test_equals_the_plaintext_where_rows_tie(init: str, hide_labels: bool) -> None:
    check_against_plaintext(job_for(TIES, (1, 1), 4, init=init, n_init=3, seed=2, hide_labels=hide_labels), TIES)


@pytest.mark.parametrize("method", ["uniform", "minmax", "none"])
@pytest.mark.parametrize("hide_labels", [False, True])
def test_every_scaling(method: str, hide_labels: bool) -> None:
    rows = (BLOBS - BLOBS.min(axis=0)) / 20 * [1, 0.2, 1, 0.05, 1]
    lower, upper = (0.0,) * 5, tuple(rows.max(axis=0).tolist())
    scaling = Scaling.of(method=method, lower=lower, upper=upper)
    check_against_plaintext(job_for(rows, (2, 3), 4, seed=2, scaling=scaling, hide_labels=hide_labels), rows)


def test_given_centroids() -> None:
    start = tuple(map(tuple, BLOBS[[7, 20, 50]].tolist()))
    for keys in ({}, {"hide_labels": True}):
        check_against_plaintext(job_for(BLOBS, (2, 2, 1), 3, centroids=start, **keys), BLOBS)


def test_max_iter_ends_a_run_whose_centroids_are_not_yet_those_of_its_labels() -> None:
    for init in ("random", "farthest"):
        for most in (1, 2, 3):
            cut = check_against_plaintext(job_for(EVEN, (3, 2), 6, init=init, n_init=2, seed=1, max_iter=most), EVEN)
            assert (cut.n_iter, cut.converged) == (most, False)
    hidden = job_for(EVEN, (3, 2), 6, init="random", seed=1, max_iter=2, hide_labels=True, min_cluster_size=5)
    assert not check_against_plaintext(hidden, EVEN).converged


def test_tol_ends_a_run_earlier() -> None:
    for init in ("random", "farthest"):
        strict, loose = (
            check_against_plaintext(job_for(EVEN, (1, 3, 1), 6, init=init, seed=1, tol=tol), EVEN) for tol in (0.0, 1.0)
        )
        assert strict.converged
        assert loose.converged
        assert loose.n_iter < strict.n_iter
    check_against_plaintext(job_for(EVEN, (1, 3, 1), 6, init="random", seed=1, tol=0.2, hide_labels=True), EVEN)


@pytest.mark.parametrize("init", ["random", "farthest"])
def test_inertias_that_are_too_long_for_the_ring_are_compared_without_their_last_bits(init: str) -> None:
    rows = np.random.default_rng(7).random((1500, 2))
    job = job_for(rows, (1, 1), 3, init=init, n_init=4, seed=2)
    assert excess_bits(job, len(rows)) > 0
    assert check_against_plaintext(job, rows).best_restart > 0


def test_the_division_among_parties_changes_nothing() -> None:
    for keys in ({"init": "farthest"}, {"hide_labels": True, "disclose": {"centroids": "all", "labels": "all"}}):
        found = []
        for widths in ((1, 4), (4, 1), (1, 1, 3)):
            job = job_for(BLOBS, widths, 4, seed=5, **keys)
            results = fit(job, BLOBS)
            assert results[0].common is not None
            found.append((results[0].own.labels, side_by_side(job, results, "centroids"), results[0].common.n_iter))
        assert found[0] == found[1] == found[2]


def test_small_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [
        job_for(BLOBS, (3, 2), 9, seed=5, n_init=2, init=init, hide_labels=hidden)
        for init, hidden in (("random", False), ("farthest", False), ("random", True))
    ]
    whole = [fit(job, BLOBS) for job in jobs]
    monkeypatch.setattr(rows_module, "COMPARISONS_AT_ONCE", 1)
    monkeypatch.setattr(rows_module, "WORD", 7)  # rows at once
    for job, before in zip(jobs, whole, strict=True):
        parts = fit(job, BLOBS)
        assert parts[0].common == before[0].common
        assert [result.own.labels for result in parts] == [result.own.labels for result in before]
        check_svk_against_plaintext(job, BLOBS, parts)


# --------------------------------------------------------------------------------------- what is disclosed, and to whom


@pytest.mark.parametrize("centroids", ["own", "all"])
def test_hidden_counts_round_the_centroids_to_a_grid(centroids: str) -> None:
    for resolution in (None, (0.5,) * 5):
        keys: dict[str, Any] = {"hide_labels": True, "hide_counts": True, "resolution": resolution}
        job = job_for(BLOBS, (3, 2), 4, init="random", seed=5, disclose={"centroids": centroids}, **keys)
        results = fit(job, BLOBS)
        check_svk_against_plaintext(job, BLOBS, results)
        shifts = job.centroid_shifts(len(BLOBS))
        assert shifts is not None
        grid = side_by_side(job, results, "grid_centroids")
        assert not (np.array([row for row in grid if row is not None]).astype(int) % (1 << shifts)).any()
        assert not {"cluster sizes", "final cluster sizes", "labels of all rows"} & {
            entry.what for entry in results[0].ledger
        }


@pytest.mark.parametrize("hide_labels", [False, True])
@pytest.mark.parametrize("centroids", ["own", "all"])
def test_each_party_learns_its_own_columns_of_the_centroids_or_all(hide_labels: bool, centroids: str) -> None:
    disclose = {"centroids": centroids, "labels": "all"}
    job = job_for(BLOBS, (1, 3, 1), 4, seed=5, n_init=2, hide_labels=hide_labels, disclose=disclose)
    results = fit(job, BLOBS)
    check_svk_against_plaintext(job, BLOBS, results)
    assert results[0].common is not None
    assert (results[0].common.centroids is None) == (centroids == "own")
    for result, width in zip(results, job.widths, strict=True):
        assert {len(own) for own in result.own.centroids or [] if own is not None} == {width}
    assert results[0].common.inertia is not None


def test_labels_go_to_the_parties_that_the_job_names() -> None:
    keys: dict[str, Any] = {"hide_labels": True, "disclose": {"labels": ("party_0", "party_2")}}
    results = fit(job_for(BLOBS, (1, 3, 1), 4, seed=5, **keys), BLOBS)
    check_svk_against_plaintext(job_for(BLOBS, (1, 3, 1), 4, seed=5, **keys), BLOBS, results)
    assert [len(result.own.labels) for result in results] == [60, 0, 60]
    told = [entry.to for entry in results[1].ledger if entry.what == may.LABELS_TO_SOME.what]
    assert told == ["party_0", "party_2"]
    assert results[0].common is not None
    assert results[0].common.inertia is None


@pytest.mark.parametrize("hide_counts", [False, True])
def test_a_model_that_nobody_sees(hide_counts: bool) -> None:
    keys: dict[str, Any] = {"hide_labels": True, "hide_counts": hide_counts, "init": "random", "seed": 5}
    results = fit(job_for(BLOBS, (1, 3, 1), 4, disclose={"centroids": "nobody"}, **keys), BLOBS)
    seen = fit(job_for(BLOBS, (1, 3, 1), 4, **keys), BLOBS)
    model, public = results[0].common, seen[0].common
    assert model is not None
    assert public is not None
    assert (model.centroids, model.grid_centroids, model.inertia) == (None, None, None)
    assert all((result.own.centroids, result.own.labels) == (None, []) for result in results)
    assert (model.sizes, model.n_iter) == (public.sizes, public.n_iter)
    assert len({result.own.model_share for result in results}) == 3
    assert not {may.OWN_CENTROIDS.what, may.FINAL_CENTROIDS.what} & {entry.what for entry in results[0].ledger}


@pytest.mark.parametrize("keys", [{"hide_labels": True}, {"disclose": {"centroids": "all"}}], ids=["hidden", "all"])
@pytest.mark.parametrize("least", [2, 5, 16])
def test_small_clusters_are_withheld(keys: dict[str, Any], least: int) -> None:
    job = job_for(BLOBS, (3, 2), 12, init="random", n_init=2, seed=3, min_cluster_size=least, **keys)
    found = check_against_plaintext(job, BLOBS)
    shown = [size for size in found.sizes if size is not None]
    assert found.withheld == list(range(len(shown), 12))
    assert all(size >= least for sizes in (shown, *found.sizes_by_iteration) for size in sizes if size is not None)


def test_a_party_s_own_columns_are_withheld_from_nobody_but_of_a_cluster_without_rows() -> None:
    job = job_for(BLOBS, (3, 2), 12, init="random", n_init=2, seed=3, min_cluster_size=16)
    assert check_against_plaintext(job, BLOBS).withheld == []


def test_all_clusters_may_be_too_small() -> None:
    job = job_for(TIES, (1, 1), 9, init="random", seed=1, min_cluster_size=7, disclose={"centroids": "all"})
    found = check_against_plaintext(job, TIES)
    assert found.withheld == list(range(9))
    assert found.inertia == 0.0


# ------------------------------------------------------------------------------------ clusters without rows, and shares


def test_an_empty_cluster_keeps_its_centroid() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [10.0, 10.0]])
    start = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0))  # nobody is nearest to the last
    for keys in ({}, {"hide_labels": True}, {"disclose": {"centroids": "all"}}):
        found = check_against_plaintext(job_for(rows, (1, 1), 3, centroids=start, **keys), rows)
        assert (found.sizes, found.withheld) == ([3, 1, None], [2])
        assert found.sizes_by_iteration == [[3, 1, 0]] * found.n_iter


@pytest.mark.parametrize("init", ["farthest", "k-means++"])
@pytest.mark.parametrize("widths", [(1, 1), (1, 2, 1)])
def test_with_more_clusters_than_different_rows_all_labellings_are_made_on_shares(
    init: str, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.tile(np.eye(3, sum(widths)), (5, 1))
    taken = ways_taken(monkeypatch)
    found = check_against_plaintext(job_for(rows, widths, 5, init=init, n_init=3, seed=0), rows)
    assert found.withheld == [3, 4]
    assert len(taken) >= 2
    assert all(taken)


def test_a_start_on_shares_is_one_for_the_first_two_labellings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ways_taken(monkeypatch)
    found = check_against_plaintext(job_for(BLOBS, (3, 2), 6, init="farthest", seed=2), BLOBS)
    assert found.n_iter >= 3
    assert taken == [True, True, *[False] * (found.n_iter - 1)]
    taken.clear()
    found = check_against_plaintext(job_for(BLOBS, (3, 2), 6, init="random", seed=2), BLOBS)
    assert taken == [False] * (found.n_iter + 1), "a known start is never on shares"


def check_from_a_secret_start(
    rows: np.ndarray, widths: tuple[int, ...], start: np.ndarray, patch: pytest.MonkeyPatch, **keys: Any
) -> Any:
    """Compare a run from secret first centroids (k, d) with the plaintext from the same ones; return the model."""
    start_in_secret_at(patch, start[None])
    job = job_for(rows, widths, len(start), **keys)
    assert not job.start_is_known
    results = fit(job, rows)
    check_svk_against_plaintext(job, rows, results, start[None])
    return results[0].common


def test_a_cluster_that_is_filled_late_lets_the_run_go_on_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([[0.0, 0.0]] * 4 + [[3.0, 3.0]])
    taken = ways_taken(monkeypatch)
    found = check_from_a_secret_start(rows, (1, 1), np.zeros((2, 2)), monkeypatch)
    # All rows go to the first; its mean leaves the origin, and the second has its rows from the next labelling on.
    assert found.sizes_by_iteration == [[0, 5], [4, 1], [4, 1]]
    assert found.n_iter == 3
    assert taken == [True, True, True, False]


@pytest.mark.parametrize("keys", [{"max_iter": 1}, {"tol": 1.0}], ids=["max_iter", "tol"])
def test_a_cluster_whose_first_rows_are_found_by_the_last_labelling(
    keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its centroid is still secret: it counts for the choice of the best start, and is withheld."""
    rows = np.array([[0.0, 0.0]] * 4 + [[3.0, 3.0], [1.0, 2.0]])
    start = np.array([[[1, 2], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]], [[3, 3], [3, 3], [0, 0]]], dtype=float)
    for order, best, sizes in (([0, 1, 0], 0, [[2, 4, 0], [2, 4, 0]]), ([0, 1, 2], 2, [[2, 0, 4], [1, 1, 4]])):
        start_in_secret_at(monkeypatch, start[order])
        job = job_for(rows, (1, 1), 3, n_init=3, **keys)
        results = fit(job, rows)
        run, plain = check_svk_against_plaintext(job, rows, results, start[order])
        assert results[0].common is not None
        assert results[0].common.best_restart == best
        assert [run.sizes_by_iteration[-1], run.sizes.tolist()] == sizes
        assert plain.withheld == [2]


def test_starts_of_which_one_has_a_cluster_without_rows_all_stay_on_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([[value, 0.0] for value in (0.0, 0.0, 1.0, 2.0, 4.0, 7.0, 11.0, 16.0)])
    taken = ways_taken(monkeypatch)
    start = np.array([[[0, 0], [1, 0], [2, 0]], [[0, 0], [0, 0], [16, 0]], [[16, 0], [0, 0], [16, 0]]], dtype=float)
    start_in_secret_at(monkeypatch, start)
    job = job_for(rows, (1, 1), 3, n_init=3)
    results = fit(job, rows)
    check_svk_against_plaintext(job, rows, results, start)
    assert taken[:3] == [True] * 3
    assert not all(taken)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(3, 12), st.just(3)), elements=st.integers(0, 3)),
    st.lists(st.integers(0, 11), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([(1, 2), (2, 1), (1, 1, 1)]),
)
def test_small_tables_of_integers(table: np.ndarray, chosen: list[int], secret: bool, widths: tuple[int, ...]) -> None:
    """Rows and starts with ties, duplicates and clusters without rows, from starts that are known and that are not."""
    rows = table.astype(float)
    start = rows[[number % len(rows) for number in chosen[: len(rows)]]]
    if secret:
        with pytest.MonkeyPatch.context() as patch:
            check_from_a_secret_start(rows, widths, start, patch)
    else:
        check_against_plaintext(job_for(rows, widths, len(start), centroids=tuple(map(tuple, start.tolist()))), rows)


# -------------------------------------------------------------------------------------------------------- secret starts


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("hide_labels", [False, True])
def test_secret_starts_are_rows_that_nobody_learns(init: str, hide_labels: bool) -> None:
    job = job_for(BLOBS, (1, 3, 1), 3, init=init, n_init=2, hide_labels=hide_labels)
    encoded = FixedPoint(job.precision_bits).encode(job.scaling.apply(BLOBS))
    start, shares = first_centroids_of(job, BLOBS)
    assert {tuple(row) for row in start.reshape(-1, 5)} <= {tuple(row) for row in encoded}
    assert all(len({tuple(row) for row in each}) == 3 for each in start)
    for share in shares:  # uniform: no coordinate of a row, neither its own nor another's
        assert not np.isin(share, [encoded, -encoded]).any()
        assert np.median(np.abs(share)) > 2**50


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("widths", [(3, 2), (1, 3, 1)])
def test_a_run_from_a_secret_start_ends_at_a_fixed_point_of_lloyd(init: str, widths: tuple[int, ...]) -> None:
    job = job_for(BLOBS, widths, 4, init=init, n_init=2)
    results = fit(job, BLOBS)
    model, labels = results[0].common, np.array(results[0].own.labels)
    assert model is not None
    assert model.converged
    assert model.seed is None
    assert may.STARTING_ROWS.what not in {entry.what for entry in results[0].ledger}
    grid = side_by_side(job, results, "grid_centroids")
    assert label_rows(job, grid, BLOBS, model.tie_order).tolist() == labels.tolist()  # type: ignore[arg-type]
    X = FixedPoint(job.precision_bits).encode(job.scaling.apply(BLOBS))
    sizes = np.bincount(labels, minlength=4)
    assert model.sizes == [size or None for size in sizes.tolist()], "a cluster that lost its rows is withheld"
    for number, size in enumerate(sizes.tolist()):
        assert grid[number] == (((X[labels == number].sum(axis=0) + size // 2) // size).tolist() if size else None)


# ----------------------------------------------------------------------------------------------------------- the ledger


def line(disclosure: Any, to: str = ALL, iteration: int | None = None) -> Entry:
    return Entry(what=disclosure.what, to=to, iteration=iteration)


def test_the_ledger_of_open_labels() -> None:
    results = fit(job_for(BLOBS, (3, 2), 4, init="farthest", seed=5, n_init=2), BLOBS)
    last = max(entry.iteration or 0 for entry in results[0].ledger)
    each = []
    for number in range(1, last + 1):
        each += [line(may.LABELS, iteration=number), line(may.NEVER_FILLED, DEALER, number)]
        if number < last:
            each += [line(may.STOP_BIT, iteration=number), line(may.GOING_ON, DEALER, number)]
    expected = [
        line(may.ROW_COUNTS),
        line(may.ROW_COUNTS, DEALER),
        line(may.STARTING_ROWS),
        *each,
        line(may.BEST_RESTART),
        line(may.OWN_CENTROIDS, "party_0"),
        line(may.OWN_CENTROIDS, "party_1"),
        line(may.FINAL_LABELS),
        line(may.INERTIA),
    ]
    assert sorted(results[0].ledger, key=repr) == sorted(expected, key=repr)
    assert results[0].ledger[:3] == expected[:3]
    assert results[0].ledger[-5:] == expected[-5:]


def test_the_ledger_of_hidden_labels_has_none() -> None:
    results = fit(job_for(BLOBS, (3, 2), 4, seed=5, hide_labels=True, min_cluster_size=5), BLOBS)
    what = {entry.what for entry in results[0].ledger}
    assert what == {
        disclosure.what
        for disclosure in (
            may.ROW_COUNTS,
            may.STARTING_ROWS,
            may.SMALL_CLUSTERS,
            may.CLUSTER_SIZES,
            may.STOP_BIT,
            may.GOING_ON,
            may.BEST_RESTART,
            may.WITHHELD,
            may.FINAL_SIZES,
            may.OWN_CENTROIDS,
        )
        if disclosure is not may.BEST_RESTART
    }


# -------------------------------------------------------------------------------------------------- checks before a run


def test_too_few_rows_are_refused_before_anything_is_computed() -> None:
    for keys in ({}, {"hide_labels": True}):
        job = job_for(BLOBS, (3, 2), 4, seed=5, **keys)
        with pytest.raises(DataError, match="3 rows do not suffice for 4 clusters"):
            fit(job, BLOBS[:3])


def test_tables_of_different_lengths_are_refused_without_identifiers() -> None:
    job = job_for(BLOBS, (3, 2), 4, seed=5)
    tables = tables_of(job, BLOBS)
    tables["party_1"] = tables_of(job, BLOBS[1:])["party_1"]
    with pytest.raises(DataError, match='"party_0" has 60 rows and "party_1" 59 rows'):
        run_protocol(job, tables)
    with pytest.raises(DataError, match="need the same rows in the same order"):
        SVK.check_together(job, tables)


OPEN_LABELS = (
    "all parties see the labels of every iteration, from which each can estimate the other columns of single rows; "
    "where these are private, hide the labels (hide_labels)"
)
ALL_DIGITS = (
    "all digits of the centroids are disclosed, and in its own columns a party may find the rows of a small cluster by "
    "them; agree on a resolution, or disclose the centroids to nobody"
)


def test_advice_and_refusals_of_a_table() -> None:
    job = job_for(BLOBS, (3, 2), 4)
    table = tables_of(job, BLOBS)["party_1"]
    assert SVK.check(job, job.role("party_1"), table) == [
        'align = "none": nobody checks that a row is about the same person or thing at all parties; where it is not, '
        "the clusters mean nothing",
        OPEN_LABELS,
    ]
    few = job_for(BLOBS, (3, 2), 4, align="psi", id="no", most_rows=59)
    with pytest.raises(DataError, match=r"party_1: 60 rows, but the parties agreed on at most 59; agree on more"):
        SVK.check(few, few.role("party_1"), table)
    enough = job_for(BLOBS, (3, 2), 4, align="psi", id="no", most_rows=60)
    assert SVK.check(enough, enough.role("party_1"), table) == [OPEN_LABELS]
    hidden = job_for(BLOBS, (3, 2), 4, align="psi", id="no", most_rows=60, hide_labels=True)
    assert SVK.check(hidden, hidden.role("party_1"), table) == [ALL_DIGITS]
    coarse = hidden.model_copy(update={"resolution": (0.1,) * 5})
    assert SVK.check(coarse, coarse.role("party_1"), table) == []
    assert SVK.columns(job, "party_1") == ("x3", "x4")
    assert (SVK.identifier(job, "party_1"), SVK.identifier(few, "party_1")) == (None, "no")


def test_public_starts_are_for_rehearsals() -> None:
    with pytest.raises(JobError, match=r"^seed: with it all parties know"):
        SVK.check_apart(job_for(BLOBS, (3, 2), 4, seed=1))
    secret, known = job_for(BLOBS, (3, 2), 4), job_for(BLOBS, (3, 2), 1, seed=1, centroids=(tuple(BLOBS[0]),))
    for job in (secret, known):
        assert not job.starts_are_public
        SVK.check_apart(job)
