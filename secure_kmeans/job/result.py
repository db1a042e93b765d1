"""Results: what a role holds at the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from secure_kmeans.job.ledger import Entry

Progress = Callable[[str, int, int], None]
"""Callback(phase, done, total)."""


def no_progress(phase: str, done: int, total: int) -> None:
    """Ignore progress."""
    del phase, done, total


class Costs(BaseModel):
    """What one role waited for and sent.

    Attributes
    ----------
    rounds : int
        How often the role waited for another role's message.
    bytes_sent : int
        Payload, without frames and encryption.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = 0
    bytes_sent: int = 0


class Common(BaseModel):
    """The part of a result that is equal at all parties. Each protocol derives its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Own(BaseModel):
    """The part of a result that one party alone holds. Each protocol derives its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Result(BaseModel):
    """What a party holds at the end of a run. All of it is its own or in the ledger.

    A protocol derives a class that gives the types of ``common`` and ``own``.

    Attributes
    ----------
    role : str
    n_samples : dict of str to int
        Rows of each party.
    common : Common or None
        Equal at all parties; a rehearsal compares it.
    own : Own
    ledger : list of Entry
    started : datetime
        When the roles had met, UTC.
    seconds : float
        From then to the end of this role's part; in a rehearsal from the start of its processes to their end.
    ended : datetime
        When this role's part ended, UTC.
    table_digest : str
        Of this role's rows, in hexadecimal; empty before the end.
    session : str
        Identifier of the session, in hexadecimal; empty before the end.
    costs : dict of str to Costs
        Of each role, as the role reports it; empty before the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    n_samples: dict[str, int]
    common: SerializeAsAny[Common] | None
    own: SerializeAsAny[Own]
    ledger: list[Entry]
    started: datetime = datetime.fromtimestamp(0, UTC)
    seconds: float = 0.0
    ended: datetime = datetime.fromtimestamp(0, UTC)
    table_digest: str = ""
    session: str = ""
    costs: dict[str, Costs] = Field(default_factory=dict)

    def finished(self, **values: Any) -> Self:
        """The same result with what is known at the end of the run."""
        return self.model_copy(update=values)
