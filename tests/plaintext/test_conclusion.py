"""What a run discloses at its end, against exact means and hand-computed clusters."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import datasets

from secure_kmeans.job import Clustering, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, choose_precision_bits
from secure_kmeans.job.scaling import ScalingMethod
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import PlainModel, conclude, label_rows
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd, nearest_centroids, number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.shk.job import ShkJob
from tests.jobs import a_job_of

MALL = np.loadtxt(Path(__file__).parents[2] / "data" / "mall_customers.csv", delimiter=",", skiprows=1, usecols=(3, 4))
SHIPPED: dict[str, Callable[..., Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}


def keys_for(rows: np.ndarray, n_clusters: int, method: ScalingMethod = "uniform", **values: Any) -> dict[str, Any]:
    """The keys of a clustering; the bounds are the smallest and the largest values unless they are given."""
    d = rows.shape[1]
    lower = values.pop("lower", rows.min(axis=0).tolist())
    upper = values.pop("upper", rows.max(axis=0).tolist())
    scaling = Scaling.of(method=method, lower=tuple(map(float, lower)), upper=tuple(map(float, upper)))
    return {
        "columns": tuple(f"x{number}" for number in range(d)),
        "n_clusters": n_clusters,
        "scaling": scaling,
        "precision_bits": choose_precision_bits(d, n_clusters, scaling.largest),
    } | values


def clustering_for(rows: np.ndarray, n_clusters: int, method: ScalingMethod = "uniform", **values: Any) -> Clustering:
    return Clustering.of(**keys_for(rows, n_clusters, method, **values))


def hidden_for(rows: np.ndarray, n_clusters: int, method: ScalingMethod = "uniform", **values: Any) -> ShkJob:
    return a_job_of(ShkJob, **keys_for(rows, n_clusters, method, **values), hide_counts=True)


def best_of(clustering: Clustering, rows: np.ndarray, seed: int = 0) -> tuple[KMeansRun, PlainModel]:
    runs = run_in_the_clear(clustering, rows, seed)
    best = runs[number_of_best(runs)]
    return best, conclude(clustering, rows, best)


def check_means(clustering: Clustering, rows: np.ndarray, seed: int = 0) -> PlainModel:
    """Compare each centroid with the mean of its rows, column by column, and return the model."""
    run, model = best_of(clustering, rows, seed)
    assert run.converged
    # Each row and the mean are off by half a unit; scaling and its inverse round a few times in double precision.
    units = 2.0 ** -clustering.mean_bits(len(rows)) * (1 + 1e-6)
    for number, centroid in enumerate(model.centroids):
        own = rows[model.labels == number]
        if centroid is None:
            assert number in model.withheld
            continue
        assert model.sizes[number] == len(own) >= clustering.min_cluster_size
        for column, found in enumerate(centroid):
            mean = sum(map(Fraction, own[:, column].tolist()), Fraction(0)) / len(own)
            low, high = clustering.scaling.lower[column], clustering.scaling.upper[column]
            error = abs(Fraction(found) - mean)
            assert error <= Fraction(units * (high - low)) + Fraction(2.0**-50 * max(abs(low), abs(high)))
            assert error <= Fraction(1e-6 * (high - low))
    return model


class TestMeans:
    @pytest.mark.parametrize("method", ["uniform", "minmax"])
    def test_of_columns_of_very_different_widths(self, method: ScalingMethod) -> None:
        rows = datasets.load_breast_cancer().data
        widths = np.ptp(rows, axis=0)
        assert widths.max() / widths.min() > 1e5
        check_means(clustering_for(rows, 5, method), rows)

    def test_of_a_grade_beside_an_income(self) -> None:
        draws = np.random.default_rng(3)
        rows = np.column_stack([draws.integers(0, 5, 200), draws.integers(0, 10**6, 200)]).astype(float)
        clustering = clustering_for(rows, 4, lower=(0, 0), upper=(4, 10**6))
        model = check_means(clustering, rows)
        # In the loop a grade has a step of 10^6 / 2^24: 1.5 percent of its range.
        assert clustering.precision_bits == 24
        loop = [grid[0] * 1e6 / 2**24 for grid in model.grid_centroids if grid is not None]
        final = [centroid[0] for centroid in model.centroids if centroid is not None]
        assert 1e-4 < np.abs(np.subtract(loop, final)).max() < 0.06

    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.integers(1, 5), st.integers(0, 99))
    def test_of_integers(self, data: st.DataObject, k: int, seed: int) -> None:
        widths = data.draw(st.lists(st.sampled_from([1, 4, 100, 10**4, 10**6]), min_size=1, max_size=4))
        columns = [
            data.draw(arrays(np.int64, 30, elements=st.integers(-width, width), fill=st.nothing())) for width in widths
        ]
        rows = np.column_stack(columns).astype(float)
        bounds = np.array(widths, dtype=float)
        clustering = clustering_for(rows, k, lower=-bounds, upper=bounds, min_cluster_size=1, init="random")
        check_means(clustering, rows, seed)

    def test_of_a_constant_column(self) -> None:
        rows = np.column_stack([np.arange(20.0), np.full(20, 7.25)])
        model = check_means(clustering_for(rows, 2), rows)
        assert [centroid and centroid[1] for centroid in model.centroids] == [7.25, 7.25]


class TestOrder:
    def test_the_largest_cluster_comes_first(self) -> None:
        rows = np.array([[8.0]] * 5 + [[0.0]] * 7 + [[4.0]] * 6)
        model = conclude(*run_from(rows, (8.0, 0.0, 4.0)))
        assert model.sizes == [7, 6, 5]
        assert model.centroids == [[0.0], [4.0], [8.0]]
        assert model.labels.tolist() == [2] * 5 + [0] * 7 + [1] * 6
        assert model.sizes_by_iteration == [[7, 6, 5]]
        assert model.tie_order == [1, 2, 0]

    def test_of_equal_clusters_the_one_with_the_lower_centroid(self) -> None:
        rows = np.array([[8.0]] * 6 + [[0.0]] * 6 + [[4.0]] * 6)
        model = conclude(*run_from(rows, (8.0, 0.0, 4.0)))
        assert (model.sizes, model.centroids) == ([6, 6, 6], [[0.0], [4.0], [8.0]])

    def test_without_centroids_equal_clusters_keep_the_order_of_the_start(self) -> None:
        rows = np.array([[8.0]] * 6 + [[0.0]] * 6 + [[4.0]] * 7)
        model = conclude(*run_from(rows, (8.0, 0.0, 4.0)), order_by_centroid=False)
        assert (model.sizes, model.centroids) == ([7, 6, 6], [[4.0], [8.0], [0.0]])
        assert model.tie_order == [2, 0, 1]

    def test_without_centroids_and_sizes_all_keep_the_order_of_the_start(self) -> None:
        rows = np.array([[8.0]] * 5 + [[0.0]] * 6 + [[4.0]] * 7)
        job = hidden_for(rows, 3, centroids=((8.0,), (0.0,), (4.0,)), resolution=(1.0,))
        (run,) = run_in_the_clear(job, rows, 0)
        model = conclude(job, rows, run, order_by_centroid=False)
        assert (model.tie_order, model.centroids) == ([0, 1, 2], [[8.0], [0.0], [4.0]])

    def test_where_sizes_are_hidden_it_is_that_of_the_centroids_alone(self) -> None:
        rows = np.array([[8.0]] * 7 + [[0.0]] * 6 + [[4.0]] * 5)
        keys = keys_for(rows, 3, centroids=((8.0,), (0.0,), (4.0,)))
        job = a_job_of(ShkJob, **keys, hide_counts=True, resolution=(1.0,))
        _, model = best_of(job, rows)
        assert model.centroids == [[0.0], [4.0], [8.0]]
        assert model.labels.tolist() == [2] * 7 + [0] * 6 + [1] * 5


def run_from(rows: np.ndarray, start: tuple[float, ...], **values: Any) -> tuple[Clustering, np.ndarray, KMeansRun]:
    """A clustering of one column from given centroids, its rows, and its run."""
    clustering = clustering_for(rows, len(start), centroids=tuple((each,) for each in start), **values)
    (run,) = run_in_the_clear(clustering, rows, 0)
    return clustering, rows, run


class TestWithheld:
    ROWS = np.array([[0.0]] * 4 + [[8.0]] * 5 + [[4.0]] * 2)

    def test_neither_centroid_nor_size(self) -> None:
        model = conclude(*run_from(self.ROWS, (0.0, 8.0, 4.0), min_cluster_size=5))
        assert model.withheld == [1, 2]
        assert model.sizes == [5, None, None]
        assert (model.centroids, model.grid_centroids) == ([[8.0], None, None], [[1 << 24], None, None])
        assert model.sizes_by_iteration == [[5, None, None]]
        assert model.labels.tolist()[:4] == [1] * 4, "withheld clusters keep the order of their numbers"

    def test_the_smallest_that_is_not_withheld(self) -> None:
        model = conclude(*run_from(self.ROWS, (0.0, 8.0, 4.0), min_cluster_size=4))
        assert (model.withheld, model.sizes) == ([2], [5, 4, None])
        assert model.centroids == [[8.0], [0.0], None]
        assert model.grid_centroids[2] is None

    def test_an_empty_cluster_where_nothing_else_is_withheld(self) -> None:
        model = conclude(*run_from(self.ROWS[:9], (0.0, 8.0, 4.0), min_cluster_size=1))
        assert (model.withheld, model.sizes) == ([2], [5, 4, None])
        assert model.sizes_by_iteration == [[5, 4, 0]]

    def test_a_centroid_that_is_the_mean_of_too_few_rows_though_more_are_nearest_to_it(self) -> None:
        rows = np.array([[0.0], [1.0], [2.0], [6.0], [7.0], [10.0]])
        # 3 and 10: four rows and two. Their means are 2.25 and 8.5, to which three rows each are nearest.
        model = conclude(*run_from(rows, (3.0, 10.0), max_iter=1, min_cluster_size=3))
        assert (model.withheld, model.sizes) == ([1], [3, None])
        assert model.centroids[0] == pytest.approx([2.25], abs=1e-10)
        shown = conclude(*run_from(rows, (3.0, 10.0), max_iter=1, min_cluster_size=2))
        assert (shown.withheld, shown.sizes) == ([], [3, 3])
        assert shown.centroids[1] == pytest.approx([8.5], abs=1e-10)

    def test_as_many_rows_as_the_clustering_says(self) -> None:
        class Other(Clustering):
            @property
            def withheld_below(self) -> int:
                return 5

        clustering, rows, run = run_from(self.ROWS, (0.0, 8.0, 4.0), min_cluster_size=1)
        model = conclude(Other(**vars(clustering)), rows, run)
        assert (model.withheld, model.sizes) == ([1, 2], [5, None, None])

    def test_all_of_them(self) -> None:
        model = conclude(*run_from(self.ROWS, (0.0, 8.0, 4.0), min_cluster_size=13))
        assert (model.withheld, model.centroids, model.sizes) == ([0, 1, 2], [None] * 3, [None] * 3)
        assert set(model.labels.tolist()) == {0, 1, 2}


class TestHiddenCounts:
    def test_centroids_that_nobody_learns_are_not_rounded(self) -> None:
        rows = np.array([[0.0]] * 3 + [[3.0]] + [[8.0]] * 4)
        job = hidden_for(rows, 2, centroids=((0.0,), (8.0,)), min_cluster_size=1)
        (run,) = run_in_the_clear(job, rows, 0)
        # A cell is at least 8 / sqrt(8) wide, so 0.75 is rounded to 0.
        assert conclude(job, rows, run).grid_centroids == [[0], [1 << 24]]
        model = conclude(job, rows, run, order_by_centroid=False, discloses_centroids=False)
        assert model.grid_centroids == [[3 << 19], [1 << 24]]
        assert [centroid and centroid[0] for centroid in model.centroids] == pytest.approx([0.75, 8.0], abs=1e-10)

    @pytest.mark.parametrize("resolution", [None, (1.0, 1.0)])
    def test_centroids_lie_on_the_grid_and_rows_are_labelled_by_it(
        self, resolution: tuple[float, float] | None
    ) -> None:
        job = hidden_for(MALL, 5, resolution=resolution)
        run, model = best_of(job, MALL)
        shifts, units = job.centroid_shifts(len(MALL)), job.scaling.units
        assert shifts is not None
        grid = np.array(model.grid_centroids)
        assert (grid % (1 << shifts) == 0).all()
        assert np.ptp(MALL, axis=0).max() / 128 < (units * 2.0 ** (shifts - job.precision_bits)).max()
        np.testing.assert_array_equal(
            np.array(model.centroids), job.scaling.invert(FixedPoint(job.precision_bits).decode(grid))
        )
        # At most half a cell from the loop's centroids.
        loop = FixedPoint(job.precision_bits).encode(run.centroids)[model.tie_order]
        assert (np.abs(grid - loop) <= 1 << shifts >> 1).all()
        X = FixedPoint(job.precision_bits).encode(job.scaling.apply(MALL))
        labels, _ = nearest_centroids(X, grid)
        np.testing.assert_array_equal(model.labels, labels)
        assert model.sizes == np.bincount(labels).tolist()

    def test_hand_computed(self) -> None:
        # A range of 8 and steps of 1: cells of 2^21 units. The means are 0.5, which is rounded upwards, and 7.25.
        rows = np.array([[0.0], [1.0], [8.0], [7.0], [7.0], [7.0]])
        keys = keys_for(rows, 2, centroids=((0.0,), (8.0,)), min_cluster_size=2)
        _, model = best_of(a_job_of(ShkJob, **keys, hide_counts=True, resolution=(1.0,)), rows)
        assert model.grid_centroids == [[1 << 21], [7 << 21]]
        assert model.centroids == [[1.0], [7.0]]


class TestLabels:
    @settings(max_examples=150, deadline=None)
    @given(
        arrays(np.int64, st.tuples(st.integers(4, 16), st.just(2)), elements=st.integers(0, 4)),
        st.integers(1, 4),
        st.integers(1, 3),
        st.booleans(),
        st.integers(0, 50),
    )
    def test_of_rows_of_the_fit_are_those_of_the_run(
        self, table: np.ndarray, k: int, least: int, hidden: bool, seed: int
    ) -> None:
        rows = table.astype(float)
        make = hidden_for if hidden else clustering_for
        keys: dict[str, Any] = {"lower": (0, 0), "upper": (4, 4), "init": "random", "min_cluster_size": least}
        clustering = make(rows, k, **keys)
        _, model = best_of(clustering, rows, seed)
        known = np.array([centroid is not None for centroid in model.grid_centroids])
        if not known.any():
            return
        labels = label_rows(clustering, model.grid_centroids, rows, model.tie_order)
        assert known[labels].all(), "no row gets the number of a withheld cluster"
        shown = known[model.labels]
        assert labels[shown].tolist() == model.labels[shown].tolist()

    def test_a_tie_belongs_to_the_lower_number_in_the_order_of_ties(self) -> None:
        clustering = clustering_for(np.array([[0.0], [8.0]]), 2)
        grid, middle = [[0], [1 << 24]], np.array([[4.0], [1.0]])
        assert label_rows(clustering, grid, middle).tolist() == [0, 0]
        assert label_rows(clustering, grid, middle, [0, 1]).tolist() == [0, 0]
        assert label_rows(clustering, grid, middle, [1, 0]).tolist() == [1, 0]

    def test_new_rows_get_the_number_of_the_nearest_known_cluster(self) -> None:
        clustering = clustering_for(np.array([[0.0], [8.0]]), 3)
        grid = [[1 << 24], None, [0]]
        assert label_rows(clustering, grid, np.array([[-1.0], [3.9], [4.1], [9.0]])).tolist() == [2, 2, 0, 0]


class TestStopRule:
    def test_wide_bounds_do_not_stop_a_run_early(self) -> None:
        wide = clustering_for(MALL, 5, lower=(0, 0), upper=(10**6, 10**6))
        run, model = best_of(wide, MALL)
        assert run.converged
        assert inertia(MALL, model.labels, model.centroids) == pytest.approx(44448.4554, abs=1e-3)
        assert model.sizes == [81, 39, 35, 23, 22]

    def test_nor_does_an_outlier(self) -> None:
        rows = np.vstack([MALL, [[10.0**6, 10.0**6]]])
        run, model = best_of(clustering_for(rows, 6), rows)
        assert run.converged
        assert (model.sizes, model.withheld) == ([81, 39, 35, 23, 22, None], [5])
        assert inertia(rows, model.labels, model.centroids) == pytest.approx(44448.4554, abs=1e-3)

    @pytest.mark.parametrize("method", ["uniform", "minmax"])
    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_default_ends_at_a_fixed_point(self, name: str, method: ScalingMethod) -> None:
        rows = SHIPPED[name]().data
        clustering = clustering_for(rows, 5, method)
        fixed_point = FixedPoint(clustering.precision_bits)
        X = fixed_point.encode(clustering.scaling.apply(rows))
        for run in run_in_the_clear(clustering, rows, 1):
            assert run.converged
            further = lloyd(X, fixed_point.encode(run.centroids), max_iter=1, tol=0)
            assert further.labels.tolist() == run.labels.tolist()
            np.testing.assert_array_equal(further.centroids, fixed_point.encode(run.centroids))
        # In double precision too: of the exact means no row is nearer to another.
        run, _ = best_of(clustering, rows, 1)
        means = np.array([rows[run.labels == number].mean(axis=0) for number in range(5)])
        labels, _ = nearest_centroids(clustering.scaling.apply(rows), clustering.scaling.apply(means))
        assert labels.tolist() == run.labels.tolist()
