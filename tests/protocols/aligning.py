"""The alignment at all roles in threads, and roles that send something else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secure_kmeans.job import Role, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.alignment import common_rows
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from tests.threads import MemoryMesh, Threads, threads_of


def job_of(names: Sequence[str]) -> SvkJob:
    return SvkJob.of(
        parties=tuple(ColumnsParty(name=name, columns=(f"of {name}",)) for name in names),
        id="id",
        most_rows=10,
        n_clusters=1,
        precision_bits=24,
        scaling=Scaling.of(lower=(0.0,) * len(names), upper=(1.0,) * len(names)),
    )


def at_each_role(names: Sequence[str], part: Callable[[Context[Any]], Any], **options: Any) -> Threads:
    job, progress = job_of(names), options.pop("progress", no_progress)

    def take_part(role: Role, mesh: Mesh) -> Any:
        return part(context_of(job, role, mesh, progress))

    return threads_of(job, take_part, **options)


def context_of(job: SvkJob, role: Role, mesh: Mesh, progress: Progress = no_progress) -> Context[Any]:
    return Context(job, role, None, mesh, Ledger(()), progress, None, lambda _iteration, _state: None)


@dataclass(frozen=True)
class Aligned:
    """Each party's rows, the dealer's answer, and what travelled."""

    rows: dict[str, list[int]]
    dealer: np.ndarray
    threads: Threads


def align(
    sets: Mapping[str, Sequence[str]], *, most: int | Mapping[str, int] = 8, fewest: int = 1, **options: Any
) -> Aligned:
    most_rows = dict.fromkeys(sets, most) if isinstance(most, int) else most
    threads = at_each_role(
        tuple(sets), lambda context: common_rows(context, sets.get(context.role.name), most_rows, fewest), **options
    )
    *parties, dealer = threads.answers
    assert {answer.dtype for answer in threads.answers} == {np.dtype(np.int64)}
    return Aligned({name: rows.tolist() for name, rows in zip(sets, parties, strict=True)}, dealer, threads)


def forging(
    role: str, forge: Callable[[np.ndarray], np.ndarray], *, to: str | None = None, size: int | None = None
) -> Callable[..., MemoryMesh]:
    """A mesh whose messages from one role, to one other or all, are forged: of arrays of this size, or all."""

    class Forging(MemoryMesh):
        def post(self, peer: str, numbers: np.ndarray) -> None:
            meant = self.me == role and to in (None, peer) and size in (None, numbers.size)
            super().post(peer, np.ascontiguousarray(forge(numbers)) if meant else numbers)

    return Forging
