"""The mode "aggregate" of SMO07: the same numbers as by plain integers, and its costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.errors import RoleError
from secure_kmeans.protocols.smo07.aggregate import LOW_BITS, MOST_INERTIA_BITS, AggregateMode
from secure_kmeans.protocols.smo07.job import MOST_ROWS
from tests.protocols.aggregating import LARGEST, at_each_party, check_means, split
from tests.stated_costs import DEALT, ROUNDS, TO_EACH, stated
from tests.threads import MemoryMesh

MOST_TOTAL = (1 << 250) - 1


def spread(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of (q, d) totals for each party, in proportion to its (P, q) counts, so that no row exceeds its bound."""
    T, t = totals.astype(object), counts.astype(object)
    ends = t.cumsum(axis=0)[:, :, None] * T // np.maximum(t.sum(axis=0), 1)[:, None]
    parts = np.concatenate([ends[:1], ends[1:] - ends[:-1]])
    parts[-1] += T - parts.sum(axis=0)
    return parts.astype(np.int64)


# -------------------------------------------------------------------------------------------------------------- means


@pytest.mark.parametrize(("least", "expected"), [(1, [[2, -1], [2, 0], [94, 95]]), (3, [[2, -1], [92, 93], [94, 95]])])
def test_hand_computed(least: int, expected: list[list[int]]) -> None:
    """Totals (11, -10) of 7, (3, -1) of 2, and nothing: 11/7 is nearer to 2, and 3/2 and -1/2 are rounded upwards."""
    sums = np.array([[[7, -1], [1, 1], [0, 0]], [[3, -9], [1, -2], [0, 0]], [[1, 0], [1, 0], [0, 0]]])
    counts = np.array([[2, 1, 0], [3, 1, 0], [2, 0, 0]])
    otherwise = np.array([[90, 91], [92, 93], [94, 95]])
    threads = check_means(sums, counts, otherwise, least)
    assert threads.answers == [expected] * 3


