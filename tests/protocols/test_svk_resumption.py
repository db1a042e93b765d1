"""A run of SVK that is cut off, and goes on from what each party kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from secure_kmeans.crypto.psi import ELEMENT_BYTES
from secure_kmeans.errors import ProtocolError, StateError
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.net.messages import decode_object
from secure_kmeans.protocols.svk import SVK, SvkJob
from secure_kmeans.protocols.svk.rows import ColumnsState
from secure_kmeans.tables import Table
from tests.protocols.columns import (
    check_svk_against_plaintext,
    job_for,
    joined,
    scattered,
    start_in_secret_at,
    tables_of,
    ways_taken,
)
from tests.threads import MemoryMesh, run_protocol

ROWS = np.random.default_rng(3).random((40, 4))
WAYS: dict[str, dict[str, Any]] = {
    "known start": {"init": "random"},
    "start on shares": {"init": "farthest"},
    "stop rule": {"init": "farthest", "tol": 0.01},
    "hidden labels": {"hide_labels": True, "init": "random", "min_cluster_size": 5},
    "hidden counts": {"hide_labels": True, "hide_counts": True, "init": "random"},
}
DAMAGED = "the state is damaged|another number of rows|not one of this program's"


@dataclass(frozen=True)
class Fit:
    """A run: its results, and for each iteration each party's state."""

    job: SvkJob
    tables: dict[str, Table]
    results: list[Any]
    kept: dict[int, dict[str, bytes]] = field(default_factory=dict)

    @property
    def found(self) -> list[Any]:
        """What was found and disclosed, without times and shares."""
        return [
            (each.common, each.own.rows, each.own.labels, each.own.centroids, each.own.grid_centroids, each.ledger)
            for each in self.results
        ]


def fit(job: SvkJob, tables: dict[str, Table], resumed: dict[str, bytes] | None = None, session: int = 0) -> Fit:
    kept: dict[int, dict[str, bytes]] = defaultdict(dict)

    def keep(role: str) -> Callable[[int, bytes], None]:
        return lambda iteration, state: kept[iteration].update({role: state})

    results, _ = run_protocol(job, tables, resumed=resumed, keep=keep, session=b"%032d" % session)
    return Fit(job, tables, results, dict(kept))


def opened(kept: dict[str, bytes]) -> list[Any]:
    """The centroids that the parties' shares add up to."""
    total: list[Any] = np.add.reduce([ColumnsState.decoded(state).share for state in kept.values()]).tolist()
    return total


@pytest.fixture(scope="module", params=[(way, align) for way in WAYS for align in ("psi", "none")], ids="-".join)
def whole(request: pytest.FixtureRequest) -> Fit:
    way, align = request.param
    keys: dict[str, Any] = {"n_init": 3, "seed": 8, "align": align} | WAYS[way]
    if align == "psi":
        job = job_for(ROWS, (1, 2, 1), 5, id="no", most_rows=50, **keys)
        return fit(job, scattered(job, ROWS, extra=3))
    job = job_for(ROWS, (3, 1), 5, **keys)
    return fit(job, tables_of(job, ROWS))


def test_a_state_is_kept_after_the_start_and_after_each_iteration(whole: Fit) -> None:
    check_svk_against_plaintext(whole.job, joined(whole.tables, whole.results), whole.results)
    assert list(whole.kept) == list(range(len(whole.kept)))
    assert len(whole.kept) >= whole.results[0].common.n_iter + 1
    longest = max(len(table) for table in whole.tables.values())
    for iteration, kept in whole.kept.items():
        states = {name: ColumnsState.decoded(state) for name, state in kept.items()}
        assert {state.iteration for state in states.values()} == {iteration}
        assert max(map(len, kept.values())) <= SVK.state_bytes(whole.job, longest)
        for result in whole.results:
            taken = np.frombuffer(states[result.role].rows, dtype=np.int64)
            assert taken.tolist() == result.own.rows


