"""What a party sends in a run of SVK is none of its numbers: not its columns, nor its shares of distances or movements.

A party's columns are its share of every distance. So the parties' messages are searched for all these numbers, in every
number of bytes in which they could travel.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Scaling
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.mpc.columns import own_scores
from secure_kmeans.mpc.dealer import DealingProvider, ReceivingProvider
from secure_kmeans.net.messages import decode_object
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.protocols.svk import SvkJob
from tests.protocols.columns import check_svk_against_plaintext, job_for, joined, scattered, tables_of
from tests.threads import run_protocol

ROWS = np.random.default_rng(5).random((50, 5)) + 0.25
WIDTHS = (2, 1, 2)
PATTERN_BYTES = 5
"""Fewer than a masked difference takes; and so many that no other number is equal by chance."""

WAYS: dict[str, dict[str, Any]] = {
    "known start": {"init": "random"},
    "start on shares": {"init": "farthest"},
    "draws": {"init": "k-means++"},
    "stop rule": {"init": "random", "tol": 0.01},
    "many clusters": {"init": "random", "n_clusters": 11},
    "hidden labels": {"hide_labels": True, "init": "random", "min_cluster_size": 2},
    "hidden counts": {"hide_labels": True, "hide_counts": True, "init": "random"},
    "aligned": {"align": "psi", "id": "no", "most_rows": 60, "init": "random"},
}


def job_of(way: str) -> SvkJob:
    keys = {"n_init": 2, "seed": 6} | WAYS[way]
    return job_for(ROWS, WIDTHS, keys.pop("n_clusters", 4), **keys)


def secrets_of(job: SvkJob, rows: np.ndarray, party: str) -> dict[str, np.ndarray]:
    """The numbers of a party that nobody else may see, in each iteration of each start."""
    mine = job.columns_of(party)
    X = FixedPoint(job.precision_bits).encode(job.scaling.apply(rows))[:, mine]
    by_column = FixedPoint(job.mean_bits(len(rows))).encode(job.scaling.by_column.apply(rows))[:, mine]
    columns = np.ascontiguousarray(X.T)
    found: dict[str, list[np.ndarray]] = {"columns": [X, by_column, X.sum(axis=0)], "squares": [X * X]}
    for run in run_in_the_clear(job, rows, job.seed or 0):
        path = FixedPoint(job.precision_bits).encode(np.array([*run.centroids_by_iteration, run.centroids]))[:, :, mine]
        moved = path[1:] - path[:-1]
        found.setdefault("centroids", []).append(path)
        found.setdefault("movements", []).extend([moved, (moved * moved).sum(axis=(1, 2))])
        for C in path:
            found.setdefault("scores", []).append(own_scores(np.ascontiguousarray(C[None]), columns))
            distances = ((X[:, None] - C) ** 2).sum(axis=2)
            found.setdefault("distances", []).append(distances)
    return {what: np.concatenate([each.reshape(-1) for each in parts]) for what, parts in found.items()}


def patterns_of(secrets: np.ndarray) -> np.ndarray:
    """The lowest bytes of the numbers and of their negatives, but of small ones, which are equal by chance."""
    lowest = np.unique(np.concatenate([secrets, -secrets]) & ((1 << 8 * PATTERN_BYTES) - 1))
    few = 1 << 16
    return lowest[(lowest >= few) & (lowest < (1 << 8 * PATTERN_BYTES) - few)]


def windows_of(sent: list[Any]) -> np.ndarray:
    """Each run of bytes of all messages, as a number."""
    found = [np.empty(0, dtype=np.int64)]
    for part in sent:
        data = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part.reshape(-1).view(np.uint8)
        if data.size >= PATTERN_BYTES:
            windows = np.lib.stride_tricks.sliding_window_view(data, PATTERN_BYTES).astype(np.int64)
            found.append((windows << 8 * np.arange(PATTERN_BYTES)).sum(axis=1))
    return np.concatenate(found)


def travelling(job: SvkJob) -> Iterator[tuple[str, str]]:
    """Each party with the kind of its secret numbers of which some are in what it sends."""
    tables = tables_of(job, ROWS) if job.align == "none" else scattered(job, ROWS, extra=3)
    results, threads = run_protocol(job, tables)
    rows = joined(tables, results)
    check_svk_against_plaintext(job, rows, results)
    for party in job.names:
        sent = windows_of([part for (sender, _), parts in threads.sent.items() for part in parts if sender == party])
        assert sent.size > 1000
        for what, secrets in secrets_of(job, rows, party).items():
            assert len(patterns_of(secrets)) > 3
            if np.isin(sent, patterns_of(secrets)).any():
                yield party, what


@pytest.mark.parametrize("way", WAYS)
def test_no_number_of_a_party_travels(way: str) -> None:
    assert list(travelling(job_of(way))) == []


def test_the_search_finds_numbers_that_travel_without_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: Any, *shape: int) -> np.ndarray:
        return np.zeros(shape, dtype=np.int64)

    for side in (ReceivingProvider, DealingProvider):
        monkeypatch.setattr(side, "uniform", nothing)
    found = set(travelling(job_of("known start")))
    assert {("party_0", "scores"), ("party_1", "scores"), ("party_2", "scores")} <= found
    assert {("party_1", "movements"), ("party_2", "movements")} <= found  # the first adds the bound, less a unit


def test_centroids_travel_only_where_they_are_disclosed() -> None:
    job = job_for(ROWS, WIDTHS, 4, n_init=2, seed=6, init="random", disclose={"centroids": "all"})
    assert {what for _, what in travelling(job)} <= {"centroids", "columns"}
    assert ("party_1", "centroids") in set(travelling(job))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "aligned"])
def test_the_dealer_receives_numbers_of_rows_and_which_starts_go_on(way: str) -> None:
    job = job_of(way)
    _, threads = run_protocol(job, tables_of(job, ROWS))
    assert [sender for sender, receiver in threads.sent if receiver == "dealer"] == ["party_0"]
    resumed, counts, *turns = [decode_object(told) for told in threads.sent["party_0", "dealer"]]
    assert (resumed, counts) == (None, [len(ROWS)] * 3)
    flagged = not job.start_is_known and not job.hide_labels
    going_on = [turn[0] if flagged else turn for turn in turns]
    assert all(set(later) <= set(earlier) <= {0, 1} for earlier, later in pairwise(going_on))
    assert [turn[1] for turn in turns if flagged] == [False] * len(turns) * flagged


# --------------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("hide_labels", [False, True])
@pytest.mark.parametrize(
    ("d", "k", "method", "largest"),
    [(1, 2, "uniform", 1.0), (40, 3, "uniform", 1.0), (3, 4, "none", 5000.0), (300, 2, "minmax", 1e9)],
)
def test_rows_in_the_corners_of_the_bounds(d: int, k: int, method: str, largest: float, hide_labels: bool) -> None:
    """The largest distances, movements and sums, compared with integers of Python's in the plaintext."""
    generator = np.random.default_rng(d)
    corner = -largest if method == "none" else 0.0
    rows = np.where(generator.integers(0, 2, (30, d)), largest, corner)
    rows[:2] = [[corner] * d, [largest] * d]
    lower, upper = (corner,) * d, (largest,) * d
    scaling = Scaling.of(method=method, lower=lower, upper=upper)
    widths = (d - d // 2, d // 2) if d > 1 else (1, 1)
    if d == 1:
        rows, scaling = np.repeat(rows, 2, axis=1), Scaling.of(lower=lower * 2, upper=upper * 2)
    start = np.array([lower, *[upper] * (k - 1)]) if d > 1 else np.array([[0.0, 0.0], [1.0, 1.0]])
    for keys in ({"centroids": tuple(map(tuple, start.tolist()))}, {"seed": 1, "init": "random", "n_init": 3}):
        job = job_for(rows, widths, k, scaling=scaling, hide_labels=hide_labels, **keys)
        results, _ = run_protocol(job, tables_of(job, rows))
        check_svk_against_plaintext(job, rows, results)
