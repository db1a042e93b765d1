"""A party's history: the runs in which it disclosed something, and sketches of the tables that took part.

Two results over tables that differ in few rows can be subtracted, and the difference says much of these rows
(differencing). No single run shows that, so a party keeps this list, and is warned before the next run.

The file is JSON, and only its owner can read it. It holds hashes of single rows, under a key in the same file, and
nothing else of them. Somebody who reads the file can guess a row and see whether it is there (docs/threat-model.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from secure_kmeans.errors import StateError
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import OWNER, Disclosure, When
from secure_kmeans.private_files import (
    is_open_to_others,
    make_folder,
    missing_folders,
    only_for_its_owner,
    replace_file,
)
from secure_kmeans.protocols import protocol_of
from secure_kmeans.roles.sketches import Difference, Sketch, are_few, difference
from secure_kmeans.tables import Table

USUAL: Final = Path("state") / "history.json"
_KEY_BYTES: Final = 32
_MOST_LINES: Final = 3


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobKind(_Part):
    """What two jobs have in common whose results can be subtracted from each other.

    Attributes
    ----------
    protocol : str
    task : str
        Empty where the protocol has one task.
    columns : tuple of str
        In alphabetical order.
    """

    protocol: str
    task: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, party: str) -> Self:
        """The kind of a job, as one party sees it."""
        columns = protocol_of(job.protocol).columns(job, party)
        return cls(protocol=job.protocol, task=getattr(job, "task", ""), columns=tuple(sorted(columns)))


class Disclosed(_Part):
    """What a run may have disclosed, and to whom, as it was announced.

    Attributes
    ----------
    what : str
    to : str
    """

    what: str
    to: str


class Taken(_Part):
    """One run in which a party took part.

    Attributes
    ----------
    time : datetime
        When the run began to disclose, UTC.
    party : str
    session : str
        In hexadecimal.
    job : str
        Its digest, in hexadecimal.
    kind : JobKind
    table : str
        The table's digest, in hexadecimal.
    disclosed : tuple of Disclosed
        All that the job announced; a run that failed may have disclosed less.
    """

    time: AwareDatetime
    party: str
    session: str
    job: str
    kind: JobKind
    table: str
    disclosed: tuple[Disclosed, ...]


class _Sketched(_Part):
    """A table's sketch; see :class:`~secure_kmeans.roles.sketches.Sketch`."""

    rows: int
    digest: str
    hashes: str

    def decoded(self) -> Sketch:
        return Sketch.decoded(self.rows, self.digest, self.hashes)


class _Content(_Part):
    """The whole file. A table that took part several times is sketched once."""

    version: Literal[1] = 1
    key: str
    runs: tuple[Taken, ...] = ()
    tables: dict[str, _Sketched] = Field(default_factory=dict)


@dataclass(frozen=True)
class Repetition:
    """An earlier run with a table that differs in few rows from the one that is to take part.

    Attributes
    ----------
    run : Taken
    difference : Difference
    """

    run: Taken
    difference: Difference

    def __str__(self) -> str:
        """One line of advice."""
        rows = _count(self.difference)
        return (
            f"a table that differs from this one in {rows} took part on {self.run.time:%Y-%m-%d} in a job of the same "
            f"kind (digest {self.run.job[:16]}): the results of the two runs can be subtracted, which shows much of "
            "the rows in which the tables differ (differencing)"
        )


def advice_on_repetitions(history: History, job: Job, party: str, table: Table) -> tuple[str, ...]:
    """Advice on the earlier runs with almost the same table, one line each."""
    found = history.repetitions(job, party, table)
    lines = [str(each) for each in found[:_MOST_LINES]]
    if more := found[_MOST_LINES:]:
        lines.append(f"earlier runs with further tables that differ from this one in few rows: {len(more):,}")
    return tuple(lines)


def _count(found: Difference) -> str:
    rows = f"{found.rows:,} row{'s' * (found.rows != 1)}"
    return rows if found.is_exact else f"about {rows} (at most some {found.most:,})"


