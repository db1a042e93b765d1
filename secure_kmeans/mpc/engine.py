"""The steps on encrypted tensors that the protocols are made of.

Protocols hold CrypTen's encrypted tensors, and add, subtract, sum, index and multiply them with public numbers by
CrypTen's own methods. What needs other roles, or what CrypTen does badly, is a step of an engine. Inside a step shares
are NumPy arrays.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from secure_kmeans.job.fixed_point import RING_BITS
from secure_kmeans.mpc import argmin, circuits, columns, comparison, division, products, summation, truncation
from secure_kmeans.mpc.cleartext import plane_of
from secure_kmeans.mpc.columns import Columns
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.kernels import WORD, words_for
from secure_kmeans.mpc.products import MaskedCentroids
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.mpc.rows import COMPARISONS_AT_ONCE, Assignment, Rows, labels_on_shares, pairs_of_candidates, slices


class RowsOfAnEngine(Protocol):
    """Rows that an engine has entered; see :class:`~secure_kmeans.mpc.rows.Rows`."""

    def __len__(self) -> int:
        """How many rows."""

    def label(self, C: Any, bits: int) -> Step[Assignment]:
        """The nearest of k centroids to each row, for each of r starts."""

    def sums(self, H: Assignment, size: int) -> Step[tuple[Shared, Shared]]:
        """Sums of the rows of each cluster (r, k, d), and their counts (r, k), modulo 2^(8 size)."""

    def labels(self, H: Assignment) -> Step[tuple[Shared, Shared]]:
        """Of one start: (n,) numbers of the rows' centroids and (k,) counts."""


class Engine(Protocol):
    """Steps on encrypted tensors. At a role that does not take part, only the result's shape is meaningful."""

    @property
    def is_dealer(self) -> bool:
        """Whether this role is the dealer, which holds no shares."""

    @property
    def has_dealer(self) -> bool:
        """Whether the dealer runs the same steps, ahead of the parties."""

    @property
    def takes_part(self) -> bool:
        """Whether this role holds shares and opens values: false at the dealer, and while a party only draws."""

    def execute(self, step: Step[Any]) -> Any:
        """The result of one step."""

    def together(self, *steps: Step[Any]) -> list[Any]:
        """The results of steps whose openings share their rounds."""

    def drawing_only(self) -> Any:
        """A context in which a party only draws what the dealer deals."""

    def public(self, values: np.ndarray) -> Shared:
        """Public int64 numbers as an encrypted tensor. Rounds: 0."""

    def less_than(self, left: Shared, right: Shared, bits: int = RING_BITS) -> Step[Shared]:
        """[left < right] as integers, for numbers whose difference fits ``bits`` bits, its sign included."""

    def argmin_one_hot(self, values: Shared, bits: int = RING_BITS) -> Step[Shared]:
        """(k, m) one-hot columns of the first smallest of (k, m)."""

    def one_hots(self, count: int, n: int) -> Step[Shared]:
        """(count, n) one-hot vectors whose positions no party knows."""

    def random_bits(self, rows: int, m: int) -> Step[Shared]:
        """(rows, m) uniform bits, as integers, that no party knows."""

    def sum_of_all(self, own: int) -> Step[int]:
        """The sum of one integer of each party, and nothing else about the integers."""

    def multiply(self, left: Shared, right: Shared) -> Step[Shared]:
        """Elementwise products."""

    def matmul(self, left: Shared, right: Shared) -> Step[Shared]:
        """Matrix products."""

    def squares(self, values: Shared) -> Step[Shared]:
        """Elementwise squares."""

    def shift_right(self, values: Shared, bits: int) -> Step[Shared]:
        """``values >> bits`` of (m,), |value| < 2^62, exactly."""

    def enter(self, X: Shared, bits: int) -> Step[RowsOfAnEngine]:
        """Enter (n, d) rows, to be labelled by scores whose differences fit ``bits`` bits, sign included."""

    def centroids(self, C: Shared) -> Step[Any]:
        """Prepare (r, k, d) centroids for labelling and :meth:`moved_more`."""

    def moved_more(self, before: Any, now: Any, limit: Shared, among: np.ndarray) -> Step[Shared]:
        """Bits, one word for each 64 starts: [sum of the squared movements > ``limit`` (1,)], 0 where not ``among``."""

    def divide(self, T: Shared, size: int) -> Step[Any]:
        """Prepare (r, k, d) dividends, |T| < 2^(8 size - 2), while their (r, k) divisors are being revealed."""

    def divided(self, T: Any, divisors: np.ndarray, largest: int, most: int) -> Step[Shared]:
        """``floor((T + t // 2) / t)`` for public t from 1 to ``most``."""

    def divided_by_secret(self, T: Shared, counts: Shared, otherwise: Shared, largest: int) -> Step[Shared]:
        """The same for shared counts below 2^24; ``otherwise`` where a count is 0."""


