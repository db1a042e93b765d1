"""What a job of SHK discloses, and what stays secret of a centroid where the sizes do."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.job import Scaling
from secure_kmeans.job.clustering import LARGEST_PUBLIC_MINIMUM
from secure_kmeans.job.scaling import ScalingMethod
from secure_kmeans.protocols.shk.job import Disclose, ShkJob
from tests.job.refusing import refusal
from tests.jobs import a_job_of

bounds = st.tuples(st.integers(-1000, 1000), st.integers(1, 10**6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def job_with(**values: Any) -> ShkJob:
    return a_job_of(ShkJob, **values)


def shifts(n_samples: int, **values: Any) -> list[int]:
    found = job_with(hide_counts=True, **values).centroid_shifts(n_samples)
    assert found is not None
    return found.tolist()


class TestMinClusterSize:
    def test_public_sizes_allow_no_large_minimum(self) -> None:
        assert job_with(min_cluster_size=LARGEST_PUBLIC_MINIMUM).min_cluster_size == 16
        assert refusal(job_with, min_cluster_size=LARGEST_PUBLIC_MINIMUM + 1) == (
            "min_cluster_size: more than 16 only with hidden sizes; set hide_counts"
        )

    def test_hidden_sizes_do(self) -> None:
        assert job_with(min_cluster_size=1000, hide_counts=True).min_cluster_size == 1000


class TestEngine:
    def test_crypten_draws_no_secret_starts(self) -> None:
        assert refusal(job_with, engine="crypten").startswith('seed: the engine "crypten" draws no secret starts')
        assert job_with(engine="crypten", seed=1).starts_are_public
        assert job_with(engine="crypten", centroids=((0.0, 0.0), (1.0, 1.0))).seed is None

    @pytest.mark.parametrize(("n_samples", "secure", "crypten"), [(10, 40, 20), (2**20, 31, 20), (2**40, 11, 11)])
    def test_its_means_have_no_more_bits_than_its_centroids(self, n_samples: int, secure: int, crypten: int) -> None:
        assert job_with().mean_bits(n_samples) == secure
        assert job_with(engine="crypten", seed=1).mean_bits(n_samples) == crypten


class TestDisclose:
    def test_the_inertia_is_disclosed_where_neither_sizes_nor_centroids_stay_secret(self) -> None:
        assert job_with().discloses_inertia
        assert not job_with(reveal_inertia=False).discloses_inertia
        assert not job_with(hide_counts=True).discloses_inertia
        assert not job_with(disclose=Disclose(centroids="nobody")).discloses_inertia

    def test_where_they_do_nobody_may_ask_for_it(self) -> None:
        assert refusal(job_with, hide_counts=True, reveal_inertia=True).startswith("reveal_inertia: with it the sizes")
        for loss in ("reveal_inertia", "reveal_mean_distance"):
            message = refusal(job_with, disclose=Disclose(centroids="nobody"), **{loss: True})
            assert message.startswith("disclose: the losses are made from the centroids")

    def test_all_learn_the_centroids_unless_nobody_does(self) -> None:
        assert job_with().discloses_centroids
        assert not job_with(disclose=Disclose(centroids="nobody")).discloses_centroids

    def test_only_these_two(self) -> None:
        assert refusal(job_with, disclose={"centroids": "a"}).startswith("disclose.centroids: ")


class TestResolution:
    def test_one_number_for_each_column(self) -> None:
        assert job_with(hide_counts=True, resolution=(0.5, 0.25)).resolution == (0.5, 0.25)
        for numbers, said in (((0.5,), "1 number"), ((0.5, 0.5, 0.5), "3 numbers")):
            message = refusal(job_with, hide_counts=True, resolution=numbers)
            assert message == f"resolution: {said} for 2 columns; give one for each"

    def test_public_sizes_have_none(self) -> None:
        assert refusal(job_with, resolution=(0.5, 0.5)).startswith("resolution: without hidden sizes")

    @pytest.mark.parametrize("number", [0.0, -1.0, float("inf"), float("nan"), "secretname"])
    def test_a_number_that_is_not_allowed(self, number: object) -> None:
        message = refusal(job_with, hide_counts=True, resolution=(0.5, number))
        assert message.startswith("resolution.1: ")
        assert "secretname" not in message

    def test_a_step_is_no_larger_than_its_column(self) -> None:
        scaling = Scaling.of(lower=(0.0, -4.0), upper=(8.0, -2.0))
        assert shifts(100, scaling=scaling, resolution=(8.0, 2.0)) == [20, 18]
        assert shifts(100, scaling=scaling, resolution=(1e300, 2.5)) == [20, 18]

    def test_a_constant_column_may_have_any_step(self) -> None:
        scaling = Scaling.of(lower=(0.0, 3.0), upper=(8.0, 3.0))
        assert shifts(100, scaling=scaling, resolution=(1.0, 1e300)) == [17, 0]


class TestCentroidShifts:
    """Precision: 20 fractional bits, so that a cell of width w scaled units has 20 + log2 w bits."""

    def test_no_bit_stays_secret_where_the_sizes_are_public(self) -> None:
        assert job_with().centroid_shifts(100) is None

    @pytest.mark.parametrize(
        ("method", "n_samples", "resolution", "expected"),
        [
            # Units: 8 and 8. The steps are 1/8 and 1/4 of a unit: 17 and 18 bits.
            ("uniform", 100, (1.0, 2.0), [17, 18]),
            # 1.5/8 lies between 1/8 and 1/4: the next wider cell.
            ("uniform", 100, (1.5, 2.0), [18, 18]),
            # Units: 8 and 2.
            ("minmax", 100, (1.0, 2.0), [17, 20]),
            # Units: 1 and 1.
            ("none", 100, (1.0, 2.0), [20, 21]),
            # Without a resolution the steps are 8 / 4 and 2 / 4: 1/4 and 1/16 of the units 8 and 8.
            ("uniform", 16, None, [18, 16]),
            ("minmax", 16, None, [18, 18]),
            ("none", 16, None, [21, 19]),
            # 1 / sqrt(17) lies between 1/8 and 1/4, 1 / sqrt(15) between 1/4 and 1/2.
            ("minmax", 17, None, [18, 18]),
            ("minmax", 15, None, [19, 19]),
            ("minmax", 1, None, [20, 20]),
            # A step far below the fixed point: a whole unit is disclosed.
            ("minmax", 100, (1e-9, 1e-9), [0, 0]),
        ],
    )
    def test_hand_computed(
        self, method: ScalingMethod, n_samples: int, resolution: tuple[float, float] | None, expected: list[int]
    ) -> None:
        scaling = Scaling.of(method=method, lower=(0.0, -4.0), upper=(8.0, -2.0))
        assert shifts(n_samples, scaling=scaling, resolution=resolution) == expected

    def test_a_constant_column_has_nothing_to_hide(self) -> None:
        assert shifts(16, scaling=Scaling.of(lower=(0.0, 3.0), upper=(8.0, 3.0))) == [18, 0]

    @given(st.tuples(bounds, bounds), st.sampled_from(["uniform", "minmax", "none"]), st.integers(1, 10**6), st.data())
    def test_a_cell_is_as_wide_as_a_step_and_less_than_twice_as_wide(
        self, pairs: list[tuple[int, int]], method: ScalingMethod, n_samples: int, data: st.DataObject
    ) -> None:
        ranges = [high - low for low, high in pairs]
        resolution = data.draw(st.none() | st.tuples(*(st.floats(1e-3, most) for most in ranges)))
        scaling = Scaling.of(method=method, lower=tuple(p[0] for p in pairs), upper=tuple(p[1] for p in pairs))
        found = shifts(n_samples, scaling=scaling, resolution=resolution)
        for column, shift in enumerate(found):
            cell = Fraction(2) ** (shift - 20) * Fraction(float(scaling.units[column]))
            step = Fraction(ranges[column] / math.sqrt(n_samples) if resolution is None else resolution[column])
            slack = 1 + Fraction(1, 2**48)  # a root, a quotient and a product round
            assert cell * slack >= step
            assert shift == 0 or cell < 2 * step * slack