def test_cut_off_after_any_iteration_it_ends_as_if_it_were_not(whole: Fit) -> None:
    stopped = {len(ColumnsState.decoded(kept["party_0"]).running) for kept in whole.kept.values()}
    assert len(stopped) > 1, "a run is meant to be resumed when some starts have stopped"
    for iteration, kept in whole.kept.items():
        resumed = fit(whole.job, whole.tables, kept, session=iteration + 1)
        assert resumed.found == whole.found
        assert min(resumed.kept) == iteration
        assert opened(resumed.kept[iteration]) == opened(kept)


def test_a_resumed_run_can_be_resumed(whole: Fit) -> None:
    first = fit(whole.job, whole.tables, whole.kept[1], session=101)
    last = max(first.kept)
    for iteration in (1, last):
        assert fit(whole.job, whole.tables, first.kept[iteration], session=102 + iteration).found == whole.found


def test_a_resumed_run_does_not_look_for_the_common_rows_again(whole: Fit) -> None:
    _, threads = run_protocol(whole.job, whole.tables, resumed=whole.kept[1], session=b"7" * 32)
    to_dealer = [decode_object(told) for told in threads.sent["party_0", "dealer"] if isinstance(told, bytes)]
    state = ColumnsState.decoded(whole.kept[1]["party_0"])
    assert to_dealer[:2] == [[1, state.running, bool(state.before)], 40]
    elements = (50, ELEMENT_BYTES)
    assert elements not in {part.shape for part in threads.sent["party_0", "party_1"]}
    if whole.job.align == "psi":
        _, anew = run_protocol(whole.job, whole.tables)
        assert elements in {part.shape for part in anew.sent["party_0", "party_1"]}


def test_shares_are_fresh_where_labels_are_hidden(whole: Fit) -> None:
    resumed = fit(whole.job, whole.tables, whole.kept[2], session=103)
    for name, before in whole.kept[2].items():
        one, other = (ColumnsState.decoded(state).share for state in (before, resumed.kept[2][name]))
        if whole.job.hide_labels:
            assert not np.intersect1d(one, other).size
        else:
            assert one.tolist() == other.tolist(), "these are the party's own columns"


def test_with_open_labels_a_state_holds_the_party_s_own_columns_and_nothing_of_others() -> None:
    for init in ("random", "farthest"):
        job = job_for(ROWS, (3, 1), 5, init=init, seed=8)
        kept = fit(job, tables_of(job, ROWS)).kept[2]
        total = np.array(opened(kept))
        for name, state in kept.items():
            share, mine = ColumnsState.decoded(state).share, job.columns_of(name)
            assert (share[:, :, mine] == total[:, :, mine]).all()
            others = np.delete(share, np.arange(4)[mine], axis=2)
            assert not others.any()


def test_a_cluster_that_never_had_a_row_stays_secret_when_a_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.concatenate([ROWS[:20], ROWS[:3]])
    start = np.concatenate([rows[:4], rows[:1]])  # the last has no row until the first moves away from it
    start_in_secret_at(monkeypatch, start[None])
    taken = ways_taken(monkeypatch)
    job = job_for(rows, (1, 2, 1), len(start))
    whole = fit(job, tables_of(job, rows))
    check_svk_against_plaintext(job, rows, whole.results, start[None])
    assert not all(taken)
    for iteration, kept in whole.kept.items():
        taken.clear()
        assert fit(job, whole.tables, kept, session=iteration + 1).found == whole.found
        assert taken[:2] == [True] * min(2, len(taken)), "a resumed run begins on shares"


def test_a_start_that_stopped_with_a_secret_centroid_is_compared_when_a_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.array([[0.0, 0.0]] * 4 + [[3.0, 3.0], [1.0, 2.0]])
    start = np.array([[[0, 0], [0, 0], [3, 3]], [[3, 3], [3, 3], [0, 0]]], dtype=float)
    start_in_secret_at(monkeypatch, start)
    job = job_for(rows, (1, 1), 3, n_init=2, tol=0.6)
    whole = fit(job, tables_of(job, rows))
    check_svk_against_plaintext(job, rows, whole.results, start)
    state = ColumnsState.decoded(whole.kept[max(whole.kept)]["party_0"])
    assert (state.running, state.n_iter) == ([1], [1, 3])
    assert (state.filled[0], state.known[0]) == ([True] * 3, [True, False, True])
    for iteration, kept in whole.kept.items():
        assert fit(job, whole.tables, kept, session=iteration + 1).found == whole.found


