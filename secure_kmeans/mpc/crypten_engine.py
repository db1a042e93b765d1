"""CrypTen's own circuits behind the same steps, for comparison only: exact, and many times slower.

Products, adders and conversions are CrypTen's, with a request to the dealer for each (:mod:`.crypten_adapter`). Two
steps that CrypTen does not do exactly are built from them: argmin with ties to the lowest index, and division.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import torch

from secure_kmeans.errors import ProtocolError
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Assignment
from secure_kmeans.mpc.rounds import Opening, Step

_COMPARISONS_AT_ONCE: Final = 1 << 19
"""Bounds the memory of a labelling: CrypTen's adder holds some 20 words for each comparison."""


def _shared(share: np.ndarray) -> Shared:
    return crypten.wrap(np.require(share, requirements=["C", "W"]))


class CryptenEngine:
    """See :class:`~secure_kmeans.mpc.engine.Engine`. CrypTen sends at each call, so that no rounds are shared."""

    def __init__(self, core: Core) -> None:
        self.run, self.together, self.public = core.run, core.together, core.public
        self.acts = True
        self._X = np.zeros((0, 0), dtype=np.int64)

    def less_than(self, left: np.ndarray, right: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """Exact for every difference below 2^63. Rounds: 7 ceil(log2 P) + 1, and as many answers of the dealer."""
        yield from ()
        left, right = np.broadcast_arrays(left, right)
        return crypten.share_of(crypten.bit_to_integer(crypten.sign_bits(_shared(left - right))))

    def argmin_one_hot(self, values: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """All pairs, each column's k (k - 1) / 2 comparisons."""
        yield from ()
        return crypten.share_of(_argmin_one_hot(_shared(values.T))).T

    def multiply(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """CrypTen's Beaver product."""
        yield from ()
        return crypten.share_of(_shared(left) * _shared(right))

    def matmul(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """CrypTen's Beaver product of matrices."""
        yield from ()
        return crypten.share_of(_shared(left).matmul(_shared(right)))

    def squares(self, values: np.ndarray) -> Step[np.ndarray]:
        """CrypTen's square, with one opened number for each element where a product has two."""
        yield from ()
        return crypten.share_of(crypten.squares(_shared(values)))

    def shift_right(self, values: np.ndarray, bits: int) -> Step[np.ndarray]:
        """As a division, without the check for wrong quotients."""
        quotients, _ = _floor_divide(_shared(values), torch.tensor(1 << bits), (1 << 62) >> bits)
        yield from ()
        return crypten.share_of(quotients)

    def enter(self, rows: np.ndarray, r: int, k: int, bits: int) -> Step[None]:
        """Store the rows."""
        yield from ()
        self._X = rows

    def centroids(self, C: np.ndarray) -> Step[np.ndarray]:
        """Unchanged."""
        yield from ()
        return C

    def label(self, C: np.ndarray, bits: int) -> Step[Assignment]:
        """Scores and their argmin, one block of rows after another."""
        r, k, d = C.shape
        flat = np.ascontiguousarray(C.reshape(r * k, d))
        norms = (yield from self.squares(flat)).sum(axis=1)
        block = max(1, _COMPARISONS_AT_ONCE // (r * k * k))
        parts = []
        for start in range(0, len(self._X), block):
            rows = self._X[start : start + block]
            scores = norms - 2 * (yield from self.matmul(rows, flat.T))
            parts.append(crypten.share_of(_argmin_one_hot(_shared(scores.reshape(len(rows), r, k)))))
        return Assignment([np.concatenate(parts)], r)  # (n, r, k)

    def moved_more(self, before: np.ndarray, now: np.ndarray, limit: int) -> Step[np.ndarray]:
        """One square and one sign for each restart."""
        moved = (yield from self.squares(now - before)).sum(axis=(1, 2))
        less = crypten.sign_bits(_shared(self.public(np.full(moved.shape, np.int64(limit))) - moved))
        bits = crypten.share_of(less).view(np.int64)
        planes = np.empty((1, 1, kernels.words_for(len(bits))), dtype=np.uint64)
        kernels.to_planes(bits[None], 1, planes)
        return planes[0, 0]

    def sums(self, H: Assignment, size: int) -> Step[tuple[np.ndarray, np.ndarray]]:
        """One product of matrices."""
        one_hot = H.blocks[0]
        n, r, k = one_hot.shape
        T = yield from self.matmul(one_hot.reshape(n, r * k).T, self._X)
        return T.reshape(r, k, -1), one_hot.sum(axis=0)

    def labels(self, H: Assignment) -> Step[tuple[np.ndarray, np.ndarray]]:
        """Local."""
        yield from ()
        one_hot = H.blocks[0][:, 0]
        return (one_hot * np.arange(one_hot.shape[1])).sum(axis=1), one_hot.sum(axis=0)

    def divide(self, T: np.ndarray, size: int) -> Step[np.ndarray]:
        """The sums, unchanged: nothing can be computed before the divisors are known."""
        yield from ()
        return T

    def divided(self, T: np.ndarray, divisors: np.ndarray, largest: int, most: int) -> Step[np.ndarray]:
        """The quotients. Opens one number: how many of them are wrong.

        Raises
        ------
        ProtocolError
            Where that number is not 0, which happens once in many runs.
        """
        t = torch.from_numpy(divisors)[:, None]
        dividends = T + self.public(np.broadcast_to(divisors[:, None] // 2, T.shape))
        quotients, wrong = _floor_divide(_shared(dividends), t, largest)
        if (yield Opening(crypten.share_of(wrong).reshape(1))).any():
            raise ProtocolError("a division of shares went astray, which happens once in many runs: run again")
        return crypten.share_of(quotients)

    def divided_by_secret(
        self, T: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, largest: int
    ) -> Step[np.ndarray]:
        """Not supported: a job that hides its counts must name the other engine."""
        raise NotImplementedError

    def hidden_anew(self, values: np.ndarray) -> Step[np.ndarray]:
        """A product with 1 hides the values under the dealer's stream. Rounds: 1."""
        return (yield from self.multiply(values, self.public(np.ones_like(values))))


def _argmin_one_hot(values: Shared) -> Shared:
    """Where the smallest number along the last axis is, the first of equal ones: 1 there, 0 elsewhere."""
    k = values.shape[-1]
    if k == 1:
        return crypten.from_public(torch.ones(values.shape, dtype=torch.long))
    first, second = torch.triu_indices(k, k, offset=1)
    later_is_less = crypten.sign_bits(values[..., second] - values[..., first])  # (..., k (k - 1) / 2)
    wins = _wins_of_each(later_is_less, k)
    while (width := len(wins)) > 1:
        half = width // 2
        joined = crypten.bits_and(crypten.stack(wins[:half]), crypten.stack(wins[half : 2 * half]))
        wins = [*joined.unbind(0), *wins[2 * half :]]
    return crypten.bit_to_integer(wins[0])


def _wins_of_each(later_is_less: Shared, k: int) -> list[Shared]:
    """For each of k - 1 opponents, whether candidate i wins against it. The earlier wins unless the later is less."""
    pair = {(i, j): number for number, (i, j) in enumerate(itertools.combinations(range(k), 2))}
    wins = []
    for position in range(k - 1):
        opponents = [(i, position if position < i else position + 1) for i in range(k)]
        columns = torch.tensor([pair[min(i, j), max(i, j)] for i, j in opponents])
        negated = torch.tensor([int(i < j) for i, j in opponents])
        wins.append(crypten.bits_xor_public(later_is_less[..., columns], negated))
    return wins


def _floor_divide(values: Shared, divisor: torch.Tensor, largest: int) -> tuple[Shared, Shared]:
    """``values // divisor``, elementwise, as NumPy computes it for integers, and how many quotients are wrong.

    Each party divides its own share (Mohassel and Zhang, SecureML, 2017, section 4.1); with three or more parties
    CrypTen's correction for the wraps of the sum of shares is added (Knott et al., 2021, appendix B). The result is off
    by a few units, differently in every run; comparisons with the multiples of the divisor correct it. A quotient is
    wrong by about ``2^64 / divisor`` when the shares wrap on the other side of the ring, which has the probability
    ``|value| / 2^64``. It is then beyond ``largest``.
    """
    assert bool((divisor >= 1).all())
    off = largest_error(crypten.channel().world_size)
    rough = crypten.divide_locally(values, divisor)
    rest = values - rough * divisor
    # The quotient is rough + m with -e <= m <= e, and m + e is the number of multiples s that the rest reaches.
    steps = torch.arange(1 - off, off + 1).reshape(-1, *[1] * values.dim())
    multiples = crypten.from_public((steps * divisor).expand(2 * off, *values.shape).contiguous())
    bound = crypten.from_public(torch.full((1, *values.shape), largest + off))
    left = crypten.cat([rest.unsqueeze(0).expand(2 * off, *values.shape), rough.unsqueeze(0), bound])
    right = crypten.cat([multiples, -bound, rough.unsqueeze(0)])
    bits = crypten.bit_to_integer(crypten.sign_bits(left - right))
    quotients = rough - bits[:-2].sum(0) + crypten.from_public(torch.full(values.shape, off))
    return quotients, bits[-2:].sum()


def largest_error(parties: int) -> int:
    """Bound of the error of the division of shares alone, in units, where the shares wrap on the right side.

    Each of P shares is rounded towards zero: below P units. With three or more parties the correction is
    ``4 floor(2^62 / t)`` for each wrap instead of ``2^64 / t``, below 4 units, and the sum of P shares of either
    sign wraps at most P / 2 times.
    """
    return parties if parties == 2 else parties + 4 * (parties // 2)
