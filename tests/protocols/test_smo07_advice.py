"""What stands before a run of SMO07: what coalitions could find, and advice to a party with a small table."""

import pytest

from secure_kmeans.protocols.smo07.checks import advice_on_rows, sums_of_a_run
from secure_kmeans.protocols.smo07.disclosures import facts
from secure_kmeans.protocols.smo07.job import Smo07Job
from tests.protocols.adding import job_of


def usual(**keys: object) -> Smo07Job:
    return job_of(3, **{"n_clusters": 5, "n_init": 5} | keys)


def test_the_sums_that_follow_from_a_run() -> None:
    assert sums_of_a_run(usual()) == 5 * 10 * 4
    assert sums_of_a_run(usual(max_iter=3)) == 5 * 3 * 4
    assert sums_of_a_run(usual(n_clusters=1)) == 5 * 10
    assert sums_of_a_run(usual(n_init=1)) == 10 * 4


def test_a_small_table_is_advised_about_with_remedies() -> None:
    (advice,) = advice_on_rows(usual(), 266)
    assert advice.startswith(
        "266 rows for 5 starts of 5 clusters: from the centroids of every iteration the other part"
    )
    assert "Use fewer starts (" in advice
    assert advice.endswith('"shk", which shows none before the end')
    assert advice_on_rows(usual(), 267) == []  # 3 tables of 267 rows are 801, for 200 sums


@pytest.mark.parametrize("keys", [{"n_init": 1}, {"max_iter": 2}, {"n_clusters": 2}])
def test_fewer_starts_iterations_and_clusters_need_fewer_rows(keys: dict[str, int]) -> None:
    assert advice_on_rows(usual(**keys), 70) == []
    (advice,) = advice_on_rows(usual(**keys), 12)
    assert ("Use fewer starts" in advice) == ("n_init" not in keys)  # fewer than one there are not


def test_before_a_run_stands_what_several_parties_could_find_together() -> None:
    paillier, aggregate = (facts(usual(mode=mode))["together"] for mode in ("paillier", "aggregate"))
    assert paillier.startswith("a with c could find the sums of b alone, and with both neighbours of another party, ")
    assert aggregate == (
        "two of a, b and c could find the sums of all parties together; the sums of a single party could be found by "
        "all other parties together, and by nobody else"
    )
    two = facts(job_of(2))
    assert "together" not in two
    assert two["parties"].endswith("and so sees the other's sums")
