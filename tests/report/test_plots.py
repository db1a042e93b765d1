import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from secure_kmeans.report import plots
from secure_kmeans.report.kmeans import report_of_kmeans
from secure_kmeans.report.plots import ElbowPoint, Panel, draw_clusters, draw_convergence, draw_elbow
from tests.report.examples import (
    HIDDEN,
    NOTHING,
    TABLES,
    WITHHELD,
    clear_report,
    clear_with,
    job_with,
    report_with,
    results_with,
)

ROWS = [table.rows for table in TABLES.values()]
CENTERS = np.array([[4.0, 1.5], [1.0, 1.5]])
LABELS = np.array([1, 1, 1, 0, 0])
SWAPPED = Panel("Plaintext", CENTERS[::-1], 1 - LABELS)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn; none is saved."""
    made: list[Figure] = []

    @contextmanager
    def kept(_path: Path, width: float, height: float) -> Iterator[Figure]:
        made.append(Figure(figsize=(width, height)))
        yield made[-1]

    monkeypatch.setattr(plots, "drawn", kept)
    return made


def draw(
    panels: Sequence[Panel], rows: Sequence[np.ndarray] = ROWS, names: Sequence[str] | None = None, columns: str = "xy"
) -> None:
    units = np.full(rows[0].shape[1], 4.0)
    draw_clusters(Path("nowhere"), panels, rows, ["a", "b"], list(columns), names, units)


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def points_of(ax: Axes) -> list[list[list[float]]]:
    return [np.asarray(each.get_offsets()).tolist() for each in ax.collections]


def colours_of(ax: Axes, number: int) -> list[str]:
    faces = np.asarray(ax.collections[number].get_facecolor())
    return [to_hex(face) for face in faces]


class TestClusters:
    def test_rows_of_each_party_and_centroids(self, figures: list[Figure]) -> None:
        draw([Panel("Encrypted", CENTERS, LABELS)])
        (ax,) = figures[0].axes
        assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("Encrypted", "x", "y")
        assert points_of(ax) == [ROWS[0].tolist(), ROWS[1].tolist(), CENTERS.tolist()]
        assert set(colours_of(ax, 0)) == {plots.colour(1).lower()}
        assert set(colours_of(ax, 1)) == {plots.colour(0).lower()}

    def test_partners_have_the_same_colour_in_both_panels(self, figures: list[Figure]) -> None:
        draw([Panel("Encrypted", CENTERS, LABELS), SWAPPED])
        left, right = figures[0].axes
        assert [colours_of(right, part) for part in (0, 1)] == [colours_of(left, part) for part in (0, 1)]
        assert colours_of(right, 2) == colours_of(left, 2)[::-1]

    def test_a_centroid_that_is_not_known_is_no_mark(self, figures: list[Figure]) -> None:
        draw([Panel("Encrypted", np.array([[4.0, 1.5], [np.nan, np.nan]]), LABELS), SWAPPED])
        left, right = figures[0].axes
        np.testing.assert_array_equal(np.array(points_of(left)[2]), [[4.0, 1.5], [np.nan, np.nan]])
        assert [colours_of(right, part) for part in (0, 1)] == [colours_of(left, part) for part in (0, 1)]

    @pytest.mark.parametrize(
        ("names", "shown"),
        [(None, ["Cluster 0 (2)", "Cluster 1 (3)"]), (["Target", "Miser"], ["Target (2)", "Miser (3)"])],
    )
    def test_legend(self, figures: list[Figure], names: list[str] | None, shown: list[str]) -> None:
        draw([Panel("Encrypted", CENTERS, LABELS, [2, 3])], names=names)
        assert legend_of(figures[0]) == [*shown, " ", "centroid", "rows of a", "rows of b"]

    def test_sizes_that_are_not_disclosed_are_not_counted_from_the_labels(self, figures: list[Figure]) -> None:
        draw([Panel("Encrypted", CENTERS, LABELS)])
        draw([Panel("Encrypted", CENTERS, LABELS, [3, None])])
        assert legend_of(figures[0])[:2] == ["Cluster 0", "Cluster 1"]
        assert legend_of(figures[1])[:2] == ["Cluster 0 (3)", "Cluster 1"]

    def test_one_column_has_a_line_for_each_party(self, figures: list[Figure]) -> None:
        draw([Panel("Encrypted", CENTERS[:, :1], LABELS)], [rows[:, :1] for rows in ROWS], columns="x")
        (ax,) = figures[0].axes
        assert [label.get_text() for label in ax.get_yticklabels()] == ["centroids", "a", "b"]
        of_a, of_b, centroids = points_of(ax)
        assert [point[0] for point in of_a + of_b] == [1.0, 1.0, 1.0, 4.0, 4.0]
        assert all(abs(point[1]) <= 0.3 for point in of_a)
        assert all(abs(point[1] - 1) <= 0.3 for point in of_b)
        assert centroids == [[4.0, -1.0], [1.0, -1.0]]

    def test_many_columns_are_projected_on_principal_components(self, figures: list[Figure]) -> None:
        # The third column is constant and the first varies most, so the components are the first two columns.
        rows = [np.column_stack([part, np.full(len(part), 7.0)]) * [1.0, 0.5, 1.0] for part in ROWS]
        centers = np.column_stack([CENTERS * [1.0, 0.5], [7.0, 7.0]])
        draw([Panel("Encrypted", centers, LABELS)], rows, columns="xyz")
        (ax,) = figures[0].axes
        assert ax.get_xlabel().startswith("First principal component (9")
        spread = np.ptp(np.concatenate([np.array(points) for points in points_of(ax)[:2]]), axis=0)
        assert spread == pytest.approx([3 / 4, 0.5 / 4], rel=0.01)

    def test_no_more_than_20000_rows_are_drawn(self, figures: list[Figure]) -> None:
        rows = np.random.default_rng(0).random((20_001, 2))
        draw([Panel("Encrypted", CENTERS, np.zeros(20_001, dtype=int), [20_001, 0])], [rows[:5], rows[5:]])
        assert sum(len(points) for points in points_of(figures[0].axes[0])[:2]) == 20_000
        assert legend_of(figures[0])[0] == "Cluster 0 (20,001)"


class TestConvergence:
    def test_sizes_of_both_runs_and_inertia(self, figures: list[Figure]) -> None:
        draw_convergence(Path("nowhere"), report_with())
        sizes, inertia = figures[0].axes
        assert sizes.get_title() == "Cluster sizes, encrypted (dots) and plaintext (rings)"
        # The plaintext's clusters are drawn in the order of its own, 0 and 1. A size that is withheld is a gap.
        drawn = [np.asarray(line.get_ydata()) for line in sizes.lines]
        np.testing.assert_array_equal(drawn, [[np.nan, 2], [4, 3], [3, 3], [2, 2]])
        assert [np.asarray(line.get_ydata()).tolist() for line in inertia.lines] == [[2.25, 1.0, 1.0], [1.0009765625]]
        assert legend_of(figures[0]) == ["Cluster 0", "Cluster 1"]

    def test_rings_have_the_colour_of_their_partner(self, figures: list[Figure]) -> None:
        draw_convergence(Path("nowhere"), report_with())
        colours = [str(line.get_color()) for line in figures[0].axes[0].lines]
        assert colours == [plots.colour(0), plots.colour(1), plots.colour(1), plots.colour(0)]

    def test_rings_of_a_model_that_nobody_learned(self, figures: list[Figure]) -> None:
        report = report_of_kmeans(job_with(disclose={"centroids": "nobody"}), results_with(**NOTHING), clear_with())
        draw_convergence(Path("nowhere"), report)
        sizes, inertia = figures[0].axes
        assert sorted(str(line.get_color()) for line in sizes.lines[2:]) == sorted([plots.colour(0), plots.colour(1)])
        assert [np.asarray(line.get_ydata()).tolist() for line in inertia.lines] == [[2.25, 1.0, 1.0]]

    def test_sizes_of_a_withheld_cluster_are_not_drawn(self, figures: list[Figure]) -> None:
        job, clear = job_with(min_cluster_size=3), clear_with(min_cluster_size=3)
        draw_convergence(Path("nowhere"), report_of_kmeans(job, results_with(**WITHHELD), clear))
        drawn = [np.asarray(line.get_ydata()) for line in figures[0].axes[0].lines]
        np.testing.assert_array_equal(drawn, [[4, 3], [np.nan, np.nan], [3, 3], [np.nan, np.nan]])

    def test_without_a_plaintext(self, figures: list[Figure]) -> None:
        draw_convergence(Path("nowhere"), report_of_kmeans(job_with(), results_with(), None, ["Target", "Miser"]))
        (sizes,) = figures[0].axes
        assert sizes.get_title() == "Cluster sizes, encrypted (dots)"
        assert legend_of(figures[0]) == ["Target", "Miser"]

    def test_a_run_in_the_clear_alone(self, figures: list[Figure]) -> None:
        draw_convergence(Path("nowhere"), clear_report())
        (sizes,) = figures[0].axes
        assert sizes.get_title() == "Cluster sizes, plaintext (dots)"

    def test_hidden_sizes(self, figures: list[Figure]) -> None:
        results = results_with(**HIDDEN, inertia=None)
        draw_convergence(Path("nowhere"), report_of_kmeans(job_with(hide_counts=True), results))
        (sizes,) = figures[0].axes
        assert sizes.get_title() == "Cluster sizes: hidden"
        assert list(sizes.get_yticks()) == []
        assert [len(np.asarray(line.get_ydata())) for line in sizes.lines] == [0, 0]


class TestElbow:
    @pytest.mark.parametrize("encrypted", [False, True])
    def test_both_losses(self, figures: list[Figure], encrypted: bool) -> None:
        points = [
            ElbowPoint(1, 8.0, 2.0, 8.5 if encrypted else None, 2.5 if encrypted else None),
            ElbowPoint(2, 4.0, 3.0, 4.5 if encrypted else None, 3.5 if encrypted else None),
        ]
        draw_elbow(Path("nowhere"), points)
        drawn = [[np.asarray(line.get_ydata()).tolist() for line in ax.lines] for ax in figures[0].axes]
        if encrypted:
            assert drawn == [[[8.0, 4.0], [8.5, 4.5]], [[2.0, 3.0], [2.5, 3.5], [2.0, 1.5], [2.5, 1.75]]]
        else:
            assert drawn == [[[8.0, 4.0]], [[2.0, 3.0], [2.0, 1.5]]]
        assert [ax.get_title() for ax in figures[0].axes] == ["Inertia", "Mean-distance loss"]


@pytest.mark.parametrize("known", [True, False], ids=["labels", "no labels"])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_one_partys_columns_with_labels_and_without(tmp_path: Path, width: int, known: bool) -> None:
    rows, centers = np.arange(8.0 * width).reshape(8, width), np.full((2, width), 3.0)
    panel = Panel("Own columns", centers, np.arange(8) % 2 if known else None, [4, 4])
    columns, units = list("abcde")[:width], np.full(width, 8.0)
    draw_clusters(tmp_path / "a.png", [panel], [rows], ["north"], columns, None, units)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_written_without_a_warning_for_letters_that_no_font_has(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    panel = Panel("\U00010a50 US$", CENTERS, LABELS)
    draw_clusters(tmp_path / "a.png", [panel], ROWS, ["a", "b"], ["x", "y"], None, np.full(2, 4.0))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []


def test_nothing_slow_is_imported_before_something_is_drawn() -> None:
    code = "import sys, secure_kmeans.report.kmeans; print(sorted({each.partition('.')[0] for each in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in modules
    for slow in ("matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torch", "crypten", "rich"):
        assert f"'{slow}'" not in modules
