import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine, make_blobs

from secure_kmeans.plaintext import kmeans
from secure_kmeans.plaintext.kmeans import lloyd, nearest_centroids, number_of_best

FOUR = np.array([[1.0, 1.0], [1.0, 2.0], [4.0, 1.0], [4.0, 2.0]])


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


@st.composite
def rows_and_starts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Small integers: sums, differences and squares are exact, whatever their order."""
    n, d = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    X = draw(arrays(np.int64, (n, d), elements=st.integers(-50, 50))).astype(float)
    k = draw(st.integers(1, 4))
    return X, draw(arrays(np.int64, (k, d), elements=st.integers(-50, 50))).astype(float)


class TestNearestCentroids:
    def test_hand_computed(self) -> None:
        labels, squared = nearest_centroids(FOUR, np.array([[1.0, 1.0], [4.0, 3.0]]))
        assert labels.tolist() == [0, 0, 1, 1]
        assert squared.tolist() == [0.0, 1.0, 4.0, 1.0]

    @pytest.mark.parametrize("centroids", [(-1, 1), (1, -1), (1, 1), (5, -1, 1)])
    def test_a_tie_goes_to_the_lowest_index(self, centroids: tuple[float, ...]) -> None:
        labels, squared = nearest_centroids(column(0), column(*centroids))
        assert labels.tolist() == [len(centroids) - 2]
        assert squared.tolist() == [1.0]

    @pytest.mark.parametrize("at_once", [1, 7, 40])
    def test_in_blocks(self, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
        generator = np.random.default_rng(0)
        X, C = generator.integers(0, 9, (25, 2)).astype(float), generator.integers(0, 9, (3, 2)).astype(float)
        whole = nearest_centroids(X, C)
        monkeypatch.setattr(kmeans, "_DISTANCES_AT_ONCE", at_once)
        for part, expected in zip(nearest_centroids(X, C), whole, strict=True):
            np.testing.assert_array_equal(part, expected)

    def test_no_rows(self) -> None:
        labels, squared = nearest_centroids(np.empty((0, 2)), FOUR)
        assert labels.shape == squared.shape == (0,)


class TestLloyd:
    def test_hand_computed(self) -> None:
        run = lloyd(FOUR, FOUR[[0, 3]], max_iter=100, tol=0.0)
        assert run.centroids.tolist() == [[1.0, 1.5], [4.0, 1.5]]
        assert run.labels.tolist() == [0, 0, 1, 1]
        assert run.sizes.tolist() == [2, 2]
        assert run.inertia == 1.0
        assert (run.n_iter, run.converged) == (2, True)
        assert run.sizes_by_iteration == [[2, 2], [2, 2]]
        assert [start.tolist() for start in run.centroids_by_iteration] == [
            [[1.0, 1.0], [4.0, 2.0]],
            [[1.0, 1.5], [4.0, 1.5]],
        ]

    @pytest.mark.parametrize(
        ("max_iter", "tol", "n_iter", "converged"),
        [
            (100, 0.5, 1, True),  # the first iteration moves two centroids by 1/2 each: 1/4 + 1/4
            (100, 0.4999, 2, True),
            (2, 0.0, 2, True),
            (1, 0.4999, 1, False),
            (1, 0.5, 1, True),
        ],
    )
    def test_tol_and_max_iter(self, max_iter: int, tol: float, n_iter: int, converged: bool) -> None:
        run = lloyd(FOUR, FOUR[[0, 3]], max_iter=max_iter, tol=tol)
        assert (run.n_iter, run.converged) == (n_iter, converged)
        assert len(run.sizes_by_iteration) == len(run.centroids_by_iteration) == n_iter
        assert run.centroids.tolist() == [[1.0, 1.5], [4.0, 1.5]]

    def test_labels_sizes_and_inertia_are_those_of_the_final_centroids(self) -> None:
        run = lloyd(column(0, 0, 0, 9, 11, 12), column(0, 20), max_iter=1, tol=0.0)
        assert run.sizes_by_iteration == [[4, 2]]
        assert run.centroids.tolist() == [[2.25], [11.5]]
        assert run.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert run.sizes.tolist() == [3, 3]
        assert run.inertia == 3 * 2.25**2 + 2.5**2 + 0.5**2 + 0.5**2

    def test_an_empty_cluster_keeps_its_centroid(self) -> None:
        run = lloyd(column(0, 1), column(0.25, 100, -100), max_iter=10, tol=0.0)
        assert run.centroids.tolist() == [[0.5], [100.0], [-100.0]]
        assert run.sizes.tolist() == [2, 0, 0]
        assert run.converged

    def test_an_empty_cluster_can_win_rows_later(self) -> None:
        # At first 10 is 5 away from the first and 6 from the second; then the first has moved to 2.5.
        run = lloyd(column(0, 0, 0, 10), column(5, 16), max_iter=10, tol=0.0)
        assert run.sizes_by_iteration == [[4, 0], [3, 1], [3, 1]]
        assert run.centroids.tolist() == [[0.0], [10.0]]

    def test_equal_centroids_leave_all_rows_to_the_first(self) -> None:
        run = lloyd(FOUR, np.ones((3, 2)), max_iter=1, tol=0.0)
        assert run.sizes_by_iteration == [[4, 0, 0]]
        assert run.centroids.tolist() == [[2.5, 1.5], [1.0, 1.0], [1.0, 1.0]]

    def test_its_arguments_stay_as_they_are(self) -> None:
        X, start = FOUR.copy(), FOUR[[0, 3]]
        lloyd(X, start, max_iter=5, tol=0.0)
        np.testing.assert_array_equal(X, FOUR)
        np.testing.assert_array_equal(start, FOUR[[0, 3]])

    @settings(max_examples=50, deadline=None)
    @given(rows_and_starts(), st.randoms(use_true_random=False))
    def test_permuted_rows_have_permuted_labels(self, drawn: tuple[np.ndarray, np.ndarray], random: Random) -> None:
        X, start = drawn
        order = np.array(random.sample(range(len(X)), len(X)))
        run, permuted = (lloyd(rows, start, max_iter=20, tol=0.0) for rows in (X, X[order]))
        np.testing.assert_array_equal(permuted.labels, run.labels[order])
        np.testing.assert_array_equal(permuted.centroids, run.centroids)
        assert permuted.sizes_by_iteration == run.sizes_by_iteration

    @settings(max_examples=50, deadline=None)
    @given(rows_and_starts())
    def test_inertia_never_increases(self, drawn: tuple[np.ndarray, np.ndarray]) -> None:
        X, start = drawn
        run = lloyd(X, start, max_iter=50, tol=0.0)
        inertias = [nearest_centroids(X, C)[1].sum() for C in [*run.centroids_by_iteration, run.centroids]]
        assert inertias[-1] == run.inertia
        # A sum of at most 60 positive numbers, each of three roundings, is off by less than 64 * 2^-53 of itself;
        # a rounded mean adds |X| 2^-53 a coordinate, squared. |X| <= 50.
        for before, after in itertools.pairwise(inertias):
            assert after <= before * (1 + 2.0**-45) + 2.0**-80

    @settings(max_examples=50, deadline=None)
    @given(rows_and_starts())
    def test_converged_means_that_nothing_moves_any_more(self, drawn: tuple[np.ndarray, np.ndarray]) -> None:
        X, start = drawn
        run = lloyd(X, start, max_iter=100, tol=0.0)
        assume(run.converged)
        again = lloyd(X, run.centroids, max_iter=100, tol=0.0)
        assert again.n_iter == 1
        np.testing.assert_array_equal(again.centroids, run.centroids)


def known_rows(name: str) -> tuple[np.ndarray, int]:
    """A table and its number of clusters."""
    match name:
        case "iris":
            return load_iris().data, 3
        case "wine":
            return load_wine().data, 3
        case _:
            return make_blobs(500, 4, centers=6, cluster_std=2.0, random_state=1)[0], 6


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("name", ["iris", "wine", "blobs"])
    def test_same_labels_and_inertia_from_the_same_start(self, name: str, seed: int) -> None:
        X, k = known_rows(name)
        start = X[np.random.default_rng(seed).choice(len(X), k, replace=False)]
        run = lloyd(X, start, max_iter=300, tol=0.0)
        theirs = KMeans(k, init=start, n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(X)
        assert run.sizes.min() > 0  # where a cluster is empty scikit-learn does something else
        np.testing.assert_array_equal(run.labels, theirs.labels_)
        # Less than 2000 additions, each off by 2^-53, of numbers of which scikit-learn subtracts the mean first.
        assert run.inertia == pytest.approx(theirs.inertia_, rel=1e-9)
        np.testing.assert_allclose(run.centroids, theirs.cluster_centers_, rtol=1e-9, atol=1e-9 * np.abs(X).max())


class TestRestarts:
    X = np.random.default_rng(3).random((30, 2))

    @pytest.mark.parametrize(
        ("inertias", "best"),
        [
            ([3, 1, 2], 1),
            ([2, 1, 1], 1),
            ([5, 5], 0),
            ([4], 0),
            ([0, 0], 0),
            ([1, 0], 1),
            ([2, 1 + 1e-13, 1], 1),  # found the same, in another order of additions
            ([2, 1 + 1e-6, 1], 2),
        ],
    )
    def test_the_best_has_the_least_inertia_the_first_at_a_tie(self, inertias: list[float], best: int) -> None:
        run = lloyd(FOUR, FOUR[:1], max_iter=1, tol=0.0)
        runs = [type(run)(**{**vars(run), "inertia": float(value)}) for value in inertias]
        assert number_of_best(runs) == best


class TestIntegers:
    def test_means_are_rounded_to_the_nearest_and_up_between_two(self) -> None:
        run = lloyd(
            np.array([[0], [1], [-7], [-8], [91], [91], [92]]), np.array([[1], [-7], [90]]), max_iter=5, tol=0.0
        )
        assert run.centroids.tolist() == [[1], [-7], [91]]  # of 1/2, -15/2 and 91 1/3
        assert run.centroids.dtype == np.int64

    def test_ties_go_to_the_lowest_index_where_reals_would_lose_them(self) -> None:
        # The squares have 52 bits and 64 of them are added: more than a double holds exactly.
        low, high = np.full((1, 64), 0), np.full((1, 64), 2**27)
        middle = np.full((1, 64), 2**26)
        labels, squared = nearest_centroids(np.concatenate([middle, middle + 1]), np.concatenate([high, low]))
        assert labels.tolist() == [0, 0]
        assert squared.tolist() == [64 * 2**52, 64 * (2**26 - 1) ** 2]

    @settings(max_examples=30, deadline=None)
    @given(rows_and_starts())
    def test_equal_to_a_run_in_pythons_integers(self, drawn: tuple[np.ndarray, np.ndarray]) -> None:
        X, starts = (values.astype(np.int64) for values in drawn)
        run = lloyd(X, starts, max_iter=3, tol=0.0)
        rows, centroids = X.tolist(), starts.tolist()
        for _ in range(run.n_iter):
            squared = [[_squared(x, centroid) for centroid in centroids] for x in rows]
            labels = [distances.index(min(distances)) for distances in squared]
            for j, centroid in enumerate(centroids):
                own = [x for x, label in zip(rows, labels, strict=True) if label == j]
                centroids[j] = (
                    [(sum(column) + len(own) // 2) // len(own) for column in zip(*own, strict=True)]
                    if own
                    else centroid
                )
        assert run.centroids.tolist() == centroids


def _squared(x: list[int], c: list[int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(x, c, strict=True))
