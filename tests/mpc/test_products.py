from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc.cleartext import matrix_product
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.products import (
    fixed,
    masked,
    masked_scores,
    matmul,
    movement,
    multiply,
    scores,
    squares,
    sums,
)
from tests.mpc.roles_in_threads import Run, recorded, shares_of

EXTREMES = [0, 1, -1, 2**63 - 1, -(2**63), 2**32]
EVERY = pytest.mark.parametrize("parties", [2, 3, 5])
R, K, D, N = 3, 4, 2, 70


def ring(seed: int, *shape: int) -> np.ndarray:
    numbers = np.random.default_rng(seed).integers(-(2**63), 2**63, shape)
    numbers.reshape(-1)[: len(EXTREMES)] = EXTREMES[: numbers.size]
    return numbers


def shares(core: Core, *values: np.ndarray) -> list[np.ndarray]:
    return [shares_of(each, core.parties, core.rank, seed) for seed, each in enumerate(values)]


def run(parties: int, step: Any, *values: np.ndarray) -> Run:
    return Run(parties, lambda core: core.execute(step(core, *shares(core, *values))))


def in_ring(numbers: np.ndarray) -> list[Any]:
    """Python's integers modulo 2^64, signed."""
    return ((numbers + 2**63) % 2**64 - 2**63).tolist()


def python(*values: np.ndarray) -> list[np.ndarray]:
    """As Python's integers, which never wrap."""
    return [each.astype(object) for each in values]


