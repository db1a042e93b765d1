"""What a run of SHK may disclose: all of it, with text, to whom and when."""

from __future__ import annotations

from typing import Final

from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.protocols.shk.job import DEALER, ShkJob

ROW_COUNTS: Final = Disclosure(
    "number of rows of each party",
    ALL,
    When.BEFORE,
    "the shapes of the shares show it",
)
ROW_COUNTS_TO_DEALER: Final = Disclosure(
    ROW_COUNTS.what, DEALER, When.BEFORE, "the first party tells it; the shapes of what it deals follow from it"
)
COLUMN_BOUNDS: Final = Disclosure(
    "smallest and largest value of each column",
    ALL,
    When.BEFORE,
    "only without `--bounds`: agree on bounds and nobody learns them",
)
CLUSTER_SIZES: Final = Disclosure(
    "cluster sizes", ALL, When.EACH, "of each start that is still running; not with `hide_counts`"
)
STOP_BIT: Final = Disclosure("stop bit", ALL, When.EACH, "of each start that is still running")
GOING_ON: Final = Disclosure(
    "which starts go on",
    DEALER,
    When.EACH,
    "the first party tells it, and of a resumed run from which iteration; so it learns how many iterations each takes",
)
BEST_RESTART: Final = Disclosure("number of the best restart", ALL, When.END, "only with several starts")
FINAL_CENTROIDS: Final = Disclosure("final centroids", ALL, When.END, "of the best start")
FINAL_SIZES: Final = Disclosure("final cluster sizes", ALL, When.END, "of the best start; not with `hide_counts`")
INERTIA: Final = Disclosure(
    "inertia", ALL, When.END, "one number over all rows; `reveal_inertia = false` keeps it hidden"
)
MEAN_DISTANCE: Final = Disclosure(
    "mean-distance loss",
    ALL,
    When.END,
    "one number over all rows; only for the elbow, and not with `hide_counts`",
)
OWN_LABELS: Final = Disclosure(
    "labels of its own rows", OWNER, When.END, "by the best start's centroids, or by the job's in a prediction"
)

EVERYTHING: Final = (
    ROW_COUNTS,
    ROW_COUNTS_TO_DEALER,
    COLUMN_BOUNDS,
    CLUSTER_SIZES,
    STOP_BIT,
    GOING_ON,
    BEST_RESTART,
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
        CLUSTER_SIZES: fits and not job.hide_counts,
        STOP_BIT: fits,
        GOING_ON: fits,
        BEST_RESTART: fits and job.restarts > 1,
        FINAL_CENTROIDS: fits,
        FINAL_SIZES: fits and not job.hide_counts,
        INERTIA: fits and job.reveal_inertia,
        MEAN_DISTANCE: fits and job.reveal_mean_distance,
        OWN_LABELS: True,
    }
    return tuple(disclosure for disclosure in EVERYTHING if happens[disclosure])
