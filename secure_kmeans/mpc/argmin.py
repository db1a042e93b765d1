"""Argmin and argmax of shared numbers, as shared one-hot vectors; ties go to the lowest index.

Few candidates are compared all pairs at once, in one stage; among many a tournament of such stages is
played.
"""

from __future__ import annotations

import itertools
from typing import Final

import torch

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.comparison import less_than
from secure_kmeans.mpc.crypten_adapter import Shared

_ALL_PAIRS: Final = 16
"""Up to so many candidates one stage decides: k (k - 1) / 2 comparisons."""

_FEW: Final = 4096
"""Up to so many candidates a stage of the tournament takes groups of 8, above groups of 4."""


def argmin_one_hot(values: Shared) -> Shared:
    """Where the smallest number of each last axis stands.

    Parameters
    ----------
    values : (..., k) additive shares, differences below 2^63 in magnitude

    Returns
    -------
    (..., k) additive shares of the integers 0 and 1, exactly one 1 in each last axis, as ``numpy.argmin``
    would place it.

    Rounds: up to 16 candidates those of one comparison, ceil(log2(k - 1)) ANDs and one bit conversion;
    for more, as often as a tournament of groups of 8 has stages, and two products for each.
    Opens masked values only.
    """
    k = values.shape[-1]
    if k == 1:
        return crypten.from_public(torch.ones(values.shape, dtype=torch.long))
    if k > _ALL_PAIRS:
        return _argmin_of_groups(values, 8)
    first, second = torch.triu_indices(k, k, offset=1)
    later_is_less = less_than(values[..., second], values[..., first])  # (..., k (k - 1) / 2)
    wins = _wins_of_each(later_is_less, k)
    return crypten.bit_to_integer(_all_ones(wins, k - 1))


def _argmin_of_groups(values: Shared, group: int) -> Shared:
    """First the best of each group, then the best group; the groups keep the order of the candidates."""
    k = values.shape[-1]
    groups = _repeat_last(values, -k % group, dim=-1).reshape(*values.shape[:-1], -(-k // group), group)
    within = argmin_one_hot(groups)
    between = argmin_one_hot((within * groups).sum(-1))
    return (within * between.unsqueeze(-1)).reshape(*values.shape[:-1], -1)[..., :k]


def argmax_one_hot(values: Shared) -> Shared:
    """As :func:`argmin_one_hot`, for the largest number, as ``numpy.argmax`` would place it."""
    return argmin_one_hot(-values)


def row_of_largest(values: Shared, rows: Shared) -> Shared:
    """The row that belongs to the largest value; at a tie the first such row.

    Parameters
    ----------
    values : (r, n) additive shares, differences below 2^63 in magnitude
    rows : (n, d) additive shares

    Returns
    -------
    (r, d) additive shares. Neither the row's number nor its value is opened.

    Rounds: for each stage of the tournament those of :func:`argmax_one_hot` and one product. A stage
    leaves one candidate in eight (of at most 4096) or one in four.
    """
    r, n = values.shape
    d = rows.shape[1]
    candidates = crypten.cat([values.unsqueeze(2), rows.unsqueeze(0).expand(r, n, d)], dim=2)
    while (m := candidates.shape[1]) > 1:
        group = min(m, 8 if r * m <= _FEW else 4)
        candidates = _repeat_last(candidates, -m % group, dim=1).reshape(r, -(-m // group), group, 1 + d)
        best = argmax_one_hot(candidates[..., 0])
        candidates = (best.unsqueeze(3) * candidates).sum(2)
    return candidates[:, 0, 1:]


def _repeat_last(candidates: Shared, times: int, dim: int) -> Shared:
    """Fill the last group up with copies of its last member, which ties can never prefer."""
    last = candidates.shape[dim] - 1
    indices = torch.arange(last + 1 + times).clamp(max=last)
    return crypten.with_share(candidates, candidates.share.index_select(dim, indices))


def _wins_of_each(later_is_less: Shared, k: int) -> Shared:
    """Bit j of candidate i: does i win against the j-th of its k - 1 opponents? As one word for each candidate.

    The earlier of a pair wins unless the later is less; both columns come from the same comparison.
    """
    pair = {(i, j): number for number, (i, j) in enumerate(itertools.combinations(range(k), 2))}
    share = later_is_less.share
    words = torch.zeros(*share.shape[:-1], k, dtype=torch.long)
    negated = torch.zeros(k, dtype=torch.long)
    for i in range(k):
        for place, j in enumerate(j for j in range(k) if j != i):
            words[..., i] ^= share[..., pair[min(i, j), max(i, j)]] << place
            if i < j:
                negated[i] |= 1 << place
    return crypten.bits_xor_public(crypten.with_share(later_is_less, words), negated)


def _all_ones(words: Shared, width: int) -> Shared:
    """Lowest bit: are the ``width`` lowest bits all 1? A tree of ANDs within each word."""
    while width > 1:
        half = width // 2
        rest = words.share >> half
        words = crypten.bits_and(words, crypten.with_share(words, rest))
        width -= half
    return words
