"""Labels of new rows by the model of an earlier run.

Where the centroids are public, each row's label is computed here, and nothing is sent. A model that nobody sees stays
in the parties' states; new rows are then labelled on shares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secure_kmeans.errors import DataError
from secure_kmeans.job import Clustering
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols.kmeans_checks import check_prediction
from secure_kmeans.tables import read_table


def predict(report: Path, data: Sequence[Path], output: Path | None = None) -> list[Path]:
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
    DataError
    """
    from secure_kmeans.report.folder import ResultsFolder

    clustering, grid_centroids = read_model(report)
    with ResultsFolder(output or report.parent / "prediction") as folder:
        for path in data:
            table = read_table(path, clustering.columns)
            check_prediction(clustering, table)
            folder.write_labels({path.stem: label_rows(clustering, grid_centroids, table.rows).tolist()})
        return folder.publish()


def read_model(path: Path) -> tuple[Clustering, list[list[int] | None]]:
    """Read the clustering that a report describes, and the centroids by which its rows were labelled.

    Raises
    ------
    DataError
        Where the file is no such report.
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
    found = report.result.grid_centers
    if found is None or not any(found):
        raise DataError(f"{path}: the run disclosed no centroids; name the folder with this party's share of the model")
    shapes = {len(centroid) for centroid in found if centroid is not None}
    if len(found) != clustering.n_clusters or shapes != {len(clustering.columns)}:
        raise DataError(f"{path}: its centroids do not fit its job")
    scale = 2.0**clustering.precision_bits
    known = np.array([centroid for centroid in found if centroid is not None]) / scale
    if outside := clustering.outside(clustering.scaling.invert(known)):
        raise DataError(f"{path}: {outside}")
    return clustering, found
