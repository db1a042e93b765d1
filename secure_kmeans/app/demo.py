"""The mall customers: the table that comes with the project, and what its clusters are called."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

PATH: Final = Path(__file__).resolve().parent.parent / "data" / "mall_customers.csv"
COLUMNS: Final = ("Annual Income (k$)", "Spending Score (1-100)")
BOUNDS: Final = ((0.0, 0.0), (150.0, 100.0))
"""Agreed without a look at the rows: incomes in thousands of dollars, and a score out of 100."""


def segment_names(columns: tuple[str, ...], centroids: np.ndarray) -> list[str] | None:
    """The segments of the two-party paper, section 3; None where these are not the mall's five clusters.

    Parameters
    ----------
    columns : tuple of str
    centroids : (n_clusters, n_features), original units

    Notes
    -----
    The cluster nearest to the middle of all centroids is "General"; the others are named by the side of it on
    which their income and their spending lie.
    """
    if columns != COLUMNS or len(centroids) != 5:
        return None
    offsets = centroids - centroids.mean(axis=0)
    corners = {(True, False): "Miser", (True, True): "Target", (False, False): "Careful", (False, True): "Spendthrift"}
    names = [corners[bool(income > 0), bool(spending > 0)] for income, spending in offsets]
    names[int((offsets**2).sum(axis=1).argmin())] = "General"
    return names if len(set(names)) == 5 else None
