from collections.abc import Sequence

import pytest

from secure_kmeans.protocols.smo07 import Smo07Job
from secure_kmeans.report.remarks import remarks_on
from tests.jobs import a_job_of
from tests.report.examples import CLUSTERING, clustering_with

Centers = Sequence[Sequence[float] | None] | None

TWO: Centers = [[1.0, 2.0], [3.0, 4.0]]


def remarks(
    centers: Centers = TWO, withheld: Sequence[int] = (), *, converged: bool = True, least: int = 5, max_iter: int = 100
) -> list[str]:
    clustering = clustering_with(min_cluster_size=least, max_iter=max_iter)
    return remarks_on(clustering, cluster_centers=centers, withheld=withheld, converged=converged, n_iter=7)


def test_a_run_that_converged_to_different_clusters_has_none() -> None:
    assert remarks() == []
    assert remarks(None) == []


def test_stopped_before_it_converged() -> None:
    assert remarks(converged=False, max_iter=12) == [
        "The run stopped after 12 iterations, its limit, while centroids still moved: more iterations may find "
        "better clusters."
    ]


@pytest.mark.parametrize(
    ("withheld", "least", "remark"),
    [
        ([1], 5, "Cluster 1 is of fewer than 5 rows, so that its centroid and size are withheld."),
        ([1, 2], 5, "Clusters 1 and 2 are of fewer than 5 rows, so that their centroids and sizes are withheld."),
        ([1, 2, 3], 2, "Clusters 1, 2 and 3 are of fewer than 2 rows, so that their centroids and sizes are withheld."),
        ([1], 1, "Cluster 1 is empty."),
        ([0, 1], 1, "Clusters 0 and 1 are empty."),
    ],
)
def test_withheld_and_empty_clusters(withheld: list[int], least: int, remark: str) -> None:
    centers = [None if number in withheld else [float(number)] * 2 for number in range(4)]
    assert remarks(centers, withheld, least=least) == [remark]
    assert remarks(None, withheld, least=least) == [remark], "where no centroid is disclosed"


def test_clusters_at_the_same_place() -> None:
    same = "at the same place: there are fewer distinct clusters than asked for."
    assert remarks([[1.0, 2.0], [1.0, 2.0]]) == [f"Clusters 0 and 1 are {same}"]
    assert remarks([[1.0, 2.0], [9.0, 9.0], [1.0, 2.0], [1.0, 2.0]]) == [f"Clusters 0, 2 and 3 are {same}"]
    assert remarks([[1.0, 2.0], [0.0, 2.0], [1.0, 2.0], [-0.0, 2.0]]) == [
        f"Clusters 0 and 2 are {same}",
        f"Clusters 1 and 3 are {same}",
    ]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([7, 8], []),
        (None, []),
        ([7, None], ["Cluster 1 is of fewer than 5 rows, and its centroid is not their mean."]),
        (
            [None, None],
            ["Clusters 0 and 1 are of fewer than 5 rows, and their centroids are not the means of these."],
        ),
        ([7, 0], ["Cluster 1 is empty."]),
    ],
)
def test_clusters_that_keep_their_centroid(counts: list[int | None] | None, found: list[str]) -> None:
    job = a_job_of(Smo07Job, "a", "b", "c", **CLUSTERING | {"min_cluster_size": 5})
    assert remarks_on(job, cluster_centers=TWO, withheld=[], converged=True, counts=counts) == found


def test_withheld_clusters_are_not_at_the_same_place() -> None:
    assert remarks([[1.0, 2.0], None, None], [1, 2], least=3) == [
        "Clusters 1 and 2 are of fewer than 3 rows, so that their centroids and sizes are withheld."
    ]


def test_several_remarks_in_the_order_of_their_weight() -> None:
    found = remarks([[1.0, 2.0], [1.0, 2.0], None], [2], converged=False)
    assert [remark.split()[:2] for remark in found] == [["The", "run"], ["Cluster", "2"], ["Clusters", "0"]]
