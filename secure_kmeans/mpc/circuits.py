"""Functions of secret bits as polynomials over GF(2), evaluated on opened masked bits.

A bit x is hidden as the public ``e = x XOR a``, where the dealer knows the mask a. A product of bits is then

    x_1 x_2 ... x_q = sum over subsets S of the factors: (product of e_i outside S) (product of a_i in S),

public bits times the dealer's *mask products*. Parties that hold XOR shares of the mask products
therefore compute XOR shares of any polynomial on their own, in the one round in which the masked bits are opened. For
q = 2 this is Beaver's multiplication; the larger q are why few rounds are needed (Ishai et al., "On the power of
correlated randomness in secure computation", 2013; Ohata and Nuida, 2020, for products of many bits).

This module draws up the tables for :mod:`secure_kmeans.mpc.kernels`, from shapes alone; no share comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, pairwise
from typing import Final

import numpy as np

FAN_IN: Final = 4
"""Bits that one round joins: with q of them the dealer sends up to 2^q - 1 - q mask products."""

Subset = tuple[int, ...]
"""Of factors, in ascending order."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One round's worth of a circuit.

    Attributes
    ----------
    opened : (a,) ints
        Rows of the previous stage's output that are masked and opened.
    carried : (c,) ints
        Rows of it that are added to an output as they are.
    mask_steps : (p, 2) ints
        The mask products that the dealer shares, for :func:`~secure_kmeans.mpc.kernels.multiply_planes`.
    steps, terms
        For :func:`~secure_kmeans.mpc.kernels.evaluate`. Public bits are the a opened ones, then, if ``complements``,
        their complements; shares are the a masks, the mask products, the carried rows.
    complements : bool
    outputs : int
    """

    opened: np.ndarray
    carried: np.ndarray
    mask_steps: np.ndarray
    steps: np.ndarray
    terms: np.ndarray
    complements: bool
    outputs: int


class _Tables:
    """Products of public bits and of masks, each listed once."""

    def __init__(self, publics: int, masks: int) -> None:
        self._publics, self._masks = publics, masks
        self._public_products: dict[Subset, int] = {(): 0} | {(i,): 1 + i for i in range(publics)}
        self._mask_products: dict[Subset, int] = {(): -1} | {(i,): i for i in range(masks)}
        self.steps: list[tuple[int, int]] = []
        self.mask_steps: list[tuple[int, int]] = []
        self.terms: list[tuple[int, int, int]] = []

    def public(self, factors: Subset) -> int:
        """Which product of public bits this is."""
        if factors not in self._public_products:
            self.steps.append((self.public(factors[:-1]), 1 + factors[-1]))
            self._public_products[factors] = self._publics + len(self.steps)
        return self._public_products[factors]

    def mask(self, factors: Subset) -> int:
        """Which row of the shares this product of masks is; -1 for the empty one."""
        if factors not in self._mask_products:
            self.mask_steps.append((self.mask(factors[:-1]), factors[-1]))
            self._mask_products[factors] = self._masks + len(self.mask_steps) - 1
        return self._mask_products[factors]

    def add(self, output: int, publics: Subset, masks: Subset) -> None:
        """Add a product of public bits and one of masks to an output."""
        self.terms.append((output, self.public(publics), self.mask(masks)))

    def add_product(self, output: int, factors: Sequence[int], publics: Sequence[int] | None = None) -> None:
        """Add the product of masked bits; ``publics`` name their public bits where these are others, complements."""
        public_of = dict(zip(factors, publics or factors, strict=True))
        for masked in _subsets(factors):
            self.add(output, tuple(sorted(public_of[each] for each in factors if each not in masked)), masked)

    def stage(self, opened: Sequence[int], carried: Sequence[int], complements: bool, outputs: int) -> Stage:
        """The tables, with the carried rows behind all mask products."""
        products = self._masks + len(self.mask_steps)
        return Stage(
            opened=np.array(opened, dtype=np.int64),
            carried=np.array(carried, dtype=np.int64),
            mask_steps=np.array(self.mask_steps, dtype=np.int64).reshape(-1, 2),
            steps=np.array(self.steps, dtype=np.int64).reshape(-1, 2),
            terms=np.array(
                [
                    (out, public, share if share < _CARRIED else share - _CARRIED + products)
                    for out, public, share in self.terms
                ],
                dtype=np.int64,
            ).reshape(-1, 3),
            complements=complements,
            outputs=outputs,
        )


_CARRIED: Final = 1 << 20


def _subsets(of: Iterable[int]) -> Iterable[Subset]:
    items = tuple(of)
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


@dataclass(frozen=True)
class Comparison:
    """How a public number is compared with a secret one that the dealer knows: ``top XOR [public < secret]``.

    The numbers have ``bits`` bits; their highest bits are added up, all others compared, as the sign of a difference
    needs it. They are cut into blocks; a block's ``less`` and ``equal`` are polynomials of the secret's bits alone, so
    the first stage is evaluated without a round. Trees of at most :data:`FAN_IN` blocks join them.

    Attributes
    ----------
    bits : int
    leaves : Stage
        Public bits: the complements of the low planes, lowest first, then the top plane. Its masks are the planes of
        the secret, of which the dealer shares the single ones, too.
    stages : tuple of Stage
    """

    bits: int
    leaves: Stage
    stages: tuple[Stage, ...]

    @property
    def rounds(self) -> int:
        """After the masked number has been opened."""
        return len(self.stages)

    @property
    def opened_bits(self) -> int:
        """Bits that a party sends for each comparison, after the masked number itself."""
        return sum(len(stage.opened) for stage in self.stages)

    @property
    def dealt_bits(self) -> int:
        """Bits of mask products for each comparison."""
        return self.bits + len(self.leaves.mask_steps) + sum(len(stage.mask_steps) for stage in self.stages)


@cache
def comparison(bits: int) -> Comparison:
    """The circuit of the fewest bytes with at most two stages.

    Parameters
    ----------
    bits : int
        2 to 64.
    """
    low = bits - 1
    shape = min(_shapes(low), key=lambda shape: _cost(low, shape))
    stages = [] if shape == [1] else [_join(shape)]
    if len(shape) > 1:
        stages.append(_join([len(shape)]))
    return Comparison(bits, _leaves(_widths(low, sum(shape)), bits), tuple(stages))


def _shapes(low: int) -> list[list[int]]:
    """How many blocks the nodes of the first stage join, with the fewest stages; a second stage joins the nodes."""
    if low <= FAN_IN:
        return [[1]]
    if low <= FAN_IN**2:
        found = [[size] for size in range(2, FAN_IN + 1)]
    else:
        found = [
            [size] * (nodes - larger) + [size + 1] * larger
            for nodes in range(2, FAN_IN + 1)
            for size in range(2, FAN_IN + 1)
            for larger in range(nodes if size < FAN_IN else 1)
        ]
    return [shape[::-1] for shape in found if sum(shape) <= low <= FAN_IN * sum(shape)]


def _widths(low: int, blocks: int) -> list[int]:
    """Bits of each block, as even as can be."""
    return [low // blocks + (block < low % blocks) for block in range(blocks)]


def _cost(low: int, shape: list[int]) -> int:
    """What grows with the time: a dealt bit is drawn twice and sent once, an opened one drawn and sent by all roles."""
    dealt, opened = sum((1 << width) - 1 for width in _widths(low, sum(shape))), 0
    for sizes in [shape, [len(shape)]] if len(shape) > 1 else [shape]:
        for number, size in enumerate(sizes):
            equals = size - (number == len(sizes) - 1)
            opened += equals + size - 1
            dealt += (1 << equals) - 1 - equals + sum((1 << block) - 1 for block in range(1, size))
    return dealt + 2 * opened


def _leaves(widths: Sequence[int], bits: int) -> Stage:
    """``equal`` of all blocks but the last, then ``less`` of all, the most significant block first."""
    tables = _Tables(bits, bits)
    edges = np.cumsum([0, *widths])[::-1]  # the widest blocks lie lowest
    blocks = [range(low, high) for high, low in pairwise(edges)]
    for number, block in enumerate(blocks):
        less = len(blocks) - 1 + number
        if number < len(blocks) - 1:
            tables.add_product(number, block)
        for bit in block:  # the secret has the first 1 where they differ: equal above, 1 here, the public's is 0
            above = range(bit + 1, block.stop)
            for masked in _subsets(above):
                tables.add(less, (bit, *(each for each in above if each not in masked)), (bit, *masked))
    tables.add(len(blocks) - 1, (bits - 1,), ())
    tables.add(len(blocks) - 1, (), (bits - 1,))
    return tables.stage(range(bits), (), complements=False, outputs=2 * len(blocks) - 1)


def _join(shape: Sequence[int]) -> Stage:
    """Nodes of so many blocks each; the same order of outputs as :func:`_leaves`."""
    blocks = sum(shape)
    opened: list[int] = []
    plan = []  # for each node: the opened rows of its equals and, from the second block on, of its lesses
    start = 0
    for size in shape:
        last = start + size == blocks
        equals = list(range(start, start + size - last))
        lesses = [blocks - 1 + block for block in range(start + 1, start + size)]
        plan.append(
            ([len(opened) + i for i in range(len(equals))], [len(opened) + len(equals) + i for i in range(len(lesses))])
        )
        opened += equals + lesses
        start += size
    tables = _Tables(len(opened), len(opened))
    for node, (equals, lesses) in enumerate(plan):
        less = len(shape) - 1 + node
        if node < len(shape) - 1:
            tables.add_product(node, equals)
        tables.terms.append((less, 0, _CARRIED + node))
        for number, row in enumerate(lesses, start=1):
            tables.add_product(less, [*equals[:number], row])
    firsts = np.cumsum([0, *shape[:-1]])
    return tables.stage(opened, [blocks - 1 + first for first in firsts], complements=False, outputs=2 * len(shape) - 1)


@cache
def pairs_of(k: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j of k candidates, in the order of :func:`winner`: the earlier ones and the later ones."""
    first, second = np.triu_indices(k, 1)
    return first.astype(np.int64), second.astype(np.int64)


