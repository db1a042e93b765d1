from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc.circuits import comparison
from secure_kmeans.mpc.comparison import less_than, negative, to_integers
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.kernels import from_plane, to_planes, words_for
from secure_kmeans.mpc.packing import bytes_for
from tests.mpc.roles_in_threads import Run, shares_of

WIDTHS = [2, 5, 6, 17, 18, 33, 40, 64]


def numbers_of(bits: int, count: int = 300) -> np.ndarray:
    """Extreme and random numbers of so many bits."""
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    random = np.random.default_rng(bits).integers(least, most, count, endpoint=True)
    random >>= np.random.default_rng(0).integers(0, bits, count)  # of all magnitudes
    return np.array([0, 1, -1, least, most, least + 1, most - 1, *random])


def signs(run: Run, m: int) -> list[Any]:
    """Of the parties' XOR shares."""
    found = np.empty(m, dtype=np.int64)
    (plane,) = np.bitwise_xor.reduce(run.returned[:-1])
    from_plane(plane, found)
    return found.tolist()


@pytest.mark.parametrize("parties", [2, 3, 5, 10])
@pytest.mark.parametrize("bits", WIDTHS)
def test_negative_numbers_are_found(parties: int, bits: int) -> None:
    values = numbers_of(bits)
    run = Run(parties, lambda core: core.execute(negative(core, shares_of(values, parties, core.rank), bits)))
    assert signs(run, values.size) == (values < 0).astype(int).tolist()


@pytest.mark.parametrize("parties", [2, 3, 5, 10])
@pytest.mark.parametrize("bits", WIDTHS)
def test_as_numpy_compares(parties: int, bits: int) -> None:
    differences = np.append(numbers_of(bits, 91), [0, 0]).reshape(4, -1)
    generator = np.random.default_rng(1)
    right = generator.integers(-(2**62), 2**62, differences.shape)
    right[np.abs(differences) >= 2**62] = 0
    left = right + differences

    def body(core: Core) -> Any:
        mine, other = (shares_of(values, parties, core.rank, seed) for seed, values in enumerate([left, right]))
        return core.execute(less_than(core, mine, other, bits))

    run = Run(parties, body)
    assert run.opened().tolist() == (left < right).astype(int).tolist()
    assert run.returned[-1].tolist() == np.zeros_like(left).tolist()


def test_any_two_numbers_up_to_2_to_the_62_are_compared() -> None:
    extremes = [0, 1, -1, 2, 2**31, 2**32, -(2**47), 2**62 - 1, -(2**62)]
    left, right = np.array([(a, b) for a in extremes for b in extremes]).T.copy()

    def body(core: Core) -> Any:
        return core.execute(less_than(core, shares_of(left, 2, core.rank, 0), shares_of(right, 2, core.rank, 1)))

    assert Run(2, body).opened().tolist() == (left < right).astype(int).tolist()


@pytest.mark.parametrize("count", [0, 1, 64])
def test_as_many_as_there_are(count: int) -> None:
    values = np.arange(count) - 30

    def body(core: Core) -> Any:
        share = shares_of(values, 2, core.rank)
        return core.execute(less_than(core, share, share, 8))

    run = Run(2, body)
    assert run.opened().tolist() == [0] * count


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("size", [1, 3, 4, 8])
def test_bits_become_integers_modulo_their_size(parties: int, size: int) -> None:
    m = 130
    bits = np.random.default_rng(size).integers(0, 2, (3, m))
    planes = np.empty((1, 3, words_for(m)), dtype=np.uint64)
    to_planes(bits, 1, planes)

    generator = np.random.default_rng(0)
    shares = [generator.integers(0, 2**64, (3, 3), dtype=np.uint64) for _ in range(parties - 1)]
    shares += [np.bitwise_xor.reduce([planes[0], *shares]), 0 * planes[0]]

    run = Run(parties, lambda core: core.execute(to_integers(core, shares[core.rank], m, size)))
    assert run.opened(8 * size).tolist() == bits.tolist()
    assert run.rounds == 1
    assert run.bytes_sent == ((parties - 1) * 8 * 3 * 3, size * 3 * m)


@pytest.mark.parametrize(("bits", "size"), [(1, 1), (8, 1), (9, 2), (33, 5), (63, 8), (64, 8)])
def test_bytes_for(bits: int, size: int) -> None:
    assert bytes_for(bits) == size


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("m", [1, 64, 65, 1000])
@pytest.mark.parametrize(("bits", "stages"), [(2, 0), (5, 0), (6, 1), (17, 1), (18, 2), (40, 2), (64, 2)])
def test_costs(parties: int, m: int, bits: int, stages: int) -> None:
    values = np.zeros(m, dtype=np.int64)
    circuit, words, size = comparison(bits), -(-m // 64), -(-bits // 8)
    run = Run(parties, lambda core: core.execute(negative(core, values, bits)))
    assert run.rounds == 1 + stages
    party, dealer = size * m + 8 * words * circuit.opened_bits, 8 * words * circuit.dealt_bits
    assert run.bytes_sent == ((parties - 1) * party, dealer)

    run = Run(parties, lambda core: core.execute(less_than(core, values, values, bits)))
    assert run.rounds == 2 + stages
    assert run.bytes_sent == ((parties - 1) * (party + 8 * words), dealer + 8 * m)


def test_hand_computed_costs() -> None:
    # 128 numbers of 9 bits, 2 bytes each; a bit of all of them is 16 bytes. 4 are opened and 23 dealt, then the sign.
    values = np.zeros(128, dtype=np.int64)
    run = Run(2, lambda core: core.execute(less_than(core, values, values, 9)))
    assert run.bytes_sent == (2 * 128 + 16 * (4 + 1), 16 * 23 + 8 * 128)
