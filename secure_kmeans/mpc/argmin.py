"""Argmin of shared numbers, as shared one-hot vectors; ties go to the lowest index, as in NumPy.

All pairs of few candidates are compared at once. The k - 1 differences to the first candidate are opened under masks.
The difference of two opened numbers is the masked difference of a pair, so k (k - 1) / 2 comparisons open k - 1
numbers. Many candidates play a tournament of such stages.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from secure_kmeans.mpc.circuits import comparison, winner
from secure_kmeans.mpc.cleartext import difference_planes_of
from secure_kmeans.mpc.comparison import evaluated, signs, to_integers
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.kernels import words_for
from secure_kmeans.mpc.packing import bytes_for
from secure_kmeans.mpc.products import multiply
from secure_kmeans.mpc.rounds import Opening, Step

FEW: Final = 7
"""Up to this number of candidates all pairs are always compared, which takes fewer bytes than a tournament."""

MANY: Final = 10
"""Above this number of candidates a tournament is always played."""

_ROUND_BYTES: Final = 1 << 15
"""Bytes that could be sent in the time of one round: 50 microseconds at 600 MB/s."""

_SELECTING_BYTES: Final = 50
"""Measured cost of a tournament's candidate besides comparisons: integers, two products, dealt scores."""

_GROUP: Final = 4
"""Candidates of a tournament's group."""

_LARGE_GROUP: Final = 8
"""The same where there are more than ``_GROUP * MANY`` candidates."""


def compares_all_pairs(k: int, m: int, bits: int) -> bool:
    """Whether all pairs of k candidates in m columns are compared at once, as bytes and rounds of both ways decide.

    Every role decides the same, because the arguments are public.
    """
    if not FEW < k <= MANY:
        return k <= FEW
    pair = (comparison(bits).dealt_bits + 2 * comparison(bits).opened_bits) / 8
    g, group = -(-k // _GROUP), _GROUP
    at_once = k * (k - 1) // 2 * pair
    played = (g * group * (group - 1) // 2 + g * (g - 1) // 2) * pair + g * group * _SELECTING_BYTES
    extra_rounds = 4 + comparison(bits).rounds
    return at_once * m <= played * m + extra_rounds * _ROUND_BYTES


def argmin_of_masked(core: Core, masks: np.ndarray, masked: np.ndarray, bits: int) -> Step[np.ndarray]:
    """Which of k numbers v is the smallest, from their masked differences to the first.

    Parameters
    ----------
    masks : (k - 1, m) int64 handle
        Of uniform masks.
    masked : (k - 1, m) int64 shares
        ``(v_j - v_0) + mask``, j = 1, ..., k - 1.
    bits : int
        Every difference of two v is from ``-2^(bits - 1)`` to below ``2^(bits - 1)``.

    Returns
    -------
    (k - 1, words) uint64 planes of XOR shares: row j of [v_j is the first smallest], for all but the last v.
    Rounds: 1, the comparison's 0 to 2, and of the tree that joins them 0 for k = 2, 1 up to 5, 2 up to 17.
    """
    k, m = len(masks) + 1, masks.shape[1]
    words = words_for(m)
    if k == 1:
        return np.zeros((0, words), dtype=np.uint64)
    circuit = comparison(bits)
    compared = core.provider.difference_bits(masks, circuit)
    joined = core.provider.circuit(winner(k), words)
    if not core.takes_part:
        return np.zeros((k - 1, words), dtype=np.uint64)
    opened = yield Opening(masked, bytes_for(bits))
    less = yield from signs(core, circuit, compared, difference_planes_of(opened, bits))
    if k == 2:
        return ~less if core.first else less
    return (yield from evaluated(core, joined, less.reshape(k * (k - 1) // 2, words)))


def argmin_one_hot(core: Core, values: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
    """One-hot vectors of the first smallest number of each column.

    Parameters
    ----------
    values : (k, m) int64 shares
    bits : int
        Every difference of two numbers of a column is from ``-2^(bits - 1)`` to below ``2^(bits - 1)``.

    Returns
    -------
    (k, m) int64 shares of the integers 0 and 1, exactly one 1 in each column, in the row that ``numpy.argmin`` finds.
    Rounds: 1 more than :func:`argmin_of_masked` where all pairs are compared.
    """
    k, m = values.shape
    if k == 1:
        return core.public(np.ones((1, m), dtype=np.int64))
    if not compares_all_pairs(k, m, bits):
        return (yield from _argmin_of_groups(core, values, bits))
    masks = core.provider.uniform(k - 1, m)
    masked = values[1:] - values[:1]
    masked += masks
    planes = yield from argmin_of_masked(core, masks, masked, bits)
    most = yield from to_integers(core, planes, m)
    last = core.public(np.ones((1, m), dtype=np.int64)) - most.sum(axis=0, keepdims=True)
    return np.concatenate([most, last])


def _argmin_of_groups(core: Core, values: np.ndarray, bits: int) -> Step[np.ndarray]:
    """Find the best candidate of each group, then the best group; groups keep the order of the candidates.

    Rounds: those of two argmins, and two products.
    """
    k, m = values.shape
    group = _GROUP if k <= _GROUP * MANY else _LARGE_GROUP
    g = -(-k // group)
    filled = _repeat_last(values, -k % group)
    groups = filled.reshape(g, group, m).transpose(1, 0, 2).reshape(group, g * m)
    within = yield from argmin_one_hot(core, groups, bits)
    best = (yield from multiply(core, within, groups)).sum(axis=0).reshape(g, m)
    between = yield from argmin_one_hot(core, best, bits)
    chosen = yield from multiply(core, within.reshape(group, g, m), between[None])
    return chosen.transpose(1, 0, 2).reshape(g * group, m)[:k]


def _repeat_last(candidates: np.ndarray, times: int) -> np.ndarray:
    """Fill up the last group with copies of its last candidate, which lose every tie with it."""
    return np.concatenate([candidates, np.repeat(candidates[-1:], times, axis=0)])