class History:
    """A party's history in its file, which several processes may write.

    Parameters
    ----------
    path : path
        The file; it is made with the first run.

    Raises
    ------
    StateError
        Where the file cannot be read, or others may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._read()

    def __enter__(self) -> Self:
        """Make the folder, and try to write there, so that a run does not fail after the roles have met.

        Raises
        ------
        StateError
        """
        self._made = missing_folders(self.path.parent)
        try:
            make_folder(self.path.parent)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except OSError as error:
            raise self._unusable(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folders that were made, where nothing was recorded."""
        with contextlib.suppress(OSError):  # a folder that is not empty stays
            for folder in self._made:
                folder.rmdir()

    @property
    def runs(self) -> tuple[Taken, ...]:
        """All runs, the earliest first."""
        content = self._read()
        return () if content is None else content.runs

    def record(self, job: Job, party: str, table: Table, session: bytes) -> None:
        """Add a run, before its first message that discloses something.

        Raises
        ------
        StateError
            Where it cannot be written.
        """
        disclosures = protocol_of(job.protocol).disclosures(job)
        run = Taken(
            time=datetime.now(UTC).replace(microsecond=0),
            party=party,
            session=session.hex(),
            job=job.digest.hex(),
            kind=JobKind.of(job, party),
            table=table.digest.hex(),
            disclosed=tuple(Disclosed(what=each.what, to=each.to) for each in disclosures),
        )
        try:
            with self._locked():
                content = self._read() or _Content(key=secrets.token_bytes(_KEY_BYTES).hex())
                tables = dict(content.tables)
                if run.table not in tables:
                    sketch = Sketch.of(table, bytes.fromhex(content.key))
                    tables[run.table] = _Sketched(rows=sketch.rows, digest=sketch.digest, hashes=sketch.encoded())
                whole = _Content(key=content.key, runs=(*content.runs, run), tables=tables)
                replace_file(self.path, whole.model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            raise self._unusable(error) from None

    def repetitions(self, job: Job, party: str, table: Table) -> list[Repetition]:
        """The earlier runs of the same kind with a table that differs in few rows, the closest first.

        Of each table the last run is named. The party's name does not matter: the file has one owner.
        """
        content = self._read()
        if content is None or not _depends_on_rows(protocol_of(job.protocol).disclosures(job)):
            return []
        kind, own = JobKind.of(job, party), table.digest.hex()
        latest = {run.table: run for run in content.runs if run.kind == kind and run.table != own}
        if not latest:
            return []
        sketch = Sketch.of(table, bytes.fromhex(content.key))
        found = []
        for digest, run in latest.items():
            earlier = content.tables[digest].decoded()
            apart = difference(sketch, earlier)
            if are_few(apart, sketch, earlier):
                found.append(Repetition(run, apart))
        return sorted(found, key=lambda each: (each.difference.rows, -each.run.time.timestamp()))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait until no other process changes the file. The file itself is replaced, so another one is locked."""
        with open(self.path.with_name(f"{self.path.name}.lock"), "w", opener=only_for_its_owner) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self) -> _Content | None:
        """The content of the file; None where there is none."""
        try:
            if is_open_to_others(self.path):
                raise StateError(f"{self.path}: others may read this history; chmod 600 it, or name another file")
            content = _Content.model_validate_json(self.path.read_bytes())
            _check(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None
        except (ValidationError, ValueError) as error:
            if isinstance(error, StateError):
                raise
            raise StateError(f"{self.path}: this is no history of runs; move it away, or name another file") from None
        return content

    def _unusable(self, error: OSError) -> StateError:
        return StateError(f"{self.path}: {error.strerror}; name another file for the history")


def _check(content: _Content) -> None:
    """Refuse a file whose parts do not fit each other.

    Raises
    ------
    ValueError
    """
    if len(bytes.fromhex(content.key)) != _KEY_BYTES or not {run.table for run in content.runs} <= set(content.tables):
        raise ValueError("the key or a table is missing")
    for sketched in content.tables.values():
        sketched.decoded()


def _depends_on_rows(disclosures: Sequence[Disclosure]) -> bool:
    """Whether anybody but a row's owner learns more of the rows than what is known before the first iteration."""
    return any(each.to != OWNER and each.when is not When.BEFORE for each in disclosures)
