"""From options to results: what ``launcher.py``, ``main.py`` and the elbow do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from secure_kmeans import mall
from secure_kmeans.console import print_elbow, print_summary, progress_of_phases, progress_of_steps
from secure_kmeans.data import Table, read_table, split_table
from secure_kmeans.errors import JobError
from secure_kmeans.job import Init, Job
from secure_kmeans.local import run_local
from secure_kmeans.options import Options
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.plan import coarse_columns, party_names, plan_fit
from secure_kmeans.plots import Panel, draw_clusters, draw_convergence, draw_elbow
from secure_kmeans.public_coins import fresh_seed
from secure_kmeans.report import ElbowPoint, Report, ResultsFolder, plaintext_part, report_of_plaintext, report_of_run

MOST_CLUSTERS: Final = 10
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


def read_inputs(options: Options, *, split: bool = True) -> Inputs:
    """Read the tables, one for each party; one file is split among them if ``split`` says so.

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
        if not split:
            return Inputs(paths[0].stem, ("all",), [table], bounds)
        tables = split_table(table, options.parties or 2)
        return Inputs(paths[0].stem, party_names(len(tables)), tables, bounds)
    if options.parties not in (None, len(paths)):
        raise JobError(
            f"--data is given {len(paths)} times for --parties {options.parties}; give it once, or once for each party"
        )
    names = _names_of_files(paths)
    return Inputs("+".join(names), names, [read_table(path, columns) for path in paths], bounds)


def _names_of_files(paths: Sequence[Path]) -> tuple[str, ...]:
    """The files' names where they tell the parties apart, numbers where they do not."""
    names = tuple(re.sub(r"[^\w.-]+", "_", path.stem)[:40] for path in paths)
    distinct = {name.casefold() for name in names} - {"dealer", "all", ""}
    return names if len(distinct) == len(names) else party_names(len(names))


def plan(options: Options, inputs: Inputs, **more: Any) -> Job:
    """The job that options and tables ask for."""
    secure: dict[str, Any] = {"engine": options.engine, "hide_counts": options.hide_counts}
    centroids = None
    if options.init not in _INITS:
        centroids = _read_centroids(Path(options.init), inputs.tables[0].columns, options.clusters)
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
        transport=options.transport,
        **(secure if more.get("protocol") != "plaintext" else {}),
        **more,
    )


def _read_centroids(path: Path, columns: tuple[str, ...], clusters: int) -> np.ndarray:
    table = read_table(path, columns)
    if len(table) != clusters:
        raise JobError(
            f"{path}: there are {len(table)} centroids for --clusters {clusters}; give one row for each cluster"
        )
    return table.rows


def encrypted(options: Options, *, skip_plaintext: bool) -> Report:
    """The main job: cluster on shares, compare with the plaintext, write and show the results."""
    inputs = read_inputs(options)
    output = options.output or Path("results") / inputs.name
    return encrypted_job(plan(options, inputs), inputs.tables, output, skip_plaintext=skip_plaintext)


def encrypted_job(
    job: Job,
    tables: list[Table],
    output: Path,
    *,
    skip_plaintext: bool,
    state: Path | None = None,
    resume: bool = False,
) -> Report:
    """All roles of a job on this machine; the parties' tables in rank order."""
    with ResultsFolder(output) as folder:
        with progress_of_phases() as progress:
            run = run_local(job, tables, progress, state=state, resume=resume)
        outcome = run.outcomes[0]
        rows = [table.rows for table in tables]
        baseline = None
        if not skip_plaintext:
            baseline = run_in_the_clear(job, np.concatenate(rows), outcome.seed or 0)[outcome.best_restart]
        report = report_of_run(job, run, tables, baseline)
        labels = {party.party: party.labels for party in run.outcomes}
        all_labels = np.concatenate(list(labels.values())).astype(int)
        panels = [
            Panel(
                title_of(f"Encrypted, {len(job.parties)} parties", report.inertia),
                np.array(outcome.centroids),
                all_labels,
            )
        ]
        if baseline is not None and report.plaintext is not None:
            title = title_of("Plaintext, same start", report.plaintext.inertia)
            panels.append(Panel(title, job.scaling.invert(baseline.centroids), baseline.labels))
        folder.write_tables(report, labels)
        draw(folder, report, labels, panels, rows)
        print_summary(report, folder.publish(), coarse_columns(job, tables))
    return report


