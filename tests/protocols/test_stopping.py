"""The stop rule's bound on shares is the one in the clear, at the ends of what a job may say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, choose_precision_bits
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import share_of
from secure_kmeans.mpc.session import open_session
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.partition import ByColumns, ByRows, Partition
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.stopping import movement_bound
from tests.threads import threads_of


def job_for(parties: int, d: int, largest: float, tol: float) -> ShkJob:
    return ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(parties))),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=2,
        tol=tol,
        scaling=Scaling.of(method="none", lower=(-largest,) * d, upper=(largest,) * d),
        precision_bits=choose_precision_bits(d, 2, largest),
    )


def bound_on_shares(job: ShkJob, rows: np.ndarray, *, by_columns: bool = False) -> int:
    """The shared bound of rows of which the parties hold slices, or columns."""
    parts = np.array_split(rows, len(job.parties), axis=int(by_columns))
    edges = np.cumsum([0, *(part.shape[1] for part in parts), 0])

    def partition(rank: int) -> Partition:
        if by_columns:
            return ByColumns(len(rows), np.diff(edges[:-1]).tolist(), slice(edges[rank], edges[rank + 1]))
        return ByRows([len(each) for each in parts])

    def part(role: Role, mesh: Mesh) -> int:
        with crypten.joined(mesh) as channel:
            sharing = open_session(channel, job, Ledger(SHK.disclosures(job)))
            nothing = rows[:, :0] if by_columns else rows[:0]
            own = parts[channel.rank] if channel.rank < len(parts) else nothing
            bound = movement_bound(sharing, job, own, partition(channel.rank))
            assert not sharing.ledger.entries
            return int(share_of(bound)[0])

    *shares, of_dealer = threads_of(job, part).answers
    assert of_dealer == 0
    return (sum(shares) + 2**63) % 2**64 - 2**63


def rows_at_the_ends(kind: str, n: int, d: int, largest: float) -> np.ndarray:
    rows = np.full((n, d), largest)
    if kind == "both ends":  # the largest variance
        rows[: n // 2] *= -1
    if kind == "random":
        rows *= np.random.default_rng(n + d).uniform(-1, 1, (n, d))
    return rows


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("kind", ["both ends", "one end", "random"])
@pytest.mark.parametrize(
    ("n", "d", "largest", "tol"),
    [(7, 1, 1.0, 1e-4), (50, 3, 1e6, 1.0), (50, 40, 1e-3, 1.0), (2, 1, 2.0**20, 1e-12), (999, 2, 1e4, 1e-300)],
)
def test_equals_the_bound_in_the_clear(
    parties: int, kind: str, n: int, d: int, largest: float, tol: float, by_columns: bool
) -> None:
    job, rows = job_for(parties, d, largest, tol), rows_at_the_ends(kind, n, d, largest)
    tolerance = Tolerance.of(job, n)
    assert tolerance is not None
    X = FixedPoint(job.precision_bits).encode(rows)
    found = bound_on_shares(job, rows, by_columns=by_columns)
    assert found == tolerance.bound(X)

    exact = [[Fraction(int(value)) for value in column] for column in X.T]
    variances = [sum(value**2 for value in column) / n - (sum(column) / n) ** 2 for column in exact]
    expected = Fraction(tol) * sum(variances) / d
    unit = Fraction(tol) * 2**tolerance.shift / d
    assert found >= 0
    assert abs(found - expected) <= expected * Fraction(2) ** -19 + (2 * tolerance.slack + 2) * unit + 1


def test_without_a_tolerance_the_bound_is_0() -> None:
    for by_columns in (False, True):
        assert bound_on_shares(job_for(2, 2, 1.0, 0.0), np.ones((4, 2)), by_columns=by_columns) == 0
