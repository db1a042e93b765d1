"""The job: what all roles of a run agree on beforehand. Nothing in it is secret.

A party's own secrets, such as the path of its table and its key, are never part of a job.
:func:`secure_kmeans.protocols.read_job` reads a job from TOML; ``docs/job.md`` describes every key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from secure_kmeans.errors import JobError
from secure_kmeans.job.agreed import Agreed, explain
from secure_kmeans.job.roles import MOST_ROLES, RESERVED_NAMES, Endpoint, Kind, Party, Role

SEEDS: Final = 2**53
"""Seeds lie below this bound, so that every reader of JSON keeps them whole."""

LONGEST_TIMEOUT: Final = 86400.0
"""Seconds."""

LONGEST_TEXT: Final = 500
"""Characters."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("write one line of printable characters")
    return text


FreeText = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_printable)]
"""One line of text for people."""


class Job(Agreed):
    """What every protocol's job has. A protocol's own job class adds its keys.

    A role that is no party is a *helper*. Each helper has a key of its own in the job class, of type
    :class:`~secure_kmeans.job.roles.Endpoint`; the key is the role's name, and :attr:`HELPERS` gives its kind.

    Attributes
    ----------
    protocol : str
        The name under which the protocol is registered.
    parties : tuple of Party
        In rank order.
    seed : int or None
        Seed of the public coins; None: the parties toss it together.
    timeout : float
        Seconds after which a silent role counts as failed, up to a day.
    purpose : str
        What the run is for, in words.
    contact : str
        Who answers questions about the job.
    """

    HELPERS: ClassVar[Mapping[str, Kind]] = {}
    FEWEST_PARTIES: ClassVar[int] = 2
    MOST_PARTIES: ClassVar[int] = 10
    NOT_IN_A_FILE: ClassVar[frozenset[str]] = frozenset()
    """Keys that a job file may not have."""
    FOLLOWING: ClassVar[frozenset[str]] = frozenset()
    """Keys that follow from others, so that no job file has them."""

    protocol: str
    parties: tuple[Party, ...]
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] | None = None
    timeout: Annotated[float, Field(ge=1, le=LONGEST_TIMEOUT)] = 60.0
    purpose: FreeText = ""
    contact: FreeText = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The parties' names, in rank order."""
        return tuple(party.name for party in self.parties)

    @property
    def roles(self) -> tuple[Role, ...]:
        """All roles: the parties in rank order, then the helpers. A role dials those after it."""
        parties = tuple(Role(party.name, Kind.PARTY, party.address, party.fingerprint) for party in self.parties)
        helpers = tuple(self._helper(name, kind) for name, kind in self.HELPERS.items())
        return parties + helpers

    def _helper(self, name: str, kind: Kind) -> Role:
        endpoint: Endpoint = getattr(self, name)
        return Role(name, kind, endpoint.address, endpoint.fingerprint)

    def role(self, name: str) -> Role:
        """The role of this name.

        Raises
        ------
        KeyError
        """
        return {role.name: role for role in self.roles}[name]

    @property
    def digests(self) -> dict[str, bytes]:
        """SHA-256 of each key's value, which the roles compare; one for each element of a list of texts."""
        return digests_of_keys(json.loads(self.model_dump_json()))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the whole job. Layout and comments of its file do not matter."""
        return digest_of_keys(json.loads(self.model_dump_json()))

    @property
    def state_digest(self) -> bytes:
        """SHA-256 of all that a result follows from; a state to resume from is bound to it.

        Endpoints, the timeout and the texts for people may change before a run is resumed.
        """
        free = {key: self.default_of(key) for key in ("timeout", "purpose", "contact")}
        bare = self.with_endpoints({}).model_copy(update=free)
        return hashlib.sha256(b"state" + bare.digest).digest()

    def with_endpoints(self, endpoints: Mapping[str, Endpoint]) -> Self:
        """The same job with other endpoints, by the names of the roles; a role that is not named has none."""
        parties = tuple(
            party.model_copy(
                update=endpoints.get(party.name, Endpoint()).model_dump(include={"address", "fingerprint"})
            )
            for party in self.parties
        )
        return self.model_copy(
            update={"parties": parties} | {name: endpoints.get(name, Endpoint()) for name in self.HELPERS}
        )

    def check_endpoints(self) -> None:
        """Refuse a job whose roles cannot find or recognise each other.

        Raises
        ------
        JobError
            Where a role has no address or no fingerprint, or two roles have the same.
        """
        for what in ("address", "fingerprint"):
            found: dict[str, str] = {}
            for role in self.roles:
                value = getattr(role, what)
                if value is None:
                    raise JobError(f'"{role.name}" has no {what}; every role needs one to run on a machine of its own')
                if value in found:
                    raise JobError(f'"{found[value]}" and "{role.name}" have the same {what}; give each its own')
                found[value] = role.name

    @model_validator(mode="after")
    def _check_parties(self) -> Self:
        names = {name.casefold() for name in self.names}
        fewest, most = self.FEWEST_PARTIES, min(self.MOST_PARTIES, MOST_ROLES - len(self.HELPERS))
        if not fewest <= len(self.parties) <= most:
            raise ValueError(f"a secure run takes {fewest} to {most} parties, not {len(self.parties)}")
        if len(names) != len(self.parties):
            raise ValueError("two parties have the same name")
        if reserved := names & (RESERVED_NAMES | set(self.HELPERS)):
            raise ValueError(f'"{min(reserved)}" is reserved, no party may be called so')
        return self

    @classmethod
    def from_file(cls, values: Mapping[str, Any]) -> Self:
        """Make a job from the content of its file.

        Parameters
        ----------
        values : mapping
            As a reader of TOML returns it.

        Raises
        ------
        JobError
        """
        for key in cls.NOT_IN_A_FILE & values.keys():
            raise JobError(f"{key}: this is no key of a job file: the parties of a job file agree on it beforehand")
        try:
            # TOML's dates are no values of a job: an empty table in their place is refused.
            return cls.model_validate_json(json.dumps(dict(values), default=lambda _date: {}))
        except ValidationError as error:
            raise JobError(explain(error)) from None


def digests_of_keys(keys: Mapping[str, Any]) -> dict[str, bytes]:
    """SHA-256 of each key's value, as JSON has it; one for each element of a list of texts."""
    digests = {}
    for key, value in keys.items():
        digests[key] = _digest_of(value)
        if isinstance(value, list) and all(isinstance(element, str) for element in value):
            digests |= {f"{key}.{number}": _digest_of(element) for number, element in enumerate(value, start=1)}
    return digests


def digest_of_keys(keys: Mapping[str, Any]) -> bytes:
    """The digest of the job that has these keys and values, as JSON has them."""
    digests = digests_of_keys(keys)
    return hashlib.sha256(b"".join(key.encode() + value for key, value in sorted(digests.items()))).digest()


def _digest_of(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value).encode()).digest()
