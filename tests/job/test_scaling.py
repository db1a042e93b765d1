import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from secure_kmeans.job import LARGEST_MAGNITUDE, Scaling, ScalingMethod
from tests.job.refusing import refusal

UNIT = {"lower": (0.0, 0.0), "upper": (1.0, 1.0)}


class TestScaling:
    def test_frozen(self) -> None:
        scaling = Scaling.of(**UNIT)
        with pytest.raises(ValidationError, match="frozen"):
            scaling.method = "none"
        assert scaling.method == "uniform"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"lower": (), "upper": ()}, "there must be one lower and one upper bound for each column"),
            ({"lower": (0.0,), "upper": (1.0, 2.0)}, "there must be one lower and one upper bound for each column"),
            ({"lower": (0.0, 2.0), "upper": (1.0, 1.0)}, "column 2: its lower bound is above its upper bound"),
            (
                {"lower": (0.0, -2 * LARGEST_MAGNITUDE), "upper": (1.0, 1.0)},
                "column 2: its bounds are too large for the fixed point; use a larger unit",
            ),
        ],
    )
    def test_bounds_that_do_not_fit_together(self, values: dict[str, object], message: str) -> None:
        assert refusal(Scaling.of, **values) == message

    @pytest.mark.parametrize(
        ("values", "key"),
        [
            ({"method": "secretname"}, "method"),
            ({"lower": (0.0, float("nan"))}, "lower.1"),
            ({"upper": (float("inf"), 1.0)}, "upper.0"),
            ({"secret": 1}, "secret"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, values: dict[str, object], key: str) -> None:
        message = refusal(Scaling.of, **(UNIT | values))
        assert message.startswith(f"{key}: ")
        assert "secretname" not in message

    @pytest.mark.parametrize(
        ("method", "units", "offsets", "largest", "scaled"),
        [
            ("uniform", [8.0, 8.0], [2.0, -1.0], 1.0, [[1.0, 0.0], [0.25, 0.125]]),
            ("minmax", [8.0, 2.0], [2.0, -1.0], 1.0, [[1.0, 0.0], [0.25, 0.5]]),
            ("none", [1.0, 1.0], [0.0, 0.0], 10.0, [[10.0, -1.0], [4.0, 0.0]]),
        ],
    )
    def test_hand_computed(
        self, method: ScalingMethod, units: list[float], offsets: list[float], largest: float, scaled: list[list[float]]
    ) -> None:
        scaling = Scaling.of(method=method, lower=(2.0, -1.0), upper=(10.0, 1.0))
        rows = np.array([[10.0, -1.0], [4.0, 0.0]])
        assert scaling.units.tolist() == units
        assert scaling.offsets.tolist() == offsets
        assert scaling.largest == largest
        assert scaling.apply(rows).tolist() == scaled
        assert scaling.invert(np.array(scaled)).tolist() == rows.tolist()

    def test_the_largest_value_may_be_a_lower_bound(self) -> None:
        assert Scaling.of(method="none", lower=(-7.0, 0.0), upper=(1.0, 3.0)).largest == 7.0

    @pytest.mark.parametrize(("method", "width"), [("uniform", 1.0), ("minmax", 1.0), ("none", 8.0)])
    def test_width(self, method: ScalingMethod, width: float) -> None:
        assert Scaling.of(method=method, lower=(2.0, -1.0), upper=(10.0, 1.0)).width == width

    def test_diagonal(self) -> None:
        assert Scaling.of(lower=(1.0, 2.0), upper=(4.0, 6.0)).diagonal == 5.0
        assert Scaling.of(lower=(1.0, 2.0), upper=(1.0, 2.0)).diagonal == 1.0

    @pytest.mark.parametrize("method", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("upper", [(5.0, 5.0), (5.0, 9.0)], ids=["all", "one"])
    def test_constant_columns(self, method: ScalingMethod, upper: tuple[float, float]) -> None:
        scaling = Scaling.of(method=method, lower=(5.0, 5.0), upper=upper)
        rows = np.array([[5.0, 5.0], upper])
        scaled = scaling.apply(rows)
        assert np.isfinite(scaled).all()
        assert (scaled[:, 0] == scaled[0, 0]).all()
        assert scaling.invert(scaled).tolist() == rows.tolist()

    @settings(max_examples=100, deadline=None)
    @given(
        columns=st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 3), min_size=1, max_size=4),
        method=st.sampled_from(["uniform", "minmax", "none"]),
    )
    @example(columns=[(0.0, 5e-324, 1.0), (0.0, 0.0, 1.0)], method="uniform")
    def test_invert_undoes_apply(self, columns: list[tuple[float, float, float]], method: ScalingMethod) -> None:
        ordered = np.sort(np.array(columns), axis=1)
        lower, row, upper = ordered.T
        scaling = Scaling.of(method=method, lower=tuple(lower), upper=tuple(upper))
        scaled = scaling.apply(row[None])
        # Each of -, /, * and + is off by at most 2^-53 of its result; with M the larger bound of a column,
        # |x - lower| <= 2 M, so 3 * 2 M + M, and higher orders: 8 * 2^-53 M. The last term is for underflow,
        # where a quotient is off by 2^-1075, times a unit of at most 2e9.
        bound = 8 * 2.0**-53 * np.maximum(abs(lower), abs(upper)) + 1e-300
        assert (abs(scaling.invert(scaled)[0] - row) <= bound).all()
        assert abs(scaled).max() <= scaling.largest  # rounding is monotone, so this holds exactly
        if method != "none":
            assert scaled.min() >= 0

    @settings(max_examples=50, deadline=None)
    @given(
        rows=st.lists(st.tuples(st.integers(0, 1024), st.integers(-8, 8)), min_size=2, max_size=8),
        lower=st.integers(-100, 100),
    )
    def test_uniform_keeps_ratios_of_distances(self, rows: list[tuple[int, int]], lower: int) -> None:
        # Integers and a range of 2^10: nothing is rounded, so every squared distance shrinks by 2^20 exactly.
        scaling = Scaling.of(lower=(float(lower), -8.0), upper=(float(lower + 1024), 8.0))
        points = np.array(rows, dtype=float) + np.array([lower, 0])
        scaled = scaling.apply(points)
        before = ((points[:, None] - points) ** 2).sum(axis=2)
        after = ((scaled[:, None] - scaled) ** 2).sum(axis=2)
        np.testing.assert_array_equal(after * 2**20, before)

    @pytest.mark.parametrize("method", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("upper", [(4.0, 12.0, 5.0, 2.5), (0.0, 2.0, 5.0, 2.0)], ids=["all", "one"])
    def test_of_columns_is_the_same_map(self, method: ScalingMethod, upper: tuple[float, ...]) -> None:
        scaling = Scaling.of(method=method, lower=(0.0, -2.0, 5.0, 2.0), upper=upper)
        rows = np.linspace(scaling.lower, scaling.upper, 7)
        whole = scaling.apply(rows)
        for start in range(4):
            for stop in range(start + 1, 5):
                columns = slice(start, stop)
                part = scaling.of_columns(columns)
                assert part.method == method
                assert part.apply(rows[:, columns]).tolist() == whole[:, columns].tolist()
                assert part.invert(whole[:, columns]).tolist() == scaling.invert(whole)[:, columns].tolist()
                assert part.units.tolist() == scaling.units[columns].tolist()
                assert (part.lower, part.upper) == (scaling.lower[columns], scaling.upper[columns])
                assert part.of_columns(slice(0, 1)).units.tolist() == scaling.units[start : start + 1].tolist()

    def test_of_columns_keeps_its_by_column_map_and_differs_from_that_of_other_columns(self) -> None:
        scaling = Scaling.of(lower=(0.0, 0.0, 0.0), upper=(4.0, 16.0, 4.0))
        narrow = scaling.of_columns(slice(0, 1))
        assert narrow.units.tolist() == [16.0]
        assert narrow.by_column.units.tolist() == [4.0]
        assert narrow != Scaling.of(lower=(0.0,), upper=(4.0,))
        assert narrow == scaling.of_columns(slice(2, 3))
        assert narrow != Scaling.of(lower=(0.0, 0.0), upper=(4.0, 8.0)).of_columns(slice(0, 1))
