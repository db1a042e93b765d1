"""SMO07 against the plaintext run from the same start, and against answers computed by hand; in the clear mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import make_blobs

from secure_kmeans.errors import JobError
from secure_kmeans.job import Scaling
from secure_kmeans.job.ledger import ALL
from secure_kmeans.protocols.smo07 import disclosures as may
from tests.protocols.leading import check_against_plaintext, job_for, tables_of, without_protection
from tests.threads import run_protocol

BLOBS = make_blobs(60, centers=4, n_features=3, random_state=1)[0]
EVEN = np.random.default_rng(2).random((60, 2))  # without clusters, so that a run takes many iterations
TIES = np.array([[x, y] for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)] * 2)  # a grid, each row twice


@pytest.fixture(autouse=True)
def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    without_protection(monkeypatch)


@pytest.mark.parametrize("parties", [2, 3, 5, 20])
@pytest.mark.parametrize("init", ["moments", "uniform"])
def test_equals_the_plaintext_from_the_same_coins(parties: int, init: str) -> None:
    check_against_plaintext(job_for(BLOBS, parties, 4, init=init, n_init=3, seed=11), BLOBS)


def test_without_a_seed_the_parties_toss_it() -> None:
    model = check_against_plaintext(job_for(BLOBS, 3, 4), BLOBS)
    assert model.seed is not None


@pytest.mark.parametrize("method", ["uniform", "minmax", "none"])
def test_every_scaling(method: str) -> None:
    rows = (BLOBS - BLOBS.min(axis=0)) / 20 * [1, 0.2, 0.05]
    scaling = Scaling.of(method=method, lower=(0.0,) * 3, upper=tuple(rows.max(axis=0).tolist()))
    check_against_plaintext(job_for(rows, 3, 4, seed=2, scaling=scaling), rows)


@pytest.mark.parametrize("offset", [-1e6, -50.0, 1e6])
def test_negative_numbers_and_large_offsets(offset: float) -> None:
    for method in ("uniform", "none"):
        rows = BLOBS + offset if method == "uniform" else BLOBS + offset / 1e5
        scaling = Scaling.of(method=method, lower=tuple(rows.min(axis=0)), upper=tuple(rows.max(axis=0)))
        check_against_plaintext(job_for(rows, 3, 4, seed=2, scaling=scaling), rows)


@pytest.mark.parametrize("shares", [(1, 58, 1), (1, 1, 58), (20, 20, 20)])
def test_a_party_with_one_row_and_parties_without_a_row_in_a_cluster(shares: tuple[int, ...]) -> None:
    ordered = BLOBS[np.argsort(BLOBS[:, 0])]
    check_against_plaintext(job_for(ordered, 3, 4, seed=4), ordered, shares)


def test_given_centroids() -> None:
    start = tuple(map(tuple, BLOBS[[7, 20, 50]].tolist()))
    model = check_against_plaintext(job_for(BLOBS, 3, 3, centroids=start), BLOBS)
    assert model.seed is None


def test_an_answer_computed_by_hand() -> None:
    """0, 1, 2 and 10, 11, 15 from 0 and 10: the means are 1 and 12; one iteration moves them, the next does not."""
    rows = np.array([[0.0], [1.0], [10.0], [11.0], [2.0], [15.0]])
    job = job_for(rows, 3, 2, centroids=((0.0,), (10.0,)), reveal_inertia=True, reveal_sizes=True)
    model = check_against_plaintext(job, rows)
    assert np.array(model.centroids).ravel() == pytest.approx([1.0, 12.0], abs=1e-7)
    assert (model.sizes, model.n_iter) == ([3, 3], 2)
    assert model.inertia == pytest.approx(2 + 14)


def test_an_empty_cluster_keeps_its_centroid() -> None:
    rows = np.array([[0.0, 0.0]] * 3 + [[8.0, 8.0]] * 3)
    start = ((0.0, 0.0), (8.0, 8.0), (8.0, 0.0))
    model = check_against_plaintext(job_for(rows, 3, 3, centroids=start, reveal_sizes=True), rows)
    assert model.centroids is not None
    assert model.centroids[2] == pytest.approx([8.0, 0.0], abs=1e-6)
    assert model.sizes == [3, 3, 0]


def test_a_small_cluster_keeps_its_centroid_and_its_size_is_not_disclosed() -> None:
    """Three rows at (8, 6) are nearest to (8, 0), and too few to move it."""
    rows = np.array([[0.0, 0.0]] * 6 + [[8.0, 6.0]] * 3 + [[0.0, 8.0]] * 6)
    start = ((0.0, 1.0), (0.0, 7.0), (8.0, 0.0))
    job = job_for(rows, 3, 3, centroids=start, reveal_sizes=True, min_cluster_size=4)
    model = check_against_plaintext(job, rows)
    assert model.sizes == [6, 6, None]
    assert model.centroids is not None
    assert model.centroids[2] == pytest.approx([8.0, 0.0], abs=1e-6)
    moved = check_against_plaintext(job.model_copy(update={"min_cluster_size": 3}), rows)
    assert moved.sizes == [6, 6, 3]
    assert moved.centroids is not None
    assert moved.centroids[2] == pytest.approx([8.0, 6.0], abs=1e-6)


@pytest.mark.parametrize("most", [1, 2])
def test_max_iter_ends_a_run(most: int) -> None:
    model = check_against_plaintext(job_for(EVEN, 3, 6, n_init=2, seed=1, max_iter=most, reveal_inertia=True), EVEN)
    assert (model.n_iter, model.converged) == (most, False)


def test_tol_ends_a_run_earlier() -> None:
    strict, loose = (check_against_plaintext(job_for(EVEN, 3, 6, seed=1, tol=tol), EVEN) for tol in (0.0, 0.2))
    assert strict.converged
    assert loose.converged
    assert loose.n_iter < strict.n_iter


def test_ties_go_to_the_lowest_index() -> None:
    for seed in range(5):
        check_against_plaintext(job_for(TIES, 3, 4, n_init=3, seed=seed), TIES)
    start = ((0.0, 0.0), (2.0, 2.0), (1.0, 1.0))
    check_against_plaintext(job_for(TIES, 3, 3, centroids=start), TIES)


def test_equal_rows() -> None:
    rows = np.full((9, 2), 3.5)
    check_against_plaintext(job_for(rows, 3, 2, seed=1, n_init=2), rows)


@settings(max_examples=25)
@given(
    rows=arrays(np.float64, st.tuples(st.integers(6, 25), st.integers(1, 3)), elements=st.integers(-9, 9)),
    parties=st.integers(2, 5),
    n_clusters=st.integers(1, 5),
    seed=st.integers(0, 99),
    least=st.integers(1, 6),
    init=st.sampled_from(["moments", "uniform"]),
)
def test_any_table(rows: np.ndarray, parties: int, n_clusters: int, seed: int, least: int, init: str) -> None:
    keys: dict[str, Any] = {"seed": seed, "min_cluster_size": least, "init": init, "n_init": 2, "reveal_sizes": True}
    check_against_plaintext(job_for(rows, parties, n_clusters, **keys), rows)


def test_other_divisions_among_the_parties_change_nothing() -> None:
    models = [
        check_against_plaintext(job_for(BLOBS, len(shares), 4, seed=3, reveal_sizes=True), BLOBS, shares)
        for shares in ((30, 30), (10, 20, 30), (1, 1, 1, 57))
    ]
    assert all(model == models[0] for model in models)


def test_the_ledger_names_what_all_parties_learn_and_when() -> None:
    job = job_for(BLOBS, 3, 4, n_init=2, seed=1, reveal_sizes=True, reveal_inertia=True, max_iter=2)
    ledger = run_protocol(job, tables_of(job, BLOBS))[0][1].ledger
    assert [(entry.what, entry.to, entry.iteration) for entry in ledger] == [
        (may.ROW_COUNTS.what, ALL, None),
        (may.MOMENTS.what, ALL, None),
        (may.CENTROIDS.what, ALL, 1),
        (may.CENTROIDS.what, ALL, 2),
        (may.BEST_RESTART.what, ALL, None),
        (may.FINAL_CENTROIDS.what, ALL, None),
        (may.FINAL_SIZES.what, ALL, None),
        (may.INERTIA.what, ALL, None),
        (may.OWN_LABELS.what, "party_1", None),
    ]


class TestJob:
    def test_two_parties_are_refused_unless_they_accept_it(self) -> None:
        with pytest.raises(JobError, match="accept_two_parties"):
            job_for(BLOBS, 2, 4, accept_two_parties=False)
        assert len(job_for(BLOBS, 2, 4).parties) == 2

    def test_aggregate_needs_three(self) -> None:
        with pytest.raises(JobError, match="three parties or more"):
            job_for(BLOBS, 2, 4, mode="aggregate")

    def test_aggregate_has_no_key(self) -> None:
        with pytest.raises(JobError, match="key_bits"):
            job_for(BLOBS, 3, 4, mode="aggregate", key_bits=3072)

    def test_starts_at_rows_are_refused(self) -> None:
        with pytest.raises(JobError, match="init: Input should be 'moments' or 'uniform'"):
            job_for(BLOBS, 3, 4, init="farthest")
