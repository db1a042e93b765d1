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
from secure_kmeans.job.fixed_point import RING_BITS
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc import summation
from secure_kmeans.mpc.cleartext import plane_of
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.rows import Assignment

_COMPARISONS_AT_ONCE: Final = 1 << 19
"""Bounds the memory of a labelling: CrypTen's adder holds some 20 words for each comparison."""


class CryptenRows:
    """Rows as an encrypted tensor; see :class:`~secure_kmeans.mpc.engine.RowsOfAnEngine`."""

    def __init__(self, X: Shared) -> None:
        self._X = X

    def __len__(self) -> int:
        return int(self._X.size(0))

    def label(self, C: Shared, bits: int) -> Step[Assignment]:
        """Scores and their argmin, one block of rows after another: integers, (n, r, k)."""
        yield from ()
        r, k, d = C.size()
        flat = C.reshape(r * k, d)
        norms = crypten.squares(flat).sum(1)
        block = max(1, _COMPARISONS_AT_ONCE // (r * k * k))
        parts = []
        for start in range(0, len(self), block):
            rows = self._X[start : start + block]
            scores = norms - rows.matmul(flat.t()) * 2
            parts.append(_argmin_one_hot(scores.reshape(rows.size(0), r, k)))
        return Assignment((crypten.cat(parts),), k, r)

    def sums(self, H: Assignment, size: int) -> Step[tuple[Shared, Shared]]:
        """One product of matrices."""
        yield from ()
        one_hot = H.blocks[0]
        n, r, k = one_hot.size()
        T = one_hot.reshape(n, r * k).t().matmul(self._X)
        return T.reshape(r, k, -1), one_hot.sum(0)

    def labels(self, H: Assignment) -> Step[tuple[Shared, Shared]]:
        """Local."""
        yield from ()
        one_hot = H.blocks[0][:, 0]
        return (one_hot * torch.arange(H.n_clusters)).sum(1), one_hot.sum(0)


class CryptenEngine:
    """See :class:`~secure_kmeans.mpc.engine.Engine`. CrypTen sends at each call, so that no rounds are shared."""

    is_dealer = has_dealer = False
    takes_part = True

    def __init__(self, core: Core) -> None:
        self._core = core
        self.execute, self.together, self.drawing_only = core.execute, core.together, core.drawing_only

    def public(self, values: np.ndarray) -> Shared:
        """The value at the first party, 0 elsewhere."""
        return crypten.from_public(torch.from_numpy(np.array(values)))

    def less_than(self, left: Shared, right: Shared, bits: int = RING_BITS) -> Step[Shared]:
        """Exact for every difference below 2^63. Rounds: 7 ceil(log2 P) + 1, and as many answers of the dealer."""
        yield from ()
        return crypten.bit_to_integer(crypten.sign_bits(left - right))

    def argmin_one_hot(self, values: Shared, bits: int = RING_BITS) -> Step[Shared]:
        """All pairs, each column's k (k - 1) / 2 comparisons."""
        yield from ()
        return _argmin_one_hot(values.t()).t()

    def multiply(self, left: Shared, right: Shared) -> Step[Shared]:
        """CrypTen's Beaver product."""
        yield from ()
        return left * right

    def matmul(self, left: Shared, right: Shared) -> Step[Shared]:
        """CrypTen's Beaver product of matrices."""
        yield from ()
        return left.matmul(right)

    def squares(self, values: Shared) -> Step[Shared]:
        """CrypTen's square, with one opened number for each element where a product has two."""
        yield from ()
        return crypten.squares(values)

    def shift_right(self, values: Shared, bits: int) -> Step[Shared]:
        """As a division, without the check for wrong quotients."""
        yield from ()
        return _floor_divide(values, torch.tensor(1 << bits), (1 << 62) >> bits)[0]

    def enter(self, X: Shared, bits: int) -> Step[CryptenRows]:
        """Keep the rows as they are."""
        yield from ()
        return CryptenRows(X)

    def centroids(self, C: Shared) -> Step[Shared]:
        """Unchanged."""
        yield from ()
        return C

    def moved_more(self, before: Shared, now: Shared, limit: Shared, among: np.ndarray) -> Step[Shared]:
        """One square and one sign for each start."""
        yield from ()
        moved = crypten.squares(now - before).sum(2).sum(1)
        bits = crypten.share_of(crypten.sign_bits(limit - moved)).view(np.int64)
        return crypten.wrap(plane_of(bits.astype(bool)) & plane_of(among))

    def divide(self, T: Shared, size: int) -> Step[Shared]:
        """The sums, unchanged: nothing can be computed before the divisors are known."""
        yield from ()
        return T

    def divided(self, T: Shared, divisors: np.ndarray, largest: int, most: int) -> Step[Shared]:
        """The quotients. Opens one number: how many of them are wrong.

        Raises
        ------
        ProtocolError
            Where that number is not 0, which happens once in many runs.
        """
        t = torch.from_numpy(divisors)[..., None]
        quotients, wrong = _floor_divide(T + t // 2, t, largest)
        if (yield Opening(crypten.share_of(wrong).reshape(1))).any():
            raise ProtocolError("a division of shares went astray, which happens once in many runs: run again")
        return quotients

    def divided_by_secret(self, T: Shared, counts: Shared, otherwise: Shared, largest: int) -> Step[Shared]:
        """Not supported: a job that hides its counts must name the other engine."""
        raise NotImplementedError

    def one_hots(self, count: int, n: int) -> Step[Shared]:
        """Not supported: a job with secret starts must name the other engine."""
        raise NotImplementedError

    def random_bits(self, rows: int, m: int) -> Step[Shared]:
        """Not supported, as :meth:`one_hots`."""
        raise NotImplementedError

    def sum_of_all(self, own: int) -> Step[int]:
        """See :func:`~secure_kmeans.mpc.summation.sum_of_all`: no computation of CrypTen's."""
        return (yield from summation.sum_of_all(self._core, own))


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
