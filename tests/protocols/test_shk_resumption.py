"""SHK cut off after any iteration, and resumed from the states that the parties kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from secure_kmeans.errors import StateError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.protocols.tally import State
from secure_kmeans.tables import Table
from tests.threads import run_protocol

ROWS = make_blobs(40, centers=4, n_features=2, random_state=3)[0]


@dataclass
class Run:
    """What the parties found, without what differs from run to run, and what they kept after each iteration."""

    found: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, list[bytes]] = field(default_factory=dict)

    def kept_after(self, number: int) -> dict[str, bytes]:
        """Each party's state: 0 after the start, or after an iteration."""
        return {party: states[number] for party, states in self.kept.items()}


def job_for(parties: int) -> ShkJob:
    return ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(parties))),
        columns=("x", "y"),
        n_clusters=4,
        n_init=2,
        init="random",
        seed=8,
        tol=0.0,
        scaling=Scaling.of(lower=tuple(ROWS.min(axis=0).tolist()), upper=tuple(ROWS.max(axis=0).tolist())),
        precision_bits=choose_precision_bits(2, 4, 1.0),
    )


def tables_for(job: ShkJob) -> dict[str, Table]:
    slices = np.split(ROWS, [25, 30][: len(job.parties) - 1])
    return {name: Table(name, job.columns, rows) for name, rows in zip(job.names, slices, strict=True)}


def fit(job: ShkJob, tables: Mapping[str, Table], resumed: Mapping[str, bytes] | None = None, session: int = 0) -> Run:
    run = Run(kept={name: [] for name in job.names})

    def keep(party: str) -> Callable[[int, bytes], None]:
        return lambda _iteration, state: run.kept[party].append(state)

    results, _ = run_protocol(job, tables, resumed=resumed, keep=keep, session=bytes([session] * 32))
    run.found = [
        {
            "common": result.common,
            "labels": result.own.labels,
            "ledger": [(entry.what, entry.to, entry.iteration) for entry in result.ledger],
        }
        for result in results
    ]
    return run


def decoded(states: Mapping[str, bytes]) -> list[State]:
    counts = [len(table) for table in tables_for(job_for(len(states))).values()]
    return [State.decoded(state, counts) for state in states.values()]


def opened(states: list[State]) -> list[Any]:
    """The centroids, as integers of the fixed point."""
    shares = np.stack([state.share_of(state.centroids) for state in states])
    centroids: list[Any] = np.add.reduce(shares, axis=0, dtype=np.int64).tolist()
    return centroids


@pytest.fixture(scope="module", params=[2, 3])
def uninterrupted(request: pytest.FixtureRequest) -> tuple[ShkJob, Run]:
    job = job_for(request.param)
    return job, fit(job, tables_for(job))


def test_a_state_is_kept_after_the_start_and_after_each_iteration(uninterrupted: tuple[ShkJob, Run]) -> None:
    _, run = uninterrupted
    numbers = {len(states) for states in run.kept.values()}
    assert len(numbers) == 1
    assert numbers.pop() >= run.found[0]["common"].n_iter + 1
    for number in range(len(run.kept["party_0"])):
        kept = decoded(run.kept_after(number))
        assert [state.iteration for state in kept] == [number] * len(kept)
        assert len({tuple(state.counts) for state in kept}) == 1
    assert opened(decoded(run.kept_after(-1))) != opened(decoded(run.kept_after(0)))


def test_cut_off_after_any_iteration_it_ends_as_if_it_were_not(uninterrupted: tuple[ShkJob, Run]) -> None:
    job, run = uninterrupted
    for number in range(len(run.kept["party_0"])):
        resumed = fit(job, tables_for(job), run.kept_after(number), session=1)
        assert resumed.found == run.found
        before, again = decoded(run.kept_after(number)), decoded(resumed.kept_after(0))
        assert [state.iteration for state in again] == [number] * len(again)
        assert opened(again) == opened(before)
        for one, other in zip(before, again, strict=True):  # the same centroids under fresh shares
            assert not np.intersect1d(one.share_of(one.centroids), other.share_of(other.centroids)).size


def test_a_resumed_run_can_be_resumed(uninterrupted: tuple[ShkJob, Run]) -> None:
    job, run = uninterrupted
    first = fit(job, tables_for(job), run.kept_after(1), session=1)
    second = fit(job, tables_for(job), first.kept_after(1), session=2)
    assert second.found == run.found


def test_shares_of_two_runs_do_not_go_together(uninterrupted: tuple[ShkJob, Run]) -> None:
    job, run = uninterrupted
    other = fit(job, tables_for(job), session=1)
    assert other.found == run.found
    mixed = {**run.kept_after(1), "party_0": other.kept["party_0"][1]}
    assert opened(decoded(mixed)) != opened(decoded(run.kept_after(1)))


def test_another_number_of_rows_is_refused(uninterrupted: tuple[ShkJob, Run]) -> None:
    job, run = uninterrupted
    tables = tables_for(job)
    tables["party_0"] = Table("party_0", job.columns, tables["party_0"].rows[:-1])
    with pytest.raises(StateError, match="a party has another number of rows"):
        fit(job, tables, run.kept_after(1), session=1)


@pytest.mark.parametrize("damage", [lambda state: state[:-1], lambda state: b"\xc0"], ids=["cut off", "nothing"])
def test_a_damaged_state_is_refused(uninterrupted: tuple[ShkJob, Run], damage: Callable[[bytes], bytes]) -> None:
    job, run = uninterrupted
    states = run.kept_after(1)
    states["party_1"] = damage(states["party_1"])
    with pytest.raises(StateError, match="the state is not one of this program's"):
        fit(job, tables_for(job), states, session=1)
