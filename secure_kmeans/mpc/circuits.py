"""Functions of secret bits as polynomials over GF(2), evaluated on opened masked bits.

A bit x is hidden as the public ``e = x XOR a`` under a mask a. A product of bits is then

    x_1 x_2 ... x_q = sum over subsets S of the factors: (product of e_i outside S) (product of a_i in S),

a sum of public bits times *mask products*. Parties that hold XOR shares of the mask products therefore compute XOR
shares of any polynomial without messages, after the one round in which the masked bits are opened. For q = 2 this is
Beaver's multiplication. Larger q save rounds (Ishai et al., "On the power of correlated randomness in secure
computation", 2013; Ohata and Nuida, 2020, for products of many bits).

This module makes the tables that :mod:`secure_kmeans.mpc.kernels` evaluates. They follow from public shapes; no
function here has a share as its argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, pairwise
from typing import Final

import numpy as np

FAN_IN: Final = 4
"""Most bits that one round multiplies: q of them need up to 2^q - 1 - q mask products."""

Subset = tuple[int, ...]
"""A set of factors, in ascending order."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The part of a circuit that takes one round.

    Attributes
    ----------
    opened : (a,) ints
        Rows of the previous stage's output that are masked and opened.
    carried : (c,) ints
        Rows of the previous stage's output that are added to an output without being opened.
    mask_steps : (p, 2) ints
        Mask products that the parties need shares of, for :func:`~secure_kmeans.mpc.kernels.multiply_planes`.
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
    """A stage's tables while they are made: products of public bits and of masks, each listed once."""

    def __init__(self, publics: int, masks: int) -> None:
        self._publics, self._masks = publics, masks
        self._public_products: dict[Subset, int] = {(): 0} | {(i,): 1 + i for i in range(publics)}
        self._mask_products: dict[Subset, int] = {(): -1} | {(i,): i for i in range(masks)}
        self.steps: list[tuple[int, int]] = []
        self.mask_steps: list[tuple[int, int]] = []
        self.terms: list[tuple[int, int, int]] = []

    def public(self, factors: Subset) -> int:
        """Position of a product of public bits, which is listed if it is new."""
        if factors not in self._public_products:
            self.steps.append((self.public(factors[:-1]), 1 + factors[-1]))
            self._public_products[factors] = self._publics + len(self.steps)
        return self._public_products[factors]

    def mask(self, factors: Subset) -> int:
        """Row of a product of masks among the shares; -1 for the empty product."""
        if factors not in self._mask_products:
            self.mask_steps.append((self.mask(factors[:-1]), factors[-1]))
            self._mask_products[factors] = self._masks + len(self.mask_steps) - 1
        return self._mask_products[factors]

    def add(self, output: int, publics: Subset, masks: Subset) -> None:
        """Add a product of public bits and one of masks to an output."""
        self.terms.append((output, self.public(publics), self.mask(masks)))

    def add_product(self, output: int, factors: Sequence[int], publics: Sequence[int] | None = None) -> None:
        """Add the product of masked bits.

        ``publics`` are the positions of the factors' public bits, where these are complements.
        """
        public_of = dict(zip(factors, publics or factors, strict=True))
        for masked in _subsets(factors):
            self.add(output, tuple(sorted(public_of[each] for each in factors if each not in masked)), masked)

    def stage(self, opened: Sequence[int], carried: Sequence[int], complements: bool, outputs: int) -> Stage:
        """The stage of these tables; the carried rows follow all mask products."""
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
"""Stands for the first carried row in a term, until the number of mask products is known."""


def _subsets(of: Iterable[int]) -> Iterable[Subset]:
    items = tuple(of)
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


