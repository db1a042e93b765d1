"""What an iteration, the choice of the best start and the end of a run cost is what docs/protocols.md states."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Kind, Party, Role, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc import rows as rows_module
from secure_kmeans.mpc.crypten_adapter import wrap
from secure_kmeans.mpc.rows import LABEL_BYTES
from secure_kmeans.mpc.session import open_session
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.conclusion import Conclude, Concluded
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByRows
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.shk import disclosures as may
from secure_kmeans.protocols.svk import SvkJob
from tests.mpc.roles_in_threads import shares_of
from tests.stated_costs import DEALT, ROUNDS, TEXT, TO_EACH, rows_after, stated
from tests.threads import threads_of

Costs = list[list[tuple[int, int]]]
"""Of each role: of the second iteration, of the choice of the best start, and of the end."""


def symbols_of(job: ShkJob | SvkJob, n: int) -> dict[str, int]:
    """The symbols of the document."""
    largest = math.ceil(1.02 * 2**24)
    most = n if job.hide_counts else max(n, math.lcm(*range(1, job.min_cluster_size)))
    return {
        "n": n,
        "d": len(job.columns),
        "k": job.n_clusters,
        "r": job.restarts,
        "a": job.min_cluster_size,
        "b": bits_of_a_difference(job, 24),
        "S": next(size for size in range(1, 9) if most * largest <= 2 ** (8 * size - 2)),
        "g": bits_to_hold(246.0 * most),
        "e": math.ceil(largest / 2**25) + 3,
    }


def measured(parties: int, n: int, d: int, k: int, r: int, **options: Any) -> tuple[Costs, dict[str, int]]:
    """What the second of three iterations, the choice of the best start, and the end cost each role.

    The first party holds all rows.
    """
    rows = np.random.default_rng(n).random((n, d))
    job = ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(parties))),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=k,
        n_init=r,
        max_iter=3,
        scaling=Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        precision_bits=24,
        **({"min_cluster_size": 1} | options),
    )
    encoded = FixedPoint(24).encode(rows)
    C = np.stack([encoded[start * k : (start + 1) * k] for start in range(r)])
    sizes = None if job.hide_counts else may.CLUSTER_SIZES
    revealed = Revealed(sizes, may.SMALL_CLUSTERS, may.STOP_BIT, may.GOING_ON, may.BEST_RESTART)
    counts = [n] + [0] * (parties - 1)

    def part(role: Role, mesh: Mesh) -> list[tuple[int, int]]:
        with crypten.joined(mesh) as channel:
            sharing = open_session(channel, job, Ledger(SHK.disclosures(job)))
            line = ScheduleLine(mesh, job.names[0], "dealer", in_use=True)
            own_rows, own_C = (wrap(shares_of(values, parties, channel.rank)) for values in (encoded, C))
            entered = sharing.engine.execute(sharing.engine.enter(own_rows, bits_of_a_difference(job, 24)))
            epsilon = sharing.engine.public(np.zeros(1, dtype=np.int64))
            lloyd = Lloyd(sharing, job, entered, own_C, epsilon, line, revealed)
            marks = [_mark(mesh) for _ in lloyd.iterations()]
            marks.append(_mark(mesh))
            best = lloyd.best()
            marks.append(_mark(mesh))
            own = rows if channel.rank == 0 else rows[:0]

            def labels(numbers: Any) -> np.ndarray:
                return sharing.reveal_to_owners(numbers, counts, may.OWN_LABELS, size=LABEL_BYTES)

            disclosed = Concluded(
                may.WITHHELD,
                None if job.hide_counts else may.FINAL_SIZES,
                partial(sharing.reveal, disclosure=may.FINAL_CENTROIDS),
                labels,
            )
            found = Conclude(sharing, job, lloyd, own, ByRows(counts), disclosed).run(best)
            marks.append(_mark(mesh))
        assert len(marks) == 6, "the run was meant to take three iterations"
        assert role.kind is Kind.DEALER or not found.withheld, "all clusters were meant to be large"
        return [(marks[i][0] - marks[j][0], marks[i][1] - marks[j][1]) for i, j in ((1, 0), (4, 3), (5, 4))]

    return threads_of(job, part).answers, symbols_of(job, n)


def _mark(mesh: Mesh) -> tuple[int, int]:
    return mesh.traffic.rounds, mesh.traffic.bytes_sent


def check(costs: Costs, column: int, name: str, symbols: dict[str, int], told: int) -> None:
    """Compare the costs with the document's; the first party sends ``told`` bytes besides."""
    parties = len(costs) - 1
    rounds, to_each, dealt = (stated(name, formula, **symbols) for formula in (ROUNDS, TO_EACH, DEALT))
    sent = (parties - 1) * to_each
    expected = [(rounds, sent + told), *[(rounds, sent)] * (parties - 1), (0, dealt)]
    assert [each[column] for each in costs] == expected


