import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import adjusted_rand_score

from secure_kmeans.plaintext.metrics import Agreement, match_centroids, match_labels


class TestMatching:
    @given(st.permutations(range(5)))
    def test_finds_a_permutation(self, order: list[int]) -> None:
        reference = np.random.default_rng(0).random((5, 3))
        assert match_centroids(reference[order], reference).tolist() == list(order)

    def test_equal_ones_keep_their_numbers(self) -> None:
        centroids = np.array([[1.0, 2.0], [np.nan, np.nan], [1.0, 2.0]])
        assert match_centroids(centroids, centroids.copy()).tolist() == [0, 1, 2]

    def test_the_nearest_is_not_always_the_partner(self) -> None:
        # 0 is nearer to 2, but 4 + 169 = 173 is more than 100 + 1 = 101.
        assert match_centroids(np.array([[0.0], [3.0]]), np.array([[2.0], [-10.0]])).tolist() == [1, 0]

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 5).flatmap(lambda k: arrays(np.int64, (2, k, 2), elements=st.integers(-20, 20))))
    def test_no_other_partners_are_closer_in_total(self, both: np.ndarray) -> None:
        centroids, reference = both.astype(float)
        partners = match_centroids(centroids, reference)
        totals = [
            ((centroids - reference[list(order)]) ** 2).sum() for order in itertools.permutations(range(len(reference)))
        ]
        assert sorted(partners.tolist()) == list(range(len(reference)))
        assert ((centroids - reference[partners]) ** 2).sum() == min(totals)

    def test_unknown_centroids_are_paired_after_the_known_ones(self) -> None:
        unknown = [np.nan, np.nan]
        centroids = np.array([unknown, [1.0, 0.0], [9.0, 0.0]])
        assert match_centroids(centroids, np.array([[9.0, 1.0], [1.0, 1.0], unknown])).tolist() == [2, 1, 0]
        # One of the reference's is unknown, and no centroid is: the farthest is left over for it.
        reference = np.array([[1.0, 1.0], unknown, [9.0, 1.0]])
        assert match_centroids(np.array([[9.0, 0.0], [1.0, 0.0], [99.0, 0.0]]), reference).tolist() == [2, 0, 1]

    @settings(max_examples=50, deadline=None)
    @given(
        st.integers(1, 5).flatmap(lambda k: arrays(np.int64, (2, k, 2), elements=st.integers(-20, 20))),
        st.sets(st.integers(0, 4)),
        st.sets(st.integers(0, 4)),
    )
    def test_as_many_known_pairs_as_there_can_be(self, both: np.ndarray, own: set[int], other: set[int]) -> None:
        centroids, reference = both.astype(float)
        k = len(centroids)
        for array, unknown in ((centroids, own), (reference, other)):
            array[[number for number in unknown if number < k]] = np.nan
        partners = match_centroids(centroids, reference)
        assert sorted(partners.tolist()) == list(range(k))
        known, known_there = (~np.isnan(array[:, 0]) for array in (centroids, reference))
        assert (known & known_there[partners]).sum() == min(known.sum(), known_there.sum())

    def test_none_is_known(self) -> None:
        nothing = np.full((3, 2), np.nan)
        assert sorted(match_centroids(nothing, nothing).tolist()) == [0, 1, 2]
        assert sorted(match_centroids(nothing, np.eye(3, 2)).tolist()) == [0, 1, 2]


