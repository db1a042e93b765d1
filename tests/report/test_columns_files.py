"""The files of a run whose parties hold columns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from secure_kmeans.job.model import ColumnsOwn, ColumnsResult
from secure_kmeans.report import kmeans, plots
from secure_kmeans.report.columns import in_the_clear_of_columns, report_of_columns
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.kmeans import report_of_prediction, write_kmeans
from tests.report.columns_examples import (
    CENTERS,
    JOINED,
    LABELS,
    NO_LABELS,
    ROWS,
    TABLES,
    UNKNOWN,
    WHOLE,
    columns_job,
    columns_result,
    columns_results,
)

PICTURES = ["clusters.png", "convergence.png"]
LABEL_FILES = {"a": "row,cluster\n1,0\n2,1\n3,\n4,1\n5,0\n", "b": "row,cluster\n1,0\n2,1\n3,\n4,0\n5,\n6,1\n"}
HIDDEN_LABELS: dict[str, Any] = {"hide_labels": True}
NOBODY: dict[str, Any] = {"hide_labels": True, "disclose": {"centroids": "nobody"}}


def written(
    path: Path, results: Sequence[ColumnsResult], job: dict[str, Any] | None = None, *, compared: bool = False
) -> list[str]:
    """Write a fit and return the names of its files."""
    of = columns_job(**(job or {}))
    tables = {result.role: TABLES[result.role] for result in results}
    clear = in_the_clear_of_columns(of, tables, results) if compared else None
    with ResultsFolder(path) as folder:
        write_kmeans(folder, report_of_columns(of, results, clear), results, tables, clear)
        return [file.name for file in folder.publish()]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the picture of the clusters was made from; nothing is drawn."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(kmeans, "draw_clusters", lambda _path, **values: calls.append(values))
    monkeypatch.setattr(kmeans, "draw_convergence", lambda _path, **_values: None)
    return calls


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, and saved."""
    made: list[Figure] = []
    before = plots.drawn

    @contextmanager
    def kept(path: Path, width: float, height: float) -> Iterator[Figure]:
        with before(path, width, height) as figure:
            made.append(figure)
            yield figure

    monkeypatch.setattr(plots, "drawn", kept)
    return made


