from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secure_kmeans.errors import JobError
from secure_kmeans.job.fixed_point import (
    MOST_MEAN_BITS,
    FixedPoint,
    bits_to_hold,
    choose_precision_bits,
    division_bits,
    largest_that_fits,
    mean_bits,
)


@st.composite
def bits_and_values(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    bits = draw(st.integers(8, 30))
    limit = float(np.nextafter(2.0 ** (62 - bits), 0))
    return bits, np.array(draw(st.lists(st.floats(-limit, limit), min_size=1, max_size=10)))


class TestFixedPoint:
    def test_hand_computed(self) -> None:
        grid = FixedPoint(8)
        assert grid.scale == 256
        ring = grid.encode(np.array([[1.5, -1.0], [0.003, -0.001]]))
        assert ring.dtype == np.int64
        assert ring.tolist() == [[384, -256], [1, 0]]
        assert grid.decode(np.array([384, -1])).tolist() == [1.5, -0.00390625]

    @given(bits_and_values())
    def test_off_by_at_most_half_a_unit(self, drawn: tuple[int, np.ndarray]) -> None:
        bits, values = drawn
        grid = FixedPoint(bits)
        # Scaling by a power of two is exact, so half a unit is the whole error.
        assert (abs(grid.on_grid(values) - values) <= 2.0 ** -(bits + 1)).all()

    @given(bits_and_values())
    def test_on_grid_is_idempotent(self, drawn: tuple[int, np.ndarray]) -> None:
        bits, values = drawn
        grid = FixedPoint(bits)
        once = grid.on_grid(values)
        np.testing.assert_array_equal(grid.on_grid(once), once)
        np.testing.assert_array_equal(grid.encode(once), grid.encode(values))

    @given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=10), st.integers(8, 30))
    def test_encode_undoes_decode_below_2_to_the_53(self, ring: list[int], bits: int) -> None:
        grid = FixedPoint(bits)
        assert grid.encode(grid.decode(np.array(ring))).tolist() == ring

    @pytest.mark.parametrize("bits", [8, 24, 30])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_largest_value(self, bits: int, sign: int) -> None:
        limit = 2.0 ** (62 - bits)
        inside = sign * float(np.nextafter(limit, 0))
        assert FixedPoint(bits).encode(np.array([inside])).tolist() == [int(Fraction(inside) * 2**bits)]
        with pytest.raises(OverflowError, match=rf"^a value does not fit {bits} fractional bits$"):
            FixedPoint(bits).encode(np.array([0.0, sign * limit]))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
    def test_refuses_what_is_not_in_the_ring(self, value: float) -> None:
        with pytest.raises(OverflowError, match=r"^a value does not fit 20 fractional bits$"):
            FixedPoint(20).encode(np.array([1.0, value]))


class TestBitsToHold:
    @pytest.mark.parametrize(
        ("bound", "bits"), [(0.0, 0), (0.3, 0), (1.0, 0), (1.5, 1), (2.0, 1), (3.0, 2), (1024.0, 10), (1025.0, 11)]
    )
    def test_hand_computed(self, bound: float, bits: int) -> None:
        assert bits_to_hold(bound) == bits

    @given(st.floats(0, 2.0**60))
    @example(float(np.nextafter(2.0**20, np.inf)))
    def test_smallest_that_holds(self, bound: float) -> None:
        bits = bits_to_hold(bound)
        assert Fraction(bound) <= 2**bits
        assert bits == 0 or Fraction(bound) > 2 ** (bits - 1)


