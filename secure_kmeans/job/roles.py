"""Roles: the processes that take part in a run, and how they find and recognise each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field

from secure_kmeans.job.agreed import Agreed, Name

MOST_ROLES: Final = 32
"""Roles of one run."""

RESERVED_NAMES: Final = frozenset({"all"})
"""Names that no role may have; "all" stands for all parties in a ledger."""


def split_address(address: str) -> tuple[str, int]:
    """Split an address into host and port.

    Raises
    ------
    ValueError
    """
    label = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    found = re.fullmatch(rf"(?:\[([0-9A-Fa-f:.]+)\]|({label}(?:\.{label})*\.?)):([0-9]{{1,5}})", address)
    if not found or not 0 < int(found[3]) < 1 << 16:
        raise ValueError(f'"{address}" is no address; write host:port, like clinic.example:7100')
    return found[1] or found[2], int(found[3])


def _checked_address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, AfterValidator(_checked_address)]
"""``host:port``. An IPv6 address stands in brackets."""

Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a certificate in DER, in hexadecimal."""


class Kind(StrEnum):
    """What a role is for."""

    PARTY = "party"
    DEALER = "dealer"
    SERVER = "server"
    KEY_SERVICE = "key service"


class Endpoint(Agreed):
    """Where a role listens, and its certificate. Both are None where all roles run on one machine.

    Attributes
    ----------
    address : Address or None
    fingerprint : Fingerprint or None
    """

    address: Address | None = None
    fingerprint: Fingerprint | None = None


class Party(Endpoint):
    """A party in a job: its name and its endpoint.

    Attributes
    ----------
    name : str
    """

    name: Name

    @classmethod
    def named(cls, *names: str) -> tuple[Self, ...]:
        """Parties without endpoints, for a run on one machine."""
        return tuple(cls.of(name=name) for name in names)


@dataclass(frozen=True)
class Role:
    """One role of a run.

    Attributes
    ----------
    name : str
    kind : Kind
    address, fingerprint : str or None
        See :class:`Endpoint`.
    """

    name: str
    kind: Kind
    address: str | None = None
    fingerprint: str | None = None

    @property
    def keeps_states(self) -> bool:
        """Whether the role keeps states that a run can be resumed from: parties do, helpers do not."""
        return self.kind is Kind.PARTY
