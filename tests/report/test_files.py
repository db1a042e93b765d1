"""The files of a k-means run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.job.model import KMeansOwn, KMeansResult
from secure_kmeans.report import kmeans
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.kmeans import InTheClear, report_of_kmeans, report_of_prediction, write_kmeans
from secure_kmeans.report.plots import Panel
from secure_kmeans.report.report import Report
from secure_kmeans.report.sections import PredictionReport
from tests.report.examples import (
    HIDDEN,
    NOTHING,
    TABLES,
    WITHHELD,
    clear_report,
    clear_with,
    job_with,
    prediction,
    report_with,
    results_with,
)

PICTURES = ["clusters.png", "convergence.png"]
ENCRYPTED = [[4.0, 1.5], [1.0, 1.53125]]
PLAIN = [[1.0, 1.5], [4.0, 1.5]]
FILES = ["centroids.csv", *PICTURES, "labels_a.csv", "labels_b.csv", "report.json"]


def written(path: Path, report: Report, results: Sequence[KMeansResult], clear: InTheClear | None = None) -> list[str]:
    """Write a run and return the names of its files."""
    with ResultsFolder(path) as folder:
        write_kmeans(folder, report, results, TABLES, clear)
        return [file.name for file in folder.publish()]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the picture of the clusters was made from; nothing is drawn."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(kmeans, "draw_clusters", lambda _path, **values: calls.append(values))
    monkeypatch.setattr(kmeans, "draw_convergence", lambda _path, **_values: None)
    return calls


def shown(panel: Panel) -> tuple[str, list[list[float]], list[int]]:
    assert panel.labels is not None
    return panel.title, panel.centers.tolist(), panel.labels.tolist()


class TestFit:
    def test_every_file_of_a_rehearsal(self, tmp_path: Path) -> None:
        assert written(tmp_path, report_with(), results_with(), clear_with()) == FILES
        for picture in PICTURES:
            assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")

    def test_every_file_of_one_party(self, tmp_path: Path) -> None:
        report = report_of_kmeans(job_with(), results_with()[1:])
        assert written(tmp_path, report, results_with()[1:]) == [name for name in FILES if name != "labels_a.csv"]

    def test_every_file_of_a_run_in_the_clear(self, tmp_path: Path) -> None:
        assert written(tmp_path, clear_report(), [], clear_with()) == FILES
        assert (tmp_path / "labels_b.csv").read_text() == "row,cluster\n1,1\n2,1\n"

    def test_labels(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        written(tmp_path, report_with(), results_with())
        assert (tmp_path / "labels_a.csv").read_text() == "row,cluster\n1,1\n2,1\n3,1\n"
        assert (tmp_path / "labels_b.csv").read_text() == "row,cluster\n1,0\n2,0\n"
        assert len(drawn) == 1

    def test_centroids_can_be_read_back(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        third = 1 / 3
        columns = ("income, yearly", 'score "1-100"')
        results = results_with(centroids=[[third, 1e-17], [-2.5, 1e17]])
        written(tmp_path, report_of_kmeans(job_with(columns=columns), results), results)
        frame = pd.read_csv(tmp_path / "centroids.csv")
        assert list(frame.columns) == ["cluster", "name", "size", *columns]
        assert frame["cluster"].tolist() == [0, 1]
        assert frame["name"].isna().all()
        assert frame["size"].tolist() == [2, 3]
        assert frame[list(columns)].to_numpy().tolist() == [[third, 1e-17], [-2.5, 1e17]]
        assert len(drawn) == 1

    def test_names_stand_beside_the_centroids_and_hidden_sizes_do_not(
        self, tmp_path: Path, drawn: list[dict[str, Any]]
    ) -> None:
        results = results_with(**HIDDEN)
        written(tmp_path, report_of_kmeans(job_with(), results, None, ["Careful", "Target"]), results)
        rows = (tmp_path / "centroids.csv").read_text().splitlines()
        assert rows == ["cluster,name,size,x,y", "0,Careful,,4.0,1.5", "1,Target,,1.0,1.53125"]
        assert drawn[0]["names"] == ["Careful", "Target"]

    def test_withheld_clusters_are_said_to_be(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        results = results_with(**WITHHELD)
        written(tmp_path, report_of_kmeans(job_with(min_cluster_size=3), results), results)
        rows = (tmp_path / "centroids.csv").read_text().splitlines()
        assert rows == ["cluster,name,size,x,y", "0,,3,1.0,1.53125", "1,,withheld,,"]
        np.testing.assert_array_equal(drawn[0]["panels"][0].centers, [[1.0, 1.53125], [np.nan, np.nan]])

    def test_of_hidden_sizes_too(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        results = results_with(**WITHHELD | HIDDEN)
        written(tmp_path, report_of_kmeans(job_with(min_cluster_size=3, hide_counts=True), results), results)
        rows = (tmp_path / "centroids.csv").read_text().splitlines()
        assert rows == ["cluster,name,size,x,y", "0,,,1.0,1.53125", "1,,withheld,,"]
        assert len(drawn) == 1

    def test_centroids_that_nobody_learned_are_blank(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        results = results_with(**NOTHING)
        job = job_with(disclose={"centroids": "nobody"})
        written(tmp_path, report_of_kmeans(job, results), results)
        rows = (tmp_path / "centroids.csv").read_text().splitlines()
        assert rows == ["cluster,name,size,x,y", "0,,2,,", "1,,3,,"]
        assert np.isnan(drawn[0]["panels"][0].centers).all()

    @pytest.mark.parametrize(
        ("job", "model"),
        [
            ({"min_cluster_size": 3}, WITHHELD),
            ({"hide_counts": True}, HIDDEN),
            ({"hide_counts": True, "min_cluster_size": 3}, WITHHELD | HIDDEN),
            ({"disclose": {"centroids": "nobody"}}, NOTHING),
            ({"disclose": {"centroids": "nobody"}, "hide_counts": True}, NOTHING | HIDDEN),
            (
                {"min_cluster_size": 4},
                {"centroids": [None] * 2, "grid_centroids": [None] * 2, "withheld": [0, 1], "sizes": [None] * 2}
                | {"inertia": 0.0, "sizes_by_iteration": [[None] * 2] * 2},
            ),
        ],
        ids=["withheld", "hidden", "both", "nobody", "nobody and hidden", "all withheld"],
    )
    @pytest.mark.parametrize("compared", [False, True])
    def test_every_picture_can_be_drawn(
        self, tmp_path: Path, job: dict[str, Any], model: dict[str, Any], compared: bool
    ) -> None:
        results = results_with(**model)
        least = {key: value for key, value in job.items() if key == "min_cluster_size"}
        clear = clear_with(**least) if compared else None
        assert written(tmp_path, report_of_kmeans(job_with(**job), results, clear), results, clear) == FILES


class TestPanels:
    def test_a_rehearsal_beside_the_plaintext(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        written(tmp_path, report_with(), results_with(), clear_with())
        assert [shown(panel) for panel in drawn[0]["panels"]] == [
            ("Encrypted, 2 parties: inertia 1.001", ENCRYPTED, [1, 1, 1, 0, 0]),
            ("Plaintext, same start: inertia 1.000", PLAIN, [0, 0, 0, 1, 1]),
        ]
        assert drawn[0]["parties"] == ["a", "b"]
        assert [rows.tolist() for rows in drawn[0]["rows"]] == [table.rows.tolist() for table in TABLES.values()]
        assert drawn[0]["columns"] == ["x", "y"]
        np.testing.assert_array_equal(drawn[0]["units"], [4.0, 4.0])

    def test_without_a_disclosed_inertia(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        results = results_with(inertia=None)
        written(tmp_path, report_of_kmeans(job_with(), results), results)
        assert [panel.title for panel in drawn[0]["panels"]] == ["Encrypted, 2 parties"]

    def test_one_party_shows_its_own_rows(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        second = results_with()[1:]
        written(tmp_path, report_of_kmeans(job_with(), second), second)
        (panel,) = drawn[0]["panels"]
        assert shown(panel) == ("Own rows of b, clusters of all", ENCRYPTED, [0, 0])
        assert drawn[0]["parties"] == ["b"]
        assert [rows.tolist() for rows in drawn[0]["rows"]] == [TABLES["b"].rows.tolist()]

    def test_a_run_in_the_clear_alone(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        written(tmp_path, clear_report(), [], clear_with())
        (panel,) = drawn[0]["panels"]
        assert shown(panel) == ("Plaintext: inertia 1.000", PLAIN, [0, 0, 0, 1, 1])


class TestPictureThatFails:
    @pytest.fixture
    def logged(self, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
        caplog.set_level(logging.WARNING, logger="secure_kmeans")
        return caplog

    def test_costs_no_result_and_names_no_value(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
    ) -> None:
        def fail(path: Path, **_values: Any) -> None:
            path.write_bytes(b"half a picture")
            raise ValueError("987654321")

        monkeypatch.setattr(kmeans, "draw_clusters", fail)
        files = written(tmp_path, report_with(), results_with())
        assert files == [name for name in FILES if name != "clusters.png"]
        assert [record.getMessage() for record in logged.records] == ["clusters.png could not be drawn: ValueError"]

    def test_an_interrupt_still_ends_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_path: Path, **_values: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(kmeans, "draw_clusters", interrupt)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path, report_with(), results_with())
        assert list(tmp_path.iterdir()) == []


def test_a_prediction_has_labels_and_a_report(tmp_path: Path) -> None:
    job = prediction()
    results = [
        KMeansResult(**(vars(result) | {"common": None, "own": KMeansOwn(labels=result.own.labels)}))
        for result in results_with()
    ]
    assert written(tmp_path, report_of_prediction(job, results), results[:1]) == ["labels_a.csv", "report.json"]
    assert PredictionReport.load(tmp_path / "report.json").result.n_labels == 5
