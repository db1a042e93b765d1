import math
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job.ledger import ALL, Disclosure, Entry, When
from secure_kmeans.mpc.crypten_adapter import share_of, wrap
from tests.parties import NUMBERS, OWN_NUMBERS, AtRole, run_parties


@pytest.mark.parametrize("number", [2, 3])
def test_rows_of_all_parties_come_back_in_rank_order(number: int) -> None:
    rows = [np.full((rank + 1, 2), 0.25 * rank) for rank in range(number)]

    def body(at: AtRole) -> Any:
        own = np.empty((0, 2)) if at.is_dealer else rows[at.rank]
        X = at.sharing.enter_rows(own, [len(each) for each in rows])
        return at.fixed_point.decode(at.sharing.reveal(X, NUMBERS)).tolist()

    expected = np.concatenate(rows).tolist()
    assert run_parties(number, body) == [expected] * number


def test_no_party_s_share_shows_its_rows() -> None:
    rows = [np.zeros((50, 2)), np.zeros((50, 2))]

    def body(at: AtRole) -> Any:
        return share_of(at.sharing.enter_rows(rows[at.rank % 2], [50, 50])).reshape(-1).tolist()

    for share in run_parties(2, body):
        assert len(set(share)) == 200  # uniform words: no two are equal, and none is 0
        assert 0 not in share


def test_one_party_alone_learns_what_is_revealed_to_it() -> None:
    def body(at: AtRole) -> Any:
        secret = at.sharing.enter_rows(np.full((1, 1), 0.5), [1, 0, 0])
        step = at.sharing.revealing(secret, OWN_NUMBERS, to="party_1")
        return [at.sharing.engine.execute(step).tolist(), at.sharing.ledger.entries]

    line = [Entry(what="own numbers", to="party_1")]
    assert run_parties(3, body) == [[[[0]], line], [[[2**23]], line], [[[0]], line]]


def test_each_owner_learns_its_own_rows_of_a_list() -> None:
    def body(at: AtRole) -> Any:
        numbers = at.sharing.engine.public(np.arange(5))
        return at.sharing.reveal_to_owners(numbers, [2, 0, 3], OWN_NUMBERS, size=4).tolist()

    assert run_parties(3, body) == [[0, 1], [], [2, 3, 4]]


@pytest.mark.parametrize("number", [2, 5])
def test_a_sum_of_private_numbers(number: int) -> None:
    own = [math.pi * (rank + 1) for rank in range(number)]

    def body(at: AtRole) -> float:
        return at.sharing.reveal_sum([*own, 0.0][at.rank], NUMBERS, bound=100.0)

    for total in run_parties(number, body):
        # P half units of 2^-(60 - 7), and the float sum's own rounding.
        assert abs(total - sum(own)) < number * 2.0**-54 + 1e-13


def test_a_kept_share_is_entered_under_fresh_shares() -> None:
    def body(at: AtRole) -> Any:
        kept = np.array([[7, -2]]) if at.rank == 0 else np.zeros((1, 2), dtype=np.int64)
        again = at.sharing.enter_share(kept)
        return [share_of(again).tolist(), at.reveal(again)]

    for share, revealed in run_parties(2, body):
        assert revealed == [[7, -2]]
        assert share not in ([[7, -2]], [[0, 0]])


def test_words_of_bits_are_revealed_as_they_are() -> None:
    def body(at: AtRole) -> Any:
        share = np.array([2**63 + 5 if at.rank == 0 else 0], dtype=np.uint64)
        return at.sharing.reveal(wrap(share), NUMBERS).tolist()

    assert run_parties(3, body) == [[2**63 + 5]] * 3


def test_what_is_not_announced_is_not_revealed() -> None:
    rows = Disclosure("all rows", ALL, When.END)

    def body(at: AtRole) -> Any:
        return at.sharing.reveal(at.sharing.engine.public(np.ones(1, dtype=np.int64)), rows)

    with pytest.raises(ProtocolError, match='"all rows" was to be disclosed to all, which the job does not announce'):
        run_parties(2, body)


def test_the_same_over_tls_in_processes() -> None:
    def body(at: AtRole) -> Any:
        X = at.sharing.enter_rows(np.full((0 if at.is_dealer else 1, 1), 0.5), [1, 1])
        return [at.reveal(X * 2 + 1), at.traffic.rounds]

    assert run_parties(2, body, processes=True) == [[[[2**24 + 1]] * 2, 1]] * 2
