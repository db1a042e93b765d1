"""The options of a command, and the tables that they name, read and checked before a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from secure_kmeans.app import demo
from secure_kmeans.app.proposal import Bounds, party_names
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import RESERVED_NAMES, USUAL_CLUSTERS, Clustering, Init, Job, Scaling, ScalingMethod
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.shk.job import Engine, ShkJob
from secure_kmeans.tables import Table, read_table, split_table
from secure_kmeans.words import counted, printable

INITS: Final[tuple[Init, ...]] = get_args(Init)
SUFFIXES: Final = ("csv", "parquet", "pq")
"""Of a party's table beside a job file, in the order in which they are tried."""


@dataclass(frozen=True)
class Options:
    """The options of a run. The defaults are those of the job classes.

    Attributes
    ----------
    data : tuple of paths
        One file, whose rows are split among the parties, or one for each party. Empty: the mall customers.
    columns : tuple of str
        Names or numbers, counted from 1. Empty: all.
    clusters : int
    parties : int or None
        None: one for each file, or two.
    init : str
        An initialisation, or the path of a file of centroids.
    seed, n_init, max_iter, tol
        As in a :class:`~secure_kmeans.job.Clustering` and its job.
    scale : "uniform", "minmax" or "none"
    bounds : (lower, upper) or None
    timeout, engine, hide_counts, min_cluster_size, resolution
        As in a :class:`~secure_kmeans.protocols.shk.job.ShkJob`. A run in the clear ignores them.
    """

    data: tuple[Path, ...] = ()
    columns: tuple[str, ...] = ()
    clusters: int = USUAL_CLUSTERS
    parties: int | None = None
    init: str = Clustering.default_of("init")
    seed: int | None = ShkJob.default_of("seed")
    n_init: int = Clustering.default_of("n_init")
    max_iter: int = Clustering.default_of("max_iter")
    tol: float = Clustering.default_of("tol")
    scale: ScalingMethod = Scaling.default_of("method")  # noqa: RUF009 -- a constant
    bounds: Bounds | None = None
    timeout: float = ShkJob.default_of("timeout")
    engine: Engine = ShkJob.default_of("engine")  # noqa: RUF009
    hide_counts: bool = ShkJob.default_of("hide_counts")
    min_cluster_size: int = ShkJob.default_of("min_cluster_size")
    resolution: tuple[float, ...] | None = ShkJob.default_of("resolution")

    def clustering_keys(self, columns: tuple[str, ...]) -> dict[str, Any]:
        """The keys of a clustering that these options give, by the columns of its tables.

        Raises
        ------
        DataError, JobError
            Where the file of centroids does not fit.
        """
        keys: dict[str, Any] = {"scaling": self.scale, "max_iter": self.max_iter, "tol": self.tol}
        if self.init in INITS:
            return keys | {"init": self.init, "n_init": self.n_init}
        return keys | {"n_init": 1, "centroids": _read_centroids(Path(self.init), columns, self.clusters)}

    def job_keys(self) -> dict[str, Any]:
        """The keys of a job that these options give, besides those of its clustering."""
        return {
            "seed": self.seed,
            "timeout": self.timeout,
            "engine": self.engine,
            "hide_counts": self.hide_counts,
            "min_cluster_size": self.min_cluster_size,
            "resolution": self.resolution,
        }


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
    """

    name: str
    tables: dict[str, Table]
    bounds: Bounds | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the first table."""
        return next(iter(self.tables.values())).columns


def read_inputs(options: Options, *, split: bool = True) -> Inputs:
    """Read the tables that a request names, one for each party.

    Parameters
    ----------
    options : Options
    split : bool
        Whether a single file is split among the parties; otherwise all its rows are those of "all".

    Raises
    ------
    DataError
    JobError
        Where the number of files contradicts the number of parties.
    """
    paths = options.data or (demo.PATH,)
    columns, bounds = options.columns, options.bounds
    if not options.data and not columns:
        columns, bounds = demo.COLUMNS, bounds or demo.BOUNDS
    if len(paths) == 1:
        table = read_table(paths[0], columns)
        if not split:
            return Inputs(paths[0].stem, {"all": table}, bounds)
        tables = split_table(table, options.parties or 2)
        return Inputs(paths[0].stem, dict(zip(party_names(len(tables)), tables, strict=True)), bounds)
    if options.parties not in (None, len(paths)):
        raise JobError(
            f"parties: there are {len(paths)} files for {options.parties} parties; give one file, or one for each party"
        )
    names = _names_of_files(paths)
    tables = [read_table(path, columns) for path in paths]
    return Inputs("+".join(names), dict(zip(names, tables, strict=True)), bounds)


def _names_of_files(paths: Sequence[Path]) -> tuple[str, ...]:
    """The files' names where they tell the parties apart, numbers where they do not."""
    names = tuple(re.sub(r"[^\w.-]+", "_", path.stem)[:40] for path in paths)
    distinct = {name.casefold() for name in names} - {*ShkJob.HELPERS, *RESERVED_NAMES, ""}
    return names if len(distinct) == len(names) else party_names(len(names))


def tables_of_job(job: Job, path: Path, named: Mapping[str, Path]) -> dict[str, Table]:
    """Read the tables of all parties of a job file, in rank order.

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
    found = {name: named.get(name) or _beside(path, name, needed=not is_prediction(job)) for name in job.names}
    return {
        name: empty_table(job, name) if file is None else read_table(file, protocol.columns(job, name))
        for name, file in found.items()
    }


def is_prediction(job: Job) -> bool:
    """Whether a job labels new rows, of which a party may have none."""
    return isinstance(job, Clustering) and job.task == "predict"


def empty_table(job: Job, party: str) -> Table:
    """The table of a party without rows."""
    columns = protocol_of(job.protocol).columns(job, party)
    return Table("no table", columns, np.empty((0, len(columns))))


def _beside(path: Path, name: str, *, needed: bool) -> Path | None:
    candidates = [path.with_name(f"{name}.{suffix}") for suffix in SUFFIXES]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    if needed:
        raise DataError(f'{candidates[0]}: there is no such file; name the table of "{name}", or put it there')
    return None