def true_scores(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(k, r, n) of |c|^2 - 2 x . c."""
    X, C = python(rows, centroids)
    return ((C * C).sum(axis=2)[:, :, None] - 2 * (C @ X.T)).transpose(1, 0, 2)


@EVERY
@pytest.mark.parametrize(
    ("left", "right"), [((5,), (5,)), ((4, 1), (1, 3)), ((2, 1, 4), (3, 4)), ((6,), (1,)), ((0,), (0,))]
)
def test_multiply_as_numpy_broadcasts(parties: int, left: Any, right: Any) -> None:
    a, b = ring(1, *left), ring(2, *right)
    found = run(parties, multiply, a, b)
    exact_a, exact_b = python(a, b)
    assert found.opened().tolist() == in_ring(exact_a * exact_b)
    assert found.rounds == 1
    assert found.bytes_sent == ((parties - 1) * 8 * (a.size + b.size), 8 * (a * b).size)


@EVERY
@pytest.mark.parametrize(("q", "m", "c"), [(3, 4, 5), (2, 70, 3), (1, 1, 1), (70, 2, 3)])
def test_matmul(parties: int, q: int, m: int, c: int) -> None:
    a, b = ring(1, q, m), ring(2, m, c)
    found = run(parties, matmul, a, b)
    exact_a, exact_b = python(a, b)
    assert found.opened().tolist() == in_ring(exact_a @ exact_b)
    assert matrix_product(a, b).tolist() == in_ring(exact_a @ exact_b)
    assert found.rounds == 1
    assert found.bytes_sent == ((parties - 1) * 8 * (q * m + m * c), 8 * q * c)


@EVERY
def test_squares(parties: int) -> None:
    values = ring(1, 3, 7)
    found = run(parties, squares, values)
    assert found.opened().tolist() == in_ring(values.astype(object) ** 2)
    assert found.rounds == 1
    assert found.bytes_sent == ((parties - 1) * 8 * 21, 8 * 21)


@EVERY
def test_a_fixed_matrix_is_the_rows_under_the_dealers_mask(parties: int) -> None:
    rows = ring(1, N, D)

    def body(core: Core) -> Any:
        X = core.execute(fixed(core, *shares(core, rows)))
        assert X.shape == (D, N)
        return X.masks + X.opened * core.first, X.opened, X.masks

    found = Run(parties, body)
    *of_parties, (_, nothing, mask) = found.returned
    assert sum(share for share, _, _ in of_parties).tolist() == rows.T.tolist()
    assert sum(share for _, _, share in of_parties).tolist() == mask.tolist()
    for _, opened, _ in of_parties:
        assert opened.tolist() == (rows.T - mask).tolist()
    assert not nothing.any()
    assert found.rounds == 1
    assert found.bytes_sent == ((parties - 1) * 8 * N * D, 0)


@EVERY
def test_masked_centroids(parties: int) -> None:
    centroids = ring(1, R, K, D)
    found = run(parties, masked, centroids)
    *of_parties, dealer = found.returned
    for C in of_parties:
        assert C.opened.tolist() == (centroids - dealer.masks).tolist()
    assert sum(C.masks for C in of_parties).tolist() == dealer.masks.tolist()
    assert sum(C.norms for C in of_parties).tolist() == in_ring((dealer.masks.astype(object) ** 2).sum(axis=2))
    assert not dealer.opened.any()
    assert found.rounds == 1
    assert found.bytes_sent == ((parties - 1) * 8 * R * K * D, 8 * R * K)


@EVERY
def test_scores_and_their_masked_differences(parties: int) -> None:
    rows, centroids = ring(1, N, D), ring(2, R, K, D)
    some = np.array([2, 0])

    def body(core: Core) -> Any:
        of_rows, of_centroids = shares(core, rows, centroids)
        X, C = core.together(fixed(core, of_rows), masked(core, of_centroids))
        before = core.traffic.rounds, core.traffic.bytes_sent
        differences = masked_scores(core, X, C), masked_scores(core, X, C[some])
        between = core.traffic.rounds, core.traffic.bytes_sent
        found = scores(core, X, C)
        assert between == before
        assert core.traffic.bytes_sent - before[1] == (8 * K * R * N if core.is_dealer else 0)
        assert core.traffic.rounds == before[0]
        return *differences, found

    *of_parties, ((masks, _), (masks_of_some, _), nothing) = Run(parties, body).returned
    true = true_scores(rows, centroids)
    less_first = np.array(in_ring(true[1:] - true[:1]))
    assert (sum(mine for (_, mine), _, _ in of_parties) - masks).tolist() == less_first.tolist()
    assert (sum(mine for _, (_, mine), _ in of_parties) - masks_of_some).tolist() == less_first[:, some].tolist()
    assert sum(mine for _, _, mine in of_parties).tolist() == in_ring(true)
    assert not nothing.any()
    assert np.intersect1d(masks, masks_of_some).size == 0


@EVERY
def test_movement_of_all_centroids_of_each_restart(parties: int) -> None:
    before, now = ring(1, R, K, D), ring(2, R, K, D)
    some = np.array([1])

    def body(core: Core) -> Any:
        C, D = core.together(*[masked(core, share) for share in shares(core, before, now)])
        counted = core.traffic.rounds, core.traffic.bytes_sent
        found = movement(core, C, D), movement(core, C[some], D[some])
        assert core.traffic.rounds == counted[0]
        assert core.traffic.bytes_sent - counted[1] == (8 * (R + 1) if core.is_dealer else 0)
        return found

    *of_parties, (nothing, _) = Run(parties, body).returned
    exact_before, exact_now = python(before, now)
    moved = in_ring(((exact_now - exact_before) ** 2).sum(axis=(1, 2)))
    assert sum(mine for mine, _ in of_parties).tolist() == moved
    assert sum(mine for _, mine in of_parties).tolist() == moved[1:2]
    assert not nothing.any()


@EVERY
@pytest.mark.parametrize("size", [3, 5, 8])
def test_sums_of_selected_rows_modulo_their_size(parties: int, size: int) -> None:
    rows, H = ring(1, N, D), np.random.default_rng(2).integers(0, 2, (R * K, N))
    H[0] = ring(3, N)

    def body(core: Core) -> Any:
        of_rows, of_H = shares(core, rows, H)
        X = core.execute(fixed(core, of_rows))
        before = core.traffic.rounds, core.traffic.bytes_sent
        found = core.execute(sums(core, of_H, X, size))
        assert core.traffic.rounds - before[0] == core.takes_part
        cost = core.traffic.bytes_sent - before[1]
        assert cost == ((parties - 1) * size * H.size if core.takes_part else 8 * R * K * D)
        return found

    exact_rows, exact_H = python(rows, H)
    modulus = 256**size
    assert (Run(parties, body).opened() % modulus).tolist() == ((exact_H @ exact_rows) % modulus).tolist()


@pytest.mark.parametrize(
    "step",
    [
        lambda core, values, X: multiply(core, values, values),
        lambda core, values, X: matmul(core, values, values),
        lambda core, values, X: squares(core, values),
        lambda core, values, X: fixed(core, values),
        lambda core, values, X: masked(core, values[None]),
        lambda core, values, X: sums(core, values, X, 8),
    ],
    ids=["multiply", "matmul", "squares", "fixed", "masked", "sums"],
)
def test_what_is_opened_of_the_same_values_is_new_each_time(step: Any) -> None:
    values = np.zeros((6, 6), dtype=np.int64)

    def body(core: Core) -> Any:
        X = core.execute(fixed(core, values))
        opened = [(X.opened.reshape(-1).copy(), 8)] if core.takes_part else []
        for _ in range(3):
            core.execute(recorded(step(core, *shares(core, values), X), opened))
        return opened

    first, second, dealer = Run(2, body).returned
    assert dealer == []
    assert len(first) == 4
    numbers = np.concatenate([opened for opened, _ in first])
    assert len(np.unique(numbers)) == numbers.size
    assert all((mine == theirs).all() for (mine, _), (theirs, _) in zip(first, second, strict=True))
