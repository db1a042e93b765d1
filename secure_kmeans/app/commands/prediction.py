"""Labels of new rows by the model of an earlier run.

Where the centroids are public, each row's label is computed here, and nothing is sent. A model that nobody sees stays
in the parties' state folders; new rows are then labelled on shares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secure_kmeans.app.commands.all_roles import run_of_tables
from secure_kmeans.app.commands.models import JOB_SUFFIX, model_of_all_parties
from secure_kmeans.app.commands.values import Announce, Predicted, Run, no_announcement
from secure_kmeans.app.inputs import table_of_job
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import Clustering, Job
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.kmeans_checks import check_prediction
from secure_kmeans.tables import Table, read_table


@dataclass(frozen=True)
class PublicModel:
    """The public model of a report.

    Attributes
    ----------
    clustering : Clustering
    grid_centroids : (n_clusters, n_features) ints, or None where a cluster is withheld
    tie_order : list of int
    withheld : list of int
    """

    clustering: Clustering
    grid_centroids: list[list[int] | None]
    tie_order: list[int]
    withheld: list[int]

    def label(self, table: Table) -> list[int]:
        """The number of each row's cluster."""
        labels: list[int] = label_rows(self.clustering, self.grid_centroids, table.rows, self.tie_order).tolist()
        return labels


def predict(report: Path, data: Sequence[Path], output: Path | None = None) -> Predicted:
    """Label new rows by the public centroids of an earlier run. Nothing is sent.

    Parameters
    ----------
    report : path
        The ``report.json`` of a clustering.
    data : sequence of paths
    output : path, optional
        Folder of the labels; ``prediction`` beside the report if not given.

    Raises
    ------
    DataError, JobError
    """
    from secure_kmeans.report.folder import ResultsFolder

    model = read_model(report)
    tables = [read_table(path, model.clustering.columns) for path in data]
    for table in tables:
        check_prediction(model.clustering, table)
    where = output or report.parent / "prediction"
    if (where / "report.json").exists():
        raise JobError(f"{where}: there are the results of a run; name another folder for the labels")
    with ResultsFolder(where, needed=64 * sum(map(len, tables))) as folder:
        folder.write_labels(dict(zip(_names_of(data), map(model.label, tables), strict=True)))
        files = folder.publish()
    return Predicted(tuple(files), _remarks_on(model.withheld))


def _remarks_on(withheld: Sequence[int]) -> tuple[str, ...]:
    if not withheld:
        return ()
    which = "the centroid of cluster" if len(withheld) == 1 else "the centroids of clusters"
    verb = "is" if len(withheld) == 1 else "are"
    numbers = ", ".join(map(str, withheld))
    return (f"{which} {numbers} {verb} withheld: each row has the label of the nearest of the others",)


def _names_of(paths: Sequence[Path]) -> list[str]:
    """The files' names without their endings, and a number after those that would replace each other's labels."""
    names: list[str] = []
    taken = [path.stem.casefold() for path in paths]
    for path in paths:
        name, number = path.stem, 1
        while name.casefold() in {each.casefold() for each in names} or (number > 1 and name.casefold() in taken):
            number += 1
            name = f"{path.stem}_{number}"
        names.append(name)
    return names


