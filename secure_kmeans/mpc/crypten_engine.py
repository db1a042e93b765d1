"""CrypTen's own circuits behind the same steps, for comparison only: right, and many times slower.

Products, adders and conversions are CrypTen's, with a request to the dealer for each (:mod:`.crypten_adapter`). What
CrypTen does not do exactly is made of them: argmin with ties to the lowest index, division without a wrong digit.
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
    return crypten.from_share(torch.from_numpy(np.ascontiguousarray(share)))


def _array(values: Shared) -> np.ndarray:
    array: np.ndarray = values.share.numpy()
    return array


class CryptenEngine:
    """See :class:`~secure_kmeans.mpc.engine.Engine`. CrypTen talks when it is called: no rounds are shared."""

    def __init__(self, core: Core) -> None:
        self.execute, self.together, self.public = core.execute, core.together, core.public
        self.takes_part = True
        self._X = np.zeros((0, 0), dtype=np.int64)

    def less_than(self, left: np.ndarray, right: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """Exact for every difference below 2^63. Rounds: 7 ceil(log2 P) + 1, and as many answers of the dealer."""
        yield from ()
        left, right = np.broadcast_arrays(left, right)
        return _array(crypten.bit_to_integer(crypten.sign_bits(_shared(left - right))))

    def argmin_one_hot(self, values: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """All pairs, each column's k (k - 1) / 2 comparisons."""
        yield from ()
        return _array(_argmin_one_hot(_shared(values.T))).T

    def multiply(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """CrypTen's Beaver product."""
        yield from ()
        return _array(_shared(left) * _shared(right))

    def matmul(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """CrypTen's Beaver product of matrices."""
        yield from ()
        return _array(_shared(left).matmul(_shared(right)))

    def squares(self, values: np.ndarray) -> Step[np.ndarray]:
        """CrypTen's square, with one opened number for each element where a product has two."""
        yield from ()
        return _array(crypten.squares(_shared(values)))

    def shift_right(self, values: np.ndarray, bits: int) -> Step[np.ndarray]:
        """As a division; the quotients are not checked to have gone astray."""
        quotients, _ = _floor_divide(_shared(values), torch.tensor(1 << bits), (1 << 62) >> bits)
        yield from ()
        return _array(quotients)

    def enter(self, rows: np.ndarray, r: int, k: int, bits: int) -> Step[None]:
        """Keep the rows."""
        yield from ()
        self._X = rows

    def centroids(self, C: np.ndarray) -> Step[np.ndarray]:
        """As they are."""
        yield from ()
        return C

    def label(self, C: np.ndarray, bits: int) -> Step[Assignment]:
        """Scores and their argmin, a block of rows after the other."""
        r, k, d = C.shape
        flat = np.ascontiguousarray(C.reshape(r * k, d))
        norms = (yield from self.squares(flat)).sum(axis=1)
        block = max(1, _COMPARISONS_AT_ONCE // (r * k * k))
        parts = []
        for start in range(0, len(self._X), block):
            rows = self._X[start : start + block]
            scores = norms - 2 * (yield from self.matmul(rows, flat.T))
            parts.append(_array(_argmin_one_hot(_shared(scores.reshape(len(rows), r, k)))))
        return Assignment([np.concatenate(parts)], r)  # (n, r, k)

    def moved_more(self, before: np.ndarray, now: np.ndarray, limit: int) -> Step[np.ndarray]:
        """One square and one sign for each restart."""
        moved = (yield from self.squares(now - before)).sum(axis=(1, 2))
        bits = _array(crypten.sign_bits(_shared(self.public(np.full(moved.shape, np.int64(limit))) - moved)))
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
        """Nothing to do before the divisors are known."""
        yield from ()
        return T

    def divided(self, T: np.ndarray, divisors: np.ndarray, largest: int, most: int) -> Step[np.ndarray]:
        """The quotients, and one opened number: how many of them are wrong.

        Raises
        ------
        ProtocolError
            Where one is, which happens once in many runs.
        """
        t = torch.from_numpy(divisors)[:, None]
        dividends = T + self.public(np.broadcast_to(divisors[:, None] // 2, T.shape))
        quotients, astray = _floor_divide(_shared(dividends), t, largest)
        if (yield Opening(_array(astray).reshape(1))).any():
            raise ProtocolError("a division of shares went astray, which happens once in many runs: run again")
        return _array(quotients)

    def divided_by_secret(
        self, T: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, largest: int
    ) -> Step[np.ndarray]:
        """Refused: a job that hides its counts names the other engine."""
        raise NotImplementedError

    def hidden_anew(self, values: np.ndarray) -> Step[np.ndarray]:
        """A product with 1 hides the values under the dealer's stream. Rounds: 1."""
        return (yield from self.multiply(values, self.public(np.ones_like(values))))


def _argmin_one_hot(values: Shared) -> Shared:
    """Where the smallest number of each last axis stands, the first of several, as integers."""
    k = values.shape[-1]
    if k == 1:
        return crypten.from_public(torch.ones(values.shape, dtype=torch.long))
    first, second = torch.triu_indices(k, k, offset=1)
    later_is_less = crypten.sign_bits(values[..., second] - values[..., first])  # (..., k (k - 1) / 2)
    wins = _wins_of_each(later_is_less, k)
    while (width := len(wins)) > 1:
        half = width // 2
        joined = crypten.bits_and(crypten.stack(wins[:half]), crypten.stack(wins[half : 2 * half]))
        wins = [*crypten.unstack(joined), *wins[2 * half :]]
    return crypten.bit_to_integer(wins[0])


def _wins_of_each(later_is_less: Shared, k: int) -> list[Shared]:
    """For each of k - 1 opponents: does candidate i win against its j-th? The earlier wins unless the later is less."""
    pair = {(i, j): number for number, (i, j) in enumerate(itertools.combinations(range(k), 2))}
    wins = []
    for place in range(k - 1):
        opponents = [(i, place if place < i else place + 1) for i in range(k)]
        columns = torch.tensor([pair[min(i, j), max(i, j)] for i, j in opponents])
        negated = torch.tensor([int(i < j) for i, j in opponents])
        wins.append(crypten.bits_xor_public(later_is_less[..., columns], negated))
    return wins


def _floor_divide(values: Shared, divisor: torch.Tensor, largest: int) -> tuple[Shared, Shared]:
    """``values // divisor``, elementwise, as NumPy computes it for integers, and how many quotients are wrong.

    Each party divides its own share (Mohassel and Zhang, SecureML, 2017, section 4.1); with three or more parties
    CrypTen's correction for the wraps of the sum of shares is added (Knott et al., 2021, appendix B). What that leaves
    is off by a few units, differently in every run; comparisons with the multiples of the divisor put it right. A
    quotient goes astray, by about ``2^64 / divisor``, when the shares wrap on the other side of the ring: with
    probability ``|value| / 2^64``. It then lies beyond ``largest``.
    """
    assert bool((divisor >= 1).all())
    off = largest_error(crypten.parties())
    rough = crypten.divide_locally(values, divisor)
    rest = values - rough * divisor
    # The quotient is rough + m with -e <= m <= e, and m is the number of multiples s that the rest reaches, less e.
    steps = torch.arange(1 - off, off + 1).reshape(-1, *[1] * values.dim())
    multiples = crypten.from_public((steps * divisor).expand(2 * off, *values.shape).contiguous())
    bound = crypten.from_public(torch.full((1, *values.shape), largest + off))
    left = crypten.cat([rest.unsqueeze(0).expand(2 * off, *values.shape), rough.unsqueeze(0), bound])
    right = crypten.cat([multiples, -bound, rough.unsqueeze(0)])
    bits = crypten.bit_to_integer(crypten.sign_bits(left - right))
    quotients = rough - bits[:-2].sum(0) + crypten.from_public(torch.full(values.shape, off))
    return quotients, bits[-2:].sum()


def largest_error(parties: int) -> int:
    """Bound of the error of the division of shares alone, in units, where no wrap goes astray.

    Each of P shares is rounded towards zero: below P units. With three or more parties the correction is
    ``4 floor(2^62 / t)`` for each wrap instead of ``2^64 / t``, below 4 units, and the sum of P shares of either
    sign wraps at most P / 2 times.
    """
    return parties if parties == 2 else parties + 4 * (parties // 2)
