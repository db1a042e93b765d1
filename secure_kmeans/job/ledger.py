"""Disclosures: what a run may reveal, to whom and when; and the ledger of what it has revealed.

Each protocol lists its disclosures once, as :class:`Disclosure` values. What is shown before a run, the ledger of the
run, the summary, the threat model's table and the check at the end of a run are all made from that list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from secure_kmeans.errors import ProtocolError

ALL: Final = "all"
"""Every party. Helpers are not parties."""

OWNER: Final = "its owner"
"""In a :class:`Disclosure`: each party, of its own rows. In a ledger the party's name stands in its place."""


class When(StrEnum):
    """When something is disclosed."""

    BEFORE = "before the first iteration"
    EACH = "each iteration"
    END = "at the end"


@dataclass(frozen=True)
class Disclosure:
    """One thing that a run may disclose.

    Attributes
    ----------
    what : str
        In words, as people read it.
    to : str
        :data:`ALL`, :data:`OWNER`, or the name of a role.
    when : When
    note : str
        Under what condition, and what follows from it; for the threat model.
    """

    what: str
    to: str
    when: When
    note: str = ""


class Entry(BaseModel):
    """One line of a ledger.

    Attributes
    ----------
    what : str
    to : str
        :data:`ALL` or the name of a role.
    iteration : int or None
        Counted from 1; None before the first and after the last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    to: str
    iteration: int | None = None


@dataclass
class Ledger:
    """The disclosures of a run, in order.

    Parameters
    ----------
    allowed : sequence of Disclosure
        All that the run may disclose.
    """

    allowed: Sequence[Disclosure]
    entries: list[Entry] = field(default_factory=list)

    def record(self, disclosure: Disclosure, to: str | None = None, iteration: int | None = None) -> None:
        """Record one disclosure, before it is made.

        Parameters
        ----------
        disclosure : Disclosure
        to : str, optional
            The owner's name, where the disclosure is to :data:`OWNER`.
        iteration : int, optional

        Raises
        ------
        ProtocolError
            Where the run may not disclose this.
        """
        recipient = disclosure.to if to is None else to
        entry = Entry(what=disclosure.what, to=recipient, iteration=iteration)
        check_entries([entry], self.allowed)
        self.entries.append(entry)


def check_entries(entries: Sequence[Entry], allowed: Sequence[Disclosure]) -> None:
    """Refuse a ledger that holds more than was announced.

    Raises
    ------
    ProtocolError
        Names the first line that no disclosure allows.
    """
    for entry in entries:
        if not any(_allows(disclosure, entry) for disclosure in allowed):
            raise ProtocolError(f'"{entry.what}" was to be disclosed to {entry.to}, which the job does not announce')


def _allows(disclosure: Disclosure, entry: Entry) -> bool:
    if disclosure.what != entry.what:
        return False
    to_whom = entry.to not in (ALL, OWNER) if disclosure.to == OWNER else entry.to == disclosure.to
    return to_whom and (entry.iteration is not None) == (disclosure.when is When.EACH)
