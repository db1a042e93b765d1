"""Predictions by a model of which each party keeps its columns, or its share: the labels of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from secure_kmeans.errors import DataError, JobError, MismatchError, StateError
from secure_kmeans.job.ledger import ALL
from secure_kmeans.job.model import ColumnsResult
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols.svk import SVK, SvkJob
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.job import DEALER, Disclose
from secure_kmeans.tables import Table
from tests.protocols.columns import (
    fit,
    job_for,
    joined,
    scattered,
    side_by_side,
    start_in_secret_at,
    tables_of,
)
from tests.threads import run_protocol

ROWS = make_blobs(60, centers=4, n_features=4, random_state=1)[0]
NEW = ROWS[::-1] * 1.01 + 0.5
SESSION = "5e" * 32


def models_of(results: Sequence[ColumnsResult]) -> dict[str, bytes]:
    kept = {result.role: SVK.model_kept(result) for result in results}
    return {party: share for party, share in kept.items() if share is not None}


def predicted_by(fitted: SvkJob, results: Sequence[ColumnsResult], rows: np.ndarray, **changes: Any) -> list[Any]:
    """The parties' results of a prediction of other rows."""
    job = fitted.prediction(SESSION).model_copy(update=changes)
    found: list[Any] = run_protocol(job, tables_of(job, rows), models=models_of(results))[0]
    return found


def expected(fitted: SvkJob, results: Sequence[ColumnsResult], rows: np.ndarray) -> list[int]:
    """The nearest of the fit's joined centroids of each row, where no cluster of the fit lost the rows it had.

    The centroid of a cluster that lost its rows stays where it was and takes new rows, but is not disclosed. So the
    fits of these tests have a seed, or centers apart.
    """
    grid = side_by_side(fitted, results, "grid_centroids")
    assert results[0].common is not None
    labels: list[int] = label_rows(fitted, grid, rows, results[0].common.tie_order).tolist()  # type: ignore[arg-type]
    return labels


@pytest.mark.parametrize("widths", [(1, 3), (1, 2, 1)])
@pytest.mark.parametrize("hide_labels", [False, True])
@pytest.mark.parametrize("n_clusters", [1, 4, 12])
def test_new_rows_get_the_label_of_the_nearest_centroid(
    widths: tuple[int, ...], hide_labels: bool, n_clusters: int
) -> None:
    disclose = Disclose(labels="all")
    fitted = job_for(ROWS, widths, n_clusters, n_init=2, seed=1, hide_labels=hide_labels, disclose=disclose)
    results = fit(fitted, ROWS)
    assert set(models_of(results)) == set(fitted.names)
    same = predicted_by(fitted, results, ROWS)
    assert [result.own.labels for result in same] == [result.own.labels for result in results]
    other = predicted_by(fitted, results, NEW)
    assert [result.own.labels for result in other] == [expected(fitted, results, NEW)] * len(widths)
    assert [result.common for result in other] == [None] * len(widths)


@pytest.mark.parametrize("hide_labels", [False, True])
def test_some_parties_alone_learn_the_labels(hide_labels: bool) -> None:
    fitted = job_for(ROWS, (1, 2, 1), 4, init="random", seed=1, hide_labels=hide_labels)
    results = fit(fitted, ROWS)
    to_some = predicted_by(fitted, results, NEW, disclose=Disclose(labels=("party_2", "party_0")))
    labels = expected(fitted, results, NEW)
    assert [result.own.labels for result in to_some] == [labels, [], labels]
    told = [(entry.what, entry.to) for entry in to_some[1].ledger]
    assert told == [
        (may.ROW_COUNTS.what, ALL),
        (may.ROW_COUNTS.what, DEALER),
        (may.LABELS_TO_SOME.what, "party_0"),
        (may.LABELS_TO_SOME.what, "party_2"),
    ]
    to_all = predicted_by(fitted, results, NEW)
    assert [entry.what for entry in to_all[0].ledger][2:] == [may.FINAL_LABELS.what]


