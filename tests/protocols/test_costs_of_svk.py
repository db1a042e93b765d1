"""What an iteration, the end and a prediction of SVK cost is what docs/protocols.md states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from secure_kmeans.job import Kind, Role, Scaling
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import no_progress
from secure_kmeans.mpc import argmin
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import encode_object
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByColumns
from secure_kmeans.protocols.svk import SVK, SvkJob
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.open_labels import OpenLabels
from secure_kmeans.protocols.svk.outcome import Outcome
from tests.mpc.roles_in_threads import shares_of
from tests.protocols.columns import job_for, tables_of
from tests.protocols.test_costs_of_lloyd import symbols_of
from tests.stated_costs import DEALT, ROUNDS, TEXT, TO_EACH, rows_after, stated
from tests.threads import run_protocol, threads_of

Costs = list[dict[str, np.ndarray]]
"""Of each role: rounds and bytes of the second of three iterations, and of the end."""

WIDTHS = {2: (1, 2), 3: (1, 2, 1), 5: (2, 1, 1, 1, 1)}
PARTIES = pytest.mark.parametrize("parties", WIDTHS)
SHAPES = pytest.mark.parametrize(("n", "k", "r"), [(130, 5, 1), (70, 2, 3), (64, 7, 2)])


def measured(
    parties: int, n: int, k: int, r: int, *, on_shares: bool = False, **keys: Any
) -> tuple[Costs, SvkJob, dict[str, int]]:
    """The costs of a run of three iterations from rows, known or on shares, and the symbols of the document."""
    rows = np.random.default_rng(n).random((n, sum(WIDTHS[parties])))
    bounds = Scaling.of(lower=(0.0,) * rows.shape[1], upper=(1.0,) * rows.shape[1])
    job = job_for(rows, WIDTHS[parties], k, n_init=r, max_iter=3, precision_bits=24, scaling=bounds, **keys)
    encoded = FixedPoint(24).encode(rows)
    first = np.stack([encoded[start * k : (start + 1) * k] for start in range(r)])
    tables = tables_of(job, rows)

    def part(role: Role, mesh: Mesh) -> dict[str, np.ndarray]:
        with crypten.joined(mesh) as channel:
            sharing = open_session(channel, job, Ledger(SVK.disclosures(job)))
            engine, line, mine = sharing.engine, ScheduleLine(mesh, "party_0", "dealer", in_use=True), job.columns_of
            assert isinstance(engine, SecureEngine)
            partition = ByColumns(n, job.widths, mine(role.name))
            entered, C = None, wrap(partition.in_all_columns(first[:, :, partition.own]))
            if on_shares or job.hide_labels:
                X, C = (wrap(shares_of(values, parties, channel.rank)) for values in (encoded, first))
                entered = engine.execute(engine.enter(X, bits_of_a_difference(job, 24)))
            loop = _loop_of(job, sharing, encoded[:, partition.own], partition.own, entered, C, line)
            marks = [_mark(mesh) for _ in loop.iterations()]
            marks.append(_mark(mesh))
            context = _context(job, role, mesh, sharing.ledger, tables.get(role.name))
            outcome = Outcome(context, sharing, partition, np.arange(n))
            result = outcome.of_lloyd(loop) if isinstance(loop, Lloyd) else outcome.of_open_labels(loop)
            marks.append(_mark(mesh))
        assert len(marks) == 5, "the run was meant to take three iterations"
        assert role.kind is Kind.DEALER or (result and result.common and not result.common.withheld)
        return {"iteration": marks[1] - marks[0], "end": marks[4] - marks[3]}

    return threads_of(job, part).answers, job, symbols_of(cast("Any", job), n)


def _loop_of(
    job: SvkJob, sharing: Sharing, own: np.ndarray, mine: slice, rows: Any, C: Any, line: ScheduleLine
) -> Lloyd | OpenLabels:
    epsilon = sharing.engine.public(np.zeros(1, dtype=np.int64))
    if not job.hide_labels:
        return OpenLabels(sharing, job, own, mine, rows, C, epsilon, line)
    sizes = None if job.hide_counts else may.CLUSTER_SIZES
    revealed = Revealed(sizes, may.SMALL_CLUSTERS, may.STOP_BIT, may.GOING_ON, may.BEST_RESTART)
    return Lloyd(sharing, job, rows, C, epsilon, line, revealed)


def _context(job: SvkJob, role: Role, mesh: Mesh, ledger: Ledger, table: Any) -> Context[SvkJob]:
    return Context(
        job=job,
        role=role,
        table=table,
        mesh=mesh,
        ledger=ledger,
        progress=no_progress,
        resumed=None,
        keep=lambda _iteration, _state: None,
    )


def _mark(mesh: Mesh) -> np.ndarray:
    return np.array([mesh.traffic.rounds, mesh.traffic.bytes_sent])


def sum_of(symbols: dict[str, int], *names: str, **given: int) -> np.ndarray:
    """Rounds, bytes to each other party and bytes from the dealer of several steps."""
    columns = ROUNDS, TO_EACH, DEALT
    return np.array([[stated(name, each, **symbols | given) for each in columns] for name in names]).sum(axis=0)


def check(costs: list[np.ndarray], stated_costs: np.ndarray, besides: Callable[[int], int]) -> None:
    """Compare with what is stated; the party of a rank sends ``besides(rank)`` bytes more."""
    rounds, to_each, dealt = stated_costs.tolist()
    others = len(costs) - 2
    expected = [(rounds, others * to_each + besides(rank)) for rank in range(others + 1)]
    assert [tuple(each.tolist()) for each in costs] == [*expected, (0, dealt)]


def told_by_first(value: Any) -> Callable[[int], int]:
    """The bytes of plain values that the first party sends to the dealer."""
    return lambda rank: 0 if rank else len(encode_object(value))


def nothing(_rank: int) -> int:
    return 0


# ------------------------------------------------------------------------------------ labels that all parties see


@PARTIES
@SHAPES
def test_an_iteration_of_columns(parties: int, n: int, k: int, r: int) -> None:
    costs, _, symbols = measured(parties, n, k, r)
    told = told_by_first(list(range(r)))
    check([each["iteration"] for each in costs], sum_of(symbols, "iteration_of_columns"), told)


@PARTIES
@SHAPES
def test_an_iteration_on_shares(parties: int, n: int, k: int, r: int) -> None:
    costs, _, symbols = measured(parties, n, k, r, on_shares=True)
    told = told_by_first([list(range(r)), False])
    check([each["iteration"] for each in costs], sum_of(symbols, "iteration_on_shares"), told)


@PARTIES
@pytest.mark.parametrize("r", [1, 3])
@pytest.mark.parametrize("centroids", ["own", "all"])
@pytest.mark.parametrize("on_shares", [False, True])
def test_the_end_with_labels_that_all_see(parties: int, r: int, centroids: str, on_shares: bool) -> None:
    costs, _, symbols = measured(parties, 70, 3, r, on_shares=on_shares, disclose={"centroids": centroids})
    steps = (
        ["best_on_shares" if on_shares else "best_of_columns"] * (r > 1)
        + ["centroids_to_all"] * (centroids == "all")
        + ["sum_of_all"]
    )
    check([each["end"] for each in costs], sum_of(symbols, *steps), nothing)
    secret, *_ = measured(parties, 70, 3, r, on_shares=True, disclose={"centroids": centroids})
    steps = [{"best_of_columns": "best_on_shares"}.get(step, step) for step in steps]
    check([each["end"] for each in secret], sum_of(symbols, *steps), nothing)
    quiet, *_ = measured(parties, 70, 3, 1, reveal_inertia=False)
    check([each["end"] for each in quiet], np.zeros(3, dtype=int), nothing)


@pytest.mark.parametrize(("k", "n", "c", "rounds"), [(8, 1400, 2, 12), (10, 800, 3, 13)])
def test_a_tournament_of_many_rows(k: int, n: int, c: int, rounds: int) -> None:
    costs, _, symbols = measured(2, n, k, 1)
    assert not argmin.compares_all_pairs(k, n, symbols["b"])
    check([each["iteration"] for each in costs], sum_of(symbols, "iteration_of_groups", c=c, g=4), told_by_first([0]))
    assert costs[0]["iteration"][0] == rounds


@pytest.mark.parametrize("k", range(2, 11))
def test_rounds_beside_the_paper_s(k: int) -> None:
    table = {
        int(row[0]): [int(cell.replace(",", "")) for cell in row[1:]] for row in rows_after("| clusters k | paper")
    }
    assert list(table) == list(range(2, 11))
    for parties in WIDTHS:
        local, shared = (
            [each["iteration"] for each in measured(parties, 640, k, 1, on_shares=on)[0]] for on in (False, True)
        )
        rounds, sent = local[1].tolist()
        more = shared[1][0]
        to_each, dealt = sent // (parties - 1), local[-1][1]
        assert table[k][:6] == [9 * k, rounds, 9 * k - rounds, more, 9 * k - more, to_each]
        if parties == 2:
            assert table[k][6] == dealt


def test_the_example_is_right_to_the_byte() -> None:
    symbols = {"n": 10_000, "d": 2, "k": 5, "r": 1, "b": 51}
    rounds, to_each, dealt = sum_of(symbols, "iteration_of_columns").tolist()
    written = f"a local turn takes {rounds} rounds, {to_each:,} bytes from a party and {dealt:,} from the dealer"
    assert written in " ".join(TEXT.split())


# --------------------------------------------------------------------------------------------------- hidden labels


@PARTIES
@SHAPES
def test_an_iteration_with_hidden_labels(parties: int, n: int, k: int, r: int) -> None:
    costs, _, symbols = measured(parties, n, k, r, hide_labels=True)
    check([each["iteration"] for each in costs], sum_of(symbols, "iteration"), told_by_first(list(range(r))))


@pytest.mark.parametrize(
    ("parties", "name", "keys"),
    [
        (2, "iteration_withholding", {"min_cluster_size": 5}),
        (3, "iteration_withholding", {"min_cluster_size": 3}),
        (2, "iteration_hidden", {"hide_counts": True}),
        (5, "iteration_hidden", {"hide_counts": True}),
    ],
)
def test_an_iteration_with_hidden_labels_and_sizes(parties: int, name: str, keys: dict[str, Any]) -> None:
    costs, _, symbols = measured(parties, 130, 3, 1, hide_labels=True, **keys)
    check([each["iteration"] for each in costs], sum_of(symbols, name), told_by_first([0]))


@PARTIES
@pytest.mark.parametrize("r", [1, 2])
def test_the_end_with_hidden_labels(parties: int, r: int) -> None:
    costs, job, symbols = measured(parties, 70, 3, r, hide_labels=True)

    def to_owners(rank: int) -> int:
        return 16 * symbols["k"] * (symbols["d"] - job.widths[rank])

    several = ["best", "labelling"] * (r > 1)
    check([each["end"] for each in costs], sum_of(symbols, "conclusion_of_columns", *several), to_owners)


@PARTIES
@pytest.mark.parametrize("labels", [("party_1",), ("party_0", "party_1"), "all"])
def test_the_end_with_hidden_labels_that_are_disclosed(parties: int, labels: Any) -> None:
    if labels == ("party_0", "party_1") and parties == 2:
        labels = "all"
    disclose = {"centroids": "all", "labels": labels}
    costs, _, symbols = measured(parties, 70, 3, 1, hide_labels=True, disclose=disclose)
    steps = ["conclusion_of_columns", "labels_to_some"] + ["sum_of_all"] * (labels == "all")
    learning = range(parties) if labels == "all" else [int(name[-1]) for name in labels]
    published = 16 * symbols["k"] * symbols["d"] * (parties - 1)

    def besides(rank: int) -> int:
        return published + 4 * symbols["n"] * len(set(learning) - {rank})

    check([each["end"] for each in costs], sum_of(symbols, *steps), besides)


# ----------------------------------------------------------------------------------------------------- predictions


@PARTIES
@pytest.mark.parametrize(
    ("hidden", "labels", "name"),
    [
        (False, None, "prediction_of_columns"),
        (False, ("party_1",), "prediction_of_columns_to_some"),
        (True, None, "prediction_on_shares"),
    ],
)
def test_a_prediction(parties: int, hidden: bool, labels: tuple[str, ...] | None, name: str) -> None:
    rows = np.random.default_rng(1).random((70, sum(WIDTHS[parties])))
    fitted = job_for(rows, WIDTHS[parties], 4, init="random", hide_labels=hidden)
    results, _ = run_protocol(fitted, tables_of(fitted, rows))
    models = {result.role: cast("bytes", SVK.model_kept(result)) for result in results}
    job = fitted.prediction("5" * 64)
    if labels:
        job = job.model_copy(update={"disclose": job.disclose.model_copy(update={"labels": labels})})
    _, threads = run_protocol(job, tables_of(job, rows), models=models)
    counted = [np.array([each.rounds, each.bytes_sent]) for each in threads.traffic]

    def besides(rank: int) -> int:
        return told_by_first([len(rows)] * parties)(rank) + 4 * len(rows) * (labels is not None and rank != 1)

    row_counts = np.array([1, 8, 0])
    check(counted, sum_of(symbols_of(cast("Any", job), len(rows)), name) + row_counts, besides)