class SecureEngine:
    """Steps of this package's own core; see :class:`Engine`."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.execute, self.together, self.drawing_only = core.execute, core.together, core.drawing_only
        self.is_dealer, self.has_dealer = core.is_dealer, core.has_dealer

    @property
    def takes_part(self) -> bool:
        """Whether this role holds shares and opens values."""
        return self.core.takes_part

    def public(self, values: np.ndarray) -> Shared:
        """See :meth:`~secure_kmeans.mpc.core.Core.public`."""
        return wrap(self.core.public(np.ascontiguousarray(values)))

    def less_than(self, left: Shared, right: Shared, bits: int = RING_BITS) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.comparison.less_than`; many numbers are compared in blocks."""
        one, other = np.broadcast_arrays(share_of(left), share_of(right))
        one_flat, other_flat = one.reshape(-1), other.reshape(-1)
        parts = []
        for where in slices(one.size, COMPARISONS_AT_ONCE):
            parts.append((yield from comparison.less_than(self.core, one_flat[where], other_flat[where], bits)))
        return wrap(np.concatenate([*parts, np.zeros(0, dtype=np.int64)]).reshape(one.shape))

    def argmin_one_hot(self, values: Shared, bits: int = RING_BITS) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.argmin.argmin_one_hot`; many columns are searched in blocks."""
        numbers, parts = share_of(values), []
        for where in slices(numbers.shape[1], max(WORD, COMPARISONS_AT_ONCE // pairs_of_candidates(len(numbers)))):
            parts.append((yield from argmin.argmin_one_hot(self.core, numbers[:, where], bits)))
        return wrap(np.concatenate(parts, axis=1))

    def one_hots(self, count: int, n: int) -> Step[Shared]:
        """See :meth:`~secure_kmeans.mpc.provider.Provider.one_hots`. Rounds: 0."""
        yield from ()
        return wrap(self.core.provider.one_hots(count, n))

    def random_bits(self, rows: int, m: int) -> Step[Shared]:
        """The bits of a mask that is never opened. Rounds: 0."""
        yield from ()
        planes = self.core.provider.uniform_planes(rows, words_for(m))
        return wrap(self.core.provider.bits_as_integers(planes, m))

    def sum_of_all(self, own: int) -> Step[int]:
        """See :func:`~secure_kmeans.mpc.summation.sum_of_all`."""
        return (yield from summation.sum_of_all(self.core, own))

    def multiply(self, left: Shared, right: Shared) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.products.multiply`."""
        return wrap((yield from products.multiply(self.core, share_of(left), share_of(right))))

    def matmul(self, left: Shared, right: Shared) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.products.matmul`."""
        return wrap((yield from products.matmul(self.core, share_of(left), share_of(right))))

    def squares(self, values: Shared) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.products.squares`."""
        return wrap((yield from products.squares(self.core, share_of(values))))

    def shift_right(self, values: Shared, bits: int) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.truncation.shift_right`."""
        return wrap((yield from truncation.shift_right(self.core, share_of(values), bits)))

    def enter(self, X: Shared, bits: int) -> Step[Rows]:
        """See :meth:`~secure_kmeans.mpc.rows.Rows.enter`. Also draws up the circuits of the comparisons."""
        for width in (bits, RING_BITS):
            circuits.comparison(width)
        return (yield from Rows.enter(self.core, X))

    def centroids(self, C: Shared) -> Step[MaskedCentroids]:
        """See :func:`~secure_kmeans.mpc.products.masked`."""
        return (yield from products.masked(self.core, share_of(C)))

    def moved_more(
        self, before: MaskedCentroids, now: MaskedCentroids, limit: Shared, among: np.ndarray
    ) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.products.movement`."""
        spare = share_of(limit) - products.movement(self.core, before, now)
        bits = (yield from comparison.negative(self.core, spare, RING_BITS))[0]
        return wrap(bits & plane_of(among))

    def divide(self, T: Shared, size: int) -> Step[division.Dividend]:
        """See :func:`~secure_kmeans.mpc.division.dividend`."""
        share = share_of(T)
        return (yield from division.dividend(self.core, share.reshape(-1, share.shape[-1]), size))

    def divided(self, T: division.Dividend, divisors: np.ndarray, largest: int, most: int) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.division.quotient`."""
        means = yield from division.quotient(self.core, T, divisors.reshape(-1), largest, most)
        return wrap(means.reshape(*divisors.shape, -1))

    def divided_by_secret(self, T: Shared, counts: Shared, otherwise: Shared, largest: int) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.division.divide_by_secret`."""
        shares = share_of(T), share_of(counts), share_of(otherwise)
        return wrap((yield from division.divide_by_secret(self.core, *shares, largest)))

    # ------------------------------------------------------- columns that a party holds in the clear

    def columns(self, own: np.ndarray, bits: int) -> Columns:
        """Rows of which this party holds (n, own columns) in the clear; also draws up the circuits."""
        for width in (bits, RING_BITS):
            circuits.comparison(width)
        return Columns(self.core, np.ascontiguousarray(own.T))

    def labels_in_the_clear(self, H: Assignment, n: int) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.columns.labels_in_the_clear`."""
        return (yield from columns.labels_in_the_clear(self.core, H, n))

    def labels_on_shares(self, H: Assignment, n: int) -> Step[tuple[Shared, Shared]]:
        """See :func:`~secure_kmeans.mpc.rows.labels_on_shares`."""
        return (yield from labels_on_shares(self.core, H, n))

    def own_columns_moved_more(
        self, before: np.ndarray, now: np.ndarray, limit: Shared, among: np.ndarray
    ) -> Step[Shared]:
        """See :func:`~secure_kmeans.mpc.columns.moved_more`."""
        return (yield from columns.moved_more(self.core, before, now, limit, among))
