"""A run of two parties, computed by hand: five rows in two clusters, in a range of 4."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from secure_kmeans.job import Clustering, Scaling
from secure_kmeans.job.ledger import ALL, Entry
from secure_kmeans.job.model import KMeansModel, KMeansOwn, KMeansResult
from secure_kmeans.job.result import Costs
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.report.kmeans import InTheClear, report_in_the_clear, report_of_kmeans
from secure_kmeans.report.sections import KMeansReport
from secure_kmeans.tables import Table
from tests.jobs import a_job_of

STARTED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TABLES = {
    "a": Table("a.csv", ("x", "y"), np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 1.5]])),
    "b": Table("b.csv", ("x", "y"), np.array([[4.0, 1.0], [4.0, 2.0]])),
}
LEDGER = [
    Entry(what="number of rows of each party", to=ALL),
    Entry(what="stop bit", to=ALL, iteration=1),
    Entry(what="labels of its own rows", to="a"),
]
COSTS = {
    "a": Costs(rounds=9, bytes_sent=90),
    "b": Costs(rounds=8, bytes_sent=80),
    "dealer": Costs(rounds=7, bytes_sent=70),
}
LABELS = {"a": [1, 1, 1], "b": [0, 0]}
LABELS_IN_USUAL_ORDER = {"a": [0, 0, 0], "b": [1, 1]}
START = ((1.0, 1.0), (4.0, 2.0))

CLUSTERING: dict[str, Any] = {
    "columns": ("x", "y"),
    "n_clusters": 2,
    "n_init": 3,
    "scaling": Scaling.of(lower=(0.0, 0.0), upper=(4.0, 4.0)),
    "precision_bits": 24,
    "min_cluster_size": 1,
}


def clustering_with(**values: Any) -> Clustering:
    return Clustering.of(**(CLUSTERING | values))


def job_with(**values: Any) -> ShkJob:
    return a_job_of(ShkJob, "a", "b", **(CLUSTERING | {"seed": 5} | values))


def prediction() -> ShkJob:
    """The job that labels rows by the model of the encrypted run, if that had stayed in shares."""
    return job_with().prediction("5e" * 32)


def model_with(**values: Any) -> KMeansModel:
    """What all parties learned: the clusters stand in the other order than those in the clear."""
    keys: dict[str, Any] = {
        "centroids": [[4.0, 1.5], [1.0, 1.53125]],
        "grid_centroids": [[4 << 22, 3 << 21], [1 << 22, 49 << 17]],
        "tie_order": [1, 0],
        "withheld": [],
        "sizes": [2, 3],
        "inertia": 1.0009765625,
        "mean_distance": None,
        "n_iter": 2,
        "converged": True,
        "best_restart": 1,
        "seed": 5,
        "sizes_by_iteration": [[None, 4], [2, 3]],
    }
    return KMeansModel(**(keys | values))


def results_with(**values: Any) -> list[KMeansResult]:
    """The results of both parties; ``values`` are the model's."""
    return [result_of("a", 3.5, [0.25, 0.75], **values), result_of("b", 3.25, [0.5, 1.5], **values)]


def result_of(party: str, seconds: float, by_iteration: list[float], **values: Any) -> KMeansResult:
    labels = LABELS_IN_USUAL_ORDER if values.get("withheld") else LABELS
    return KMeansResult(
        role=party,
        n_samples={"a": 3, "b": 2},
        common=model_with(**values),
        own=KMeansOwn(labels=labels[party], seconds_by_iteration=by_iteration),
        ledger=LEDGER,
        started=STARTED,
        ended=STARTED + timedelta(seconds=seconds),
        table_digest=TABLES[party].digest.hex(),
        seconds=seconds,
        session="0a" * 16,
        costs=COSTS,
    )


WITHHELD: dict[str, Any] = {
    "centroids": [[1.0, 1.53125], None],
    "grid_centroids": [[1 << 22, 49 << 17], None],
    "withheld": [1],
    "sizes": [3, None],
    "inertia": 0.5009765625,
    "sizes_by_iteration": [[4, None], [3, None]],
}
"""What all parties learned where ``min_cluster_size`` is 3: nothing of the cluster of party b."""
HIDDEN: dict[str, Any] = {"sizes": None, "sizes_by_iteration": []}
"""What all parties learned of the sizes with ``hide_counts``."""
NOTHING: dict[str, Any] = {"centroids": None, "grid_centroids": None, "inertia": None}
"""What all parties learned of the centroids where nobody does."""


def clear_with(**values: Any) -> InTheClear:
    """The run in the clear from rows 0 and 4, which are given."""
    return InTheClear.of(clustering_with(**({"centroids": START} | values)), TABLES, None)


def report_with(**values: Any) -> KMeansReport:
    """The report of the encrypted run; ``values`` are the job's."""
    return report_of_kmeans(job_with(**values), results_with(), clear_with())


def clear_report(**values: Any) -> KMeansReport:
    return report_in_the_clear(clear_with(**values), started=STARTED, total_s=0.5)
