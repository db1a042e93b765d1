"""Disclosures of SVK: all that a run may reveal, to whom and when."""

from __future__ import annotations

from typing import Final

from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.protocols import disclosures as common
from secure_kmeans.protocols.svk.job import DEALER, SvkJob

BEST_RESTART: Final = common.BEST_RESTART
COLUMN_BOUNDS: Final = common.COLUMN_BOUNDS
FINAL_SIZES: Final = common.FINAL_SIZES
GOING_ON: Final = common.GOING_ON
STOP_BIT: Final = common.STOP_BIT
WITHHELD: Final = common.WITHHELD
COMMON_ROWS: Final = Disclosure(
    "number of common rows",
    ALL,
    When.BEFORE,
    'only with `align = "psi"`; of how many rows only some of the parties have, no party learns anything',
)
COMMON_ROWS_TO_DEALER: Final = Disclosure(
    COMMON_ROWS.what, DEALER, When.BEFORE, "it compares the masked identifiers; the shapes of what it deals follow, too"
)
OWN_COMMON_ROWS: Final = Disclosure(
    "which of its own rows are common",
    OWNER,
    When.BEFORE,
    'only with `align = "psi"`: so each party learns which of its identifiers all the others have as well',
)
OVERLAPS: Final = Disclosure(
    "how many rows some of the parties have in common",
    DEALER,
    When.BEFORE,
    'only with `align = "psi"` and three or more parties: of each group of parties, by masked identifiers, which say '
    "nothing about the identifiers themselves",
)
ROW_COUNTS: Final = Disclosure(
    "number of rows of each party", ALL, When.BEFORE, 'not with `align = "psi"`; all tables have equally many'
)
ROW_COUNTS_TO_DEALER: Final = Disclosure(
    ROW_COUNTS.what, DEALER, When.BEFORE, "the first party tells it; the shapes of what it deals follow from it"
)
SAME_ORDER: Final = Disclosure(
    "whether all tables have the same identifiers in the same order",
    ALL,
    When.BEFORE,
    'only with `align = "order"`; a run goes on only where they do',
)
SAME_ORDER_TO_DEALER: Final = Disclosure(
    SAME_ORDER.what, DEALER, When.BEFORE, "it compares masked digests; where not all are equal, it sees which are"
)
STARTING_ROWS: Final = Disclosure(
    "which rows the starts begin at",
    ALL,
    When.BEFORE,
    "only in a rehearsal with a `seed`, which a comparison with a run in the clear needs; parties on machines of their "
    "own refuse it",
)
ROW_ORDER: Final = Disclosure(
    "order of the first party's common rows",
    ALL,
    When.BEFORE,
    'only in a rehearsal with a `seed` and `align = "psi"`, so that it can be repeated; otherwise the order of the run '
    "says nothing about anybody's table",
)
LABELS: Final = Disclosure(
    "labels of all rows",
    ALL,
    When.EACH,
    "of each start that is still running; the sizes follow from them; not with `hide_labels`",
)
SMALL_CLUSTERS: Final = Disclosure(
    "which clusters are too small",
    ALL,
    When.EACH,
    "only with `hide_labels`; of each start that is still running; not with `hide_counts`, nor with a minimum of 1",
)
CLUSTER_SIZES: Final = Disclosure(
    "cluster sizes",
    ALL,
    When.EACH,
    "only with `hide_labels`; of each start that is still running, and of the clusters that are not too small; not "
    "with `hide_counts`",
)
NEVER_FILLED: Final = Disclosure(
    "whether a cluster has had no row yet",
    DEALER,
    When.EACH,
    "one bit for all starts; only where the labels are public and the first centroids are not",
)
OWN_CENTROIDS: Final = Disclosure(
    "final centroids in its own columns",
    OWNER,
    When.END,
    'only with `disclose.centroids = "own"`, the default; of the best start; with `hide_labels` of the clusters that '
    "are not withheld, with `hide_counts` on a coarse grid",
)
FINAL_CENTROIDS: Final = Disclosure(
    "final centroids",
    ALL,
    When.END,
    'only with `disclose.centroids = "all"`; of the best start, and of the clusters that are not withheld; with '
    "`hide_counts` on a coarse grid",
)
INERTIA: Final = Disclosure(
    "inertia",
    ALL,
    When.END,
    "one number over the rows of all clusters that are not withheld, where the final labels are disclosed to all; "
    "`reveal_inertia = false` keeps it hidden",
)
FINAL_LABELS: Final = Disclosure(
    "final labels of all rows",
    ALL,
    When.END,
    "by the best start's centroids, or by the model of a prediction; with `hide_labels` only with `disclose.labels = "
    '"all"`',
)
LABELS_TO_SOME: Final = Disclosure(
    "final labels of all rows, if the job names it",
    OWNER,
    When.END,
    "to the parties that `disclose.labels` names; only where it names some",
)

EVERYTHING: Final = (
    COMMON_ROWS,
    COMMON_ROWS_TO_DEALER,
    OWN_COMMON_ROWS,
    OVERLAPS,
    ROW_COUNTS,
    ROW_COUNTS_TO_DEALER,
    SAME_ORDER,
    SAME_ORDER_TO_DEALER,
    COLUMN_BOUNDS,
    ROW_ORDER,
    STARTING_ROWS,
    LABELS,
    SMALL_CLUSTERS,
    CLUSTER_SIZES,
    STOP_BIT,
    GOING_ON,
    NEVER_FILLED,
    BEST_RESTART,
    WITHHELD,
    OWN_CENTROIDS,
    FINAL_CENTROIDS,
    FINAL_SIZES,
    INERTIA,
    FINAL_LABELS,
    LABELS_TO_SOME,
)


def disclosures(job: SvkJob | None) -> tuple[Disclosure, ...]:
    """All that a run of this job may disclose, in the order in which it happens; of any job where it is None."""
    if job is None:
        return EVERYTHING
    fits, psi, hidden = job.task == "fit", job.align == "psi", job.hide_labels
    centroids = job.disclose.centroids
    happens = {
        COMMON_ROWS: psi,
        COMMON_ROWS_TO_DEALER: psi,
        OWN_COMMON_ROWS: psi,
        OVERLAPS: psi and len(job.parties) > 2,
        ROW_COUNTS: not psi,
        ROW_COUNTS_TO_DEALER: not psi,
        SAME_ORDER: job.align == "order",
        SAME_ORDER_TO_DEALER: job.align == "order",
        COLUMN_BOUNDS: job.bounds_from_data,
        ROW_ORDER: psi and job.starts_are_public,
        STARTING_ROWS: job.starts_are_public,
        LABELS: fits and not hidden,
        SMALL_CLUSTERS: fits and hidden and not job.hide_counts and job.min_cluster_size > 1,
        CLUSTER_SIZES: fits and hidden and not job.hide_counts,
        STOP_BIT: fits,
        GOING_ON: fits,
        NEVER_FILLED: fits and not hidden and not job.start_is_known,
        BEST_RESTART: fits and job.restarts > 1,
        WITHHELD: fits and hidden and (centroids != "nobody" or not job.hide_counts),
        OWN_CENTROIDS: fits and centroids == "own",
        FINAL_CENTROIDS: fits and centroids == "all",
        FINAL_SIZES: fits and hidden and not job.hide_counts,
        INERTIA: fits and job.discloses_inertia,
        FINAL_LABELS: job.labels_to == "all",
        LABELS_TO_SOME: isinstance(job.labels_to, tuple),
    }
    return tuple(disclosure for disclosure in EVERYTHING if happens[disclosure])
