"""The options of a command, and the tables that they name, read and checked before a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from secure_kmeans.app import demo
from secure_kmeans.app.proposal import Bounds, party_names
from secure_kmeans.chunked_tables import read_in_chunks
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import RESERVED_NAMES, USUAL_CLUSTERS, Clustering, Init, Job, KMeansJob, Scaling, ScalingMethod
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.shk.job import Engine, ShkJob
from secure_kmeans.protocols.smo07.job import FreshKeys, KeyBits, Mode, Smo07Job
from secure_kmeans.protocols.svk.job import Align, Disclose, SvkJob, joined_columns
from secure_kmeans.table_files import names_of_columns
from secure_kmeans.tables import Table, read_table, split_columns, split_table
from secure_kmeans.words import counted, key, printable, shown

INITS: Final[tuple[Init, ...]] = get_args(Init)
SUFFIXES: Final = ("csv", "parquet", "pq")
"""Of a party's table beside a job file, in the order in which they are tried."""

ProtocolName = Literal["shk", "smo07", "svk"]
JOBS: Final[Mapping[ProtocolName, type[KMeansJob]]] = {"shk": ShkJob, "smo07": Smo07Job, "svk": SvkJob}
USUAL_PARTIES: Final[Mapping[ProtocolName, int]] = {"shk": 2, "smo07": 3, "svk": 2}
"""How many parties a single file is split among where nobody says it: the fewest that need not accept more risk."""
CentroidsTo = Literal["own", "all", "nobody"]
LabelsTo = Literal["all", "nobody"] | tuple[str, ...]
ALIGNED: Final[Align] = SvkJob.default_of("align")
"""How rows find each other where identifiers are named."""