class TestFiles:
    def test_of_a_rehearsal(self, tmp_path: Path) -> None:
        names = ["centroids.csv", *PICTURES, "labels_a.csv", "labels_b.csv", "report.json"]
        assert written(tmp_path, columns_results(), compared=True) == names
        for party, text in LABEL_FILES.items():
            assert (tmp_path / f"labels_{party}.csv").read_text() == text

    @pytest.mark.parametrize(
        ("party", "centroids"),
        [
            ("a", ["cluster,name,size,x,a.y", "0,,2,4.0,1.5", "1,,2,1.0,1.5"]),
            ("b", ["cluster,name,size,b.y", "0,,2,3.0", "1,,2,1.0"]),
        ],
    )
    def test_of_one_party(self, tmp_path: Path, party: str, centroids: list[str]) -> None:
        names = ["centroids.csv", *PICTURES, f"labels_{party}.csv", "report.json"]
        assert written(tmp_path, [columns_result(party)]) == names
        assert (tmp_path / f"labels_{party}.csv").read_text() == LABEL_FILES[party]
        assert (tmp_path / "centroids.csv").read_text().splitlines() == centroids

    def test_centroids_in_all_columns(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        written(tmp_path, [columns_result("b", UNKNOWN, **WHOLE)], {"disclose": {"centroids": "all"}})
        rows = (tmp_path / "centroids.csv").read_text().splitlines()
        assert rows == ["cluster,name,size,x,a.y,b.y", "0,,2,1.0,1.5,1.0", "1,,2,4.0,1.5,3.0"]
        assert len(drawn) == 1

    def test_a_party_that_learns_no_labels_has_no_file_of_them(self, tmp_path: Path) -> None:
        assert written(tmp_path, [columns_result("a", NO_LABELS)], HIDDEN_LABELS) == [
            *("centroids.csv", *PICTURES, "report.json")
        ]
        job = {"hide_labels": True, "disclose": {"labels": ("b",)}}
        results = [columns_result("a", NO_LABELS), columns_result("b")]
        assert "labels_a.csv" not in written(tmp_path / "r", results, job, compared=True)
        assert (tmp_path / "r" / "labels_b.csv").read_text() == LABEL_FILES["b"]

    @pytest.mark.parametrize("party", ["a", "b"])
    def test_the_picture_is_left_out_where_nothing_is_known(
        self, tmp_path: Path, party: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "clusters.png").write_bytes(b"of an earlier run")
        caplog.set_level(logging.INFO, logger="secure_kmeans")
        result = columns_result(party, NO_LABELS | UNKNOWN, inertia=None)
        assert written(tmp_path, [result], NOBODY) == ["centroids.csv", "convergence.png", "report.json"]
        assert not (tmp_path / "clusters.png").exists()
        assert [record.getMessage() for record in caplog.records] == [
            "clusters.png is left out: neither labels nor centroids are disclosed here"
        ]
        assert (tmp_path / "centroids.csv").read_text().splitlines()[1:] == ["0,,2,,,", "1,,2,,,"]

    def test_of_a_prediction(self, tmp_path: Path) -> None:
        job = columns_job().prediction("5e" * 32)
        results = [
            columns_result(party).model_copy(
                update={"common": None, "own": ColumnsOwn(rows=rows, labels=LABELS if party == "b" else [])}
            )
            for party, rows in ROWS.items()
        ]
        with ResultsFolder(tmp_path) as folder:
            write_kmeans(folder, report_of_prediction(job, results), results, TABLES)
            assert [file.name for file in folder.publish()] == ["labels_b.csv", "report.json"]
        assert (tmp_path / "labels_b.csv").read_text() == LABEL_FILES["b"]


class TestPicture:
    def test_joined_rows_beside_the_plaintext(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        written(tmp_path, columns_results(), compared=True)
        (picture,) = drawn
        assert [rows.tolist() for rows in picture["rows"]] == [JOINED]
        assert picture["parties"] == ["all parties"]
        assert picture["columns"] == ["x", "a.y", "b.y"]
        np.testing.assert_array_equal(picture["units"], [8.0, 8.0, 8.0])
        encrypted, plain = picture["panels"]
        assert (encrypted.title, plain.title) == (
            "Encrypted, 2 parties: inertia 1.000",
            "Plaintext, same start: inertia 1.000",
        )
        assert encrypted.centers.tolist() == plain.centers.tolist() == CENTERS
        assert encrypted.labels.tolist() == plain.labels.tolist() == LABELS
        assert (encrypted.counts, encrypted.whose, plain.counts) == ([2, 2], "", [2, 2])

    @pytest.mark.parametrize(
        ("party", "columns", "names"), [("a", slice(0, 2), ["x", "a.y"]), ("b", slice(2, 3), ["b.y"])]
    )
    def test_one_party(
        self, tmp_path: Path, drawn: list[dict[str, Any]], party: str, columns: slice, names: list[str]
    ) -> None:
        written(tmp_path, [columns_result(party)])
        written(tmp_path, [columns_result(party, UNKNOWN, **WHOLE)], {"disclose": {"centroids": "all"}})
        for picture, centers in zip(drawn, (CENTERS, CENTERS[::-1]), strict=True):
            assert (picture["parties"], picture["columns"]) == ([party], names)
            assert [rows.tolist() for rows in picture["rows"]] == [[row[columns] for row in JOINED]]
            # One factor for all columns: the range of b's.
            np.testing.assert_array_equal(picture["units"], [8.0] * len(names))
            (panel,) = picture["panels"]
            assert panel.title == f"Own columns of {party}, clusters of all columns"
            assert panel.centers.tolist() == [center[columns] for center in centers]
            assert (panel.labels.tolist(), panel.counts, panel.whose) == (LABELS, [2, 2], "")

    def test_hidden_labels_leave_grey_rows_and_known_centroids(
        self, tmp_path: Path, drawn: list[dict[str, Any]]
    ) -> None:
        written(tmp_path, [columns_result("a", NO_LABELS)], HIDDEN_LABELS)
        (panel,) = drawn[0]["panels"]
        assert (panel.title, panel.labels) == ("Own columns of a, labels hidden", None)
        assert panel.centers.tolist() == [center[:2] for center in CENTERS]

    def test_a_rehearsal_of_which_nothing_is_disclosed_shows_the_plaintext(
        self, tmp_path: Path, drawn: list[dict[str, Any]]
    ) -> None:
        written(tmp_path, columns_results(NO_LABELS | UNKNOWN, inertia=None), NOBODY, compared=True)
        (panel,) = drawn[0]["panels"]
        assert panel.title == "Plaintext, same start: inertia 1.000"

    def test_hidden_sizes_are_counted_nowhere(self, tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
        job = {"hide_labels": True, "hide_counts": True}
        own = [columns_result("a", NO_LABELS), columns_result("b", NO_LABELS)]
        hidden: dict[str, Any] = {"sizes": None, "sizes_by_iteration": [], "inertia": None}
        results = [result.model_copy(update={"common": columns_results(**hidden)[0].common}) for result in own]
        written(tmp_path, results, job, compared=True)
        assert [panel.counts for panel in drawn[0]["panels"]] == [None, None]


def colours_of(ax: Axes) -> list[list[str]]:
    return [[to_hex(face) for face in np.asarray(part.get_facecolor())] for part in ax.collections]


class TestDrawn:
    def test_rows_of_all_parties_have_one_marker(self, tmp_path: Path, figures: list[Figure]) -> None:
        written(tmp_path, columns_results(), compared=True)
        left, right = figures[0].axes
        assert colours_of(left) == colours_of(right)
        assert [len(np.asarray(part.get_offsets())) for part in left.collections] == [4, 2]  # rows and centroids
        texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
        assert texts == ["Cluster 0 (2)", "Cluster 1 (2)", " ", "centroid"]

    def test_one_column_has_one_line(self, tmp_path: Path, figures: list[Figure]) -> None:
        written(tmp_path, [columns_result("b")])
        (ax,) = figures[0].axes
        assert ax.get_xlabel() == "b.y"
        assert [label.get_text() for label in ax.get_yticklabels()] == ["centroids", "b"]
        assert np.asarray(ax.collections[1].get_offsets()).tolist() == [[3.0, -1.0], [1.0, -1.0]]

    def test_hidden_labels_are_grey_and_said_to_be_hidden(self, tmp_path: Path, figures: list[Figure]) -> None:
        written(tmp_path, columns_results(NO_LABELS), HIDDEN_LABELS, compared=True)
        left, right = figures[0].axes
        rows, centroids = colours_of(left)
        assert set(rows) == {plots.NO_CLUSTER}
        assert centroids == colours_of(right)[1] == [plots.colour(0).lower(), plots.colour(1).lower()]
        texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
        assert texts == ["Cluster 0 (2)", "Cluster 1 (2)", " ", "centroid", "rows, labels hidden"]

    def test_partners_of_hidden_labels_are_found_by_the_centroids(self, tmp_path: Path, figures: list[Figure]) -> None:
        own = {party: [center[cut] for center in CENTERS[::-1]] for party, cut in (("a", slice(2)), ("b", slice(2, 3)))}
        results = [columns_result(party, NO_LABELS | {"centroids": centers}) for party, centers in own.items()]
        written(tmp_path, results, HIDDEN_LABELS, compared=True)
        left, right = figures[0].axes
        assert colours_of(left)[1] == colours_of(right)[1][::-1]
