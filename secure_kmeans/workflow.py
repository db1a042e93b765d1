"""From options to results: what ``launcher.py``, ``main.py`` and the elbow do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from secure_kmeans import mall
from secure_kmeans.console import error_out, print_summary, progress_of_phases
from secure_kmeans.data import Table, read_table, split_table
from secure_kmeans.errors import JobError
from secure_kmeans.job import SEEDS, Init, Job
from secure_kmeans.local import run_local
from secure_kmeans.options import Options
from secure_kmeans.plan import plan_fit
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import best_run
from secure_kmeans.plots import Panel, draw_clusters, draw_convergence
from secure_kmeans.report import Report, ResultsFolder, report_of_plaintext, report_of_run

_INITS: Final[dict[str, Init]] = {"farthest": "farthest", "k-means++": "k-means++", "random": "random"}


@dataclass(frozen=True)
class Inputs:
    """The tables that options name.

    Attributes
    ----------
    name : str
        Of the results folder.
    parties : tuple of str
    tables : list of Table
        One for each party.
    bounds : (lower, upper) or None
    """

    name: str
    parties: tuple[str, ...]
    tables: list[Table]
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None


def read_inputs(options: Options) -> Inputs:
    """Read the tables, one for each party.

    Raises
    ------
    DataError
    JobError
        Where ``--data`` and ``--parties`` contradict each other.
    """
    paths = options.data or (mall.PATH,)
    columns, bounds = options.columns, options.bounds
    if not options.data and not columns:
        columns, bounds = mall.COLUMNS, bounds or mall.BOUNDS
    if len(paths) == 1:
        table = read_table(paths[0], columns)
        tables = split_table(table, options.parties or 2)
        return Inputs(paths[0].stem, tuple(f"party_{rank}" for rank in range(len(tables))), tables, bounds)
    if options.parties not in (None, len(paths)):
        raise JobError(f"--data is given {len(paths)} times for --parties {options.parties}; give it once, or once for each party")
    names = _party_names(paths)
    return Inputs("+".join(names), names, [read_table(path, columns) for path in paths], bounds)


def _party_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The files' names where they tell the parties apart, numbers where they do not."""
    names = tuple(re.sub(r"[^\w.-]+", "_", path.stem)[:40] for path in paths)
    distinct = {name.casefold() for name in names} - {"dealer", "all", ""}
    return names if len(distinct) == len(names) else tuple(f"party_{rank}" for rank in range(len(names)))


def plan(options: Options, inputs: Inputs, **more: Any) -> Job:
    """The job that options and tables ask for."""
    centroids = None if options.init in _INITS else _read_centroids(Path(options.init), inputs.tables[0].columns, options.clusters)
    return plan_fit(
        inputs.tables,
        more.pop("n_clusters", options.clusters),
        parties=inputs.parties,
        scaling=options.scale,
        bounds=inputs.bounds,
        centroids=centroids,
        init=_INITS.get(options.init, "farthest"),
        seed=options.seed,
        n_init=options.n_init if centroids is None else 1,
        max_iter=options.max_iter,
        tol=options.tol,
        timeout=options.timeout,
        **more,
    )


def _read_centroids(path: Path, columns: tuple[str, ...], clusters: int) -> np.ndarray:
    table = read_table(path, columns)
    if len(table) != clusters:
        raise JobError(f"{path}: there are {len(table)} centroids for --clusters {clusters}; give one row for each cluster")
    return table.rows


def encrypted(options: Options, *, skip_plaintext: bool) -> Report:
    """The main job: cluster on shares, compare with the plaintext, write and show the results."""
    inputs = read_inputs(options)
    job = plan(options, inputs)
    with ResultsFolder(options.output or Path("results") / inputs.name) as folder:
        with progress_of_phases() as progress:
            run = run_local(job, inputs.tables, progress)
        outcome = run.outcomes[0]
        rows = [table.rows for table in inputs.tables]
        baseline = None
        if not skip_plaintext:
            baseline = run_in_the_clear(job, np.concatenate(rows), outcome.seed or 0)[outcome.best_restart]
        report = report_of_run(job, run, inputs.tables, baseline)
        labels = {party.party: party.labels for party in run.outcomes}
        panels = [Panel(f"Encrypted, {len(job.parties)} parties", np.array(outcome.centroids), np.concatenate(list(labels.values())).astype(int))]
        if baseline is not None:
            panels.append(Panel("Plaintext NumPy, from the same start", job.scaling.invert(baseline.centroids), baseline.labels))
        _finish(folder, report, labels, panels, rows)
    return report


def plaintext(options: Options) -> Report:
    """The baseline alone, on all rows in the clear."""
    inputs = read_inputs(options)
    job = plan(options, inputs)
    seed = _fresh_seed() if options.seed is None else options.seed
    with ResultsFolder(options.output or Path("results") / f"{inputs.name}_plaintext") as folder:
        began = time.perf_counter()
        rows = np.concatenate([table.rows for table in inputs.tables])
        runs = run_in_the_clear(job, rows, seed)
        best = best_run(runs)
        report = report_of_plaintext(job, inputs.tables, best, seed=seed, number=runs.index(best), total_s=time.perf_counter() - began)
        panel = Panel("Plaintext NumPy", job.scaling.invert(best.centroids), best.labels)
        _finish(folder, report, {"all": best.labels.tolist()}, [panel], [rows])
    return report


def _fresh_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0]) % SEEDS


def _finish(folder: ResultsFolder, report: Report, labels: dict[str, list[int]], panels: list[Panel], rows: list[np.ndarray]) -> None:
    folder.write_tables(report, labels)
    parties = report.parties if len(rows) > 1 else ["all"]
    draw_clusters(folder.aside / "clusters.png", panels, rows, parties, report.columns, report.cluster_names)
    draw_convergence(folder.aside / "convergence.png", report)
    print_summary(report, folder.publish())


__all__ = ["Inputs", "encrypted", "error_out", "plaintext", "plan", "read_inputs"]