@dataclass(frozen=True)
class Options:
    """The options of a run. The defaults are those of the job classes.

    Attributes
    ----------
    data : tuple of paths
        One file, which is split among the parties, or one for each party. Empty: the mall customers.
    columns : tuple of str
        Names or numbers, counted from 1. Empty: all.
    protocol : "shk", "smo07" or "svk"
        With "svk" each party has columns, else rows. A run in the clear ignores it.
    clusters : int
    parties : int or None
        None: one for each file; of a single file as :data:`USUAL_PARTIES` says.
    init : str or None
        An initialisation, or the path of a file of centroids. None: the default of the protocol's job.
    seed, n_init, max_iter, tol
        As in a :class:`~secure_kmeans.job.Clustering` and its job; None: the default of the protocol's job.
    scale : "uniform", "minmax" or "none"
    bounds : (lower, upper) or None
    timeout, min_cluster_size
        As in a job. A run in the clear ignores them, as all that follow.
    engine, hide_counts, resolution
        As in a :class:`~secure_kmeans.protocols.shk.job.ShkJob`.
    mode, fresh_keys, key_bits, accept_two_parties, reveal_sizes, reveal_inertia
        As in a :class:`~secure_kmeans.protocols.smo07.job.Smo07Job`; None: its default.
    id, align, most_rows, hide_labels
        As in a :class:`~secure_kmeans.protocols.svk.job.SvkJob`; only with columns.
    disclose_centroids, disclose_labels
        As in its :class:`~secure_kmeans.protocols.svk.job.Disclose`; None: its default.
    chunk_rows : int or None
        The most rows of a table that are read at once; None: each table is read whole. Only with "smo07".
    """

    data: tuple[Path, ...] = ()
    columns: tuple[str, ...] = ()
    protocol: ProtocolName = ShkJob.default_of("protocol")  # noqa: RUF009 -- a constant
    clusters: int = USUAL_CLUSTERS
    parties: int | None = None
    init: str | None = None
    seed: int | None = ShkJob.default_of("seed")
    n_init: int | None = None
    max_iter: int = Clustering.default_of("max_iter")
    tol: float = Clustering.default_of("tol")
    scale: ScalingMethod = Scaling.default_of("method")  # noqa: RUF009
    bounds: Bounds | None = None
    timeout: float = ShkJob.default_of("timeout")
    engine: Engine = ShkJob.default_of("engine")  # noqa: RUF009
    hide_counts: bool = ShkJob.default_of("hide_counts")
    min_cluster_size: int = ShkJob.default_of("min_cluster_size")
    resolution: tuple[float, ...] | None = ShkJob.default_of("resolution")
    mode: Mode | None = None
    fresh_keys: FreshKeys | None = None
    key_bits: KeyBits | None = None
    accept_two_parties: bool = Smo07Job.default_of("accept_two_parties")
    reveal_sizes: bool = Smo07Job.default_of("reveal_sizes")
    reveal_inertia: bool = Smo07Job.default_of("reveal_inertia")
    id: tuple[str, ...] = ()
    align: Align | None = None
    most_rows: int | None = SvkJob.default_of("most_rows")
    hide_labels: bool = SvkJob.default_of("hide_labels")
    disclose_centroids: CentroidsTo | None = None
    disclose_labels: LabelsTo | None = None
    chunk_rows: int | None = None

    def check_protocol(self) -> None:
        """Refuse options of another protocol.

        Raises
        ------
        JobError
            Names the first of them, or the number of parties where the protocol takes fewer.
        """
        defaults, most = Options(), JOBS[self.protocol].MOST_PARTIES
        if self.parties is not None and self.parties > most:
            raise JobError(f"parties: {self.protocol} takes at most {most} parties, not {self.parties}")
        for protocols, names, remedy in _OPTIONS_OF_SOME:
            for name in names:
                if self.protocol not in protocols and getattr(self, name) != getattr(defaults, name):
                    raise JobError(f"{name}: {remedy.format(protocol=key('protocol'), sizes=key('reveal_sizes'))}")

    @property
    def file_of_centroids(self) -> Path | None:
        """The file of the centroids to start from; None where the starts are drawn."""
        return None if self.init is None or self.init in INITS else Path(self.init)

    @property
    def parts(self) -> int:
        """The number of parties among which a single file is split."""
        return USUAL_PARTIES[self.protocol] if self.parties is None else self.parties

    def clustering_keys(self, columns: tuple[str, ...]) -> dict[str, Any]:
        """The keys of a clustering that these options give, by the columns of its tables.

        Raises
        ------
        DataError, JobError
            Where the file of centroids does not fit.
        """
        keys: dict[str, Any] = {"scaling": self.scale, "max_iter": self.max_iter, "tol": self.tol}
        if self.file_of_centroids is not None:
            return keys | {"n_init": 1, "centroids": _read_centroids(self.file_of_centroids, columns, self.clusters)}
        given = {"init": self.init, "n_init": self.n_init}
        return keys | {name: value for name, value in given.items() if value is not None}

    def job_keys(self) -> dict[str, Any]:
        """The keys of a job that these options give, besides those of its clustering and of its tables."""
        keys: dict[str, Any] = {
            "seed": self.seed,
            "timeout": self.timeout,
            "min_cluster_size": self.min_cluster_size,
        }
        if self.protocol == "smo07":
            given = {name: getattr(self, name) for name in _OF_SMO07}
            return keys | {name: value for name, value in given.items() if value is not None}
        keys |= {"hide_counts": self.hide_counts, "resolution": self.resolution}
        if self.protocol == "shk":
            return keys | {"engine": self.engine}
        given = {"centroids": self.disclose_centroids, "labels": self.disclose_labels}
        disclose = Disclose.of(**{name: value for name, value in given.items() if value is not None})
        return keys | {"most_rows": self.most_rows, "hide_labels": self.hide_labels, "disclose": disclose}


_OF_SMO07: Final = ("mode", "fresh_keys", "key_bits", "accept_two_parties", "reveal_sizes", "reveal_inertia")

_OPTIONS_OF_SOME: Final[Sequence[tuple[tuple[ProtocolName, ...], tuple[str, ...], str]]] = (
    (
        ("svk",),
        ("id", "align", "most_rows", "hide_labels", "disclose_centroids", "disclose_labels"),
        "this is for parties that hold columns; set {protocol} to svk, or leave it out",
    ),
    (("shk", "smo07"), ("engine",), "parties that hold columns have no choice of it; leave it out"),
    (("shk", "svk"), ("engine",), "smo07 has no choice of it; leave it out"),
    (("shk", "svk"), ("hide_counts",), "smo07 hides the sizes unless {sizes} is set; leave it out"),
    (("shk", "svk"), ("resolution",), "smo07 discloses all digits of the centroids; leave it out"),
    (("smo07",), ("chunk_rows",), "smo07 alone reads tables in chunks; set {protocol} to smo07, or leave it out"),
    (("smo07",), _OF_SMO07, "this is for the protocol smo07; set {protocol} to smo07, or leave it out"),
)
"""Protocols, the options that they alone have, and the remedy with another protocol."""


