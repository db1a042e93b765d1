"""Which sizes the pictures of a run show: none that are hidden, and a party's own as such."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from secure_kmeans.app.inputs import JOBS
from secure_kmeans.protocols.smo07 import Smo07Job
from secure_kmeans.report import plots
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.kmeans import report_of_kmeans, write_kmeans
from tests.jobs import a_job_of
from tests.report.examples import CLUSTERING, HIDDEN, TABLES, clear_with, job_with, results_with


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn; none is saved."""
    made: list[Figure] = []

    @contextmanager
    def kept(path: Path, width: float, height: float) -> Iterator[Figure]:
        made.append(Figure(figsize=(width, height)))
        yield made[-1]
        path.write_bytes(b"")

    monkeypatch.setattr(plots, "drawn", kept)
    return made


def legend_of(figure: Figure) -> tuple[str, list[str]]:
    (legend,) = figure.legends
    return legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]


def test_a_rehearsal_counts_the_rows_of_all(figures: list[Figure], tmp_path: Path) -> None:
    results = results_with()
    report = report_of_kmeans(job_with(), results, clear_with())
    with ResultsFolder(tmp_path / "r") as folder:
        write_kmeans(folder, report, results, TABLES, clear_with())
    title, texts = legend_of(figures[0])
    assert (title, texts[:2]) == ("Cluster (rows)", ["Cluster 0 (2)", "Cluster 1 (3)"])


def test_a_party_counts_its_own_and_says_so(figures: list[Figure], tmp_path: Path) -> None:
    results = results_with()[:1]
    for job, values in ((job_with(), {}), (job_with(hide_counts=True), HIDDEN)):
        own = [results[0].model_copy(update={"common": results_with(**values)[0].common})]
        with ResultsFolder(tmp_path / "r") as folder:
            write_kmeans(folder, report_of_kmeans(job, own), own, {"a": TABLES["a"]})
    counts = np.bincount(results[0].own.labels, minlength=2)
    for figure in (figures[0], figures[2]):
        title, texts = legend_of(figure)
        assert title == "Cluster (rows of a alone)"
        assert texts[:2] == [f"Cluster {number} ({count})" for number, count in enumerate(counts)]


def test_hidden_sizes_are_in_no_picture_of_a_rehearsal(figures: list[Figure], tmp_path: Path) -> None:
    results = results_with(**HIDDEN)
    report = report_of_kmeans(job_with(hide_counts=True), results, clear_with())
    with ResultsFolder(tmp_path / "r") as folder:
        write_kmeans(folder, report, results, TABLES, clear_with())
    clusters, convergence = figures
    title, texts = legend_of(clusters)
    assert (title, texts[:2]) == ("Cluster", ["Cluster 0", "Cluster 1"])
    (ax,) = convergence.axes
    assert ax.get_title() == "Inertia"


def test_sizes_of_the_end_alone(figures: list[Figure], tmp_path: Path) -> None:
    """SMO07 discloses the final sizes, and none of an iteration: then no picture shows those of the plaintext."""
    results = results_with(sizes=[2, None], sizes_by_iteration=[])
    job = a_job_of(Smo07Job, "a", "b", **CLUSTERING | {"accept_two_parties": True, "reveal_sizes": True})
    report = report_of_kmeans(job, results, clear_with())
    with ResultsFolder(tmp_path / "r") as folder:
        write_kmeans(folder, report, results, TABLES, clear_with())
        centroids = (folder.aside / "centroids.csv").read_text().splitlines()
    _, texts = legend_of(figures[0])
    assert texts[:2] == ["Cluster 0 (2)", "Cluster 1"]
    assert [axes.get_title() for axes in figures[1].axes] == ["Inertia"]
    assert [line.split(",")[:3] for line in centroids[1:]] == [["0", "", "2"], ["1", "", ""]]
    assert (report.result.mode, report.result.leader) == ("paillier", "a")


def test_each_party_has_a_mark_of_its_own() -> None:
    assert len(set(plots.MARKERS)) == len(plots.MARKERS) >= max(job.MOST_PARTIES for job in JOBS.values())
