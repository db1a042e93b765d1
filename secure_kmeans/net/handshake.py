"""What two roles tell each other first, and what must agree before a share is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from secure_kmeans.job import DEALER, Job
from secure_kmeans.net.messages import Checkpoint, Hello
from secure_kmeans.version import VERSION


def hello_of(
    job: Job, role: str, line: str, nonce: bytes, resume: bool | None, checkpoints: Sequence[Checkpoint]
) -> Hello:
    """What a role says of itself and of its job."""
    return Hello(
        program=VERSION,
        role=role,
        line=line,
        columns=job.columns,
        keys=job.digests,
        digest=job.digest,
        nonce=nonce,
        resume=resume,
        checkpoints=tuple(checkpoints),
    )


def difference(own: Hello, theirs: Hello, role: str) -> str | None:
    """What keeps a peer from taking part, as ``<role> ...`` would go on; None where nothing does.

    Parameters
    ----------
    own, theirs : Hello
    role : str
        Whose certificate the peer showed.
    """
    if theirs.program != own.program:
        return f"it runs version {theirs.program} of secure_kmeans, this role version {own.program}"
    if theirs.role != role:
        return f'it calls itself "{theirs.role}", but shows the certificate of "{role}"'
    if theirs.columns != own.columns:
        return _different_columns(own.columns, theirs.columns)
    if theirs.digest != own.digest or theirs.keys != own.keys:
        keys = sorted({*own.keys, *theirs.keys})
        differing = [key for key in keys if own.keys.get(key) != theirs.keys.get(key)]
        return f"its job differs from this role's in {', '.join(differing[:8]) or 'its digest'}; use the same job file"
    if (theirs.resume is None) != (role == DEALER) or (role == DEALER and theirs.checkpoints):
        return "it does not say as a party, or as the dealer, whether it resumes"
    if theirs.resume is not None and own.resume is not None and theirs.resume != own.resume:
        this, that = ("with", "without") if own.resume else ("without", "with")
        return f"it was started {that} --resume, this role {this} it; start all parties alike"
    return None


def _different_columns(own: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    if len(theirs) != len(own):
        return f"its job names {len(theirs)} columns, this role's {len(own)}; use the same job file"
    number = next(place for place, (one, other) in enumerate(zip(own, theirs, strict=True)) if one != other)
    return (
        f'its job calls column {number + 1} "{theirs[number][:100]}", this role\'s "{own[number][:100]}"; '
        "use the same job file"
    )


def session_of(digest: bytes, hellos: Mapping[str, Hello], roles: Sequence[str]) -> bytes:
    """The identifier of the session of these roles: from all that they said, their fresh nonces included.

    All roles are in the same session only if each told all others the same.
    """
    told = hashlib.sha256(b"session" + digest)
    for role in roles:
        hello = hellos[role]
        told.update(hello.nonce + bytes([0 if hello.resume is None else 1 + hello.resume]))
        told.update(len(hello.checkpoints).to_bytes(8, "big"))
        for checkpoint in hello.checkpoints:
            told.update(checkpoint.session + checkpoint.iteration.to_bytes(8, "big"))
    return told.digest()


def common_checkpoint(hellos: Mapping[str, Hello]) -> Checkpoint | None:
    """The last state that all parties hold; None where there is none, or where the run starts anew."""
    held = [set(hello.checkpoints) for hello in hellos.values() if hello.resume is not None]
    return max(set.intersection(*held), default=None) if held else None
