"""What an iteration and the choice of the best start cost is what docs/protocols.md states."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc import rows as rows_module
from secure_kmeans.mpc.crypten_adapter import wrap
from secure_kmeans.mpc.session import open_session
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.shk import disclosures as may
from tests.mpc.roles_in_threads import shares_of
from tests.stated_costs import DEALT, ROUNDS, TEXT, TO_EACH, rows_after, stated
from tests.threads import threads_of

Costs = list[list[tuple[int, int]]]
"""Of each role: of the second iteration, and of the choice of the best start."""


def symbols_of(job: ShkJob, n: int) -> dict[str, int]:
    """The symbols of the document."""
    largest = math.ceil(1.02 * 2**24)
    return {
        "n": n,
        "d": len(job.columns),
        "k": job.n_clusters,
        "r": job.restarts,
        "b": bits_of_a_difference(job, 24),
        "S": next(size for size in range(1, 9) if n * largest <= 2 ** (8 * size - 2)),
        "g": bits_to_hold(246.0 * n),
        "e": math.ceil(largest / 2**25) + 3,
    }


def measured(
    parties: int, n: int, d: int, k: int, r: int, *, hide_counts: bool = False
) -> tuple[Costs, dict[str, int]]:
    """What the second of three iterations, and the choice of the best start, cost each role."""
    rows = np.random.default_rng(n).random((n, d))
    job = ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(parties))),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=k,
        n_init=r,
        max_iter=3,
        tol=0.0,
        scaling=Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        precision_bits=24,
        hide_counts=hide_counts,
    )
    encoded = FixedPoint(24).encode(rows)
    C = np.stack([encoded[start * k : (start + 1) * k] for start in range(r)])
    revealed = Revealed(None if hide_counts else may.CLUSTER_SIZES, may.STOP_BIT, may.GOING_ON, may.BEST_RESTART)

    def part(role: Role, mesh: Mesh) -> list[tuple[int, int]]:
        with crypten.joined(mesh) as channel:
            sharing = open_session(channel, job, Ledger(SHK.disclosures(job)))
            line = ScheduleLine(mesh, job.names[0], "dealer", in_use=True)
            own_rows, own_C = (wrap(shares_of(values, parties, channel.rank)) for values in (encoded, C))
            entered = sharing.engine.execute(sharing.engine.enter(own_rows, bits_of_a_difference(job, 24)))
            lloyd = Lloyd(sharing, job, entered, own_C, line, revealed)
            marks = [_mark(mesh) for _ in lloyd.iterations()]
            marks.append(_mark(mesh))
            lloyd.best()
            marks.append(_mark(mesh))
        assert len(marks) == 5, "the run was meant to take three iterations"
        return [(marks[i][0] - marks[j][0], marks[i][1] - marks[j][1]) for i, j in ((1, 0), (4, 3))]

    return threads_of(job, part).answers, symbols_of(job, n)


def _mark(mesh: Mesh) -> tuple[int, int]:
    return mesh.traffic.rounds, mesh.traffic.bytes_sent


def check(costs: Costs, column: int, name: str, symbols: dict[str, int], told: int) -> None:
    parties = len(costs) - 1
    rounds, to_each, dealt = (stated(name, formula, **symbols) for formula in (ROUNDS, TO_EACH, DEALT))
    sent = (parties - 1) * to_each
    expected = [(rounds, sent + told), *[(rounds, sent)] * (parties - 1), (0, dealt)]
    assert [each[column] for each in costs] == expected


@pytest.mark.parametrize(
    ("parties", "n", "d", "k", "r"),
    [(2, 130, 2, 5, 1), (3, 70, 3, 4, 2), (3, 267, 1, 2, 1), (3, 266, 1, 3, 1), (2, 200, 2, 7, 3), (3, 64, 2, 10, 1)],
)
def test_an_iteration_and_the_choice_of_the_best_start(parties: int, n: int, d: int, k: int, r: int) -> None:
    costs, symbols = measured(parties, n, d, k, r)
    check(costs, 0, "iteration", symbols, 1 + r)
    if r > 1:
        check(costs, 1, "best", symbols, 0)
    if k <= 5:
        assert costs[0][0][0] == (12 if n > 266 else 11)


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
    later = 280, 2640  # what the first iteration lacks
    first, dealer = (costs[role][0][1] - each / 20 for role, each in zip((0, 2), later, strict=True))
    assert f"{first:,.0f} bytes from it and {dealer:,.0f} from the dealer" in TEXT
