"""A run of two parties that hold columns, computed by hand: four common rows in two clusters of the same size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from secure_kmeans.job import Scaling
from secure_kmeans.job.ledger import ALL, Entry
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult, KMeansModel
from secure_kmeans.job.result import Costs
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from secure_kmeans.tables import Table

STARTED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

COLUMNS = ("x", "a.y", "b.y")
JOINED = [[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [4.0, 1.0, 3.0], [4.0, 2.0, 3.0]]
"""The rows p, q, r and s, in the order of the run."""
TABLES = {
    "a": Table(
        "a.csv",
        ("x", "y"),
        np.array([[4.0, 2.0], [1.0, 2.0], [0.5, 0.5], [1.0, 1.0], [4.0, 1.0]]),
        ids=("s", "q", "only a", "p\u00e9", "r"),
    ),
    "b": Table(
        "b.csv",
        ("y",),
        np.array([[3.0], [1.0], [7.0], [3.0], [7.5], [1.0]]),
        ids=("r", "pe\u0301", "only b", "s", "only b, too", "q"),
    ),
}
"""The identifier of row p stands in one normal form at a, and in another at b."""
ROWS = {"a": [3, 1, 4, 0], "b": [1, 5, 0, 3]}
LABELS = [1, 1, 0, 0]
START = ((4.0, 1.0, 3.0), (1.0, 1.0, 1.0))
CENTERS = [[4.0, 1.5, 3.0], [1.0, 1.5, 1.0]]
"""In the order in which the run began with them."""
GRID = [[1 << 23, 3 << 20, 3 << 21], [1 << 21, 3 << 20, 1 << 21]]
"""In units of 2^-24 of a range of 8, which is that of b's column."""
OWN_COLUMNS = {"a": slice(0, 2), "b": slice(2, 3)}


def columns_job(**values: Any) -> SvkJob:
    keys: dict[str, Any] = {
        "parties": (ColumnsParty(name="a", columns=("x", "y")), ColumnsParty(name="b", columns=("y",))),
        "id": "key",
        "most_rows": 100,
        "n_clusters": 2,
        "scaling": Scaling.of(lower=(0.0, 0.0, 0.0), upper=(4.0, 4.0, 8.0)),
        "precision_bits": 24,
        "centroids": START,
        "min_cluster_size": 1,
    }
    return SvkJob.of(**(keys | values))


def columns_model(**values: Any) -> KMeansModel:
    """What all parties learned where each knows the centroids in its own columns."""
    keys: dict[str, Any] = {
        "centroids": None,
        "grid_centroids": None,
        "tie_order": [0, 1],
        "withheld": [],
        "sizes": [2, 2],
        "inertia": 1.0,
        "mean_distance": None,
        "n_iter": 2,
        "converged": True,
        "best_restart": 0,
        "seed": None,
        "sizes_by_iteration": [[2, 2], [2, 2]],
    }
    return KMeansModel(**(keys | values))


def columns_result(party: str, own: dict[str, Any] | None = None, **values: Any) -> ColumnsResult:
    """A party's result; ``own`` are keys of its own part, ``values`` the model's."""
    columns = OWN_COLUMNS[party]
    keys: dict[str, Any] = {
        "rows": ROWS[party],
        "labels": LABELS,
        "centroids": [center[columns] for center in CENTERS],
        "grid_centroids": [center[columns] for center in GRID],
        "seconds_by_iteration": [0.25, 0.75],
    }
    return ColumnsResult(
        role=party,
        n_samples={"a": 4, "b": 4},
        common=columns_model(**values),
        own=ColumnsOwn(**(keys | (own or {}))),
        ledger=[Entry(what="stop bit", to=ALL, iteration=1)],
        started=STARTED,
        ended=STARTED + timedelta(seconds=2),
        seconds=2.0,
        session="0a" * 16,
        table_digest=TABLES[party].digest.hex(),
        costs={name: Costs(rounds=3, bytes_sent=30) for name in ("a", "b", "dealer")},
    )


def columns_results(own: dict[str, Any] | None = None, **values: Any) -> list[ColumnsResult]:
    return [columns_result("a", own, **values), columns_result("b", own, **values)]


UNKNOWN: dict[str, Any] = {"centroids": None, "grid_centroids": None}
"""The own part of a party that learns no centroid in its own columns."""
NO_LABELS: dict[str, Any] = {"labels": []}
"""The own part of a party that learns no label."""
WHOLE: dict[str, Any] = {
    "centroids": CENTERS[::-1],
    "grid_centroids": GRID[::-1],
    "tie_order": [1, 0],
}
"""The model where all parties learn all columns: the clusters are in the order of their centroids, too."""
