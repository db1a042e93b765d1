"""What an iteration of SMO07 costs is what docs/protocols.md states, in either mode."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from secure_kmeans.crypto.paillier import PrivateKey, ciphertext_bytes
from secure_kmeans.crypto.plaintext_packing import Packing
from secure_kmeans.job import Role
from secure_kmeans.job.fixed_point import bits_to_hold
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.smo07.addition import room
from secure_kmeans.protocols.smo07.aggregate import AggregateMode
from secure_kmeans.protocols.smo07.disclosures import disclosures
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits, Mode
from secure_kmeans.protocols.smo07.paillier_mode import PaillierMode, check_room
from tests.protocols.adding import context_of, job_of
from tests.stated_costs import DEALT, ROUNDS, TO_EACH, rows_after, stated, value_of
from tests.threads import threads_of

Q, D, LEAST = 5, 2, 5
LIMITS = Limits(10_000, 17_112_761, 17_112_761)


def formulas(mode: str, parties: int) -> list[list[Any]]:
    """The two formulas of each party, compiled."""
    written = [
        [compile(cell.strip("`"), mode, "eval") for cell in costs]
        for of, _, *costs in rows_after("| mode | party |")
        if of == f"`{mode}`"
    ]
    *first, between, last = written
    return [*first, *[between] * (parties - len(first) - 1), last][:parties]


def stated_costs(job: Smo07Job) -> list[tuple[int, int]]:
    """Rounds and bytes of each party, as the document states them."""
    parties = len(job.parties)
    symbols = {"q": Q, "d": D, "P": parties, "e": 4, "m": Q * D, "S": 8}
    symbols |= {"B": job.key_bits // 8, "c": ciphertext_bytes(job.key_bits), "v": check_room(job, LIMITS)}
    found = []
    for rank, of in enumerate(formulas(job.mode, parties)):
        deals = job.mode == "aggregate" and rank == parties - 1
        costs = []
        for formula, column in zip(of, (ROUNDS, DEALT if deals else TO_EACH), strict=True):
            steps = {name: _step(name, column, symbols) for name in ("divide_by_secret_from", "opened")}
            costs.append(value_of(formula, symbols | steps))
        found.append((costs[0], costs[1]))
    return found


def _step(name: str, column: int, symbols: dict[str, int]) -> Any:
    return partial(lambda **given: stated(name, column, **symbols | given))


def counted_costs(job: Smo07Job, keys: list[PrivateKey]) -> list[tuple[int, int]]:
    """Rounds and bytes of each party in one iteration."""
    sums, counts = np.ones((Q, D), dtype=np.int64), np.ones(Q, dtype=np.int64)

    def part(role: Role, mesh: Mesh) -> None:
        context = context_of(job, role.name, mesh, Ledger(disclosures(job)))
        mode: Mode
        if job.mode == "aggregate":
            mode = AggregateMode(context, LIMITS)
        else:
            mode = PaillierMode(context, LIMITS, generate=lambda _bits: keys[0])
        mode.means(sums, counts, sums, largest=LIMITS.largest, least=LEAST, iteration=1)
        mode.close()

    traffic = threads_of(job, part).traffic
    return [(each.rounds, each.bytes_sent) for each in traffic]


@pytest.fixture(scope="module")
def keys() -> list[PrivateKey]:
    return [PrivateKey.generate(2048)]


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_an_iteration_of_the_mode_paillier(parties: int, keys: list[PrivateKey]) -> None:
    job = job_of(parties, n_init=1, n_clusters=Q, columns=("x", "y"), scaling={"lower": (0, 0), "upper": (1, 1)})
    assert counted_costs(job, keys) == stated_costs(job)


@pytest.mark.parametrize("parties", [3, 4, 6])
def test_an_iteration_of_the_mode_aggregate(parties: int, keys: list[PrivateKey]) -> None:
    job = job_of(parties, mode="aggregate", n_init=1, n_clusters=Q)
    assert counted_costs(job, keys) == stated_costs(job)


@pytest.mark.parametrize("parties", [2, 3, 4, 5, 20])
def test_the_room_of_a_plaintext_and_the_bits_of_its_numbers(parties: int) -> None:
    assert ciphertext_bytes(2048) == 2 * 2048 // 8
    assert room(2048, parties) + 1 == 2048 - 1 - bits_to_hold(parties)  # and a sign
    for bound in (1, LIMITS.n, LIMITS.n * LIMITS.largest):
        assert Packing.of([bound], bits_to_hold(2 * bound + 1)).plaintexts == 1
        with pytest.raises(ValueError, match="bits"):
            Packing.of([bound], bits_to_hold(2 * bound + 1) - 1)