class TestChoosePrecisionBits:
    @pytest.mark.parametrize(
        ("features", "clusters", "largest", "bits"),
        [
            (2, 5, 1.0, 24),  # 40 < 2^6: (62 - 6) / 2 = 28
            (2, 5, 150.0, 21),  # 40 * 22500 < 2^20
            (2, 2, 1e6, 9),  # 16e12 < 2^44
            (1, 1, 2.0**22, 8),  # 2^46
            (512, 32, 1.0, 23),  # 2^16
            (512, 33, 1.0, 22),  # < 2^17
            (3, 3, 0.0, 24),
        ],
    )
    def test_hand_computed(self, features: int, clusters: int, largest: float, bits: int) -> None:
        assert choose_precision_bits(features, clusters, largest) == bits

    def test_no_room(self) -> None:
        with pytest.raises(JobError) as caught:
            choose_precision_bits(3, 4, 12345678.0)
        assert str(caught.value) == (
            "the bounds are too large for the fixed point with 3 columns and 4 clusters; "
            'use scaling.method "uniform" or "minmax"'
        )

    @settings(max_examples=200)
    @given(st.integers(1, 1000), st.integers(1, 200), st.floats(0, 2.0**40))
    @example(1, 1, 2.0**22)
    @example(1, 1, 2.0**22 + 1)
    def test_nothing_wraps_and_no_bit_is_wasted(self, d: int, k: int, largest: float) -> None:
        # B is a float, and so is 4 k d B^2: four roundings of 2^-53. The ring itself ends at 2^63.
        part = 4 * k * d * Fraction(largest) ** 2 / 2**62
        slack = Fraction(1, 2**50)

        try:
            f = choose_precision_bits(d, k, largest)
        except JobError:
            assert part * 2**16 > 1 - slack
            return
        assert 8 <= f <= 24
        assert part * 4**f <= 1 + slack
        assert f == 24 or part * 4 ** (f + 1) > 1 - slack


class TestMeanBits:
    @pytest.mark.parametrize(
        ("n_samples", "bits"),
        [
            (1, 40),  # 246 <= 2^8: 59 - 8 = 51, of which 40 are enough
            (2**11, 40),  # 2^19
            (2**11 + 100, 39),  # 246 * 2148 > 2^19
            (10**6, 31),  # 2.46e8 < 2^28
            (2**30, 21),  # 2^38
            (2**60, 8),  # the least
        ],
    )
    def test_hand_computed(self, n_samples: int, bits: int) -> None:
        assert mean_bits(n_samples) == bits

    @given(st.integers(1, 2**30))
    @example(2**30)
    @example(2**16)
    def test_an_exact_division_has_room_for_them_and_for_no_more(self, n_samples: int) -> None:
        bits = mean_bits(n_samples)
        assert division_bits(1 << bits, n_samples) > 0
        assert n_samples * 2**bits < 2**62, "the sum of the rows is a dividend"
        if bits < MOST_MEAN_BITS:
            with pytest.raises(JobError, match="no room to divide sums of"):
                division_bits(1 << (bits + 1), n_samples)


class TestLargestThatFits:
    @pytest.mark.parametrize(
        ("bits", "features", "clusters", "largest"),
        [
            (24, 1, 1, 2.0**6),  # 62 - 48 = 14 bits, of which 2 are for the factor 4: B^2 = 2^12
            (8, 1, 1, 2.0**22),
            (20, 2, 8, 2.0**8),  # 22 bits, of which 6 are for 4 k d: B^2 = 2^16
        ],
    )
    def test_hand_computed(self, bits: int, features: int, clusters: int, largest: float) -> None:
        assert largest_that_fits(bits, features, clusters) == largest

    @pytest.mark.parametrize(("features", "clusters"), [(1, 1), (2, 2), (4, 8)])
    @pytest.mark.parametrize("bits", [9, 15, 24])
    def test_one_bit_more_would_not_fit(self, bits: int, features: int, clusters: int) -> None:
        largest = largest_that_fits(bits, features, clusters)
        # A square root and a square round: two parts in 2^53.
        assert choose_precision_bits(features, clusters, largest * (1 - 2.0**-50)) == bits
        assert choose_precision_bits(features, clusters, largest * (1 + 2.0**-50)) == bits - 1
