"""The mall customers: the project's own table, and the names of its clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

PATH: Final = Path(__file__).with_name("mall_customers.csv")
"""A link to ``data/`` in a checkout, a file of its own in an installed package."""
COLUMNS: Final = ("Annual Income (k$)", "Spending Score (1-100)")
BOUNDS: Final = ((0.0, 0.0), (150.0, 100.0))
"""Chosen without reading the rows: incomes in thousands of dollars, and a score out of 100."""


def segment_names(columns: Sequence[str], centroids: np.ndarray) -> list[str] | None:
    """Name the clusters as the two-party paper names the mall's segments, in its section 3.

    Parameters
    ----------
    columns : sequence of str
    centroids : (n_clusters, n_features), original units
        NaN where a centroid is not known.

    Returns
    -------
    One name for each centroid; None where these are not the mall's five clusters.

    Notes
    -----
    The cluster nearest to the middle of all centroids is "General"; the others are named by the side of it on
    which their income and their spending lie.
    """
    if tuple(columns) != COLUMNS or len(centroids) != 5 or np.isnan(centroids).any():
        return None
    offsets = centroids - centroids.mean(axis=0)
    corners = {(True, False): "Miser", (True, True): "Target", (False, False): "Careful", (False, True): "Spendthrift"}
    names = [corners[bool(income > 0), bool(spending > 0)] for income, spending in offsets]
    names[int((offsets**2).sum(axis=1).argmin())] = "General"
    return names if len(set(names)) == 5 else None