def check_end(costs: Costs, symbols: dict[str, int]) -> None:
    """Compare the end's costs: the first party owns all rows, and the others send it their labels."""
    parties = len(costs) - 1
    several = symbols["r"] > 1
    rounds, to_each, dealt = (
        stated("conclusion", formula, **symbols) + several * stated("labelling", formula, **symbols)
        for formula in (ROUNDS, TO_EACH, DEALT)
    )
    sent = (parties - 1) * to_each
    others = [(rounds, sent + 4 * symbols["n"])] * (parties - 1)
    assert [each[2] for each in costs] == [(rounds, sent), *others, (0, dealt)]


SHAPES = pytest.mark.parametrize(
    ("parties", "n", "d", "k", "r"),
    [(2, 130, 2, 5, 1), (3, 70, 3, 4, 2), (3, 267, 1, 2, 1), (3, 266, 1, 3, 1), (2, 200, 2, 7, 3), (3, 64, 2, 10, 1)],
)


@SHAPES
def test_an_iteration_the_choice_of_the_best_start_and_the_end(parties: int, n: int, d: int, k: int, r: int) -> None:
    costs, symbols = measured(parties, n, d, k, r)
    check(costs, 0, "iteration", symbols, 1 + r)
    if r > 1:
        check(costs, 1, "best", symbols, 0)
    check_end(costs, symbols)
    if k <= 5:
        assert costs[0][0][0] == (12 if n > 266 else 11)


@pytest.mark.parametrize(
    ("parties", "n", "d", "k", "r", "least"),
    [(2, 300, 2, 5, 1, 5), (3, 130, 3, 4, 2, 5), (3, 267, 1, 2, 1, 16), (2, 150, 2, 3, 3, 2)],
)
def test_an_iteration_that_withholds_small_sizes(parties: int, n: int, d: int, k: int, r: int, least: int) -> None:
    costs, symbols = measured(parties, n, d, k, r, min_cluster_size=least)
    check(costs, 0, "iteration_withholding", symbols, 1 + r)
    check_end(costs, symbols)
    without = stated("iteration", ROUNDS, **symbols)
    assert costs[0][0][0] == without + 4


@pytest.mark.parametrize(("parties", "n", "d", "k", "r"), [(2, 100, 2, 5, 2), (3, 64, 3, 3, 1)])
def test_an_iteration_that_hides_the_sizes(parties: int, n: int, d: int, k: int, r: int) -> None:
    costs, symbols = measured(parties, n, d, k, r, hide_counts=True)
    check(costs, 0, "iteration_hidden", symbols, 1 + r)
    assert costs[0][0][0] == 33


def test_rows_in_three_blocks_take_6_c_and_6_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "COMPARISONS_AT_ONCE", 128 * 10)
    costs, _ = measured(2, 3 * 128 - 5, 2, 5, 1)
    assert costs[0][0][0] == 6 * 3 + 6


def test_the_example_is_right_to_the_byte() -> None:
    costs, symbols = measured(2, 10_000, 2, 5, 1)
    check(costs, 0, "iteration", symbols, 2)
    lines = list(rows_after("| | bytes from a party |"))
    for column, bytes_ in ((2, costs[1][0][1]), (4, costs[2][0][1])):
        *parts, whole = [int(re.sub(r"[*,]", "", line[column])) for line in lines]
        assert sum(parts) == whole == bytes_
    check_end(costs, symbols)
    of_the_end = (f"{stated('conclusion', column, **symbols):,}" for column in (ROUNDS, TO_EACH, DEALT))
    assert "The end of the run takes {} rounds, {} bytes from a party".format(*of_the_end) in " ".join(TEXT.split())
    later = 280, 2640  # what the first iteration lacks
    first, dealer = (costs[role][0][1] - each / 20 for role, each in zip((0, 2), later, strict=True))
    assert f"{first:,.0f} bytes from it and {dealer:,.0f} from the dealer" in TEXT


def test_the_example_with_the_usual_least_size() -> None:
    costs, symbols = measured(2, 10_000, 2, 5, 1, min_cluster_size=5)
    check(costs, 0, "iteration_withholding", symbols, 2)
    rounds, from_party, dealt = (
        stated("iteration_withholding", column, **symbols) for column in (ROUNDS, TO_EACH, DEALT)
    )
    written = f"takes {rounds} rounds, {from_party:,} bytes from a party and {dealt:,} from the dealer"
    assert written in " ".join(TEXT.split())
