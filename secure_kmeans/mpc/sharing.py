"""The border between numbers in the clear and encrypted tensors: entering, and revealing on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

import numpy as np
import torch

from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold
from secure_kmeans.job.ledger import Disclosure, Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.engine import Engine, SecureEngine
from secure_kmeans.mpc.packing import RING_BYTES
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.rows import Assignment

_SUM_BITS: Final = 200


class Sharing:
    """Entering numbers into a computation on shares, and revealing results, at one role.

    Parameters
    ----------
    engine : Engine
    ledger : Ledger
        Every disclosure is recorded there first.
    parties : sequence of str
        Names in rank order.
    rank : int
        This role's position among them; the dealer's is their number.
    precision_bits : int
        Fractional bits f of the fixed point.
    """

    def __init__(self, engine: Engine, ledger: Ledger, parties: Sequence[str], rank: int, precision_bits: int) -> None:
        self.engine, self.ledger = engine, ledger
        self.parties, self.rank = tuple(parties), rank
        self.fixed_point = FixedPoint(precision_bits)

    # ---------------------------------------------------------------- entering

    def enter_rows(self, own: np.ndarray, counts: Sequence[int], bits: int | None = None) -> Shared:
        """Enter all parties' rows, one below the other in rank order. Rounds: 0.

        Parameters
        ----------
        own : (counts[rank], n_features) float64, scaled
        counts : sequence of int
            Every party's number of rows.
        bits : int, optional
            Fractional bits, if not those of the fixed point.

        Returns
        -------
        (n, n_features) encrypted tensor.
        """
        if self.engine.is_dealer:
            return wrap(np.zeros((sum(counts), own.shape[1]), dtype=np.int64))
        encoded = self._encoded(own, bits)
        return crypten.cat(
            [
                crypten.share(encoded if rank == self.rank else None, rank, (count, own.shape[1]))
                for rank, count in enumerate(counts)
                if count
            ]
        )

    def enter_columns(self, own: np.ndarray, widths: Sequence[int], bits: int | None = None) -> Shared:
        """Enter all parties' columns of the same rows, side by side in rank order. Rounds: 0.

        Parameters
        ----------
        own : (n, widths[rank]) float64, scaled
        widths : sequence of int
            Every party's number of columns.
        bits : int, optional
            Fractional bits, if not those of the fixed point.

        Returns
        -------
        (n, n_features) encrypted tensor.
        """
        n = len(own)
        if self.engine.is_dealer:
            return wrap(np.zeros((n, sum(widths)), dtype=np.int64))
        encoded = self._encoded(own, bits)
        return crypten.cat(
            [
                crypten.share(encoded if rank == self.rank else None, rank, (n, width))
                for rank, width in enumerate(widths)
            ],
            dim=1,
        )

    def _encoded(self, own: np.ndarray, bits: int | None) -> torch.Tensor:
        fixed_point = self.fixed_point if bits is None else FixedPoint(bits)
        return torch.from_numpy(fixed_point.encode(own))

    def enter_public(self, values: np.ndarray) -> Shared:
        """Public reals as an encrypted tensor. Rounds: 0."""
        return self.engine.public(self.fixed_point.encode(values))

    def enter_share(self, kept: np.ndarray) -> Shared:
        """This party's share of an earlier run, with a fresh share of 0 added. Rounds: 0."""
        if self.engine.is_dealer:
            return wrap(np.zeros(kept.shape, dtype=np.int64))
        zero = crypten.share(torch.zeros(kept.shape, dtype=torch.long), 0, kept.shape)
        return wrap(np.ascontiguousarray(kept)) + zero

    # --------------------------------------------------------------- revealing

    def revealing(
        self,
        values: Shared,
        disclosure: Disclosure,
        *,
        to: str | None = None,
        iteration: int | None = None,
        size: int = RING_BYTES,
    ) -> Step[np.ndarray]:
        """Disclose shared integers, to all parties or to one.

        Parameters
        ----------
        values : encrypted tensor, of integers or of words of bits
        disclosure : Disclosure
        to : str, optional
            The party that learns the values, where not all do.
        iteration : int, optional
        size : int
            The values are from 0 to below ``2^(8 size)``, or any where ``size`` is 8.

        Returns
        -------
        int64 or uint64 array of the same shape; zeros at a role that does not learn the values. Rounds: 1.
        """
        share = share_of(values)
        if not self.engine.takes_part:
            return np.zeros_like(share)
        self.ledger.record(disclosure, to, iteration)
        opened = yield Opening(share, size, None if to is None else self.parties.index(to))
        return opened if size == RING_BYTES else opened & np.int64((1 << 8 * size) - 1)

    def reveal(
        self, values: Shared, disclosure: Disclosure, *, iteration: int | None = None, size: int = RING_BYTES
    ) -> np.ndarray:
        """:meth:`revealing` to all parties, in a round of its own."""
        revealed: np.ndarray = self.engine.execute(self.revealing(values, disclosure, iteration=iteration, size=size))
        return revealed

    def reveal_to_owners(
        self, values: Shared, counts: Sequence[int], disclosure: Disclosure, *, size: int
    ) -> np.ndarray:
        """Disclose (n,) numbers, one for each row: to each party those of its own rows. Rounds: 1.

        Returns
        -------
        (own rows,) int64
        """
        edges = np.cumsum([0, *counts]).tolist()
        owners = {
            party: slice(start, stop)
            for party, (start, stop) in zip(self.parties, pairwise(edges), strict=True)
            if stop > start
        }
        steps = [self.revealing(values[rows], disclosure, to=party, size=size) for party, rows in owners.items()]
        revealed = dict(zip(owners, self.engine.together(*steps), strict=True))
        own = revealed.get(self.parties[self.rank]) if self.rank < len(self.parties) else None
        return np.empty(0, dtype=np.int64) if own is None else own

    def reveal_columns_to_owners(self, values: Shared, widths: Sequence[int], disclosure: Disclosure) -> np.ndarray:
        """Disclose (m, n_features) numbers: to each party those in its own columns. Rounds: 1.

        Returns
        -------
        (m, n_features) int64; zeros in the other columns.
        """
        edges = np.cumsum([0, *widths]).tolist()
        owned = [slice(start, stop) for start, stop in pairwise(edges)]
        steps = [
            self.revealing(values[:, columns], disclosure, to=party)
            for party, columns in zip(self.parties, owned, strict=True)
        ]
        return np.concatenate(self.engine.together(*steps), axis=1)

    def revealing_labels(
        self, H: Assignment, n: int, disclosure: Disclosure, *, iteration: int | None = None
    ) -> Step[np.ndarray]:
        """Disclose the assignment of n rows to all parties: (r, n) int64. Rounds: 1."""
        assert isinstance(self.engine, SecureEngine)
        if self.engine.takes_part:
            self.ledger.record(disclosure, iteration=iteration)
        return (yield from self.engine.labels_in_the_clear(H, n))

    def reveal_sum(self, own: float, disclosure: Disclosure, *, bound: float) -> float:
        """Disclose the sum of one number of each party to all parties, and nothing else about the numbers.

        Parameters
        ----------
        own : float
            This party's number, |number| <= ``bound``.
        disclosure : Disclosure
        bound : float
            Public, at least of the magnitude of the sum.

        Returns
        -------
        float. Error: P units of ``2^-200`` times the next power of two above ``bound``, and one rounding: relative to
        the sum 10^-15 or less unless the sum is 10^-40 of its bound.

        Rounds: 1.
        """
        unit = Fraction(2) ** (bits_to_hold(bound) - _SUM_BITS) if bound > 1 else Fraction(1, 1 << _SUM_BITS)
        if self.engine.takes_part:
            self.ledger.record(disclosure)
        total: int = self.engine.execute(self.engine.sum_of_all(int(Fraction(own) / unit)))
        return float(total * unit)
