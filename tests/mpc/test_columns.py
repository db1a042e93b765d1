"""Labelling and stop bits of rows whose columns several parties hold, each its own in the clear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold, choose_precision_bits, largest_that_fits
from secure_kmeans.mpc import argmin, columns
from secure_kmeans.mpc import rows as rows_module
from secure_kmeans.mpc.columns import Columns, labels_in_the_clear, moved_more, own_scores
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import is_bits, share_of, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.rows import Assignment, blocks_of
from secure_kmeans.protocols.bounds import SLACK
from tests.mpc.roles_in_threads import Run, shares_of

EVERY = pytest.mark.parametrize("parties", [2, 3, 5])


def own(core: Core, values: np.ndarray) -> np.ndarray:
    """A role's own columns of known values (..., d): as even as possible; the dealer's are none."""
    parts = np.array_split(np.arange(values.shape[-1]), core.parties)
    mine = parts[core.rank] if core.takes_part else np.empty(0, dtype=int)
    return np.ascontiguousarray(values[..., mine])


def labels_of(rows: np.ndarray, centroids: np.ndarray) -> list[Any]:
    """(r, n) numbers of the nearest centroids, the first at a tie, in integers that never wrap."""
    X, C = rows.astype(object), centroids.astype(object)
    return [np.argmin(((X[:, None] - each) ** 2).sum(axis=2), axis=1).tolist() for each in C]


def labelled(parties: int, rows: np.ndarray, centroids: np.ndarray, bits: int) -> Run:
    """The labels of (n, d) rows by (r, k, d) centroids, opened to all parties."""

    def body(core: Core) -> Any:
        engine = SecureEngine(core)
        held = engine.columns(own(core, rows), bits)
        assert len(held) == len(rows)
        H = core.execute(held.label(own(core, centroids), bits))
        return core.execute(engine.labels_in_the_clear(H, len(rows)))

    return Run(parties, body)


def check(parties: int, rows: np.ndarray, centroids: np.ndarray, bits: int) -> Run:
    run = labelled(parties, rows, centroids, bits)
    *of_parties, of_dealer = run.returned
    for found in of_parties:
        assert found.tolist() == labels_of(rows, centroids)
    assert not of_dealer.any()
    assert of_dealer.shape == (len(centroids), len(rows))
    return run


# --------------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize(("r", "k", "d", "n"), [(1, 2, 1, 1), (3, 5, 2, 7), (2, 1, 3, 4), (2, 3, 2, 0)])
def test_own_scores(r: int, k: int, d: int, n: int) -> None:
    generator = np.random.default_rng(d)
    C, X = generator.integers(-(2**30), 2**30, (r, k, d)), generator.integers(-(2**30), 2**30, (d, n))
    exact = ((X.T.astype(object)[None, None] - C.astype(object)[:, :, None]) ** 2).sum(axis=3)  # (r, k, n)
    expected = (exact[:, 1:] - exact[:, :1]).transpose(1, 0, 2).reshape(k - 1, r * n)
    found = own_scores(C, X)
    assert found.shape == (k - 1, r * n)
    assert found.tolist() == np.array(expected, dtype=object).tolist()


def test_own_scores_wrap_like_the_ring() -> None:
    C, X = np.array([[[2**62], [-(2**62)]]]), np.array([[2**62 + 5]])
    exact = (-(2**62) - X[0, 0].item()) ** 2 - (2**62 - X[0, 0].item()) ** 2
    assert own_scores(C, X).tolist() == [[(exact + 2**63) % 2**64 - 2**63]]


# --------------------------------------------------------------------------------------------------------------- labels


@EVERY
@pytest.mark.parametrize("k", [1, 2, 3, 7, 8, 10, 11, 17])
def test_the_nearest_centroid_and_the_first_at_a_tie(parties: int, k: int) -> None:
    generator = np.random.default_rng(k)
    rows, centroids = generator.integers(0, 4, (40, 5)), generator.integers(0, 4, (2, k, 5))
    run = check(parties, rows, centroids, 9)
    assert (run.rounds == 0) == (k == 1)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 130])
@pytest.mark.parametrize("k", [3, 12])
def test_rows_that_fill_words_or_do_not(n: int, k: int) -> None:
    generator = np.random.default_rng(n)
    check(2, generator.integers(0, 4, (n, 2)), generator.integers(0, 4, (3, k, 2)), 8)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("k", [4, 9, 12])
@pytest.mark.parametrize("comparisons", [1, 300])
def test_small_blocks(parties: int, k: int, comparisons: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "COMPARISONS_AT_ONCE", comparisons)
    monkeypatch.setattr(rows_module, "WORD", 13)
    generator = np.random.default_rng(k)
    rows, centroids = generator.integers(0, 5, (50, 3)), generator.integers(0, 5, (2, k, 3))
    assert len(blocks_of(50, k, 2)) > 1
    check(parties, rows, centroids, 9)


@pytest.mark.parametrize("parties", [2, 3])
def test_blocks_of_bits_beside_blocks_of_integers(parties: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 8 to 10 clusters are compared pair by pair or in a tournament depends on the number of rows of a block."""
    monkeypatch.setattr(rows_module, "COMPARISONS_AT_ONCE", 1)
    monkeypatch.setattr(rows_module, "WORD", 20)
    monkeypatch.setattr(argmin, "compares_all_pairs", lambda k, m, bits: k < 8 or m < 40)  # two starts of 20 rows
    generator = np.random.default_rng(9)
    rows, centroids = generator.integers(0, 5, (50, 3)), generator.integers(0, 5, (2, 8, 3))
    kinds: list[list[bool]] = []
    original = columns.labels_in_the_clear

    def noted(core: Core, H: Assignment, n: int) -> Any:
        kinds.append([is_bits(block) for block in H.blocks])
        return (yield from original(core, H, n))

    monkeypatch.setattr(columns, "labels_in_the_clear", noted)
    check(parties, rows, centroids, 9)
    assert kinds[0] == [False, False, True]


