"""Disclosures of SHK: all that a run may reveal, to whom and when."""

from __future__ import annotations

from typing import Final

from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.protocols import disclosures as common
from secure_kmeans.protocols.shk.job import DEALER, ShkJob

BEST_RESTART: Final = common.BEST_RESTART
COLUMN_BOUNDS: Final = common.COLUMN_BOUNDS
FINAL_SIZES: Final = common.FINAL_SIZES
GOING_ON: Final = common.GOING_ON
STOP_BIT: Final = common.STOP_BIT
WITHHELD: Final = common.WITHHELD
ROW_COUNTS: Final = Disclosure(
    "number of rows of each party",
    ALL,
    When.BEFORE,
    "the shapes of the shares show it",
)
ROW_COUNTS_TO_DEALER: Final = Disclosure(
    ROW_COUNTS.what, DEALER, When.BEFORE, "the first party tells it; the shapes of what it deals follow from it"
)
STARTING_ROWS: Final = Disclosure(
    "which rows the starts begin at",
    ALL,
    When.BEFORE,
    "only in a rehearsal with a `seed`, which a comparison with a run in the clear needs: with the sizes it says where "
    "these rows lie, so that parties on machines of their own refuse it",
)
SMALL_CLUSTERS: Final = Disclosure(
    "which clusters are too small",
    ALL,
    When.EACH,
    "of each start that is still running; not with `hide_counts`, nor with a minimum of 1",
)
CLUSTER_SIZES: Final = Disclosure(
    "cluster sizes",
    ALL,
    When.EACH,
    "of each start that is still running, and of the clusters that are not too small; not with `hide_counts`",
)
FINAL_CENTROIDS: Final = Disclosure(
    "final centroids",
    ALL,
    When.END,
    "of the best start, and of the clusters that are not withheld; with `hide_counts` on a coarse grid; not with "
    '`disclose.centroids = "nobody"`',
)
INERTIA: Final = Disclosure(
    "inertia",
    ALL,
    When.END,
    "one number over the rows of all clusters that are not withheld; `reveal_inertia = false` keeps it hidden; not "
    "with `hide_counts`, since the sizes could follow from it",
)
MEAN_DISTANCE: Final = Disclosure(
    "mean-distance loss",
    ALL,
    When.END,
    "one number over the same rows; only for the elbow, and not with `hide_counts`",
)
OWN_LABELS: Final = Disclosure(
    "labels of its own rows", OWNER, When.END, "by the best start's centroids, or by the model of a prediction"
)

EVERYTHING: Final = (
    ROW_COUNTS,
    ROW_COUNTS_TO_DEALER,
    COLUMN_BOUNDS,
    STARTING_ROWS,
    SMALL_CLUSTERS,
    CLUSTER_SIZES,
    STOP_BIT,
    GOING_ON,
    BEST_RESTART,
    WITHHELD,
    FINAL_CENTROIDS,
    FINAL_SIZES,
    INERTIA,
    MEAN_DISTANCE,
    OWN_LABELS,
)


def disclosures(job: ShkJob | None) -> tuple[Disclosure, ...]:
    """All that a run of this job may disclose, in the order in which it happens; of any job where it is None."""
    if job is None:
        return EVERYTHING
    fits = job.task == "fit"
    happens = {
        ROW_COUNTS: True,
        ROW_COUNTS_TO_DEALER: True,
        COLUMN_BOUNDS: job.bounds_from_data,
        STARTING_ROWS: job.starts_are_public,
        SMALL_CLUSTERS: fits and not job.hide_counts and job.min_cluster_size > 1,
        CLUSTER_SIZES: fits and not job.hide_counts,
        STOP_BIT: fits,
        GOING_ON: fits,
        BEST_RESTART: fits and job.restarts > 1,
        WITHHELD: fits and (job.discloses_centroids or not job.hide_counts),
        FINAL_CENTROIDS: fits and job.discloses_centroids,
        FINAL_SIZES: fits and not job.hide_counts,
        INERTIA: fits and job.discloses_inertia,
        MEAN_DISTANCE: fits and job.reveal_mean_distance and job.discloses_centroids,
        OWN_LABELS: True,
    }
    return tuple(disclosure for disclosure in EVERYTHING if happens[disclosure])
