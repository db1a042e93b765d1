"""The protocol "mean": one iteration for each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np
from pydantic import ConfigDict, Field

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.errors import DataError
from secure_kmeans.job import Endpoint, Job, Kind, Role
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, Entry, When
from secure_kmeans.job.result import Common, Own, Result
from secure_kmeans.protocols.base import Context, Protocol
from secure_kmeans.report.report import Report, Section, common_part
from secure_kmeans.tables import Table

ADDER: Final = "adder"
SCALE: Final = 2.0**20

ROW_COUNTS: Final = Disclosure("row counts", ALL, When.BEFORE)
TOTAL: Final = Disclosure("total of a column", ADDER, When.EACH)
MEAN: Final = Disclosure("mean of a column", ALL, When.EACH)
ABOVE: Final = Disclosure("rows above the mean", OWNER, When.END)


class MeanJob(Job):
    """The job of "mean"."""

    HELPERS: ClassVar[Mapping[str, Kind]] = {ADDER: Kind.SERVER}
    FEWEST_PARTIES: ClassVar[int] = 3

    protocol: Literal["mean"] = "mean"
    adder: Endpoint = Endpoint()
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    largest: float = 1e6


class Means(Common):
    """What all parties learn."""

    means: list[float]


class Above(Own):
    """What one party alone learns: how many of its rows lie above each mean."""

    above: list[int]


class MeanResult(Result):
    """A party's result."""

    common: Means
    own: Above


class MeanSection(Section):
    """The result in a report."""

    model_config = ConfigDict(extra="forbid")

    means: list[float]


class MeanReport(Report):
    """The report of "mean"."""

    result: MeanSection
    plaintext: MeanSection | None


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a party needs to go on."""

    counts: list[int]
    means: list[float]
    ledger: list[dict[str, Any]]


class MeanProtocol(Protocol[MeanJob, MeanResult]):
    """A private mean."""

    name = "mean"
    Job: type[MeanJob] = MeanJob
    Result = MeanResult

    def check(self, job: MeanJob, role: Role, table: Table) -> list[str]:
        """Refuse numbers that are too large."""
        if (np.abs(table.rows) > job.largest).any():
            raise DataError(f"{table.source}: a number of {role.name} is larger than {job.largest:g}")
        return [f"{role.name} has few rows"] if len(table) < 3 else []

    def disclosures(self, job: MeanJob | None) -> tuple[Disclosure, ...]:
        """The same in every job."""
        return ROW_COUNTS, TOTAL, MEAN, ABOVE

    def run(self, context: Context[MeanJob]) -> MeanResult | None:
        """Take part."""
        if context.role.kind is Kind.SERVER:
            self._add(context)
            return None
        return self._take_part(context)

    def _add(self, context: Context[MeanJob]) -> None:
        checkpoint = context.mesh.checkpoint
        for iteration in range(1 if checkpoint is None else checkpoint.iteration + 1, len(context.job.columns) + 1):
            masked = [context.receive(party, np.empty(1, np.int64), disclosure=None) for party in context.parties]
            context.ledger.record(TOTAL, iteration=iteration)
            total = self.add(context, iteration, masked)
            for party in context.parties:
                context.send(party, total)

    def add(self, context: Context[MeanJob], iteration: int, masked: Sequence[np.ndarray]) -> np.ndarray:
        """The total of a column. Faults of the adder are made here."""
        return np.asarray(np.sum(masked, axis=0, dtype=np.int64))

    def _take_part(self, context: Context[MeanJob]) -> MeanResult:
        assert context.table is not None
        job, rows = context.job, context.table.rows
        if context.resumed is None:
            counts, means = self._exchange_counts(context, len(rows)), []
        else:
            state = msgspec.msgpack.decode(context.resumed, type=State)
            counts, means = state.counts, state.means
            context.ledger.entries += [Entry.model_validate(entry) for entry in state.ledger]
        self._keep(context, counts, means)
        masks = _Masks(context)
        for iteration in range(len(means) + 1, len(job.columns) + 1):
            context.ledger.record(TOTAL, iteration=iteration)
            own = np.rint(rows[:, iteration - 1].sum(keepdims=True) * SCALE).astype(np.int64)
            self.send_masked(context, iteration, own + masks.next())
            total = context.receive(ADDER, np.empty(1, np.int64), disclosure=MEAN, iteration=iteration)
            means.append(float(total[0]) / SCALE / sum(counts))
            self._keep(context, counts, means)
            context.progress("columns", iteration, len(job.columns))
        context.ledger.record(ABOVE, context.role.name)
        return MeanResult(
            role=context.role.name,
            n_samples=dict(zip(context.parties, counts, strict=True)),
            common=Means(means=means),
            own=Above(above=(rows > np.array(means)).sum(axis=0).tolist()),
            ledger=context.ledger.entries,
        )

    def send_masked(self, context: Context[MeanJob], iteration: int, masked: np.ndarray) -> None:
        """Send the masked sum of a column. Faults of a party are made here."""
        context.send(ADDER, masked)

    def _keep(self, context: Context[MeanJob], counts: list[int], means: list[float]) -> None:
        ledger = [entry.model_dump() for entry in context.ledger.entries]
        context.keep(len(means), msgspec.msgpack.encode(State(counts, means, ledger)))

    def _exchange_counts(self, context: Context[MeanJob], own: int) -> list[int]:
        context.ledger.record(ROW_COUNTS)
        counts = [int(count[0]) for count in context.exchange(np.array([own]))]
        for party, count in zip(context.parties, counts, strict=True):
            if count < 0:
                raise context.mesh.blame(party, "it sent a negative number of rows")
        return counts

    def in_the_clear(self, job: MeanJob, tables: Mapping[str, Table], results: Sequence[MeanResult]) -> list[float]:
        """The means of all rows."""
        means: list[float] = np.concatenate([table.rows for table in tables.values()]).mean(axis=0).tolist()
        return means

    def report(
        self, job: MeanJob, results: Sequence[MeanResult], clear: list[float] | None, names: Sequence[str] | None = None
    ) -> MeanReport:
        """The report."""
        return MeanReport(
            **common_part(job, results, job.columns),
            result=MeanSection(means=results[0].common.means),
            plaintext=None if clear is None else MeanSection(means=clear),
        )


class _Masks:
    """Masks of one party, one a column: over all parties they add up to 0."""

    def __init__(self, context: Context[MeanJob]) -> None:
        others = [(party, rank) for rank, party in enumerate(context.parties) if rank != context.rank]
        self._streams = [
            (Prg(context.mesh.key(party, "mask")), 1 if rank > context.rank else -1) for party, rank in others
        ]

    def next(self) -> np.ndarray:
        mask = np.zeros(1, np.int64)
        for stream, sign in self._streams:
            mask += sign * stream.ring(1)
        return mask


MEAN_PROTOCOL: Final = MeanProtocol()
