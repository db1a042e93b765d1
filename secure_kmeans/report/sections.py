"""The sections of a k-means report, as ``docs/report.md`` describes them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import ConfigDict

from secure_kmeans.job import Scaling
from secure_kmeans.report.report import Report, Section

Centers = list[list[float] | None]
"""Original units; None in the place of a cluster that is withheld."""
Counts = list[int | None]
"""None in the place of a cluster that is withheld, or too small."""


def centers_array(centers: Centers | None, n_clusters: int, n_features: int) -> np.ndarray:
    """(n_clusters, n_features) float64, NaN where a center is withheld."""
    found = np.full((n_clusters, n_features), np.nan)
    for number, center in enumerate(centers or []):
        if center is not None:
            found[number] = center
    return found


class KMeansSection(Section):
    """What a fit found, and from which start. Clusters count from 0, in the order of ``cluster_centers``."""

    model_config = ConfigDict(extra="forbid")

    cluster_centers: Centers | None
    grid_centers: list[list[int] | None] | None
    tie_order: list[int]
    centroid_grid: list[float] | None
    cluster_names: list[str] | None
    withheld: list[int]
    min_cluster_size: int
    counts: Counts | None
    counts_by_iteration: list[Counts]
    inertia: float | None
    mean_distance: float | None
    n_iter: int
    converged: bool
    n_clusters: int
    init: str
    n_init: int
    max_iter: int
    tol: float
    seed: int | None
    scaling: Scaling
    precision_bits: int
    best_restart: int
    engine: str | None
    mode: str | None = None
    leader: str | None = None
    remarks: list[str]


class PlaintextSection(Section):
    """The run in the clear from the same start, rounded as the encrypted one, and the inertia without rounding.

    Original units. ``inertia_by_iteration`` holds the inertia at the start of each iteration.
    """

    model_config = ConfigDict(extra="forbid")

    cluster_centers: Centers
    withheld: list[int]
    counts: Counts
    inertia: float
    inertia_in_double_precision: float
    mean_distance: float
    n_iter: int
    converged: bool
    counts_by_iteration: list[Counts]
    inertia_by_iteration: list[float]


class AgreementSection(Section):
    """Encrypted against plaintext, after the clusters are matched one to one. What cannot be compared is None."""

    model_config = ConfigDict(extra="forbid")

    max_centroid_error: float | None
    label_agreement: float | None
    adjusted_rand: float | None


class KMeansReport(Report):
    """The report of a fit."""

    result: KMeansSection
    plaintext: PlaintextSection | None
    agreement: AgreementSection | None


class PredictionSection(Section):
    """What a prediction found. The labels stand in their owner's file alone."""

    model_config = ConfigDict(extra="forbid")

    task: Literal["predict"] = "predict"
    n_labels: int


class PredictionReport(Report):
    """The report of a prediction."""

    result: PredictionSection
    plaintext: None = None
    agreement: None = None
