import itertools
from pathlib import Path

import numpy as np
import pytest

from secure_kmeans.app import demo
from secure_kmeans.job import Clustering, Scaling
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import KMeansRun, number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.tables import Table, read_table

ROOT = Path(__file__).resolve().parents[2]
# Sizes and centroids of the best clustering in five, and what the two-party paper calls these customers.
SEGMENTS = {
    "General": (81, (55.30, 49.52)),
    "Target": (39, (86.54, 82.13)),
    "Miser": (35, (88.20, 17.11)),
    "Careful": (23, (26.30, 20.91)),
    "Spendthrift": (22, (25.73, 79.36)),
}
SCALING = Scaling.of(lower=demo.BOUNDS[0], upper=demo.BOUNDS[1])


def clustering_of(n_clusters: int, n_init: int) -> Clustering:
    return Clustering.of(columns=demo.COLUMNS, n_clusters=n_clusters, n_init=n_init, scaling=SCALING, precision_bits=24)


@pytest.fixture(scope="module")
def table() -> Table:
    return read_table(demo.PATH, demo.COLUMNS)


@pytest.fixture(scope="module")
def runs(table: Table) -> list[KMeansRun]:
    """From each of the 200 rows."""
    return run_in_the_clear(clustering_of(5, n_init=200), table.rows, 0)


class TestTable:
    def test_it_is_the_project_s_own_file(self) -> None:
        assert demo.PATH.read_bytes() == (ROOT / "data" / "mall_customers.csv").read_bytes()

    def test_rows_and_columns(self, table: Table) -> None:
        assert table.columns == demo.COLUMNS
        assert table.rows.shape == (200, 2)
        assert table.rows[:2].tolist() == [[15.0, 39.0], [15.0, 81.0]]
        assert table.rows.sum(axis=0).tolist() == [12112.0, 10040.0]

    def test_every_row_lies_within_the_agreed_bounds(self, table: Table) -> None:
        assert (table.rows >= SCALING.lower).all()
        assert (table.rows <= SCALING.upper).all()


class TestClusters:
    def test_the_optimum(self, table: Table, runs: list[KMeansRun]) -> None:
        best = runs[number_of_best(runs)]
        centers = SCALING.invert(best.centroids)
        # The numbers below are rounded, to three and to two places.
        assert inertia(table.rows, best.labels, centers) == pytest.approx(44448.455, abs=5e-4)
        names = demo.segment_names(demo.COLUMNS, centers)
        assert names is not None
        assert sorted(names) == sorted(SEGMENTS)
        for name, size, center in zip(names, best.sizes, centers, strict=True):
            assert size == SEGMENTS[name][0]
            assert center == pytest.approx(SEGMENTS[name][1], abs=5.1e-3)

    def test_how_many_starts_lead_there(self, table: Table, runs: list[KMeansRun]) -> None:
        inertias = [inertia(table.rows, run.labels, SCALING.invert(run.centroids)) for run in runs]
        assert sum(value < 45000 for value in inertias) == 135  # 67.5 %
        assert all(run.converged for run in runs)

    def test_one_cluster(self, table: Table) -> None:
        (run,) = run_in_the_clear(clustering_of(1, n_init=1), table.rows, 0)
        assert inertia(table.rows, run.labels, SCALING.invert(run.centroids)) == pytest.approx(269981, abs=0.5)


class TestSegmentNames:
    centroids = np.array([center for _, center in SEGMENTS.values()])

    def test_in_any_order(self) -> None:
        for order in itertools.permutations(range(5)):
            names = demo.segment_names(demo.COLUMNS, self.centroids[list(order)])
            assert names == [list(SEGMENTS)[number] for number in order]

    @pytest.mark.parametrize("columns", [("income", "spending"), demo.COLUMNS[::-1], (*demo.COLUMNS, "Age")])
    def test_other_columns_have_none(self, columns: tuple[str, ...]) -> None:
        assert demo.segment_names(columns, np.zeros((5, len(columns)))) is None
        assert demo.segment_names(columns, self.centroids) is None

    @pytest.mark.parametrize("number", [1, 4, 6])
    def test_another_number_of_clusters_has_none(self, number: int) -> None:
        assert demo.segment_names(demo.COLUMNS, np.resize(self.centroids, (number, 2))) is None

    def test_two_clusters_in_one_corner_have_none(self) -> None:
        centroids = self.centroids.copy()
        centroids[1] = centroids[2] + [0.0, 1.0]
        assert demo.segment_names(demo.COLUMNS, centroids) is None