@cache
def winner(k: int) -> tuple[Stage, ...]:
    """One-hot of the first smallest of k candidates, all but the last place, from [later < earlier] of all pairs.

    Candidate i wins where it is less than every earlier one, and no later one is less than it: k - 1 factors, joined
    :data:`FAN_IN` at a time. The last candidate's bit is 1 less all others. Of two candidates the first wins where the
    second is not less: no stage.
    """
    if k == 2:
        return ()
    first, second = pairs_of(k)
    pairs = len(first)
    wins = [
        [(pair, pairs * int(i == first[pair])) for pair in range(pairs) if i in (first[pair], second[pair])]
        for i in range(k - 1)
    ]
    if k - 1 <= FAN_IN:
        tables = _Tables(2 * pairs, pairs)
        for i, factors in enumerate(wins):
            tables.add_product(i, [pair for pair, _ in factors], [pair + negated for pair, negated in factors])
        return (tables.stage(range(pairs), (), complements=True, outputs=k - 1),)
    tables = _Tables(2 * pairs, pairs)
    row, width = 0, -(-(k - 1) // FAN_IN)
    for factors in wins:
        for group in np.array_split(np.array(factors), width):
            tables.add_product(row, group[:, 0].tolist(), group.sum(axis=1).tolist())
            row += 1
    stages = [tables.stage(range(pairs), (), complements=True, outputs=row)]
    while width > 1:
        stages.append(_conjunctions(k - 1, width))
        width = -(-width // FAN_IN)
    return tuple(stages)


def _conjunctions(rows: int, width: int) -> Stage:
    """The products of ``width`` bits each, joined once: (rows * width) bits become rows * ceil(width / FAN_IN)."""
    tables = _Tables(rows * width, rows * width)
    row = 0
    for number in range(rows):
        for factors in np.array_split(np.arange(number * width, (number + 1) * width), -(-width // FAN_IN)):
            tables.add_product(row, factors.tolist())
            row += 1
    return tables.stage(range(rows * width), (), complements=False, outputs=row)
