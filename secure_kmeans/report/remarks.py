"""Remarks on a clustering: what a reader of its result should not overlook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secure_kmeans.job import Clustering
from secure_kmeans.words import counted


def remarks_on(
    clustering: Clustering,
    *,
    cluster_centers: Sequence[Sequence[float] | None] | None,
    withheld: Sequence[int],
    converged: bool,
    counts: Sequence[int | None] | None = None,
    **_others: Any,
) -> list[str]:
    """One sentence for each of: stopped too early, clusters that are withheld, too small, empty or doubled."""
    remarks = []
    if not converged:
        iterations = counted(clustering.max_iter, "iteration")
        remarks.append(
            f"The run stopped after {iterations}, its limit, while centroids still moved: more iterations may find "
            "better clusters."
        )
    if withheld:
        least = clustering.withheld_below
        what = "empty" if least == 1 else f"of fewer than {least} rows, so that its centroid and size are withheld"
        if len(withheld) > 1 and least > 1:
            what = f"of fewer than {least} rows, so that their centroids and sizes are withheld"
        remarks.append(f"{_clusters(withheld)} {what}.")
    known_sizes = [number for number in range(len(counts or [])) if number not in withheld]
    if small := [number for number in known_sizes if (counts or [])[number] is None]:
        their = "its centroid is not their mean" if len(small) == 1 else "their centroids are not the means of these"
        remarks.append(f"{_clusters(small)} of fewer than {clustering.fewest_to_move} rows, and {their}.")
    if empty := [number for number in known_sizes if (counts or [])[number] == 0]:
        remarks.append(f"{_clusters(empty)} empty.")
    known = [number for number, center in enumerate(cluster_centers or []) if center is not None]
    groups: dict[tuple[float, ...], list[int]] = {}
    for number in known:
        center = (cluster_centers or [])[number]
        assert center is not None
        groups.setdefault(tuple(center), []).append(number)
    for numbers in groups.values():
        if len(numbers) > 1:
            remarks.append(f"{_clusters(numbers)} at the same place: there are fewer distinct clusters than asked for.")
    return remarks


def _clusters(numbers: Sequence[int]) -> str:
    """The subject and verb of a sentence about some clusters."""
    if len(numbers) == 1:
        return f"Cluster {numbers[0]} is"
    return f"Clusters {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} are"