def test_a_prediction_goes_to_the_parties_that_learned_the_labels_of_the_fit() -> None:
    fitted = job_for(ROWS, (1, 2, 1), 4, hide_labels=True, disclose={"labels": ("party_1",), "centroids": "nobody"})
    results = fit(fitted, ROWS)
    assert [len(result.own.labels) for result in results] == [0, 60, 0]
    predicted = predicted_by(fitted, results, ROWS)
    assert [result.own.labels for result in predicted] == [result.own.labels for result in results]


@pytest.mark.parametrize("hide_labels", [False, True])
def test_rows_that_not_all_parties_have(hide_labels: bool) -> None:
    keys: dict[str, Any] = {"align": "psi", "id": "no", "most_rows": 70, "hide_labels": hide_labels}
    fitted = job_for(ROWS, (1, 2, 1), 4, **keys)
    results, _ = run_protocol(fitted, scattered(fitted, ROWS, extra=3))
    job = fitted.prediction(SESSION)
    assert job.align == "psi"
    tables = scattered(job, NEW[:5], extra=2, seed=4)
    predicted, _ = run_protocol(job, tables, models=models_of(results))
    rows = joined(tables, predicted)
    assert len(rows) == 5
    assert [result.own.labels for result in predicted] == [expected(fitted, results, rows)] * 3
    one = scattered(job, NEW[:1], extra=2, seed=4)
    assert len(run_protocol(job, one, models=models_of(results))[0][0].own.labels) == 1
    nothing = {name: Table(name, table.columns, table.rows, ids=_own(name, len(table))) for name, table in one.items()}
    with pytest.raises(MismatchError, match="fewer than 1 row in common"):
        run_protocol(job, nothing, models=models_of(results))


def _own(name: str, n: int) -> tuple[str, ...]:
    return tuple(f"{name}-{number}" for number in range(n))


def test_a_cluster_that_never_had_a_row_gets_no_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its secret centroid would be nearer to some rows than those that have rows."""
    rows = np.repeat(np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 8.0]]), 4, axis=0)
    start = np.array([[0.0, 8.0], [0.0, 0.0], [8.0, 0.0], [8.0, 8.0]])  # the first is at no row
    for order in ([0, 1, 2, 3], [1, 0, 2, 3], [3, 2, 1, 0]):
        start_in_secret_at(monkeypatch, start[order][None])
        fitted = job_for(rows, (1, 1), 4)
        results = fit(fitted, rows)
        assert results[0].common is not None
        assert (results[0].common.sizes, results[0].common.withheld) == ([4, 4, 4, None], [3])
        grid = side_by_side(fitted, results, "grid_centroids")
        assert grid[3] is None
        new = np.array([[0.0, 8.0], [1.0, 7.0], [0.0, 4.0], [4.0, 8.0], [7.0, 1.0], [4.0, 4.0], [0.0, 0.0]])
        predicted = predicted_by(fitted, results, new)
        assert predicted[0].own.labels == expected(fitted, results, new)
        assert 3 not in predicted[0].own.labels
        same = predicted_by(fitted, results, rows)
        assert same[1].own.labels == results[1].own.labels


def test_a_cluster_whose_first_rows_were_found_by_the_last_labelling_gets_no_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No mean of it was taken: its centroid is as secret as that of a cluster that never had a row."""
    rows = np.array([[0.0, 0.0]] * 4 + [[3.0, 3.0], [1.0, 2.0]])
    start_in_secret_at(monkeypatch, np.array([[[3.0, 3.0], [3.0, 3.0], [0.0, 0.0]]]))
    fitted = job_for(rows, (1, 1), 3, max_iter=1)
    results = fit(fitted, rows)
    assert results[0].own.labels == [0, 0, 0, 0, 2, 1], "[3, 3] is nearest to the one that stayed there"
    labels = expected(fitted, results, rows)
    assert labels == [0, 0, 0, 0, 1, 1]
    assert predicted_by(fitted, results, rows)[0].own.labels == labels


def test_the_secret_centroid_of_a_cluster_without_rows_is_not_in_the_model_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.repeat(np.array([[0.0, 0.0], [8.0, 0.0]]), 4, axis=0)
    kept = []
    for secret in (0.0, 8.0):
        start_in_secret_at(monkeypatch, np.array([[[0.0, 0.0], [8.0, 0.0], [8.0, secret]]]))
        scaled = np.array([[0.0, 0.0], [8.0, 8.0]])
        fitted = job_for(np.concatenate([rows, scaled]), (1, 1), 3)
        results = fit(fitted, rows)
        assert results[0].common is not None
        assert results[0].common.withheld == [2]
        kept.append(models_of(results))
    assert kept[0] == kept[1]