@dataclass(frozen=True)
class Comparison:
    """The circuit for the sign of ``public - mask``: the XOR of both top bits and ``[low(public) < low(mask)]``.

    The numbers have ``bits`` bits. All bits but the highest are cut into blocks. The ``less`` and ``equal`` of a block
    are polynomials of the mask's bits with public coefficients, so the leaves take no round. Trees of at most
    :data:`FAN_IN` blocks join the blocks.

    Attributes
    ----------
    bits : int
    leaves : Stage
        Its public bits are the complements of the low planes, lowest first, then the top plane. Its masks are the
        planes of the mask.
    stages : tuple of Stage
    """

    bits: int
    leaves: Stage
    stages: tuple[Stage, ...]

    @property
    def rounds(self) -> int:
        """Rounds after the masked number has been opened."""
        return len(self.stages)

    @property
    def opened_bits(self) -> int:
        """Bits that a party opens for each comparison, besides the masked number."""
        return sum(len(stage.opened) for stage in self.stages)

    @property
    def dealt_bits(self) -> int:
        """Shared bits for each comparison: the mask's own bits and all mask products."""
        return self.bits + len(self.leaves.mask_steps) + sum(len(stage.mask_steps) for stage in self.stages)


@cache
def comparison(bits: int) -> Comparison:
    """The circuit that takes the fewest bytes, of those with at most two stages.

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
    """All first stages of circuits with the fewest stages, each as the numbers of blocks that its nodes join.

    A second stage joins the nodes, where there are several.
    """
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
    """Bits of each block; they differ by at most 1."""
    return [low // blocks + (block < low % blocks) for block in range(blocks)]


def _cost(low: int, shape: list[int]) -> int:
    """Dealt bits plus twice the opened bits: every party sends an opened bit, only the dealer a dealt one."""
    dealt, opened = sum((1 << width) - 1 for width in _widths(low, sum(shape))), 0
    for sizes in [shape, [len(shape)]] if len(shape) > 1 else [shape]:
        for number, size in enumerate(sizes):
            equals = size - (number == len(sizes) - 1)
            opened += equals + size - 1
            dealt += (1 << equals) - 1 - equals + sum((1 << block) - 1 for block in range(1, size))
    return dealt + 2 * opened


def _leaves(widths: Sequence[int], bits: int) -> Stage:
    """The stage whose outputs are ``equal`` of all blocks but the last, then ``less`` of all blocks.

    The most significant block is the first.
    """
    tables = _Tables(bits, bits)
    edges = np.cumsum([0, *widths])[::-1]  # the widest blocks lie lowest
    blocks = [range(low, high) for high, low in pairwise(edges)]
    for number, block in enumerate(blocks):
        less = len(blocks) - 1 + number
        if number < len(blocks) - 1:
            tables.add_product(number, block)
        for bit in block:  # less: all bits above are equal, the mask's bit is 1 and the public one is 0
            above = range(bit + 1, block.stop)
            for masked in _subsets(above):
                tables.add(less, (bit, *(each for each in above if each not in masked)), (bit, *masked))
    tables.add(len(blocks) - 1, (bits - 1,), ())
    tables.add(len(blocks) - 1, (), (bits - 1,))
    return tables.stage(range(bits), (), complements=False, outputs=2 * len(blocks) - 1)


def _join(shape: Sequence[int]) -> Stage:
    """The stage that joins ``shape`` blocks into each node; its outputs have the order of :func:`_leaves`."""
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
    """The earlier and the later candidate of each pair of k candidates, in the order that :func:`winner` expects."""
    first, second = np.triu_indices(k, 1)
    return first.astype(np.int64), second.astype(np.int64)


@cache
def winner(k: int) -> tuple[Stage, ...]:
    """Stages from [later < earlier] of all pairs of k candidates to [candidate is the first smallest].

    The last stage has an output for each candidate but the last, whose bit is 1 less all others. A candidate wins where
    it is less than every earlier one and no later one is less than it. That is a product of k - 1 bits; a stage
    multiplies :data:`FAN_IN` of them. Two candidates need no stage: the first wins where the second is not less.
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
    """The stage that multiplies each row's ``width`` bits in groups: ceil(width / FAN_IN) outputs for each row."""
    tables = _Tables(rows * width, rows * width)
    row = 0
    for number in range(rows):
        for factors in np.array_split(np.arange(number * width, (number + 1) * width), -(-width // FAN_IN)):
            tables.add_product(row, factors.tolist())
            row += 1
    return tables.stage(range(rows * width), (), complements=False, outputs=row)