def read_model(path: Path) -> PublicModel:
    """Read the public model of a report.

    Raises
    ------
    DataError
        Where the file is no report of a clustering, or holds no public centroids.
    """
    from secure_kmeans.report.sections import KMeansReport

    try:
        report = KMeansReport.load(path)
        keys = report.job.model_dump(include=set(Clustering.model_fields))
        clustering = Clustering.model_validate_json(json.dumps(keys))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise DataError(f"{path}: this is not the report of a clustering") from None
    result, k, d = report.result, clustering.n_clusters, len(clustering.columns)
    on_shares = (
        "To label new rows, name the folder with all parties' states, or start the roles with the job file whose name "
        f"ends in {JOB_SUFFIX}"
    )
    if report.columns != list(clustering.columns):
        raise DataError(
            f"{path}: the report holds the centroids in the columns of one party alone, and a row is labelled by "
            f"the columns of all parties. {on_shares}"
        )
    if result.grid_centers is None or not any(result.grid_centers):
        raise DataError(f"{path}: all centroids stay in shares, and the report holds none. {on_shares}")
    known = [centroid for centroid in result.grid_centers if centroid is not None]
    fits = len(result.grid_centers) == k and {len(centroid) for centroid in known} == {d}
    if not fits or sorted(result.tie_order) != list(range(k)):
        raise DataError(f"{path}: its centroids do not fit its job")
    if outside := _outside(clustering, known, result.centroid_grid):
        raise DataError(f"{path}: {outside}")
    withheld = [number for number, centroid in enumerate(result.grid_centers) if centroid is None]
    return PublicModel(clustering, result.grid_centers, result.tie_order, withheld)


def _outside(clustering: Clustering, known: list[list[int]], cells: list[float] | None) -> str:
    """Which centroid lies outside the bounds, by more than half a cell of a coarse grid."""
    try:
        scaled = np.array(known, dtype=float) / 2.0**clustering.precision_bits
    except OverflowError:
        return "a centroid lies outside the bounds"
    centroids = clustering.scaling.invert(scaled)
    half = np.array(cells or [0.0]) / 2
    lower, upper = np.array(clustering.scaling.lower), np.array(clustering.scaling.upper)
    inside = (centroids >= lower - half) & (centroids <= upper + half)
    return clustering.outside(np.where(inside, np.clip(centroids, lower, upper), centroids))


def predict_on_shares(
    states: Path,
    data: Sequence[str],
    output: Path | None = None,
    *,
    session: str | None = None,
    announce: Announce = no_announcement,
    progress: Progress = no_progress,
) -> Run:
    """Label new rows by a model that the parties keep in shares, all roles on this machine.

    Parameters
    ----------
    states : path
        The folder that holds the state folder of each party.
    data : sequence of str
        A file for each party in rank order, or ``NAME=FILE`` for each party that has new rows.
    output : path, optional
        Folder of the results; ``results/NAME-predict`` if not given.
    session : str, optional
        The first digits of the session of the run whose model it is; by default that of the latest.
    announce, progress : callable, optional

    Raises
    ------
    DataError, JobError, StateError
        Before anything is started.
    RoleError, ProtocolError
    """
    kept = model_of_all_parties(states, session)
    protocol = protocol_of(kept[0].job.protocol)
    job: Job = protocol.prediction(kept[0].job, kept[0].session)
    files = _files_by_party(job, data)
    _check_all_have_rows(job, files)
    tables = {name: table_of_job(job, name, files.get(name)) for name in job.names}
    where = output or Path("results") / f"{states.resolve().name}{JOB_SUFFIX.removesuffix('.toml')}"
    return run_of_tables(job, tables, where, [model.share for model in kept], announce, progress)


def _files_by_party(job: Job, data: Sequence[str]) -> dict[str, Path]:
    parts = [value.partition("=") for value in data]
    named = {name: Path(file) for name, equals, file in parts if equals and name in job.names}
    if len(named) == len(data):
        return named
    if named or len(data) != len(job.names):
        raise JobError(
            f"the new rows: name one file for each of {', '.join(job.names)} in this order, or NAME=FILE for each "
            "party that has new rows"
        )
    return dict(zip(job.names, map(Path, data), strict=True))


def _check_all_have_rows(job: Job, files: Mapping[str, Path]) -> None:
    """Refuse a party without new rows where each row needs all parties."""
    if protocol_of(job.protocol).may_lack_rows(job):
        return
    for name in job.names:
        if name not in files:
            raise DataError(
                f'the new rows: no file of "{name}" is named; every row has columns at each party, so name one file '
                "for each"
            )
