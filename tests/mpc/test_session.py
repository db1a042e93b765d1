import math

import numpy as np
import pytest

from secure_kmeans.job import SEEDS
from secure_kmeans.job.ledger import ALL, Disclosure, What
from secure_kmeans.mpc.session import Session
from tests.parties import run_parties


@pytest.mark.parametrize("number", [2, 3])
def test_rows_of_all_parties_come_back_in_rank_order(number):
    rows = [np.full((rank + 1, 2), 0.25 * rank) for rank in range(number)]

    def body(session):
        own = np.empty((0, 2)) if session.deals else rows[session.rank]
        counts = session.row_counts(len(own))
        opened = session.reveal(session.share_rows(own, counts), what=What.FINAL_CENTROIDS)
        return [counts, session.fixed_point.decode(opened).tolist()]

    for counts, opened in run_parties(number, body):
        assert counts == [len(own) for own in rows]
        assert opened == np.concatenate(rows).tolist()


def test_one_party_alone_learns_what_is_revealed_to_it():
    def body(session):
        secret = session.share_rows(np.full((1, 1), 0.5), [1, 0, 0])
        opened = session.reveal(secret, to="party_1", what=What.OWN_LABELS, iteration=3)
        return [
            opened.tolist(),
            session.ledger.entries == [Disclosure(What.OWN_LABELS, "party_1", 3)],
        ]

    assert run_parties(3, body) == [[[[0]], True], [[[2**23]], True], [[[0]], True]]


@pytest.mark.parametrize("number", [2, 5])
def test_a_sum_of_private_numbers(number):
    own = [math.pi * (rank + 1) for rank in range(number)]

    def body(session):
        return session.reveal_sum([*own, 0.0][session.rank], bound=100.0, what=What.INERTIA)

    for total in run_parties(number, body):
        # P half units of 2^-(60 - 7), and the float sum's own rounding.
        assert abs(total - sum(own)) < number * 2.0**-54 + 1e-13


def test_all_parties_toss_the_same_coins_and_never_twice():
    def body(session):
        return [session.toss_coins(), session.toss_coins()]

    tosses = [run_parties(3, body) for _ in range(2)]
    for toss in tosses:
        assert toss[0] == toss[1] == toss[2]
    seeds = [seed for toss in tosses for seed in toss[0]]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < SEEDS for seed in seeds)


def test_a_party_that_changes_its_coin_is_named():
    def body(session):
        if session.rank == 1:
            honest = Session._exchange_bytes
            session._exchange_bytes = lambda own: honest(bytes(32))  # its commitment was to another nonce
        session.toss_coins()

    with pytest.raises(AssertionError, match='party "party_1" did not keep to its coin'):
        run_parties(3, body)


def test_the_ledger_writes_down_what_is_opened_to_all():
    def body(session):
        session.row_counts(1)
        session.reveal(session.from_public(np.ones(1)), what=What.CLUSTER_SIZES, iteration=2)
        return [[entry.what, entry.to, entry.iteration] for entry in session.ledger.entries]

    assert run_parties(2, body)[1] == [[What.ROW_COUNTS, ALL, None], [What.CLUSTER_SIZES, ALL, 2]]
