"""The tally of a run: which starts go on, what was counted, and a state that is kept and read back."""

from __future__ import annotations

import numpy as np

from secure_kmeans.job.ledger import Entry
from secure_kmeans.protocols.tally import State, Tally


def test_starts_stop_one_after_another() -> None:
    tally = Tally(3)
    assert tally.running.tolist() == [0, 1, 2]
    assert not tally.all_stopped
    tally.count(np.array([[1, 2], [3, 0], [2, 1]]))
    tally.stop(np.array([1]))
    tally.count(np.array([[2, 1], [0, 3]]))
    assert tally.running.tolist() == [0, 2]
    assert tally.of(np.array([1, 2])).tolist() == [False, True]
    assert tally.n_iter.tolist() == [2, 1, 2]
    assert tally.sizes == [[[1, 2], [2, 1]], [[3, 0]], [[2, 1], [0, 3]]]
    assert tally.converged.tolist() == [False, True, False]
    tally.stop(np.array([0, 2]))
    assert tally.all_stopped


def test_hidden_sizes_are_not_counted() -> None:
    tally = Tally(2)
    tally.count(None)
    assert tally.sizes == [[], []]
    assert tally.n_iter.tolist() == [1, 1]


def state() -> State:
    return State(
        iteration=2,
        counts=[3, 4],
        seed=2**53 - 1,
        shape=(2, 1, 2),
        centroids=np.arange(4, dtype=np.int64).tobytes(),
        before=b"",
        running=[1],
        converged=[True, False],
        sizes=[[[7]], [[7], [7]]],
        n_iter=[1, 2],
        seconds=[0.5, 0.25],
        ledger=[("cluster sizes", "all", 1), ("labels", "a", None)],
    )


def test_a_state_is_read_back_as_it_was() -> None:
    again = State.decoded(state().encoded())
    assert again == state()
    assert again.share.tolist() == [[[0, 1]], [[2, 3]]]
    assert again.entries() == [
        Entry(what="cluster sizes", to="all", iteration=1),
        Entry(what="labels", to="a", iteration=None),
    ]


def test_a_run_goes_on_as_it_was() -> None:
    tally = Tally(2)
    tally.continue_from(2, np.array([1]))
    tally.restore(state())
    assert (tally.iteration, tally.running.tolist()) == (2, [1])
    tally.count(np.array([[7]]))
    assert tally.n_iter.tolist() == [1, 3]
    assert tally.sizes == [[[7]], [[7], [7], [7]]]
    assert state().sizes == [[[7]], [[7], [7]]], "the state itself stays"
