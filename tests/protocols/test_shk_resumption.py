"""A run of SHK that is cut off, and goes on from what each party kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from secure_kmeans.errors import ProtocolError, StateError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.tally import Resumption, State
from secure_kmeans.tables import Table
from tests.threads import run_protocol

ROWS = make_blobs(40, centers=4, n_features=2, random_state=3)[0]


def job_for(parties: int, **options: Any) -> ShkJob:
    return ShkJob.of(
        **{
            "parties": Party.named(*(f"party_{rank}" for rank in range(parties))),
            "columns": ("x", "y"),
            "n_clusters": 4,
            "n_init": 2,
            "init": "random",
            "seed": 8,
            "tol": 0.0,
            "scaling": Scaling.of(lower=tuple(ROWS.min(axis=0)), upper=tuple(ROWS.max(axis=0))),
            "precision_bits": choose_precision_bits(2, 4, 1.0),
        }
        | options
    )


@dataclass(frozen=True)
class Fit:
    """The parties' results, and for each iteration each party's state."""

    results: list[Any]
    kept: dict[int, dict[str, bytes]]


def fit(
    job: ShkJob, slices: list[np.ndarray], resumed: dict[str, bytes] | None = None, session: bytes = bytes(32)
) -> Fit:
    tables = {name: Table(name, job.columns, rows) for name, rows in zip(job.names, slices, strict=True)}
    kept: dict[int, dict[str, bytes]] = defaultdict(dict)

    def keep(role: str) -> Callable[[int, bytes], None]:
        return lambda iteration, state: kept[iteration].update({role: state})

    results, _ = run_protocol(job, tables, resumed=resumed, keep=keep, session=session)
    return Fit(results, dict(kept))


def of_all(fit: Fit) -> list[Any]:
    """What was found and disclosed, without times."""
    return [(result.common, result.own.labels, result.ledger) for result in fit.results]


def opened(kept: dict[str, bytes], counts: list[int]) -> list[int]:
    shares = [np.frombuffer(State.decoded(state).centroids, dtype=np.int64) for state in kept.values()]
    centroids: list[int] = np.add.reduce(np.stack(shares), axis=0).tolist()
    return centroids


@dataclass(frozen=True)
class Whole:
    job: ShkJob
    slices: list[np.ndarray]
    fit: Fit

    @property
    def counts(self) -> list[int]:
        return [len(rows) for rows in self.slices]


@pytest.fixture(scope="module", params=[2, 3])
def whole(request: pytest.FixtureRequest) -> Whole:
    job = job_for(request.param)
    slices = np.split(ROWS, [25, 30][: request.param - 1])
    return Whole(job, slices, fit(job, slices))


def test_a_state_is_kept_after_the_start_and_after_each_iteration(whole: Whole) -> None:
    most = max(result.common.n_iter for result in whole.fit.results)
    assert list(whole.fit.kept) == list(range(len(whole.fit.kept)))
    assert len(whole.fit.kept) >= most + 1
    for iteration, kept in whole.fit.kept.items():
        states = [State.decoded(state) for state in kept.values()]
        assert [state.iteration for state in states] == [iteration] * len(whole.slices)
        assert max(map(len, kept.values())) <= SHK.state_bytes(whole.job, len(ROWS))
    last = max(whole.fit.kept)
    assert opened(whole.fit.kept[last], whole.counts) != opened(whole.fit.kept[0], whole.counts)


def test_cut_off_after_any_iteration_it_ends_as_if_it_were_not(whole: Whole) -> None:
    for iteration, kept in whole.fit.kept.items():
        resumed = fit(whole.job, whole.slices, kept, session=b"%032d" % iteration)
        assert of_all(resumed) == of_all(whole.fit)
        again = resumed.kept[iteration]
        assert min(resumed.kept) == iteration
        assert opened(again, whole.counts) == opened(kept, whole.counts)
        for name, before in kept.items():  # the same centroids under fresh shares
            one, other = (State.decoded(state).centroids for state in (before, again[name]))
            assert not np.intersect1d(np.frombuffer(one, dtype=np.int64), np.frombuffer(other, dtype=np.int64)).size


def test_a_resumed_run_can_be_resumed(whole: Whole) -> None:
    first = fit(whole.job, whole.slices, whole.fit.kept[1], session=b"1" * 32)
    second = fit(whole.job, whole.slices, first.kept[1], session=b"2" * 32)
    assert of_all(second) == of_all(whole.fit)


def test_shares_of_two_runs_do_not_go_together(whole: Whole) -> None:
    other = fit(whole.job, whole.slices, session=b"3" * 32)
    first = whole.job.names[0]
    mixed = whole.fit.kept[1] | {first: other.kept[1][first]}
    assert opened(mixed, whole.counts) != opened(whole.fit.kept[1], whole.counts)


def test_another_number_of_rows_is_refused_by_all(whole: Whole) -> None:
    other = [whole.slices[0][:-1], *whole.slices[1:]]
    with pytest.raises(StateError, match="a party has another number of rows"):
        fit(whole.job, other, whole.fit.kept[1])


def test_hidden_counts_resume_too() -> None:
    job, slices = job_for(2, hide_counts=True), np.split(ROWS, [25])
    whole = fit(job, slices)
    resumed = fit(job, slices, whole.kept[2], session=b"4" * 32)
    assert of_all(resumed) == of_all(whole)


@pytest.mark.parametrize("damage", [lambda state: b"", lambda state: state[:-1], lambda state: b"\x81" + state])
def test_a_state_that_is_none_is_refused(damage: Callable[[bytes], bytes]) -> None:
    job, slices = job_for(2), np.split(ROWS, [25])
    state = fit(job, slices).kept[1]["party_0"]
    with pytest.raises(StateError, match="start the run anew"):
        State.decoded(damage(state))


def test_shares_of_another_shape_are_refused() -> None:
    job, slices = job_for(2), np.split(ROWS, [25])
    state = State.decoded(fit(job, slices).kept[1]["party_0"])
    shorter = State(**{name: getattr(state, name) for name in state.__struct_fields__} | {"centroids": b"1" * 8})
    with pytest.raises(StateError, match="damaged"):
        State.decoded(shorter.encoded())


class _Told(ScheduleLine):
    """A line on which the dealer hears what a test says."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def hear(self) -> Any:
        return self._value


def agreed(value: Any) -> Resumption | None:
    return Resumption.agreed(_Told(value), None, is_dealer=True, restarts=3, max_iter=10)


def test_the_dealer_takes_up_what_it_is_told() -> None:
    found = agreed([4, [0, 2], True])
    assert found is not None
    assert (found.iteration, found.running.tolist(), found.moved) == (4, [0, 2], True)
    assert agreed(None) is None


@pytest.mark.parametrize(
    "told",
    [[11, [0], True], [-1, [0], True], [4, [3], True], [4, [0], 1], [4, 0, True], [4, [0]], "state", [4, ["0"], True]],
)
def test_the_dealer_refuses_what_is_no_state(told: Any) -> None:
    with pytest.raises(ProtocolError, match="the first party told the dealer something that is no"):
        agreed(told)