def plaintext(options: Options) -> Report:
    """The baseline alone, on all rows in the clear."""
    inputs = read_inputs(options, split=False)
    job = plan(options, inputs, protocol="plaintext")
    seed = fresh_seed() if options.seed is None else options.seed
    with ResultsFolder(options.output or Path("results") / f"{inputs.name}_plaintext") as folder:
        began = time.perf_counter()
        rows = np.concatenate([table.rows for table in inputs.tables])
        runs = run_in_the_clear(job, rows, seed)
        number = number_of_best(runs)
        best = runs[number]
        report = report_of_plaintext(
            job, inputs.tables, best, seed=seed, number=number, total_s=time.perf_counter() - began
        )
        panel = Panel(title_of("Plaintext", report.inertia), job.scaling.invert(best.centroids), best.labels)
        labels = _split_labels(best.labels, inputs)
        rows_of_all = [table.rows for table in inputs.tables]
        folder.write_tables(report, labels)
        draw(folder, report, labels, [panel], rows_of_all)
        print_summary(report, folder.publish(), coarse_columns(job, inputs.tables))
    return report


def elbow(options: Options, *, encrypted: bool) -> list[ElbowPoint]:
    """One run for each number of clusters from 1 to 10: losses in the clear and, if wanted, encrypted.

    Both start from the same rows; each encrypted run discloses its two losses besides the usual.
    """
    if options.init not in _INITS:
        raise JobError("--init: a file of centroids fixes the number of clusters; the elbow needs another start")
    inputs = read_inputs(options, split=encrypted)
    rows = np.concatenate([table.rows for table in inputs.tables])
    most = min(MOST_CLUSTERS, len(rows))
    seed = fresh_seed() if options.seed is None else options.seed
    points = []
    with ResultsFolder(options.output or Path("results") / f"{inputs.name}_elbow") as folder:
        with progress_of_steps("Clusters", most) as progress:
            for clusters in range(1, most + 1):
                job = plan(
                    replace(options, seed=seed),
                    inputs,
                    protocol="shk" if encrypted else "plaintext",
                    n_clusters=clusters,
                    reveal_mean_distance=True,
                )
                runs = run_in_the_clear(job, rows, seed)
                best = number_of_best(runs)
                outcome = None
                if encrypted:
                    outcome = run_local(job, inputs.tables).outcomes[0]
                    best = outcome.best_restart
                part = plaintext_part(job, inputs.tables, runs[best])
                points.append(
                    ElbowPoint(
                        clusters,
                        part.inertia,
                        part.mean_distance,
                        outcome.inertia if outcome else None,
                        outcome.mean_distance if outcome else None,
                    )
                )
                progress(f"K = {clusters}", clusters, most)
        folder.write_csv(
            "elbow.csv", [field.name for field in fields(ElbowPoint)], [list(astuple(point)) for point in points]
        )
        draw_elbow(folder.aside / "elbow.png", points)
        print_elbow(points, seed, folder.publish())
    return points


def _split_labels(labels: np.ndarray, inputs: Inputs) -> dict[str, list[int]]:
    ends = np.cumsum([len(table) for table in inputs.tables])[:-1]
    return {party: own.tolist() for party, own in zip(inputs.parties, np.split(labels, ends), strict=True)}


def title_of(who: str, inertia: float | None) -> str:
    """What stands above a picture."""
    return who if inertia is None else f"{who}: inertia {inertia:,.3f}"


def draw(
    folder: ResultsFolder, report: Report, labels: dict[str, list[int]], panels: list[Panel], rows: list[np.ndarray]
) -> None:
    """A run's pictures, of the parties in ``labels``."""
    draw_clusters(
        folder.aside / "clusters.png",
        panels,
        rows,
        list(labels),
        report.columns,
        report.cluster_names,
        report.scaling.units,
    )
    draw_convergence(folder.aside / "convergence.png", report)
