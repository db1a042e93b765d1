"""The mode "aggregate" of SMO07 at all parties in threads, over lines whose keys do not depend on the session."""

from collections.abc import Callable
from typing import Any

import numpy as np

from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07.aggregate import AggregateMode
from secure_kmeans.protocols.smo07.job import MOST_ROWS, Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits
from tests.mpc.roles_in_threads import key_between, names_of
from tests.threads import MemoryMesh, Threads, threads_of

LARGEST = (1 << 31) - 1
"""The largest coordinate that a run may have."""

WIDEST = Limits(MOST_ROWS, LARGEST, LARGEST)


class KeyedMesh(MemoryMesh):
    """A mesh whose keys :func:`key_between` gives."""

    def key_for(self, peer: str, purpose: str) -> bytes:
        return key_between(self.me, peer, purpose)


def job_of(parties: int) -> Smo07Job:
    return Smo07Job.of(
        parties=Party.named(*names_of(parties)),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=24,
        mode="aggregate",
        timeout=60.0,
    )


def context_of(job: Smo07Job, role: Role, mesh: Mesh) -> Context[Smo07Job]:
    return Context(job, role, None, mesh, Ledger(()), no_progress, None, lambda _iteration, _state: None)


def at_each_party(
    parties: int, body: Callable[[AggregateMode, int], Any], limits: Limits = WIDEST, **options: Any
) -> Threads:
    """Call ``body(mode, rank)`` at each party; the options are those of :class:`Threads`."""
    job = job_of(parties)

    def part(role: Role, mesh: Mesh) -> Any:
        context = context_of(job, role, mesh)
        return body(AggregateMode(context, limits), context.rank)

    return threads_of(job, part, **({"mesh": KeyedMesh} | options))


def means_of(sums: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, least: int) -> list[list[int]]:
    """What each party must learn, by plain integers: of (P, q, d) sums and (P, q) counts."""
    T, t = sums.astype(object).sum(axis=0), counts.astype(object).sum(axis=0)
    return [
        [
            (total + count // 2) // count if count >= least else int(kept)
            for total, kept in zip(row, kept_row, strict=True)
        ]
        for row, count, kept_row in zip(T, t, otherwise, strict=True)
    ]


def check_means(
    sums: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, least: int, largest: int = LARGEST
) -> Threads:
    """Compare the means of all parties with plain integers."""

    def means(mode: AggregateMode, rank: int) -> list[list[int]]:
        numbers = sums[rank], counts[rank], otherwise
        return mode.means(*numbers, largest=largest, least=least, iteration=1).tolist()

    threads = at_each_party(len(sums), means)
    assert threads.answers == [means_of(sums, counts, otherwise, least)] * len(sums)
    return threads


def split(totals: np.ndarray, parties: int, seed: int = 0) -> np.ndarray:
    """Split non-negative totals among parties, (P, ...), each part from 0."""
    generator = np.random.default_rng(seed)
    edges = np.sort(generator.integers(0, totals + 1, (parties - 1, *totals.shape)), axis=0)
    return np.diff(np.concatenate([0 * totals[None], edges, totals[None]]), axis=0)