@st.composite
def private_numbers(draw: Any) -> tuple[Any, ...]:
    """Sums and counts of 3 to 6 parties, other values, the least count and the bound of a row."""
    parties, q, d = draw(st.integers(3, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    largest = draw(st.sampled_from([1, 31, 1 << 16, 17_112_761, LARGEST]))
    most = draw(st.sampled_from([1, 3, 200, MOST_ROWS // parties]))
    counts = np.array(draw(st.lists(st.integers(0, most), min_size=parties * q, max_size=parties * q)))
    counts = counts.reshape(parties, q)
    fractions = draw(st.lists(st.integers(-largest, largest), min_size=parties * q * d, max_size=parties * q * d))
    sums = np.array(fractions).reshape(parties, q, d) * counts[:, :, None]
    nudges = np.array(draw(st.lists(st.integers(-most, most), min_size=sums.size, max_size=sums.size)))
    bound = largest * counts[:, :, None]
    sums = np.clip(sums + nudges.reshape(sums.shape), -bound, bound)
    otherwise = np.array(draw(st.lists(st.integers(-largest, largest), min_size=q * d, max_size=q * d))).reshape(q, d)
    totals = counts.sum(axis=0).tolist()
    least = draw(st.sampled_from([1, 2, 5, *(max(1, total + near) for total in totals for near in (0, 1))]))
    return sums, counts, otherwise, least, largest


@settings(max_examples=60)
@given(private_numbers())
def test_means_are_those_of_plain_integers(numbers: tuple[Any, ...]) -> None:
    sums, counts, otherwise, least, largest = numbers
    check_means(sums, counts, otherwise, least, largest)


@pytest.mark.parametrize("least", [1, 2, 100, MOST_ROWS])
@pytest.mark.parametrize("largest", [LARGEST, 1 << 24, 1])
def test_worst_cases(least: int, largest: int) -> None:
    """The most rows with the largest coordinates, signs, halves and what lies beside them, and all edges of counts."""
    edges = {0, 1, 2, 3, 99, 100, 101, (1 << 23) - 1, 1 << 23, MOST_ROWS - 1, MOST_ROWS, least - 1, least, least + 1}
    t = np.array(sorted(edge for edge in edges if edge <= MOST_ROWS))
    limit = t[:, None] * largest
    middles = (largest // 2) * t[:, None] - t[:, None] // 2  # the least dividend of a quotient
    columns = [limit, -limit, limit - 1, 1 - limit, middles, middles - 1, -middles, 1 - middles, 0 * limit]
    T = np.clip(np.concatenate(columns, axis=1), -limit, limit)
    counts = split(t, 3)
    otherwise = np.where(np.arange(T.size).reshape(T.shape) % 2, largest, -largest)
    check_means(spread(T, counts), counts, otherwise, least, largest)


@pytest.mark.parametrize("rank", range(4))
def test_all_rows_are_one_partys(rank: int) -> None:
    counts, sums = np.zeros((4, 2), dtype=np.int64), np.zeros((4, 2, 1), dtype=np.int64)
    counts[rank], sums[rank] = [5, 1], [[-18], [LARGEST]]
    check_means(sums, counts, np.zeros((2, 1), dtype=np.int64), 1)


def test_twenty_parties() -> None:
    generator = np.random.default_rng(4)
    counts = generator.integers(0, 50, (20, 20))
    counts[:, 0] = 0
    sums = generator.integers(-(1 << 24), 1 << 24, (20, 20, 2)) * counts[:, :, None]
    check_means(sums, counts, generator.integers(0, 99, (20, 2)), int(np.median(counts.sum(axis=0))))


def test_many_clusters() -> None:
    generator = np.random.default_rng(5)
    counts = generator.integers(0, 1000, (3, 3000))
    sums = generator.integers(-(1 << 24), 1 << 24, (3, 3000, 4)) * counts[:, :, None]
    check_means(sums, counts, 0 * sums[0], 600, 1 << 24)


def test_arrays_that_are_not_contiguous() -> None:
    counts = np.arange(12).reshape(4, 3).T[::-1]
    sums = np.arange(24).reshape(2, 4, 3).T
    otherwise = np.arange(8).reshape(2, 4).T
    check_means(sums, counts, otherwise, 2)


# ------------------------------------------------------------------------------------------- totals, sizes, the best


@settings(max_examples=30)
@given(
    st.integers(3, 6).flatmap(
        lambda P: st.lists(st.tuples(*[st.integers(-MOST_TOTAL // 6, MOST_TOTAL // 6)] * P), min_size=1, max_size=4)
    )
)
def test_totals_are_those_of_plain_integers(numbers: list[tuple[int, ...]]) -> None:
    by_party = list(zip(*numbers, strict=True))
    threads = at_each_party(len(by_party), lambda mode, rank: mode.totals(by_party[rank], [MOST_TOTAL] * len(numbers)))
    assert threads.answers == [[sum(each) for each in numbers]] * len(by_party)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_totals(sign: int) -> None:
    own = [[sign * MOST_TOTAL, 1], [0, -1], [0, 0]]
    threads = at_each_party(3, lambda mode, rank: mode.totals(own[rank], [MOST_TOTAL, 1]))
    assert threads.answers == [[sign * MOST_TOTAL, 0]] * 3


@pytest.mark.parametrize("least", [1, 2, 7, 1000, MOST_ROWS])
@pytest.mark.parametrize("parties", [3, 5])
def test_sizes_below_the_least_are_none(parties: int, least: int) -> None:
    totals = np.unique(np.clip([0, 1, 2, 6, 7, 8, 999, 1000, least - 1, least, least + 1, MOST_ROWS], 0, MOST_ROWS))
    own = split(totals, parties)
    threads = at_each_party(parties, lambda mode, rank: mode.sizes(own[rank], least))
    assert threads.answers == [[total if total >= least else None for total in totals.tolist()]] * parties


BOUNDS = [0, 1, 1000, (1 << LOW_BITS) - 1, 1 << LOW_BITS, 1 << 60, (1 << 60) + 1, 1 << 86, (1 << MOST_INERTIA_BITS) - 1]


def best_of(own: list[list[int]], bound: int) -> list[int]:
    return at_each_party(len(own), lambda mode, rank: mode.best(own[rank], bound)).answers


@settings(max_examples=60)
@given(st.data())
def test_the_first_smallest_inertia_is_found_to_the_last_bit(data: st.DataObject) -> None:
    bound, parties = data.draw(st.sampled_from(BOUNDS)), data.draw(st.integers(3, 5))
    starts = data.draw(st.integers(2, 12))
    base = data.draw(st.integers(0, bound))
    near = st.integers(-3, 3).map(lambda step: min(max(base + step, 0), bound))
    far = st.integers(-2, 2).map(lambda step: min(max(base + (step << LOW_BITS), 0), bound))
    totals = data.draw(st.lists(st.one_of(near, far, st.integers(0, bound)), min_size=starts, max_size=starts))
    own: list[list[int]] = [[] for _ in range(parties)]
    for total in totals:
        edges = sorted(data.draw(st.lists(st.integers(0, total), min_size=parties - 1, max_size=parties - 1)))
        for rank, (low, high) in enumerate(zip([0, *edges], [*edges, total], strict=True)):
            own[rank].append(high - low)
    assert best_of(own, bound) == [totals.index(min(totals))] * parties


@pytest.mark.parametrize("bound", BOUNDS[1:])
def test_the_ends_of_the_range_of_inertias(bound: int) -> None:
    for totals in (
        [0, bound],
        [bound, 0],
        [bound, bound],
        [bound, bound - 1, 0, bound - 1, 0],
        [bound, bound - 1, bound],
    ):
        own = [[total // 2 for total in totals], [0] * len(totals), [total - total // 2 for total in totals]]
        assert best_of(own, bound) == [totals.index(min(totals))] * 3


def test_the_parts_of_twenty_inertias_have_carries() -> None:
    full = (1 << LOW_BITS) - 1
    totals = [20 * full, 20 * full - 1, 20 * full + 1]
    own = [[full, full - (rank == 7), full + (rank == 3)] for rank in range(20)]
    assert best_of(own, max(totals)) == [1] * 20


def test_of_one_start_nothing_is_sent() -> None:
    threads = at_each_party(3, lambda mode, rank: mode.best([rank], 99))
    assert threads.answers == [0, 0, 0]
    assert not threads.sent


# --------------------------------------------------------------------------------------------------------------- costs


Q, D, R = 5, 2, 4
OWN_SUMS, OWN_COUNTS = np.ones((Q, D), dtype=np.int64), np.ones(Q, dtype=np.int64)
DIVISION = {"q": Q, "d": D, "e": 64 + 3}
"""Of quotients up to 2^31 - 1."""

Call = Callable[[AggregateMode], Any]
Stated = Callable[[int], int]

COSTS: dict[str, tuple[Call, Stated, int, int, int | None]] = {
    "means": (
        lambda mode: mode.means(OWN_SUMS, OWN_COUNTS, OWN_SUMS, largest=LARGEST, least=1, iteration=2),
        lambda column: stated("means_on_two_shares", column, **DIVISION),
        8 * Q * (D + 1),
        8 * Q * D,
        28,
    ),
    "means from a least size": (
        lambda mode: mode.means(OWN_SUMS, OWN_COUNTS, OWN_SUMS, largest=LARGEST, least=3, iteration=2),
        lambda column: stated("divide_by_secret_from", column, **DIVISION) + stated("opened", column, m=Q * D, S=8),
        8 * Q * (D + 1),
        8 * Q * D,
        28,
    ),
    "sizes": (
        lambda mode: mode.sizes(OWN_COUNTS, 1),
        lambda column: stated("opened", column, m=Q, S=8),
        8 * Q,
        8 * Q,
        2,
    ),
    "sizes from a least one": (
        lambda mode: mode.sizes(OWN_COUNTS, 3),
        lambda column: stated("sizes_on_two_shares", column, q=Q),
        8 * Q,
        8 * Q,
        7,
    ),
    "best": (
        lambda mode: mode.best([1] * R, (1 << 40) - 1),
        lambda column: stated("first_smallest", column, r=R, b=41),
        8 * R,
        8,
        None,
    ),
    "best in parts": (
        lambda mode: mode.best([1] * R, (1 << 86) - 1),
        lambda column: stated("first_smallest_in_parts", column, r=R, b=31),
        16 * R,
        8,
        None,
    ),
}
"""A call, the costs of its step on shares, the bytes of a party's own numbers and of the result, and the rounds."""


@pytest.mark.parametrize("parties", [3, 4, 7])
@pytest.mark.parametrize("what", COSTS)
def test_costs_as_stated(what: str, parties: int) -> None:
    call, step, own, result, in_all = COSTS[what]
    traffic = at_each_party(parties, lambda mode, _: call(mode)).traffic
    rounds, sent, dealt = (step(column) for column in (ROUNDS, TO_EACH, DEALT))
    assert [each.rounds for each in traffic] == [1 + rounds, rounds, *[1] * (parties - 2)]
    assert in_all in (None, 1 + rounds)
    of_others = [*[own] * (parties - 3), own + dealt]
    assert [each.bytes_sent for each in traffic] == [sent + (parties - 2) * result, sent, *of_others]


@pytest.mark.parametrize("parties", [3, 7])
def test_costs_of_totals(parties: int) -> None:
    traffic = at_each_party(parties, lambda mode, _: mode.totals([1, 2, 3], [9] * 3)).traffic
    assert [each.rounds for each in traffic] == [1] * parties
    assert [each.bytes_sent for each in traffic] == [96 * (parties - 1), *[96] * (parties - 1)]


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("culprit", [1, 2, 3])
def test_masked_numbers_of_another_shape_are_refused(culprit: int) -> None:
    class Misbehaving(MemoryMesh):
        def post(self, peer: str, numbers: np.ndarray) -> None:
            wrong = self.me == f"party_{culprit}" and peer == "party_0"
            super().post(peer, numbers[:-1].copy() if wrong else numbers)

    with pytest.raises(RoleError, match=f'"party_{culprit}"'):
        at_each_party(4, lambda mode, rank: mode.totals([rank] * 2, [9] * 2), mesh=Misbehaving)


def test_a_party_that_does_not_compute_needs_no_numba() -> None:
    code = (
        "import sys, secure_kmeans.protocols.smo07.aggregate as _\n"
        "print(sorted({'numba', 'torch', 'crypten'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
