"""Models that the parties of a run keep in shares, each its own, in their state folders.

A share is useless without the other parties' shares of the same session, so a model is named after its session. A
prediction takes it: a later run of the same parties, which labels new rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from secure_kmeans.errors import JobError, StateError
from secure_kmeans.job import Job
from secure_kmeans.private_files import is_open_to_others, replace_file
from secure_kmeans.protocols import protocol_of

_CHECK_BYTES: Final = 32
_SHOWN: Final = 16
"""Digits of a session in names and messages."""


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model in its file, which holds SHA-256 of the rest, then this in MessagePack."""

    job: str
    party: str
    session: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    started: float
    share: bytes


@dataclass(frozen=True)
class KeptModel:
    """A party's share of a model.

    Attributes
    ----------
    job : Job
        Of the run that found it.
    party : str
    session : str
        Of that run, in hexadecimal.
    started : datetime
    share : bytes
        Only the protocol understands it.
    """

    job: Job
    party: str
    session: str
    started: datetime
    share: bytes


def keep_model(folder: Path, model: KeptModel) -> Path:
    """Write a model into a party's state folder, complete or not at all. Only its owner can read the file.

    Raises
    ------
    StateError
        Where it cannot be written.
    """
    content = _Content(model.job.model_dump_json(), model.party, model.session, model.started.timestamp(), model.share)
    payload = msgspec.msgpack.encode(content)
    file = folder / f"model-{model.session[:_SHOWN]}"
    try:
        replace_file(file, hashlib.sha256(payload).digest() + payload)
    except OSError as error:
        raise StateError(f"{folder}: {error.strerror}; the share of the model cannot be kept") from None
    return file


def models_in(folder: Path) -> list[KeptModel]:
    """All models of a state folder, the latest last.

    Raises
    ------
    StateError
        Where others may enter the folder, or a model was cut off, changed, or written by another version.
    """
    files = _files_in(folder, "*")
    return sorted((_read(file) for file in files), key=lambda model: model.started)


def model_for(job: Job, session: str, party: str, folders: Sequence[Path]) -> bytes:
    """A party's share of the model that a job takes.

    Parameters
    ----------
    job : Job
    session : str
        Of the run that found the model.
    party : str
    folders : sequence of paths
        The state folders in which the model may be.

    Raises
    ------
    StateError
        Where it is not there, or cannot be used.
    JobError
        Where it does not fit the job.
    """
    for folder in folders:
        for file in _files_in(folder, session[:_SHOWN]):
            model = _read(file)
            if model.session != session:
                continue
            if model.party != party:
                raise StateError(f'{file}: this is the share of "{model.party}", not of "{party}"')
            if model.job.protocol != job.protocol:
                raise JobError(f'protocol: the model is of "{model.job.protocol}", the job of "{job.protocol}"')
            protocol_of(job.protocol).check_model(job, model.job)
            return model.share
    searched = ", ".join(map(str, folders)) or "state/"
    others = [file.name for folder in folders for file in _files_in(folder, "*")]
    held = f"there is {', '.join(others)}, but no model" if others else "there is no model"
    raise StateError(
        f'{searched}: {held} of session {session[:_SHOWN]}, which the job names; name the folder in which "{party}" '
        "kept the states of that run"
    )


def _files_in(folder: Path, session: str) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = [file for file in sorted(folder.glob(f"model-{session}")) if file.suffix != ".part"]
        if found and is_open_to_others(folder):
            raise StateError(f"{folder}: others may enter this folder, which holds a share of a model; chmod 700 it")
        return found
    return []


def _read(file: Path) -> KeptModel:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}") from None
    if hashlib.sha256(data[_CHECK_BYTES:]).digest() != data[:_CHECK_BYTES]:
        raise StateError(f"{file}: this share of a model was cut off or changed; put a copy in its place, or fit anew")
    try:
        content = msgspec.msgpack.decode(data[_CHECK_BYTES:], type=_Content)
        job = protocol_of(json.loads(content.job)["protocol"]).Job.model_validate_json(content.job)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, JobError):
        raise StateError(f"{file}: another version of the program wrote this share of a model") from None
    return KeptModel(job, content.party, content.session, datetime.fromtimestamp(content.started, UTC), content.share)