class TestMatchingLabels:
    @given(st.permutations(range(5)), st.lists(st.integers(0, 4), min_size=5, max_size=40))
    def test_finds_a_permutation(self, order: list[int], labels: list[int]) -> None:
        reference = np.array(labels)
        partners = match_labels(np.argsort(order)[reference], reference, 5)
        assert sorted(partners.tolist()) == list(range(5))
        assert (partners[np.argsort(order)[reference]] == reference).all()

    def test_the_most_common_is_not_always_the_partner(self) -> None:
        # Cluster 0 has three rows in common with 0 and two with 1, cluster 1 has two with 0: 3 + 0 < 2 + 2.
        labels, reference = np.array([0, 0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0, 0])
        assert match_labels(labels, reference, 2).tolist() == [1, 0]

    def test_a_tie_and_an_empty_cluster_keep_their_numbers(self) -> None:
        assert match_labels(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), 2).tolist() == [0, 1]
        assert match_labels(np.array([0, 2, 2]), np.array([0, 2, 2]), 4).tolist() == [0, 1, 2, 3]
        assert match_labels(np.array([], dtype=int), np.array([], dtype=int), 3).tolist() == [0, 1, 2]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
    def test_no_other_partners_have_more_rows_in_common(self, pairs: list[tuple[int, int]]) -> None:
        labels, reference = np.array(pairs).T
        partners = match_labels(labels, reference, 4)
        shared = [(np.array(order)[labels] == reference).sum() for order in itertools.permutations(range(4))]
        assert (partners[labels] == reference).sum() == max(shared)


class TestAgreement:
    reference = np.array([[0.0, 0.0], [10.0, 0.0]])

    def test_the_same_clusters_in_another_order(self) -> None:
        labels = np.array([0, 1, 1, 0, 1])
        agreement = Agreement.between(self.reference[::-1], 1 - labels, self.reference, labels)
        assert agreement == Agreement(max_centroid_error=0.0, label_agreement=1.0, adjusted_rand=1.0)

    @pytest.mark.parametrize(
        ("labels", "reference_labels", "error", "same", "adjusted_rand"),
        [
            # Pairs together in both: 1; in each: 2 and 3; of 6: (1 - 1) / (2.5 - 1).
            ([0, 0, 1, 1], [1, 1, 0, 1], 0.5, 0.75, 0.0),
            # 1; 2 and 2; of 6: no pair more than by chance would be 2/3: (0 - 2/3) / (2 - 2/3).
            # Neither numbering has more rows in common: the clusters keep theirs, in which centroids are 10 apart.
            ([0, 0, 1, 1], [0, 1, 0, 1], 10.25, 0.5, -0.5),
            ([0, 0, 0, 1, 1], [1, 1, 1, 0, 0], 0.5, 1.0, 1.0),
        ],
    )
    def test_hand_computed(
        self, labels: list[int], reference_labels: list[int], error: float, same: float, adjusted_rand: float
    ) -> None:
        centroids = np.array([[10.0, 0.5], [-0.25, 0.0]])
        agreement = Agreement.between(centroids, np.array(labels), self.reference, np.array(reference_labels))
        assert agreement.max_centroid_error == error
        assert agreement.label_agreement == same
        # The index is a quotient of two short sums.
        assert agreement.adjusted_rand == pytest.approx(adjusted_rand, abs=1e-15)

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
    def test_equal_labels_need_no_matching(self, labels: list[int]) -> None:
        """Scikit-learn's index of them is 1 as well, and the matching keeps every number."""
        own = np.array(labels)
        assert adjusted_rand_score(own, own) == 1.0
        assert match_labels(own, own, 4).tolist() == [0, 1, 2, 3]
        centroids = np.arange(8.0).reshape(4, 2)
        assert Agreement.between(centroids, own, centroids + 0.5, own) == Agreement(0.5, 1.0, 1.0)

    def test_only_centroids_that_both_know_are_compared(self) -> None:
        labels = np.array([0, 0, 1, 1])
        centroids = np.array([[0.25, 0.0], [np.nan, np.nan]])
        assert Agreement.between(centroids, labels, self.reference, labels).max_centroid_error == 0.25
        assert Agreement.between(self.reference, labels, centroids, labels).max_centroid_error == 0.25
        assert Agreement.between(self.reference, labels, centroids[::-1], 1 - labels).max_centroid_error == 0.25

    def test_no_centroid_is_known(self) -> None:
        labels = np.array([0, 0, 1, 1])
        agreement = Agreement.between(np.full((2, 2), np.nan), 1 - labels, self.reference, labels)
        assert agreement == Agreement(max_centroid_error=None, label_agreement=1.0, adjusted_rand=1.0)

    def test_only_plain_floats(self) -> None:
        agreement = Agreement.between(self.reference, np.array([0, 1]), self.reference, np.array([0, 1]))
        assert {type(value) for value in vars(agreement).values()} == {float}