def test_ties_are_broken_as_in_the_fit() -> None:
    # 4 lies in the middle of the means 1 and 7; the fit counts it to the first of them, which is the smaller cluster.
    rows = np.array([[0.0]] * 3 + [[4.0]] + [[7.0]] * 6 + [[6.0], [8.0]]) * np.ones((1, 2))
    for hide_labels in (False, True):
        disclose = Disclose(labels="all")
        keys: dict[str, Any] = {"centroids": ((1.0, 1.0), (7.0, 7.0)), "hide_labels": hide_labels, "disclose": disclose}
        fitted = job_for(rows, (1, 1), 2, **keys)
        results = fit(fitted, rows)
        assert results[0].own.labels == [1, 1, 1, 1] + [0] * 8
        assert predicted_by(fitted, results, rows)[0].own.labels == results[0].own.labels
        assert expected(fitted, results, rows) == results[0].own.labels


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("hide_labels", [False, True])
def test_a_fit_that_did_not_converge(most: int, hide_labels: bool) -> None:
    rows = np.random.default_rng(2).random((40, 4))
    disclose = {"labels": "all"}
    fitted = job_for(rows, (1, 3), 5, init="random", seed=1, max_iter=most, hide_labels=hide_labels, disclose=disclose)
    results = fit(fitted, rows)
    assert results[0].common is not None
    assert not results[0].common.converged
    predicted = predicted_by(fitted, results, rows)
    assert [result.own.labels for result in predicted] == [result.own.labels for result in results]


def test_hidden_counts_label_by_the_coarse_centroids() -> None:
    fitted = job_for(ROWS, (1, 3), 4, seed=2, hide_labels=True, hide_counts=True)
    results = fit(fitted, ROWS)
    predicted = predicted_by(fitted, results, NEW)
    assert predicted[0].own.labels == expected(fitted, results, NEW)


def test_rows_far_outside_the_bounds() -> None:
    fitted = job_for(ROWS, (1, 3), 3, seed=2)
    results = fit(fitted, ROWS)
    far = ROWS + np.array([300.0, 0.0, -200.0, 0.0])
    table = tables_of(fitted, far)["party_0"]
    job = fitted.prediction(SESSION)
    assert len(SVK.check(job, job.role("party_0"), table)) == 1, "it is taken, with the advice about its order"
    assert predicted_by(fitted, results, far)[0].own.labels == expected(fitted, results, far)
    with pytest.raises(DataError, match="too far outside the bounds"):
        SVK.check(job, job.role("party_0"), tables_of(fitted, ROWS * 1e9)["party_0"])


def test_no_rows() -> None:
    fitted = job_for(ROWS, (1, 3), 3, seed=2)
    results = fit(fitted, ROWS)
    assert [result.own.labels for result in predicted_by(fitted, results, ROWS[:0])] == [[], []]


def test_a_model_of_another_shape_is_refused() -> None:
    fitted = job_for(ROWS, (1, 3), 3, seed=2)
    job = fitted.prediction(SESSION)
    for kept in ({}, dict.fromkeys(job.names, bytes(16)), {"party_0": bytes(8 * 3 * 5)}):
        with pytest.raises(StateError, match="there is no share of the model that the job names"):
            run_protocol(job, tables_of(job, ROWS), models=kept)


def test_a_prediction_keeps_the_division_of_the_columns() -> None:
    fitted, other = job_for(ROWS, (1, 3), 3, seed=2), job_for(ROWS, (2, 2), 3, seed=2)
    SVK.check_model(fitted.prediction(SESSION), fitted)
    with pytest.raises(JobError, match=r"^parties: the model is of other columns of each party; use the run's own"):
        SVK.check_model(other.prediction(SESSION), fitted)
    hidden = fitted.model_copy(update={"hide_labels": True})
    with pytest.raises(JobError, match="hide_labels"):
        SVK.check_model(hidden.prediction(SESSION), fitted)
