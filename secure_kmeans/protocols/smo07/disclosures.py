"""Disclosures of SMO07: all that a run may reveal, to whom and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.protocols import disclosures as common
from secure_kmeans.protocols.smo07.job import Smo07Job

LEADER: Final = "leader"
"""Stands for the name of the party that leads."""

BEST_RESTART: Final = common.BEST_RESTART
COLUMN_BOUNDS: Final = common.COLUMN_BOUNDS
ROW_COUNTS: Final = Disclosure(
    "number of rows of each party", ALL, When.BEFORE, "the room for sums and the stop rule follow from it"
)
MOMENTS: Final = Disclosure(
    "mean and variance of each column",
    ALL,
    When.BEFORE,
    'over the rows of all parties; with `init = "moments"`, the default, where the starts are drawn around them, and '
    "with a `tol` above 0",
)
CENTROIDS: Final = Disclosure(
    "centroids",
    ALL,
    When.EACH,
    "of each start that is still running. That a start stops follows from them, and so can sizes, sums and single rows "
    "of other parties: the more, the more starts and the fewer rows there are",
)
SUMS: Final = Disclosure(
    "sums and sizes of the clusters",
    LEADER,
    When.EACH,
    'over the rows of all parties, of each start that is still running; only with `mode = "paillier"`',
)
FINAL_SUMS: Final = Disclosure(
    "final sums, sizes and inertias", LEADER, When.END, 'over the rows of all parties; only with `mode = "paillier"`'
)
FINAL_CENTROIDS: Final = Disclosure(
    "final centroids",
    ALL,
    When.END,
    "of the best start: the means of the last iteration once more, each column at its own precision",
)
FINAL_SIZES: Final = Disclosure(
    "final cluster sizes",
    ALL,
    When.END,
    "of the best start, and of the clusters that are not too small; only with `reveal_sizes`",
)
INERTIA: Final = Disclosure("inertia", ALL, When.END, "of the best start; only with `reveal_inertia`")
OWN_LABELS: Final = Disclosure("labels of its own rows", OWNER, When.END, "each party finds them by itself")

EVERYTHING: Final = (
    ROW_COUNTS,
    COLUMN_BOUNDS,
    MOMENTS,
    CENTROIDS,
    SUMS,
    BEST_RESTART,
    FINAL_SUMS,
    FINAL_CENTROIDS,
    FINAL_SIZES,
    INERTIA,
    OWN_LABELS,
)


def disclosures(job: Smo07Job | None) -> tuple[Disclosure, ...]:
    """All that a run of this job may disclose, in the order in which it happens; of any job where it is None."""
    if job is None:
        return EVERYTHING
    paillier = job.mode == "paillier"
    happens = {
        ROW_COUNTS: True,
        COLUMN_BOUNDS: job.bounds_from_data,
        MOMENTS: job.discloses_moments,
        CENTROIDS: True,
        SUMS: paillier,
        BEST_RESTART: job.restarts > 1,
        FINAL_SUMS: paillier,
        FINAL_CENTROIDS: True,
        FINAL_SIZES: job.reveal_sizes,
        INERTIA: job.reveal_inertia,
        OWN_LABELS: True,
    }
    return tuple(to_leader(each, job.leader) for each in EVERYTHING if happens[each])


def to_leader(disclosure: Disclosure, leader: str) -> Disclosure:
    """The disclosure with the leader's name in place of :data:`LEADER`."""
    return replace(disclosure, to=leader) if disclosure.to == LEADER else disclosure


def facts(job: Smo07Job) -> dict[str, str]:
    """The mode, who leads, and what several parties could find together; for people, before a run and after it."""
    if job.mode == "paillier":
        new = "a new one in each iteration" if job.fresh_keys == "iteration" else "one for the run"
        found = {
            "mode": f"paillier: the sums of the clusters are added under the leader's {job.key_bits}-bit key, {new}",
            "leader": f"{job.leader}, the first party: learns the sums and sizes of the clusters in each iteration",
        }
    else:
        found = {
            "mode": "aggregate: the sums of the clusters are added under masks; no single party learns them",
            "leader": f"{job.leader}, the first party: divides with {job.names[1]}, under masks of {job.names[-1]}",
        }
    if len(job.parties) == 2:
        found["parties"] = "two: each can subtract its own rows from what it learns, and so sees the other's sums"
        return found
    first, second, third, last = *job.names[:3], job.names[-1]
    if job.mode == "paillier":
        found["together"] = (
            f"{first} with {third} could find the sums of {second} alone, and with both neighbours of another party, "
            "in the order of the job, those of that party"
        )
    else:
        found["together"] = (
            f"two of {first}, {second} and {last} could find the sums of all parties together; the sums of a single "
            "party could be found by all other parties together, and by nobody else"
        )
    return found
