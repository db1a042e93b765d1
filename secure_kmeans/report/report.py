"""The layout of ``report.json``: the part that the reports of all protocols have in common.

The layout is a public interface, described in ``docs/report.md``. A change that could break a reader raises its
version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SerializeAsAny

from secure_kmeans.job import Agreed, Job, Kind
from secure_kmeans.job.ledger import Entry
from secure_kmeans.job.result import Costs, Result
from secure_kmeans.version import VERSION


class Part(BaseModel):
    """A part of a report: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Section(BaseModel):
    """A part of a report that differs between protocols. Each protocol derives its own and forbids unknown keys.

    This base keeps all keys: :meth:`Report.load` reads the reports of every protocol.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


class JobPart(BaseModel):
    """All that was agreed on, by the keys of the job, and the digest that the roles compared.

    Attributes
    ----------
    digest : str or None
        In hexadecimal; None in the clear.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    digest: str | None

    @classmethod
    def of(cls, agreed: Agreed) -> Self:
        """Take over every key, as JSON has it."""
        digest = agreed.digest.hex() if isinstance(agreed, Job) else None
        return cls.model_validate({"digest": digest} | json.loads(agreed.model_dump_json()))


class RolePart(Part):
    """One role.

    Attributes
    ----------
    name : str
    kind : Kind
    fingerprint : str or None
        Of its certificate; None where all roles ran on one machine.
    """

    name: str
    kind: Kind
    fingerprint: str | None


class Timing(Part):
    """Durations in seconds.

    Attributes
    ----------
    total_s : float
        Of the run.
    per_iteration_s : float or None
        Of one iteration on average; None where there are none.
    """

    total_s: float
    per_iteration_s: float | None = None


class Report(Part):
    """The content of ``report.json``. A protocol derives a class that gives the types of its sections.

    Attributes
    ----------
    version : int
        Of the layout.
    program : str
        Version of the program that wrote the report.
    protocol : str or None
        None for a run in the clear.
    session : str or None
        Identifier of the session, in hexadecimal; None for a run in the clear.
    job : JobPart
    started : datetime
        UTC.
    ended : datetime or None
        UTC; None in a report of an earlier version of the program.
    roles : list of RolePart
        Empty for a run in the clear.
    n_samples : dict of str to int
        Rows of each party. Where the parties hold columns, these are the same rows at all of them.
    table_digests : dict of str to str
        SHA-256 of the tables that were there, in hexadecimal: of all parties, or of the one whose report this is.
    columns : list of str
    result : Section
        What was found.
    plaintext : Section or None
        What the same run in the clear finds.
    agreement : Section or None
        How much the two agree.
    timing : Timing
    communication : dict of str to Costs
        Of each role.
    ledger : list of Entry
    """

    version: Literal[3] = 3
    program: str
    protocol: str | None
    session: str | None
    job: JobPart
    started: AwareDatetime
    ended: AwareDatetime | None = None
    roles: list[RolePart]
    n_samples: dict[str, int]
    table_digests: dict[str, str] = Field(default_factory=dict)
    columns: list[str]
    result: SerializeAsAny[Section]
    plaintext: SerializeAsAny[Section] | None = None
    agreement: SerializeAsAny[Section] | None = None
    timing: Timing
    communication: dict[str, Costs]
    ledger: list[Entry]

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of the parties, in rank order. In this order their rows are joined, or their columns."""
        return tuple(self.n_samples)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a ``report.json``.

        Raises
        ------
        pydantic.ValidationError
            Where the file has another layout; it is a ValueError.
        """
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))


def common_part(
    job: Job, results: Sequence[Result], columns: Sequence[str], *, per_iteration_s: float | None = None
) -> dict[str, Any]:
    """The values of a report that mean the same in every protocol: all but ``result``, ``plaintext``, ``agreement``.

    Parameters
    ----------
    job : Job
    results : sequence of Result
        Of one party, or of all parties in rank order.
    columns : sequence of str
    per_iteration_s : float, optional
    """
    first = results[0]
    return {
        "program": VERSION,
        "protocol": job.protocol,
        "session": first.session or None,
        "job": JobPart.of(job),
        "started": min(result.started for result in results),
        "ended": max(result.ended for result in results),
        "roles": [RolePart(name=role.name, kind=role.kind, fingerprint=role.fingerprint) for role in job.roles],
        "n_samples": first.n_samples,
        "table_digests": {result.role: result.table_digest for result in results if result.table_digest},
        "columns": list(columns),
        "timing": Timing(total_s=max(result.seconds for result in results), per_iteration_s=per_iteration_s),
        "communication": first.costs,
        "ledger": _joined(result.ledger for result in results),
    }


def _joined(ledgers: Iterable[Sequence[Entry]]) -> list[Entry]:
    """The first ledger, and after it the lines that stand only in a later one."""
    entries: list[Entry] = []
    for ledger in ledgers:
        known = set(entries)
        entries += [entry for entry in ledger if entry not in known]
    return entries