def _read_centroids(path: Path, columns: tuple[str, ...], clusters: int) -> np.ndarray:
    table = read_table(path, columns)
    if len(table) != clusters:
        few, many = counted(len(table), "centroid"), counted(clusters, "cluster")
        raise JobError(f"{printable(str(path))}: {few} for {many}; give one row for each")
    return table.rows


@dataclass(frozen=True)
class Inputs:
    """The tables that a request names.

    Attributes
    ----------
    name : str
        Of the results folder.
    tables : dict of str to Table
        One for each party, in rank order.
    bounds : (lower, upper) or None
    columns : tuple of str
        To cluster by: those of each table, or those of all tables together.
    align : "psi", "order", "none" or None
        How the rows of parties that hold columns find each other; None where each party holds rows.
    identifiers : tuple of str
        The column of identifiers of each table; empty where none is named.
    """

    name: str
    tables: dict[str, Table]
    bounds: Bounds | None
    columns: tuple[str, ...]
    align: Align | None = None
    identifiers: tuple[str, ...] = ()


def read_inputs(options: Options, *, split: bool = True, progress: Progress = no_progress) -> Inputs:
    """Read the tables that a request names, one for each party.

    Parameters
    ----------
    options : Options
    split : bool
        Whether a single file is split among the parties; otherwise all its rows are those of "all".
    progress : Progress, optional
        Of tables that are read in chunks.

    Raises
    ------
    DataError
    JobError
        Where the number of files contradicts the number of parties, and where options do not fit the protocol.
    """
    options.check_protocol()
    paths = options.data or (demo.PATH,)
    if len(paths) > 1 and options.parties not in (None, len(paths)):
        raise JobError(
            f"parties: there are {len(paths)} files for {options.parties} parties; give one file, or one for each party"
        )
    columns, bounds = options.columns, options.bounds
    if not options.data and not columns:
        columns, bounds = demo.COLUMNS, bounds or demo.BOUNDS
    if options.protocol == "svk":
        return _inputs_of_columns(options, paths, columns, bounds)
    if len(paths) == 1:
        if options.chunk_rows is not None:
            raise JobError(
                "chunk_rows: a single file can only be split among the parties where it is read whole; give one file "
                "for each party, or leave it out"
            )
        table = read_table(paths[0], columns)
        if not split:
            return Inputs(paths[0].stem, {"all": table}, bounds, table.columns)
        tables = split_table(table, options.parts)
        names = party_names(len(tables))
    else:
        n = options.chunk_rows
        tables = [
            read_table(path, columns) if n is None else read_in_chunks(path, columns, n, progress) for path in paths
        ]
        names = _names_of_files(paths)
    name = "+".join(names) if len(paths) > 1 else paths[0].stem
    return Inputs(name, dict(zip(names, tables, strict=True)), bounds, tables[0].columns)


def _inputs_of_columns(
    options: Options, paths: Sequence[Path], columns: tuple[str, ...], bounds: Bounds | None
) -> Inputs:
    """Tables of parties that hold columns; parameters and errors as :func:`read_inputs`."""
    identifiers = _identifiers(options.id, len(paths))
    align = options.align or (ALIGNED if identifiers else "none")
    if align == "none" and identifiers:
        raise JobError(f"id: with {key('align')} none no identifier is compared; leave one of the two out")
    if len(paths) == 1:
        if align != "none" and not identifiers:
            raise JobError(f"id: with {key('align')} {align} identifiers are compared; name the column that holds them")
        table = read_table(paths[0], columns, identifiers[0] if identifiers else None)
        tables = split_columns(table, options.parts)
        names, name, identifiers = party_names(len(tables)), paths[0].stem, identifiers * len(tables)
    else:
        if not identifiers and options.align != "none":
            raise JobError(
                "id: the rows of several tables find each other by a column of identifiers; name it, or set "
                f"{key('align')} to none where equal rows of all tables are about the same person or thing"
            )
        tables = _read_columns(paths, columns, identifiers or (None,) * len(paths))
        names = _names_of_files(paths)
        name = "+".join(names)
    held = [{"name": party, "columns": table.columns} for party, table in zip(names, tables, strict=True)]
    return Inputs(name, dict(zip(names, tables, strict=True)), bounds, joined_columns(held), align, identifiers)