@pytest.mark.parametrize(("k", "size"), [(3, 8), (12, 2)])
@pytest.mark.parametrize("parties", [2, 3])
def test_the_bytes_of_opened_labels(parties: int, k: int, size: int) -> None:
    n, r = 70, 2

    def body(core: Core) -> Any:
        H = core.execute(
            Columns(core, own(core, np.zeros((n, 5), dtype=int)).T).label(own(core, np.zeros((r, k, 5), dtype=int)), 9)
        )
        before = core.traffic.rounds, core.traffic.bytes_sent
        core.execute(labels_in_the_clear(core, H, n))
        return core.traffic.rounds - before[0], core.traffic.bytes_sent - before[1]

    numbers = (k - 1) * 3 if size == 8 else r * n  # 3 words hold 140 bits
    assert Run(parties, body).returned == [(1, (parties - 1) * size * numbers)] * parties + [(0, 0)]


def test_labels_of_known_shares() -> None:
    """Bits of all centroids but the last, and one-hot integers of all."""
    labels = np.random.default_rng(0).integers(0, 4, (2, 70))
    flat = labels.reshape(-1)
    one_hot = (flat == np.arange(4)[:, None]).astype(np.int64)
    words = np.zeros((3, 3), dtype=np.uint64)
    for number, bits in enumerate(one_hot[:3]):
        for position in np.flatnonzero(bits).tolist():
            words[number, position // 64] |= np.uint64(1 << position % 64)

    def body(core: Core) -> Any:
        random = np.random.default_rng(3).integers(0, 2**63, words.shape).astype(np.uint64)
        in_bits = random ^ words if core.first else random if core.rank == 1 else 0 * words
        of_bits = Assignment((wrap(in_bits),), 4, 2)
        of_integers = Assignment((wrap(shares_of(one_hot, core.parties, core.rank)),), 4, 2)
        return [core.execute(labels_in_the_clear(core, H, 70)).tolist() for H in (of_bits, of_integers)]

    for found in Run(3, body).returned[:3]:
        assert found == [labels.tolist()] * 2


def test_the_number_of_a_centroid_may_take_more_than_two_bytes() -> None:
    k, labels = (1 << 16) + 2, np.array([[0, (1 << 16) + 1, 65535]])
    one_hot = np.zeros((k, 3), dtype=np.int64)
    one_hot[labels[0], np.arange(3)] = 1

    def body(core: Core) -> Any:
        H = Assignment((wrap(shares_of(one_hot, core.parties, core.rank)),), k, 1)
        return core.execute(labels_in_the_clear(core, H, 3)).tolist()

    assert Run(2, body).returned[:2] == [labels.tolist()] * 2


# --------------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(("d", "largest"), [(2, 1.0), (1000, 1.0), (3, 4000.0), (500, 100.0), (4, 2.0**-10)])
@pytest.mark.parametrize("k", [2, 5, 12])
def test_corners_of_the_bounds_with_all_bits(d: int, largest: float, k: int) -> None:
    """Rows and centroids at the bounds, and a hundredth beyond, with as many fractional bits as the job would have."""
    f = choose_precision_bits(d, k, largest)
    width = 2 * largest if largest != 1.0 else 1.0
    lower = -largest if largest != 1.0 else 0.0
    bits = 1 + 2 * f + bits_to_hold(d * (width + SLACK) ** 2)
    assert bits <= 64
    generator = np.random.default_rng(d)
    rows = FixedPoint(f).encode(np.where(generator.integers(0, 2, (30, d)), lower + width, lower))
    at = np.array([lower - 0.01, lower, lower + width / 2, lower + width, lower + width + 0.01])
    centroids = FixedPoint(f).encode(at[generator.integers(0, 5, (2, k, d))])
    rows[:2] = FixedPoint(f).encode(np.array([[lower] * d, [lower + width] * d]))
    centroids[0, :2] = FixedPoint(f).encode(np.array([[lower - 0.01] * d, [lower + width + 0.01] * d]))
    check(2, rows, centroids, bits)


@pytest.mark.parametrize("d", [2, 3, 50])
def test_a_prediction_reaches_as_far_as_the_ring(d: int) -> None:
    k, f = 5, 12
    reach = largest_that_fits(f, d, k)
    generator = np.random.default_rng(d)
    rows = FixedPoint(f).encode(generator.choice([-reach, reach], (20, d)))
    centroids = FixedPoint(f).encode(generator.choice([-reach, 0.0, reach], (1, k, d)))
    check(2, rows, centroids, 64)


# ------------------------------------------------------------------------------------------------------------ stop bits


def stop_bits(
    parties: int, before: np.ndarray, now: np.ndarray, limit: int, among: list[bool]
) -> tuple[list[bool], Run]:
    def body(core: Core) -> Any:
        shared = wrap(shares_of(np.array([limit]), core.parties, core.rank))
        return share_of(core.execute(moved_more(core, own(core, before), own(core, now), shared, np.array(among))))

    run = Run(parties, body)
    words = np.bitwise_xor.reduce(run.returned[:-1]).tolist()
    word = sum(each << 64 * number for number, each in enumerate(words))
    assert word < 1 << len(among), "no bit beyond those of the starts"
    assert not run.returned[-1].any()
    return [bool(word >> number & 1) for number in range(len(among))], run


@EVERY
def test_a_start_has_moved_more_only_above_the_limit(parties: int) -> None:
    before = np.random.default_rng(1).integers(0, 2**24, (6, 3, 5))
    now = before.copy()
    for start, units in enumerate((0, 1, 2, 3, 4, 5)):
        now[start, start % 3, start % 5] += units if start % 2 else -units
    moved = [0, 1, 4, 9, 16, 25]
    for limit in (0, 1, 3, 4, 5, 24, 25):
        found, run = stop_bits(parties, before, now, limit, [True] * 6)
        assert found == [each > limit for each in moved]
        assert run.rounds == 3
    found, _ = stop_bits(parties, before, now, 0, [False, True, False, True, True, False])
    assert found == [False, True, False, True, True, False]


def test_the_largest_movements() -> None:
    """All centroids from one corner to the other, at the most that the precision leaves room for, with 70 starts."""
    d, k, r = 5, 7, 70
    f = choose_precision_bits(d, k, 1000.0)
    corner = FixedPoint(f).encode(np.array(1000.0)).item()
    before, now = np.full((r, k, d), -corner), np.full((r, k, d), corner)
    now[1:, 0, 0] -= 1
    moved = [
        sum((int(a) - int(b)) ** 2 for a, b in zip(x, y, strict=True))
        for x, y in zip(before.reshape(r, -1), now.reshape(r, -1), strict=True)
    ]
    assert moved[0] <= 2**62
    assert moved[0] > 2**59
    for limit in (0, moved[1] - 1, moved[1], moved[0] - 1, moved[0]):
        found, _ = stop_bits(2, before, now, limit, [True] * r)
        assert found == [each > limit for each in moved]
