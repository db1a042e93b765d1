import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from secure_kmeans.plaintext.metrics import Agreement, match_centroids


class TestMatching:
    @given(st.permutations(range(5)))
    def test_finds_a_permutation(self, order: list[int]) -> None:
        reference = np.random.default_rng(0).random((5, 3))
        assert match_centroids(reference[order], reference).tolist() == list(order)

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


class TestAgreement:
    reference = np.array([[0.0, 0.0], [10.0, 0.0]])

    def test_the_same_clusters_in_another_order(self) -> None:
        labels = np.array([0, 1, 1, 0, 1])
        agreement = Agreement.between(self.reference[::-1], 1 - labels, self.reference, labels)
        assert agreement == Agreement(max_centroid_error=0.0, label_agreement=1.0, adjusted_rand=1.0)

    @pytest.mark.parametrize(
        ("labels", "reference_labels", "same", "adjusted_rand"),
        [
            # Pairs together in both: 1; in each: 2 and 3; of 6: (1 - 1) / (2.5 - 1).
            ([0, 0, 1, 1], [1, 1, 0, 1], 0.75, 0.0),
            # 1; 2 and 2; of 6: no pair more than by chance would be 2/3: (0 - 2/3) / (2 - 2/3).
            ([0, 0, 1, 1], [0, 1, 0, 1], 0.5, -0.5),
            ([0, 0, 0, 1, 1], [1, 1, 1, 0, 0], 1.0, 1.0),
        ],
    )
    def test_hand_computed(
        self, labels: list[int], reference_labels: list[int], same: float, adjusted_rand: float
    ) -> None:
        centroids = np.array([[10.0, 0.5], [-0.25, 0.0]])
        agreement = Agreement.between(centroids, np.array(labels), self.reference, np.array(reference_labels))
        assert agreement.max_centroid_error == 0.5
        assert agreement.label_agreement == same
        # The index is a quotient of two short sums.
        assert agreement.adjusted_rand == pytest.approx(adjusted_rand, abs=1e-15)

    def test_only_plain_floats(self) -> None:
        agreement = Agreement.between(self.reference, np.array([0, 1]), self.reference, np.array([0, 1]))
        assert {type(value) for value in vars(agreement).values()} == {float}
