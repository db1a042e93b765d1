"""A party's state folder: what the party needs to go on with a run that was cut off.

A state is bytes that only the protocol understands, such as the party's own shares. It is useless without the
other parties' states of the same session, so its file names the session. It does not fit another job, party or
table, so its file holds digests of them. The last two states are kept, because two parties are never more than one
iteration apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from pathlib import Path
from typing import Final, Self

import msgspec

from secure_kmeans.errors import StateError
from secure_kmeans.job import Job
from secure_kmeans.net.messages import Checkpoint
from secure_kmeans.private_files import (
    is_open_to_others,
    make_folder,
    missing_folders,
    replace_file,
)

_KEPT: Final = 2
_SUFFIX: Final = ".state"
_CHECK_BYTES: Final = 32
_SPARE_BYTES: Final = 1 << 20


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A state in its file, which holds SHA-256 of the rest, then this in MessagePack."""

    job: bytes
    party: str
    table: bytes
    session: bytes
    iteration: int
    state: bytes


class StateFolder:
    """A folder in which one party keeps its states of one job. No other process can use it at the same time.

    Parameters
    ----------
    path : path
        Made where it is missing. Nobody but its owner may enter it.
    job : Job
    party : str
    table_digest : bytes
        Of the party's rows: another table is another run.
    needed_bytes : int
        The most bytes that one state may take.

    Raises
    ------
    StateError
        Before the run, where others may enter the folder, it is in use, it cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, job: Job, party: str, table_digest: bytes, needed_bytes: int) -> None:
        self.path = path
        self._job, self._party, self._table = job.state_digest, party, table_digest
        self._name = hashlib.sha256(self._job + party.encode() + table_digest).hexdigest()[:16]
        self._made = missing_folders(path)
        try:
            make_folder(path)
            if is_open_to_others(path):
                raise StateError(f"{path}: others may enter this folder; chmod 700 it, or name another for the states")
            self._lock = (path / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._check_space(_KEPT * needed_bytes + _SPARE_BYTES)
        except BlockingIOError:
            raise StateError(f"{path}: another run uses this folder; end it, or name another for the states") from None
        except OSError as error:
            raise StateError(f"{path}: {error.strerror}; name another folder for the states") from None

    def _check_space(self, needed: int) -> None:
        if shutil.disk_usage(self.path).free < needed:
            raise StateError(f"{self.path}: there is no room left for {needed:,} bytes; name another for the states")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not any(self.path.glob(f"*{_SUFFIX}")):
            self.clear()
        self._lock.close()

    def to_resume_from(self) -> tuple[Checkpoint, ...]:
        """:meth:`checkpoints`, of which there has to be one.

        Raises
        ------
        StateError
        """
        if held := self.checkpoints():
            return held
        found = "states of another job or table" if any(self.path.glob(f"*{_SUFFIX}")) else "no state"
        raise StateError(
            f"{self.path}: there is {found} to resume from; start the run anew, or name the folder of its states"
        )

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The states of this job, party and table that a run can be resumed from."""
        return tuple(sorted(self._found()))

    def load(self, checkpoint: Checkpoint) -> bytes:
        """The state of one of :meth:`checkpoints`."""
        return self._found()[checkpoint]

    def _found(self) -> dict[Checkpoint, bytes]:
        found = {}
        for file in self.path.glob(f"{self._name}-*{_SUFFIX}"):
            kept = _read(file)
            if kept is not None and (kept.job, kept.party, kept.table) == (self._job, self._party, self._table):
                found[Checkpoint(kept.iteration, kept.session)] = kept.state
        return found

    def save(self, session: bytes, iteration: int, state: bytes) -> None:
        """Keep a state, complete or not at all, and remove all but the last two of its session.

        Raises
        ------
        StateError
            Where it cannot be written.
        """
        payload = msgspec.msgpack.encode(_Kept(self._job, self._party, self._table, session, iteration, state))
        name = f"{self._name}-{session.hex()[:16]}"
        file = self.path / f"{name}-{iteration:08d}{_SUFFIX}"
        try:
            replace_file(file, hashlib.sha256(payload).digest() + payload)
        except OSError as error:
            raise StateError(f"{self.path}: {error.strerror}; the state cannot be kept") from None
        own = sorted(self.path.glob(f"{name}-*{_SUFFIX}"))
        forgotten = own[:-_KEPT]
        if len(own) >= _KEPT:  # before, another party may hold none of this session yet
            forgotten += [each for each in self.path.glob(f"{self._name}-*{_SUFFIX}") if each not in own]
        for each in forgotten:
            each.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all states of this job, and the folders that were made for them where they are empty."""
        for file in self.path.glob(f"{self._name}-*"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if {file.name for file in self.path.iterdir()} <= {"lock"}:
                (self.path / "lock").unlink(missing_ok=True)
            for folder in self._made or [self.path]:
                folder.rmdir()


def _read(file: Path) -> _Kept | None:
    """The state in a file; None where the file was cut off or changed."""
    try:
        data = file.read_bytes()
        if hashlib.sha256(data[_CHECK_BYTES:]).digest() == data[:_CHECK_BYTES]:
            return msgspec.msgpack.decode(data[_CHECK_BYTES:], type=_Kept)
    except (OSError, msgspec.MsgspecError):
        pass
    return None
