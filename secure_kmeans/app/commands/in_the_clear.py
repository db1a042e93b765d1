"""Clustering in the clear: the baseline that a run on secret shares is compared with."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from secure_kmeans.app import demo
from secure_kmeans.app.commands.values import Run
from secure_kmeans.app.inputs import Options, read_inputs
from secure_kmeans.app.proposal import propose_clustering
from secure_kmeans.job.coins import fresh_seed
from secure_kmeans.protocols.kmeans_checks import advice_on_digits
from secure_kmeans.tables import check_bounds


def cluster_in_the_clear(options: Options, output: Path | None = None) -> Run:
    """Cluster tables in the clear, all rows together.

    Parameters
    ----------
    options : Options
    output : path, optional
        Folder of the results; ``results/NAME_plaintext`` if not given.

    Raises
    ------
    DataError, JobError
    """
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.report.kmeans import InTheClear, report_in_the_clear, write_kmeans
    from secure_kmeans.report.sections import centers_array

    inputs = read_inputs(options, split=False)
    tables = list(inputs.tables.values())
    clustering = propose_clustering(
        tables,
        options.clusters,
        bounds=inputs.bounds,
        min_cluster_size=1,  # in the clear nothing is withheld
        **options.clustering_keys(inputs.columns),
    )
    for table in tables:
        check_bounds(table, clustering.scaling)
    advice = tuple(advice_on_digits(clustering, tables))
    seed = fresh_seed() if options.seed is None else options.seed
    with ResultsFolder(output or Path("results") / f"{inputs.name}_plaintext") as folder:
        started, began = datetime.now(UTC), time.perf_counter()
        clear = InTheClear.of(clustering, inputs.tables, seed)
        seconds = time.perf_counter() - began
        names = demo.segment_names(
            inputs.columns, centers_array(clear.section.cluster_centers, clustering.n_clusters, len(inputs.columns))
        )
        report = report_in_the_clear(clear, started=started, total_s=seconds, names=names)
        write_kmeans(folder, report, [], inputs.tables, clear)
        return Run(clustering, report, (), tuple(folder.publish()), (), advice)
