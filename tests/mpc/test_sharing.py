"""Entering numbers into shares and revealing them, each role in a process of its own."""

import math
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job.ledger import ALL
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.protocols.shk import disclosures as may
from tests.parties import run_parties


@pytest.mark.parametrize("number", [2, 3])
def test_rows_of_all_parties_are_revealed_in_rank_order(number: int) -> None:
    rows = [np.full((rank + 1, 2), 0.25 * rank) for rank in range(number)]
    counts = [len(own) for own in rows]

    def body(sharing: Sharing) -> Any:
        own = np.empty((0, 2)) if sharing.engine.is_dealer else rows[sharing.rank]
        revealed = sharing.reveal(sharing.enter_rows(own, counts), may.FINAL_CENTROIDS)
        return sharing.fixed_point.decode(revealed).tolist()

    assert run_parties(number, body) == [np.concatenate(rows).tolist()] * number


def test_one_party_alone_learns_a_number_that_is_revealed_to_it() -> None:
    def body(sharing: Sharing) -> Any:
        secret = sharing.enter_rows(np.full((1 if sharing.rank == 0 else 0, 1), 0.5), [1, 0, 0])
        revealed = sharing.engine.execute(sharing.revealing(secret, may.OWN_LABELS, to="party_1"))
        return [revealed.tolist(), [[entry.what, entry.to] for entry in sharing.ledger.entries]]

    entry = [may.OWN_LABELS.what, "party_1"]
    assert run_parties(3, body) == [[[[0]], [entry]], [[[2**23]], [entry]], [[[0]], [entry]]]


def test_each_party_learns_the_numbers_of_its_own_rows() -> None:
    counts = [2, 0, 1]

    def body(sharing: Sharing) -> Any:
        numbers = sharing.engine.public(np.array([3, 1, 2]))
        return sharing.reveal_to_owners(numbers, counts, may.OWN_LABELS, size=1).tolist()

    assert run_parties(3, body) == [[3, 1], [], [2]]


@pytest.mark.parametrize("number", [2, 5])
def test_a_sum_of_private_numbers(number: int) -> None:
    own = [math.pi * (rank + 1) for rank in range(number)]

    def body(sharing: Sharing) -> float:
        return sharing.reveal_sum([*own, 0.0][sharing.rank], may.INERTIA, bound=100.0)

    for total in run_parties(number, body):
        # P half units of 2^-(60 - 7), and the float sum's own rounding.
        assert abs(total - sum(own)) < number * 2.0**-54 + 1e-13


def test_every_disclosure_has_a_line_in_the_ledger() -> None:
    def body(sharing: Sharing) -> Any:
        sharing.reveal(sharing.enter_public(np.ones(1)), may.CLUSTER_SIZES, iteration=2)
        sharing.reveal_sum(0.5, may.INERTIA, bound=1.0)
        return [[entry.what, entry.to, entry.iteration] for entry in sharing.ledger.entries]

    assert run_parties(2, body) == [[[may.CLUSTER_SIZES.what, ALL, 2], [may.INERTIA.what, ALL, None]]] * 2


def test_a_disclosure_that_is_not_announced_reveals_nothing() -> None:
    def body(sharing: Sharing) -> Any:
        sharing.ledger.allowed = ()
        sharing.reveal(sharing.enter_public(np.ones(1)), may.FINAL_CENTROIDS)

    with pytest.raises(AssertionError, match='ProtocolError: "final centroids" was to be disclosed to all'):
        run_parties(2, body)
