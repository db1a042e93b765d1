"""Disclosures that the protocols for k-means on secret shares have in common."""

from __future__ import annotations

from typing import Final

from secure_kmeans.job.ledger import ALL, Disclosure, When

DEALER: Final = "dealer"
"""The name of the role that deals correlated randomness."""

COLUMN_BOUNDS: Final = Disclosure(
    "smallest and largest value of each column",
    ALL,
    When.BEFORE,
    "only without `--bounds`: agree on bounds and nobody learns them",
)
STOP_BIT: Final = Disclosure("stop bit", ALL, When.EACH, "of each start that is still running")
GOING_ON: Final = Disclosure(
    "which starts go on",
    DEALER,
    When.EACH,
    "the first party tells it, and of a resumed run from which iteration; so it learns how many iterations each takes",
)
BEST_RESTART: Final = Disclosure("number of the best restart", ALL, When.END, "only with several starts")
WITHHELD: Final = Disclosure(
    "which clusters are withheld",
    ALL,
    When.END,
    "those of fewer rows than `min_cluster_size`, now or in the last iteration, of the best start",
)
FINAL_SIZES: Final = Disclosure(
    "final cluster sizes",
    ALL,
    When.END,
    "of the best start, and of the clusters that are not withheld; not with `hide_counts`",
)
