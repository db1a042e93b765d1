from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc import kernels

EXTREMES = [0, 1, -1, 2**63 - 1, -(2**63), 2**32, -(2**31)]
CHUNKS = 130
"""Words of more than one of the chunks that are worked on at once."""


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(11)


def ring(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Random numbers of the ring, the extreme ones first."""
    numbers = generator.integers(-(2**63), 2**63, shape)
    flat = numbers.reshape(-1)
    flat[: len(EXTREMES)] = EXTREMES[: flat.size]
    return numbers


def words(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.integers(0, 2**64, shape, dtype=np.uint64)


def planes_of(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Bit by bit, in Python."""
    rows, m = numbers.shape
    planes = np.zeros((bits, rows, -(-m // 64)), dtype=np.uint64)
    for row in range(rows):
        for number in range(m):
            for bit in range(bits):
                planes[bit, row, number // 64] |= np.uint64((int(numbers[row, number]) >> bit & 1) << number % 64)
    return planes


def in_ring(numbers: np.ndarray) -> list[Any]:
    """Python's integers modulo 2^64, signed."""
    return ((numbers + 2**63) % 2**64 - 2**63).tolist()


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2), (129, 3)])
def test_words_for(count: int, expected: Any) -> None:
    assert kernels.words_for(count) == expected


@pytest.mark.parametrize("bits", [1, 2, 31, 32, 33, 63, 64])
@pytest.mark.parametrize("m", [1, 63, 64, 65, 130])
def test_to_planes_bit_by_bit(generator: np.random.Generator, m: int, bits: int) -> None:
    numbers = ring(generator, 3, m)
    planes = words(generator, bits, 3, kernels.words_for(m))  # what was there is overwritten, beyond m, too
    kernels.to_planes(numbers, bits, planes)
    np.testing.assert_array_equal(planes, planes_of(numbers, bits))


def test_to_planes_of_nothing() -> None:
    planes = np.zeros((5, 2, 0), dtype=np.uint64)
    kernels.to_planes(np.zeros((2, 0), dtype=np.int64), 5, planes)


@pytest.mark.parametrize("bits", [1, 2, 7, 33, 63, 64])
@pytest.mark.parametrize("m", [1, 64 * CHUNKS])
def test_subtract_planes_wraps_as_the_numbers_do(generator: np.random.Generator, m: int, bits: int) -> None:
    numbers = ring(generator, 4, m)
    left, right = np.array([0, 1, 2, 3, 3]), np.array([1, 0, -1, 0, 3])
    planes = np.empty((bits, 4, kernels.words_for(m)), dtype=np.uint64)
    kernels.to_planes(numbers, bits, planes)
    expected = np.empty((bits, 5, kernels.words_for(m)), dtype=np.uint64)
    kernels.to_planes(numbers[left] - np.where(right[:, None] < 0, 0, numbers[right]), bits, expected)
    differences = words(generator, *expected.shape)
    kernels.subtract_planes(planes, left, right, differences)
    np.testing.assert_array_equal(differences, expected)


@pytest.mark.parametrize("count", [1, CHUNKS])
def test_multiply_planes_builds_on_earlier_products(generator: np.random.Generator, count: int) -> None:
    planes = words(generator, 3, count)
    products = words(generator, 4, count)
    kernels.multiply_planes(planes, np.array([[0, 1], [3, 2], [1, 2], [4, 5]]), products)
    a, b, c = planes
    np.testing.assert_array_equal(products, [a & b, a & b & c, b & c, a & b & c])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [1, CHUNKS])
def test_evaluate_by_hand(generator: np.random.Generator, count: int, first: bool) -> None:
    (x, y), (a, b), (p,), (c, d) = public, masks, products, carried = [words(generator, n, count) for n in (2, 2, 1, 2)]
    one = ~np.uint64(0) if first else np.uint64(0)
    steps = np.array([[1, 2]])
    terms = [(0, 3, -1), (0, 1, 1), (0, 2, 0), (0, 0, 2), (1, 0, 3), (2, 0, -1), (2, 3, 4), (2, 1, 2), (2, 1, -1)]
    out = words(generator, 4, count)
    kernels.evaluate(public, False, masks, products, carried, first, steps, np.array(terms), out)
    expected = [(x & y & one) ^ (x & b) ^ (y & a) ^ p, c, one ^ (x & y & d) ^ (x & p) ^ (x & one), 0 * x]
    np.testing.assert_array_equal(out, expected)


def test_evaluate_with_complements(generator: np.random.Generator) -> None:
    x, y = public = words(generator, 2, CHUNKS)
    masks = words(generator, 2, CHUNKS)
    none, out = masks[:0], words(generator, 2, CHUNKS)
    steps = np.array([[3, 2], [5, 4]])  # ~x y, then ~x y ~y
    terms = np.array([(0, 5, -1), (0, 4, 0), (0, 3, 1), (1, 6, -1), (1, 5, 1)])
    kernels.evaluate(public, True, masks, none, none, True, steps, terms, out)
    np.testing.assert_array_equal(out, [(~x & y) ^ (~y & masks[0]) ^ (~x & masks[1]), ~x & y & masks[1]])


def test_evaluate_as_bits_of_python(generator: np.random.Generator) -> None:
    counts = {"public": 4, "masks": 3, "products": 2, "carried": 3}
    given = {name: words(generator, count, 2) for name, count in counts.items()}
    steps = np.array([(generator.integers(0, 5 + i), generator.integers(0, 5 + i)) for i in range(6)])
    terms = np.stack([generator.integers(0, 3, 40), generator.integers(0, 11, 40), generator.integers(-1, 8, 40)], 1)
    for first in (True, False):
        out = np.empty((3, 2), dtype=np.uint64)
        masks, products, carried = parts = [given[name] for name in ("masks", "products", "carried")]
        kernels.evaluate(given["public"], False, masks, products, carried, first, steps, terms, out)
        for word in range(2):
            for bit in (0, 1, 31, 63):
                publics = [1] + [int(row[word]) >> bit & 1 for row in given["public"]]
                shares = [int(row[word]) >> bit & 1 for part in parts for row in part] + [int(first)]
                for left, right in steps:
                    publics.append(publics[left] & publics[right])
                expected = [0, 0, 0]
                for row, public, share in terms:
                    expected[row] ^= publics[public] & shares[share]
                assert [int(row[word]) >> bit & 1 for row in out] == expected


@pytest.mark.parametrize("m", [1, 2047, 2048, 2049])
def test_add_products_and_add_dots_modulo_2_to_the_64(generator: np.random.Generator, m: int) -> None:
    coefficients, columns, out = ring(generator, 3, 4), ring(generator, 4, m), ring(generator, 3, m)
    expected = in_ring(out + coefficients.astype(object) @ columns.astype(object))
    kernels.add_products(out, coefficients, columns)
    assert out.tolist() == expected

    left, right, dots = ring(generator, 3, m), ring(generator, 2, m), ring(generator, 3, 2)
    expected = in_ring(dots + left.astype(object) @ right.T.astype(object))
    kernels.add_dots(dots, left, right)
    assert dots.tolist() == expected


@pytest.mark.parametrize("m", [1, 64, 65, 200])
def test_from_plane_undoes_to_planes(generator: np.random.Generator, m: int) -> None:
    bits = generator.integers(0, 2, (1, m))
    plane = np.empty((1, 1, kernels.words_for(m)), dtype=np.uint64)
    kernels.to_planes(bits, 1, plane)
    found = np.full(m, -7)
    kernels.from_plane(plane[0, 0], found)
    assert found.tolist() == bits[0].tolist()


@pytest.mark.parametrize("m", [1, 64, 65, 200])
def test_unmask_bits_gives_shares_of_the_bits(generator: np.random.Generator, m: int) -> None:
    bits, masks = generator.integers(0, 2, (2, 3, m))
    opened = planes_of(bits ^ masks, 1)[0]
    shares = [ring(generator, 3, m), ring(generator, 3, m)]
    shares.append(masks - shares[0] - shares[1])
    found = [np.full((3, m), -7) for _ in shares]
    for rank, (share, out) in enumerate(zip(shares, found, strict=True)):
        kernels.unmask_bits(opened, share, rank == 0, out)
    assert np.sum(found, axis=0).tolist() == bits.tolist()