def test_a_cluster_that_never_gets_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.tile(np.eye(3), (4, 1)) * np.array([1.0, 2.0, 3.0])
    start = np.concatenate([np.eye(3) * [1.0, 2.0, 3.0], [[0.0, 0.0, 3.0]]])
    start_in_secret_at(monkeypatch, start[None])
    job = job_for(rows, (1, 1, 1), 4)
    whole = fit(job, tables_of(job, rows))
    check_svk_against_plaintext(job, rows, whole.results, start[None])
    for iteration, kept in whole.kept.items():
        states = [ColumnsState.decoded(state) for state in kept.values()]
        assert [state.filled[0][3] for state in states] == [False] * 3
        share = states[0].share[0, 3]
        grid = FixedPoint(job.precision_bits).encode(job.scaling.apply(start[3]))
        assert not np.isin(share, [grid, -grid, 0 * grid]).any(), "a share of it is none of its numbers"
        assert fit(job, whole.tables, kept, session=iteration + 1).found == whole.found


# ------------------------------------------------------------------------------------------------------------- refusals


def small(**keys: Any) -> Fit:
    job = job_for(ROWS, (3, 1), 4, seed=8, max_iter=2, **keys)
    return fit(job, tables_of(job, ROWS))


def changed(state: bytes, **values: Any) -> bytes:
    """The state with other values."""
    return msgspec.msgpack.encode(msgspec.structs.replace(ColumnsState.decoded(state), **values))


@pytest.mark.parametrize("hide_labels", [False, True])
def test_a_table_with_fewer_rows_is_refused(hide_labels: bool) -> None:
    whole = small(hide_labels=hide_labels)
    with pytest.raises(StateError, match="the state is of another table; start the run anew"):
        fit(whole.job, tables_of(whole.job, ROWS[:39]), whole.kept[1], session=1)


def test_a_state_of_another_number_of_rows_is_refused_by_all() -> None:
    whole = small()
    rows = np.arange(39).tobytes()
    other = whole.kept[1] | {"party_1": changed(whole.kept[1]["party_1"], rows=rows)}
    with pytest.raises(StateError, match="a party has another number of rows than when the state was kept"):
        fit(whole.job, whole.tables, other, session=1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: b"",
        lambda state: state[:-1],
        lambda state: b"\x81" + state,
        lambda state: changed(state, centroids=b"1" * 8),
        lambda state: changed(state, rows=b"1" * 7),
        lambda state: changed(state, rows=b""),
        lambda state: changed(state, labels=b"\0"),
        lambda state: changed(state, averaged=b""),
        lambda state: changed(state, filled=[[True]]),
        lambda state: changed(state, filled=[]),
        lambda state: changed(state, known=[[True]]),
    ],
)
def test_a_damaged_state_is_refused(damage: Callable[[bytes], bytes]) -> None:
    whole = small()
    resumed = whole.kept[1] | {"party_0": damage(whole.kept[1]["party_0"])}
    with pytest.raises(StateError, match=DAMAGED):
        fit(whole.job, whole.tables, resumed, session=1)


class _Telling(MemoryMesh):
    """A mesh of a first party that tells the dealer another number of rows."""

    value: Any = None

    def post_object(self, peer: str, value: Any) -> int:
        return super().post_object(peer, self.value if value == 40 and self.me == "party_0" else value)


@pytest.mark.parametrize("value", [-1, 1 << 40, "40", True, None, [40, 40], 40.0])
def test_the_dealer_refuses_what_is_no_number_of_rows(value: Any) -> None:
    whole = small()
    mesh = type("_TellingThis", (_Telling,), {"value": value})
    with pytest.raises(ProtocolError, match="the first party told the dealer something that is no number of rows"):
        run_protocol(whole.job, whole.tables, resumed=whole.kept[1], mesh=mesh)
