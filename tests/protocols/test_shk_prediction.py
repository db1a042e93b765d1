"""Predictions by a model that stays in shares: the labels of the fit, and nothing but them."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from secure_kmeans.errors import StateError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.job.ledger import ALL
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.shk import disclosures as may
from secure_kmeans.protocols.shk.job import DEALER, Disclose
from secure_kmeans.tables import Table
from tests.threads import run_protocol

BLOBS = make_blobs(60, centers=4, n_features=3, random_state=1)[0]
NOBODY = {"disclose": {"centroids": "nobody"}}
SESSION = "5e" * 32


def job_for(rows: np.ndarray, parties: int, n_clusters: int, **keys: Any) -> ShkJob:
    d = rows.shape[1]
    return ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(parties))),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=n_clusters,
        scaling=Scaling(lower=tuple(rows.min(axis=0)), upper=tuple(rows.max(axis=0))),
        precision_bits=choose_precision_bits(d, n_clusters, 1.0),
        **({"n_init": 2} if "task" not in keys else {}) | keys,
    )


def prediction_by(fitted: ShkJob) -> ShkJob:
    return ShkJob.of(
        task="predict",
        model=SESSION,
        **fitted.model_dump(include={"parties", "columns", "n_clusters", "scaling", "precision_bits", "engine"}),
    )


def tables_of(job: ShkJob, rows: np.ndarray) -> dict[str, Table]:
    parts = np.array_split(rows, len(job.parties))
    return {name: Table(name, job.columns, part) for name, part in zip(job.names, parts, strict=True)}


def models_of(results: list[Any]) -> dict[str, bytes]:
    kept = {result.role: SHK.model_kept(result) for result in results}
    return {party: share for party, share in kept.items() if share is not None}


def labels_of(results: list[Any]) -> list[list[int]]:
    return [result.own.labels for result in results]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_rows_of_the_fit_get_its_labels(parties: int, hidden: bool) -> None:
    fitted = job_for(BLOBS, parties, 4, hide_counts=hidden, **NOBODY)
    tables = tables_of(fitted, BLOBS)
    results, _ = run_protocol(fitted, tables)
    assert results[0].common.centroids is None
    assert len(set(itertools.chain(*labels_of(results)))) > 2
    predicted, _ = run_protocol(prediction_by(fitted), tables, models=models_of(results))
    assert labels_of(predicted) == labels_of(results)


def test_ties_are_broken_as_in_the_fit() -> None:
    # 4 lies in the middle of the means 1 and 7; the fit counts it to the first of them, which is the smaller cluster.
    rows = np.array([[0.0]] * 3 + [[4.0]] + [[7.0]] * 6 + [[6.0], [8.0]])
    fitted = job_for(rows, 2, 2, centroids=((1.0,), (7.0,)), min_cluster_size=1)
    tables = tables_of(fitted, rows)
    public, _ = run_protocol(fitted, tables)
    assert labels_of(public) == [[1, 1, 1, 1, 0, 0], [0] * 6]
    model = public[0].common
    found = label_rows(fitted, model.grid_centroids, rows, model.tie_order)
    assert found.tolist() == list(itertools.chain(*labels_of(public)))
    secret = fitted.model_copy(update={"disclose": Disclose(centroids="nobody")})
    results, _ = run_protocol(secret, tables)
    predicted, _ = run_protocol(prediction_by(secret), tables, models=models_of(results))
    assert labels_of(predicted) == labels_of(results) == labels_of(public)


@pytest.mark.parametrize("max_iter", [1, 2])
def test_a_fit_that_did_not_converge(max_iter: int) -> None:
    fitted = job_for(BLOBS, 2, 4, n_init=1, max_iter=max_iter, **NOBODY)
    tables = tables_of(fitted, BLOBS)
    results, _ = run_protocol(fitted, tables)
    predicted, _ = run_protocol(prediction_by(fitted), tables, models=models_of(results))
    assert labels_of(predicted) == labels_of(results)


def test_a_model_with_withheld_clusters_labels_rows_of_all() -> None:
    rows = np.concatenate([np.zeros((9, 2)), np.full((2, 2), 9.0), [[9.0, 0.0]] * 9])
    fitted = job_for(rows, 2, 3, n_init=1, centroids=((0.0, 0.0), (9.0, 9.0), (9.0, 0.0)), min_cluster_size=5)
    tables = tables_of(fitted, rows)
    results, _ = run_protocol(fitted, tables)
    assert results[0].common.withheld == [2]
    assert models_of(results) == {}, "no share is kept where labels of many rows would locate a withheld centroid"
    shares = {result.role: base64.b64decode(result.own.model_share) for result in results}
    predicted, _ = run_protocol(prediction_by(fitted), tables, models=shares)
    assert labels_of(predicted) == labels_of(results)
    assert 2 in itertools.chain(*labels_of(predicted))


def test_where_all_is_public_no_party_keeps_a_share() -> None:
    fitted = job_for(BLOBS, 2, 4, min_cluster_size=1)
    results, _ = run_protocol(fitted, tables_of(fitted, BLOBS))
    assert models_of(results) == {}


def test_only_the_owner_learns_the_label_of_a_row() -> None:
    fitted = job_for(np.array([[0.0, 0.0], [10.0, 10.0]]), 3, 2)
    job = prediction_by(fitted)
    one = 1 << job.precision_bits
    model = np.array([[0, 0], [one, one]], dtype=np.int64)  # (0, 0) and (10, 10)
    shares = [np.array([[5, -3], [1 << 62, 7]]), np.array([[-(1 << 63), 9], [4, 4]])]
    shares.append(model - shares[0] - shares[1])
    models = {name: kept_bytes(share) for name, share in zip(job.names, shares, strict=True)}
    rows = [np.array([[1.0, 1.0], [9.0, 9.5], [5.0, 5.0]]), np.empty((0, 2)), np.array([[300.0, -2.0]])]
    tables = {name: Table(name, job.columns, own) for name, own in zip(job.names, rows, strict=True)}
    results, _ = run_protocol(job, tables, models=models)
    assert labels_of(results) == [[0, 1, 0], [], [1]]  # (5, 5) ties: the lowest index
    assert [result.common for result in results] == [None] * 3
    told = [(entry.what, entry.to) for entry in results[2].ledger]
    assert told == [
        (may.ROW_COUNTS.what, ALL),
        (may.ROW_COUNTS.what, DEALER),
        (may.OWN_LABELS.what, "party_0"),
        (may.OWN_LABELS.what, "party_2"),
    ]


def kept_bytes(share: np.ndarray) -> bytes:
    numbered = np.concatenate([share, np.arange(len(share))[:, None]], axis=1)
    return numbered.astype("<i8").tobytes()


def test_a_prediction_without_any_row() -> None:
    job = prediction_by(job_for(BLOBS, 2, 1))
    tables = {name: Table(name, job.columns, np.empty((0, 3))) for name in job.names}
    results, _ = run_protocol(job, tables, models=dict.fromkeys(job.names, bytes(32)))
    assert labels_of(results) == [[], []]


def test_a_share_of_another_shape_is_refused() -> None:
    job = prediction_by(job_for(BLOBS, 2, 1))
    with pytest.raises(StateError, match="there is no share of the model that the job names"):
        run_protocol(job, tables_of(job, BLOBS), models=dict.fromkeys(job.names, bytes(16)))