def _identifiers(named: tuple[str, ...], files: int) -> tuple[str, ...]:
    """The column of identifiers of each file; empty where none is named."""
    if len(named) == 1:
        return named * files
    if len(named) not in (0, files):
        raise JobError(
            f"id: there are {len(named)} columns of identifiers for {counted(files, 'file')}; name one for all, or one "
            "for each in the order of the files"
        )
    return named


def _read_columns(paths: Sequence[Path], columns: tuple[str, ...], identifiers: Sequence[str | None]) -> list[Table]:
    """Tables with those of the chosen columns that each has; all but the identifiers where none is chosen."""
    if not columns:
        return [read_table(path, (), identifier) for path, identifier in zip(paths, identifiers, strict=True)]
    held = [names_of_columns(path) for path in paths]
    for column in columns:
        if not any(column in names for names in held):
            raise DataError(
                f'{key("columns")}: none of the tables has a column "{shown(column)}"; name columns as in the headers '
                "of the tables"
            )
    tables = []
    for path, names, identifier in zip(paths, held, identifiers, strict=True):
        own = tuple(column for column in columns if column in names)
        if not own:
            raise DataError(
                f"{printable(str(path))}: it has none of the chosen columns; name one of its own, or leave the file out"
            )
        tables.append(read_table(path, own, identifier))
    return tables


def _names_of_files(paths: Sequence[Path]) -> tuple[str, ...]:
    """The files' names where they tell the parties apart, numbers where they do not."""
    names = tuple(re.sub(r"[^\w.-]+", "_", path.stem)[:40] for path in paths)
    distinct = {name.casefold() for name in names} - {*ShkJob.HELPERS, *RESERVED_NAMES, ""}
    return names if len(distinct) == len(names) else party_names(len(names))


def tables_of_job(
    job: Job, path: Path, named: Mapping[str, Path], chunk_rows: int | None = None, progress: Progress = no_progress
) -> dict[str, Table]:
    """Read the tables of all parties of a job file, in rank order; ``chunk_rows`` as for :func:`table_of_job`.

    Parameters
    ----------
    job : Job
    path : path
        Of the job file. A party's table is ``NAME.csv`` or ``NAME.parquet`` beside it where it is not in ``named``.
    named : mapping of party to path

    Raises
    ------
    DataError, JobError
    """
    if unknown := set(named) - set(job.names):
        raise JobError(f'the job has no party "{min(unknown)}"; it has {", ".join(job.names)}')
    protocol = protocol_of(job.protocol)
    found = {name: named.get(name) or _beside(path, name, needed=not protocol.may_lack_rows(job)) for name in job.names}
    return {name: table_of_job(job, name, file, chunk_rows, progress) for name, file in found.items()}


def is_prediction(job: Job) -> bool:
    """Whether a job labels new rows by a model."""
    return isinstance(job, Clustering) and job.task == "predict"


def table_of_job(
    job: Job, party: str, path: Path | None, chunk_rows: int | None = None, progress: Progress = no_progress
) -> Table:
    """Read the table of a party of a job; without a file it has no rows.

    Parameters
    ----------
    job, party, path
    chunk_rows : int, optional
        The most rows that are read at once; by default all. Only then there is ``progress``.

    Raises
    ------
    DataError
    JobError
        Where the protocol reads no table in chunks.
    """
    protocol = protocol_of(job.protocol)
    if chunk_rows is not None and not protocol.READS_CHUNKS:
        raise JobError(f"chunk_rows: the protocol {job.protocol} reads tables whole; leave it out")
    columns, identifier = protocol.columns(job, party), protocol.identifier(job, party)
    if path is not None and chunk_rows is not None:
        return read_in_chunks(path, columns, chunk_rows, progress)
    if path is not None:
        return read_table(path, columns, identifier)
    ids = None if identifier is None else ()
    return Table("no table", columns, np.empty((0, len(columns))), ids=ids)


def _beside(path: Path, name: str, *, needed: bool) -> Path | None:
    candidates = [path.with_name(f"{name}.{suffix}") for suffix in SUFFIXES]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    if needed:
        raise DataError(f'{candidates[0]}: there is no such file; name the table of "{name}", or put it there')
    return None
