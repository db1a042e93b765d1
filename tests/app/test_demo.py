import itertools

import numpy as np
import pytest
from secure_kmeans.data import check_bounds, read_table

from secure_kmeans import mall
from secure_kmeans.job import Scaling
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.plaintext.losses import inertia
from tests.baseline import cluster_in_the_clear

# Sizes and centroids of the best clustering in five, and what the two-party paper calls these customers.
SEGMENTS = {
    "General": (81, (55.30, 49.52)),
    "Target": (39, (86.54, 82.13)),
    "Miser": (35, (88.20, 17.11)),
    "Careful": (23, (26.30, 20.91)),
    "Spendthrift": (22, (25.73, 79.36)),
}
SCALING = Scaling.of(lower=mall.BOUNDS[0], upper=mall.BOUNDS[1])


@pytest.fixture(scope="module")
def table():
    return read_table(mall.PATH, mall.COLUMNS)


@pytest.fixture(scope="module")
def runs(table):
    """From each of the 200 rows."""
    return cluster_in_the_clear(table.rows, 5, SCALING, 24, init="farthest", n_init=200, seed=0)


class TestTable:
    def test_rows_and_columns(self, table):
        assert table.columns == mall.COLUMNS
        assert table.rows.shape == (200, 2)
        assert table.rows[:2].tolist() == [[15.0, 39.0], [15.0, 81.0]]
        assert table.rows.sum(axis=0).tolist() == [12112.0, 10040.0]

    def test_every_row_lies_within_the_agreed_bounds(self, table):
        assert check_bounds(table, SCALING) is None


class TestClusters:
    def test_the_optimum(self, table, runs):
        best = runs[number_of_best(runs)]
        centers = SCALING.invert(best.centroids)
        # The numbers below are rounded, to three and to two places.
        assert inertia(table.rows, best.labels, centers) == pytest.approx(44448.455, abs=5e-4)
        names = mall.segment_names(mall.COLUMNS, centers)
        assert sorted(names) == sorted(SEGMENTS)
        for name, size, center in zip(names, best.sizes, centers, strict=True):
            assert size == SEGMENTS[name][0]
            assert center == pytest.approx(SEGMENTS[name][1], abs=5.1e-3)

    def test_how_many_starts_lead_there(self, table, runs):
        inertias = [inertia(table.rows, run.labels, SCALING.invert(run.centroids)) for run in runs]
        assert sum(value < 45000 for value in inertias) == 135  # 67.5 %
        assert all(run.converged for run in runs)

    def test_one_cluster(self, table):
        (run,) = cluster_in_the_clear(table.rows, 1, SCALING, 24, init="farthest", seed=0)
        assert inertia(table.rows, run.labels, SCALING.invert(run.centroids)) == pytest.approx(269981, abs=0.5)


class TestSegmentNames:
    centroids = np.array([center for _, center in SEGMENTS.values()])

    def test_in_any_order(self):
        for order in itertools.permutations(range(5)):
            names = mall.segment_names(mall.COLUMNS, self.centroids[list(order)])
            assert names == [list(SEGMENTS)[number] for number in order]

    @pytest.mark.parametrize("columns", [("income", "spending"), mall.COLUMNS[::-1], (*mall.COLUMNS, "Age")])
    def test_other_columns_have_none(self, columns):
        assert mall.segment_names(columns, np.zeros((5, len(columns)))) is None
        assert mall.segment_names(columns, self.centroids) is None

    @pytest.mark.parametrize("number", [1, 4, 6])
    def test_another_number_of_clusters_has_none(self, number):
        assert mall.segment_names(mall.COLUMNS, np.resize(self.centroids, (number, 2))) is None

    def test_two_clusters_in_one_corner_have_none(self):
        centroids = self.centroids.copy()
        centroids[1] = centroids[2] + [0.0, 1.0]
        assert mall.segment_names(mall.COLUMNS, centroids) is None
