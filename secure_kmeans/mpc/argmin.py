"""Argmin of shared numbers, as shared one-hot vectors; ties go to the lowest index, as in NumPy.

Few candidates are compared all pairs at once: k - 1 differences are opened under masks, and the difference of two of
those is the masked difference of the pair, so that k (k - 1) / 2 comparisons cost the openings of k - 1 numbers. Among
many candidates a tournament of such stages is played.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.circuits import comparison, pairs_of, winner
from secure_kmeans.mpc.comparison import Drawn, evaluated, planes_of, signs, to_integers
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.packing import bytes_for
from secure_kmeans.mpc.products import multiply
from secure_kmeans.mpc.rounds import Opening, Step

FEW: Final = 7
"""Up to so many candidates all pairs are always compared: fewer bytes than a tournament, whose winners are selected."""

MANY: Final = 10
"""Above so many a tournament is always played."""

_ROUND_BYTES: Final = 1 << 15
"""What a round costs, in bytes that could have been sent meanwhile: 50 microseconds at 600 MB/s."""


def compares_all_pairs(k: int, m: int, bits: int) -> bool:
    """Whether k candidates in m columns are compared all pairs at once; by bytes and rounds, the same at all roles."""
    if not FEW < k <= MANY:
        return k <= FEW
    pair = (comparison(bits).dealt_bits + 2 * comparison(bits).opened_bits) / 8
    g, group = -(-k // _GROUP), _GROUP
    at_once = k * (k - 1) // 2 * pair
    played = (g * group * (group - 1) // 2 + g * (g - 1) // 2) * pair + g * group * _SELECTING_BYTES
    extra_rounds = 4 + comparison(bits).rounds
    return at_once * m <= played * m + extra_rounds * _ROUND_BYTES


_SELECTING_BYTES: Final = 50
"""What a candidate of a tournament costs besides comparisons, as measured: integers, two products, dealt scores."""

_GROUP: Final = 4


def argmin_of_masked(core: Core, masked: np.ndarray, bits: int) -> Step[np.ndarray]:
    """Which of k numbers is the smallest, from their differences to the first under masks that the dealer knows.

    Parameters
    ----------
    masked : (k - 1, m) int64
        A party's share of ``(v_j - v_0) + mask``, j = 1, ..., k - 1; at the dealer the masks.
    bits : int
        Every difference of two v is from ``-2^(bits - 1)`` to below ``2^(bits - 1)``.

    Returns
    -------
    (k - 1, words) uint64 planes of XOR shares: row j of [v_j is the first smallest], for all but the last v.
    Rounds: 1, the comparison's 0 to 2, and of the tree that joins them 0 for k = 2, 1 up to 5, 2 up to 17.
    """
    k, m = len(masked) + 1, masked.shape[1]
    words = kernels.words_for(m)
    if k == 1:
        return np.zeros((0, words), dtype=np.uint64)
    circuit, tree = comparison(bits), winner(k)
    earlier, later = pairs_of(k)

    def differences(planes: np.ndarray) -> np.ndarray:
        out = np.empty((bits, len(later), words), dtype=np.uint64)
        kernels.subtract_planes(planes, later - 1, earlier - 1, out)
        return out.reshape(bits, -1)

    compared = Drawn(
        core.provider, len(later) * words, circuit.stages, circuit.leaves, lambda: differences(planes_of(masked, bits))
    )
    joined = Drawn(core.provider, words, tree)
    if not core.acts:
        return np.zeros((k - 1, words), dtype=np.uint64)
    opened = yield Opening(masked, bytes_for(bits))
    less = yield from signs(core, circuit, compared, differences(planes_of(opened, bits)))
    if k == 2:
        return ~less if core.first else less
    return (yield from evaluated(core, joined, less.reshape(len(later), words)))


def one_hot_of_masked(core: Core, masked: np.ndarray, bits: int, size: int = 8) -> Step[np.ndarray]:
    """:func:`argmin_of_masked` as (k, m) int64 additive shares, modulo 2^(8 size). Rounds: 1 more."""
    m = masked.shape[1]
    planes = yield from argmin_of_masked(core, masked, bits)
    most = yield from to_integers(core, planes, m, size)
    return with_last(core, most)


def with_last(core: Core, most: np.ndarray) -> np.ndarray:
    """One-hot vectors (k, m) from all rows but the last."""
    return np.concatenate([most, core.public(np.ones((1, most.shape[1]), dtype=np.int64)) - most.sum(0, keepdims=True)])


def argmin_one_hot(core: Core, values: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
    """Where the smallest number of each column stands.

    Parameters
    ----------
    values : (k, m) int64 shares
    bits : int
        Every difference of two numbers of a column is from ``-2^(bits - 1)`` to below ``2^(bits - 1)``.

    Returns
    -------
    (k, m) int64 shares of the integers 0 and 1, exactly one 1 in each column, as ``numpy.argmin`` would place it.
    """
    k, m = values.shape
    if k == 1:
        return core.public(np.ones((1, m), dtype=np.int64))
    if not compares_all_pairs(k, m, bits):
        return (yield from _argmin_of_groups(core, values, bits))
    masked = core.provider.uniform(k - 1, m)
    masked += (values[1:] - values[:1]) * core.acts
    return (yield from one_hot_of_masked(core, masked, bits))


def _argmin_of_groups(core: Core, values: np.ndarray, bits: int) -> Step[np.ndarray]:
    """First the best of each group, then the best group; the groups keep the order of the candidates.

    Rounds: those of two argmins, and two products.
    """
    k, m = values.shape
    group = _GROUP if k <= _GROUP * MANY else 8
    g = -(-k // group)
    filled = _repeat_last(values, -k % group)
    groups = filled.reshape(g, group, m).transpose(1, 0, 2).reshape(group, g * m)
    within = yield from argmin_one_hot(core, groups, bits)
    best = (yield from multiply(core, within, groups)).sum(axis=0).reshape(g, m)
    between = yield from argmin_one_hot(core, best, bits)
    chosen = yield from multiply(core, within.reshape(group, g, m), between[None])
    return chosen.transpose(1, 0, 2).reshape(g * group, m)[:k]


def _repeat_last(candidates: np.ndarray, times: int) -> np.ndarray:
    """Fill the last group up with copies of its last member, which ties can never prefer."""
    return np.concatenate([candidates, np.repeat(candidates[-1:], times, axis=0)])
