"""The first message between two roles, and what must agree before a share is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from secure_kmeans.job import Job, Role
from secure_kmeans.net.messages import Checkpoint, Hello
from secure_kmeans.version import VERSION

_MOST_KEYS_NAMED: Final = 8
_MOST_NUMBERS_NAMED: Final = 4


def hello_of(
    job: Job, role: str, line: str, nonce: bytes, resume: bool = False, checkpoints: Sequence[Checkpoint] = ()
) -> Hello:
    """The Hello of a role.

    Parameters
    ----------
    job : Job
    role : str
        The name of the role.
    line : "control" or "data"
    nonce : 32 bytes
    resume : bool
    checkpoints : sequence of Checkpoint
        Like ``resume``, ignored for a role that keeps no states.
    """
    keeps_states = job.role(role).keeps_states
    return Hello(
        program=VERSION,
        role=role,
        line=line,
        keys=job.digests,
        digest=job.digest,
        nonce=nonce,
        resume=resume if keeps_states else None,
        checkpoints=tuple(checkpoints) if keeps_states else (),
    )


def difference(own: Hello, theirs: Hello, role: Role) -> str | None:
    """The reason why a peer cannot take part, or None.

    The reason is a sentence about the peer, which it calls "it".

    Parameters
    ----------
    own, theirs : Hello
    role : Role
        The role whose certificate the peer showed.
    """
    if theirs.program != own.program:
        return f"it runs version {theirs.program} of secure_kmeans, this role version {own.program}"
    if theirs.role != role.name:
        return f'it calls itself "{theirs.role}", but shows the certificate of "{role.name}"'
    if theirs.digest != own.digest or theirs.keys != own.keys:
        differing = _differing_keys(own.keys, theirs.keys)[:_MOST_KEYS_NAMED] or ["its digest"]
        return f"its job differs from this role's in {', '.join(differing)}; use the same job file"
    if role.keeps_states and theirs.resume is None:
        return f'it does not say whether it resumes a run, but "{role.name}" keeps states to resume from'
    if not role.keeps_states and (theirs.resume is not None or theirs.checkpoints):
        resumes = {True: "that it resumes a run", False: "that it does not resume a run", None: "nothing of resuming"}
        return (
            f"it says {resumes[theirs.resume]} and names {len(theirs.checkpoints)} states to resume from, "
            f'but "{role.name}" keeps none'
        )
    if theirs.resume is not None and own.resume is not None and theirs.resume != own.resume:
        this, that = ("resumes a run", "starts anew") if own.resume else ("starts anew", "resumes a run")
        return f"it {that}, this role {this}; start all parties alike"
    return None


def _differing_keys(own: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> list[str]:
    """The keys of the job that differ, in alphabetical order, as a message names them.

    Where lists of one length differ, the numbers of the elements that do are added.
    """
    differing = {key for key in {*own, *theirs} if own.get(key) != theirs.get(key)}
    elements: dict[str, list[str]] = {key: [] for key in differing}
    for key in list(differing):
        list_key = key.rpartition(".")[0]
        if list_key in differing:
            elements[list_key].append(key)
            del elements[key]
    return [_in_words(key, elements[key], own, theirs) for key in sorted(elements)]


def _in_words(key: str, elements: Sequence[str], own: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> str:
    """A key, and in parentheses the elements of its list that differ."""
    if not elements or any(element not in own or element not in theirs for element in elements):
        return key
    numbers = sorted((element.rpartition(".")[2] for element in elements), key=lambda number: (len(number), number))
    shown = [*numbers[:_MOST_NUMBERS_NAMED], *(["..."] if len(numbers) > _MOST_NUMBERS_NAMED else [])]
    return f"{key} ({'number' if len(numbers) == 1 else 'numbers'} {', '.join(shown)})"


def session_of(digest: bytes, hellos: Mapping[str, Hello], roles: Sequence[str]) -> bytes:
    """The identifier of a session: SHA-256 of the digest of the job and of the Hellos of all roles.

    The nonces make it different in every session. Two roles compute the same identifier only if every role sent both of
    them the same nonce and the same checkpoints.

    Parameters
    ----------
    digest : 32 bytes
        Of the job.
    hellos : mapping of name to Hello
        One Hello of each role.
    roles : sequence of str
        The names, in the order of the job.
    """
    hashed = hashlib.sha256(b"session" + digest)
    for role in roles:
        hello = hellos[role]
        hashed.update(hello.nonce + bytes([0 if hello.resume is None else 1 + hello.resume]))
        hashed.update(len(hello.checkpoints).to_bytes(8, "big"))
        for checkpoint in hello.checkpoints:
            hashed.update(checkpoint.session + checkpoint.iteration.to_bytes(8, "big"))
    return hashed.digest()


def common_checkpoint(hellos: Mapping[str, Hello]) -> Checkpoint | None:
    """The last state that all roles which keep states hold; None where there is none."""
    held = [set(hello.checkpoints) for hello in hellos.values() if hello.resume is not None]
    return max(set.intersection(*held), default=None) if held else None
