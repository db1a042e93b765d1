from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.circuits import FAN_IN, Stage, comparison, pairs_of, winner

BITS = range(2, 65)
CANDIDATES = range(3, 13)
PARTIES = 3

Shares = list[np.ndarray]


def xor_shares(planes: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    shares = [generator.integers(0, 2**64, planes.shape, dtype=np.uint64) for _ in range(PARTIES - 1)]
    return [*shares, np.bitwise_xor.reduce([planes, *shares])]


def products_of(stage: Stage, masks: np.ndarray) -> np.ndarray:
    products = np.empty((len(stage.mask_steps), masks.shape[1]), dtype=np.uint64)
    kernels.multiply_planes(masks, stage.mask_steps, products)
    return products


def evaluated(stage: Stage, public: np.ndarray, masks: Shares, products: Shares, carried: Shares) -> Shares:
    outs: Shares = []
    for rank in range(PARTIES):
        outs.append(np.empty((stage.outputs, public.shape[1]), dtype=np.uint64))
        own, of_products, rest = (shares[rank] for shares in (masks, products, carried))
        first = rank == 0
        kernels.evaluate(public, stage.complements, own, of_products, rest, first, stage.steps, stage.terms, outs[-1])
    return outs


def through(stage: Stage, shares: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
    """What a round makes of shares: masks are drawn, their products shared, the masked rows opened."""
    secret = np.bitwise_xor.reduce(shares)[stage.opened]
    masks = generator.integers(0, 2**64, secret.shape, dtype=np.uint64)
    products = xor_shares(products_of(stage, masks), generator)
    carried = [share[stage.carried] for share in shares]
    return evaluated(stage, secret ^ masks, xor_shares(masks, generator), products, carried)


def planes_of(numbers: np.ndarray, bits: int) -> np.ndarray:
    planes = np.empty((bits, 1, kernels.words_for(len(numbers))), dtype=np.uint64)
    kernels.to_planes(numbers[None], bits, planes)
    return planes[:, 0]


def rows_of(shares: list[np.ndarray], m: int) -> np.ndarray:
    rows = np.empty((len(shares[0]), m), dtype=np.int64)
    for plane, row in zip(np.bitwise_xor.reduce(shares), rows, strict=True):
        kernels.from_plane(plane, row)
    return rows


def signs_of(numbers: np.ndarray, masks: np.ndarray, bits: int, generator: np.random.Generator) -> list[Any]:
    """The signs of numbers, from what is opened of them, ``number + mask``."""
    circuit = comparison(bits)
    public, secret = planes_of(numbers + masks, bits), planes_of(masks, bits)
    public[:-1] = ~public[:-1]
    leaves = xor_shares(np.concatenate([secret, products_of(circuit.leaves, secret)]), generator)
    none = [share[:0] for share in leaves]
    shares = evaluated(circuit.leaves, public, none, leaves, none)
    for stage in circuit.stages:
        shares = through(stage, shares, generator)
    (signs,) = rows_of(shares, len(numbers))
    return signs.tolist()


@pytest.mark.parametrize("bits", BITS)
def test_signs_of_extreme_and_random_numbers(bits: int) -> None:
    generator = np.random.default_rng(bits)
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    edges = [0, -1, least, most, least + 1, most - 1, *[least + 2**bit for bit in range(bits - 1)]]
    numbers = np.array([*edges * 4, *generator.integers(least, most, 300, endpoint=True)])
    masks = generator.integers(-(2**63), 2**63, numbers.size)
    masks[: 3 * len(edges)] = np.repeat([0, -1, least], len(edges))
    near = slice(-100, None)  # a number whose mask it nearly hides differs from it in the lowest bits alone
    numbers[near] = generator.integers(max(least, -2), min(most, 1), 100, endpoint=True)
    assert signs_of(numbers, masks, bits, generator) == (numbers < 0).astype(int).tolist()


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_signs_of_all_numbers_under_all_masks(bits: int) -> None:
    numbers, masks = (grid.reshape(-1) for grid in np.mgrid[-(2 ** (bits - 1)) : 2 ** (bits - 1), 0 : 2**bits])
    found = signs_of(numbers, masks, bits, np.random.default_rng(0))
    assert found == (numbers < 0).astype(int).tolist()


@pytest.mark.parametrize("bits", BITS)
def test_as_many_stages_as_documented(bits: int) -> None:
    assert len(comparison(bits).stages) == (bits > 5) + (bits > 17)


@pytest.mark.parametrize(
    ("bits", "dealt", "opened"),
    [
        (2, 2, 0),
        (3, 3 + 1, 0),
        (5, 5 + 11, 0),  # a block of 4 bits: all products of two and more of them
        (6, 6 + (4 + 1) + 1, 2),  # blocks of 3 and 2, joined by one product
        (9, 9 + (4 + 4 + 1) + 5, 4),  # blocks of 3, 3, 2, joined by e0 l1 and e0 e1 l2
        (17, 17 + 4 * 11 + 15, 6),  # four blocks of 4; then e0 e1 e2 l3 as well: 10 products that are new
        (64, 64 + (15 * 11 + 4) + (3 * 22 + 15) + 15, 27 + 6),  # 16 blocks, in four nodes
    ],
)
def test_hand_computed_bits(bits: int, dealt: int, opened: int) -> None:
    assert (comparison(bits).dealt_bits, comparison(bits).opened_bits) == (dealt, opened)


@pytest.mark.parametrize("k", CANDIDATES)
def test_the_winner_is_the_first_smallest(k: int) -> None:
    generator = np.random.default_rng(k)
    values = np.array(list(product(range(k), repeat=k))).T if k <= 5 else generator.integers(0, k // 2 + 1, (k, 20_000))
    earlier, later = pairs_of(k)
    assert (earlier < later).all()
    assert len({*zip(earlier, later, strict=True)}) == k * (k - 1) // 2
    less = np.stack([planes_of(row, 1)[0] for row in (values[later] < values[earlier]).astype(np.int64)])
    shares = xor_shares(less, generator)
    for stage in winner(k):
        shares = through(stage, shares, generator)
    assert rows_of(shares, values.shape[1]).tolist() == (values.argmin(0) == np.arange(k - 1)[:, None]).tolist()


@pytest.mark.parametrize("k", CANDIDATES)
def test_rounds_of_the_winner(k: int) -> None:
    assert len(winner(k)) == (1 if k <= 5 else 2)


def stages() -> list[tuple[Stage, int]]:
    """All stages, with how many rows they have to choose from."""
    found = []
    for bits in BITS:
        rows = bits
        for stage in (comparison(bits).leaves, *comparison(bits).stages):
            found.append((stage, rows))
            rows = stage.outputs
        assert rows == 1
    for k in CANDIDATES:
        rows = len(pairs_of(k)[0])
        for stage in winner(k):
            found.append((stage, rows))
            rows = stage.outputs
        assert rows == k - 1
    return found


def test_nothing_is_opened_dealt_or_carried_in_vain_or_twice() -> None:
    for stage, rows in stages():
        opened, carried = stage.opened.tolist(), stage.carried.tolist()
        assert sorted({*opened, *carried}) == list(range(rows))
        assert len({*opened, *carried}) == len(opened) + len(carried)

        masks = [frozenset([row]) for row in range(len(opened))]
        for left, right in stage.mask_steps:
            masks.append(masks[left] | masks[right])
            assert 2 <= len(masks[-1]) <= FAN_IN
        assert len({*masks}) == len(masks)

        terms = [tuple(term) for term in stage.terms.tolist()]
        assert len({*terms}) == len(terms)
        assert {share for _, _, share in terms} - {-1} == set(range(len(masks) + len(carried)))
        assert {output for output, _, _ in terms} == set(range(stage.outputs))


def test_public_products_are_made_once_from_earlier_ones() -> None:
    for stage, _ in stages():
        bits = len(stage.opened) * (1 + stage.complements)
        publics: list[frozenset[int]] = [frozenset(), *(frozenset([bit]) for bit in range(bits))]
        for left, right in stage.steps:
            publics.append(publics[left] | publics[right])
        assert len({*publics}) == len(publics)


@pytest.mark.parametrize("circuit", [*map(comparison, BITS), *map(winner, CANDIDATES)])
def test_each_output_s_share_holds_a_dealt_share_that_is_used_nowhere_else(circuit: Any) -> None:
    """So the outputs' shares can be opened: they are uniform, but for their sum. The leaves' shares are all dealt."""
    stages = circuit if isinstance(circuit, tuple) else (circuit.leaves, *circuit.stages)
    last, leaves_alone = stages[-1], not isinstance(circuit, tuple) and len(stages) == 1
    masks, products = (0 if leaves_alone else len(last.opened)), len(last.mask_steps)
    dealt = range(masks, len(last.opened) + products)
    uses = Counter(share for _, _, share in last.terms.tolist())
    fresh = {
        output for output, public, share in last.terms.tolist() if public == 0 and share in dealt and uses[share] == 1
    }
    assert fresh == set(range(last.outputs))
