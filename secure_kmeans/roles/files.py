"""The folder through which a rehearsal's supervisor and its roles exchange files. Only its owner may enter it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from secure_kmeans.chunked_tables import ChunkedFile, ChunkedTable
from secure_kmeans.identifiers import load_identifiers, save_identifiers
from secure_kmeans.job import Job
from secure_kmeans.job.result import Result
from secure_kmeans.private_files import only_for_its_owner
from secure_kmeans.protocols import protocol_of
from secure_kmeans.tables import Table, load_rows

SOCKET: Final = "events"
LOG: Final = "log"
_JOB: Final = "job.json"
_SETTINGS: Final = "settings.json"


class Header(BaseModel):
    """A table without its rows and their identifiers.

    Attributes
    ----------
    source : str
    columns : tuple of str
    first_row : int
        See :class:`~secure_kmeans.tables.Table`.
    has_ids : bool
        Whether the rows have identifiers.
    file : ChunkedFile or None
        Where the rows are, if they are read in chunks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    columns: tuple[str, ...]
    first_row: int = 1
    has_ids: bool = False
    file: ChunkedFile | None = None


class Settings(BaseModel):
    """What the roles of a rehearsal need besides the job and the rows.

    Attributes
    ----------
    headers : dict of str to Header
        Of each party's table.
    states : path or None
        Where each party keeps its states, in a folder of its own.
    resume : bool
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    headers: dict[str, Header]
    states: Path | None
    resume: bool


class RehearsalFolder:
    """The files of one rehearsal.

    Parameters
    ----------
    path : path
        An empty folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(
        self, job: Job, tables: Sequence[Table], states: Path | None, resume: bool, models: Sequence[bytes] = ()
    ) -> None:
        """Write everything that the roles need.

        Each party's rows, their identifiers, and its share of the model are in files of their own. The rows of a table
        that is read in chunks stay where they are.
        """
        named = dict(zip(job.names, tables, strict=True))
        headers = {
            name: Header(
                source=table.source,
                columns=table.columns,
                first_row=table.first_row,
                has_ids=table.ids is not None,
                file=table.file if isinstance(table, ChunkedTable) else None,
            )
            for name, table in named.items()
        }
        settings = Settings(headers=headers, states=states and states.resolve(), resume=resume)
        (self.path / _JOB).write_text(job.model_dump_json())
        (self.path / _SETTINGS).write_text(settings.model_dump_json())
        for name, table in named.items():
            if not table.IS_CHUNKED:
                table.save_rows(self._rows(name))
            if table.ids is not None:
                save_identifiers(self._ids(name), table.ids)
        for name, model in zip(job.names, models, strict=bool(models)):
            with open(self._model(name), "wb", opener=only_for_its_owner) as file:
                file.write(model)

    def read_job(self) -> Job:
        """The job, of the class of its protocol."""
        text = (self.path / _JOB).read_text()
        job: Job = protocol_of(json.loads(text)["protocol"]).Job.model_validate_json(text)
        return job

    def read_settings(self) -> Settings:
        """The settings."""
        return Settings.model_validate_json((self.path / _SETTINGS).read_text())

    def take_table(self, party: str, header: Header) -> Table:
        """A party's table; the files that were written with its rows and their identifiers are removed."""
        if header.file is not None:
            return ChunkedTable(header.file)
        ids = None
        if header.has_ids:
            ids = load_identifiers(self._ids(party))
            self._ids(party).unlink()
        table = load_rows(self._rows(party), header.columns, header.source, header.first_row, ids)
        self._rows(party).unlink()
        return table

    def take_model(self, party: str) -> bytes | None:
        """A party's share of the model that the job takes; None where it takes none. The file is removed."""
        path = self._model(party)
        if not path.exists():
            return None
        model = path.read_bytes()
        path.unlink()
        return model

    def write_result(self, result: Result) -> None:
        """Write a party's result."""
        with open(self._result(result.role), "wb", opener=only_for_its_owner) as file:
            file.write(result.model_dump_json().encode())

    def read_result(self, job: Job, party: str) -> Result:
        """A party's result, of the class of the job's protocol."""
        text = self._result(party).read_text(encoding="utf-8")
        result: Result = protocol_of(job.protocol).Result.model_validate_json(text)
        return result

    def _rows(self, party: str) -> Path:
        return self.path / f"{party}.rows.npy"

    def _ids(self, party: str) -> Path:
        return self.path / f"{party}.ids.json"

    def _model(self, party: str) -> Path:
        return self.path / f"{party}.model"

    def _result(self, party: str) -> Path:
        return self.path / f"{party}.result.json"
