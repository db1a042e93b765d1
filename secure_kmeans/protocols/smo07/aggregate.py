"""The mode "aggregate": sums under pairwise masks, quotients on shares; no single party learns more than the results.

Let parties 1 to P, P >= 3, be those of the job, in its order.

1. Each two parties share a stream, whose key is that of their line. The party of lower rank adds the stream's next
   words to its own numbers, and the other one subtracts them. So all parties' masked numbers add up to the totals.
2. Parties 3 to P send their masked numbers to party 1, which adds them to its own masked numbers. Parties 1 and 2 now
   hold additive shares of the totals.
3. Parties 1 and 2 compute on these shares; see :mod:`.on_two_shares`. Party P, which is neither of them, deals the
   masks of what they open to each other.
4. Party 1 sends the result to all others.

``totals``, which all parties may learn, are added up modulo 2^256: all others send their masked numbers to party 1, and
party 1 sends the sums to all.

**What each party sees**, besides its own numbers and the results, where all parties follow the protocol:

- Party 1: the masked numbers of parties 3 to P. Each is under words that its sender shares with party 2 alone, and so
  is uniform to party 1. Also what parties 1 and 2 open to each other: each number is under a mask that neither knows.
- Party 2: what parties 1 and 2 open to each other, and shares that the dealer sends, which are uniform to party 2.
- Party P: nothing. It knows the masks of what parties 1 and 2 open, but receives nothing that they open.
- The other parties: nothing.

**What coalitions see**, from all that their members know:

- Two or three of the parties 1, 2 and P, with any others: the totals of all parties, in each iteration. Parties 1 and
  2 add up their shares; party P knows the masks of what each of them opened. The coalition learns the total of all
  parties outside it, and nothing else. These are one party's numbers only where it holds all others.
- Any other coalition, with one of these three at most: nothing besides the results.

Where the results themselves are totals (:meth:`AggregateMode.totals`, and sizes that are revealed), a coalition of all
but one can subtract its own numbers from them.

Sources: Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning" (2017), section 4.0.1,
for the masks, without dropouts; for the steps on shares see docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07.job import MOST_ROWS, Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits, Mode

if TYPE_CHECKING:  # Numba takes a while to import, and only three roles need it
    from secure_kmeans.mpc.core import Core

MASKS: Final = "masks of SMO07 that cancel in the sum over all parties"
"""The purpose of the keys of two parties."""

COMPUTING: Final = 2
"""The number of parties that compute on shares, the first ones."""

TOTAL_BITS: Final = 256
_WORDS: Final = TOTAL_BITS // 64

LOW_BITS: Final = 56
"""Bits of the lower part of an inertia: the sum of up to 63 parties' lower parts is below 2^62."""

MOST_INERTIA_BITS: Final = LOW_BITS + 61


class AggregateMode(Mode):
    """Sums under pairwise masks, and quotients on shares; see the module.

    Each method states its rounds at party 1; party 2 has one less, and every other party has one, in which it receives
    the result. Bytes are those that a party sends, with P parties. ``step`` stands for those of the steps on shares,
    as docs/protocols.md counts them: parties 1 and 2 each send what a party sends, and party P what a dealer sends.

    Parameters
    ----------
    context : Context
        Of a job of three parties or more.
    limits : Limits
        Of fewer than 2^24 rows.
    """

    def __init__(self, context: Context[Smo07Job], limits: Limits) -> None:
        assert len(context.parties) > COMPUTING, "one party deals the masks of two others"
        assert max(limits.largest, limits.largest_by_column) < 1 << 31, "a secret quotient has 31 bits and a sign"
        assert limits.n <= MOST_ROWS, "a secret count has 24 bits"
        self._context, self.limits = context, limits
        self._names, self._rank = context.parties, context.rank
        self._masks = _Masks(context)
        self._core: Core | None = None
        if self._rank < COMPUTING or self._rank == len(self._names) - 1:
            self._core = self._make_core()

    def _make_core(self) -> Core:
        """What the steps on shares use at parties 1 and 2, and at the dealer."""
        from secure_kmeans.protocols.smo07 import on_two_shares

        self._steps: Any = on_two_shares
        mesh, computing = self._context.mesh, self._names[:COMPUTING]
        rank = min(self._rank, COMPUTING)
        return on_two_shares.Core(mesh, mesh.key, computing, rank, mesh.traffic, dealer=self._names[-1])

    # ----------------------------------------------------------------------------------------------------- the mode

    def totals(self, own: Sequence[int], bounds: Sequence[int]) -> list[int]:
        """See :meth:`~secure_kmeans.protocols.smo07.mode.Mode.totals`.

        Rounds: 1, at party 2 also 1. Bytes: 32 for each number, from party 1 to each other party and back.
        """
        assert all(abs(each) <= bound < 1 << 250 for each, bound in zip(own, bounds, strict=True))
        masks = self._masks.integers(len(own))
        masked = _words_of([each + mask for each, mask in zip(own, masks, strict=True)])
        if self._rank == 0:
            parts = [masked, *self._gathered(self._names[1:], masked.shape)]
            masked = _words_of([sum(each) for each in zip(*map(_integers_of, parts), strict=True)])
        else:
            self._context.send(self._names[0], masked)
        return _integers_of(self._published(masked, self._names[1:]))

    def means(
        self,
        own_sums: np.ndarray,
        own_counts: np.ndarray,
        otherwise: np.ndarray,
        *,
        largest: int,
        least: int,
        iteration: int | None,
    ) -> np.ndarray:
        """See :meth:`~secure_kmeans.protocols.smo07.mode.Mode.means`.

        The quotients are computed for all clusters. Where a cluster is too small, the quotient is multiplied by 0 and
        ``otherwise`` is opened in its place.

        Rounds: 28. Bytes: ``8 q (d + 1)`` from parties 3 to P. ``step + 8 q d`` from parties 1 and 2, where the step is
        ``divide_by_secret``, or ``divide_by_secret_from`` where ``least`` is above 1; ``8 q d (P - 2)`` besides from
        party 1.
        """
        del iteration  # of a disclosure to the leader, of which there is none
        d = own_sums.shape[1]
        shares = self._shared(np.concatenate([own_sums, own_counts[:, None]], axis=1))
        sums, counts = np.ascontiguousarray(shares[:, :d]), np.ascontiguousarray(shares[:, d])
        result = np.ascontiguousarray(otherwise)
        if self._core is not None:
            step = self._steps.means(self._core, sums, counts, result, largest, least)
            result = self._core.execute(step)
        return self._published(result, self._names[COMPUTING:])

    def sizes(self, own_counts: np.ndarray, least: int) -> list[int | None]:
        """See :meth:`~secure_kmeans.protocols.smo07.mode.Mode.sizes`.

        A count is compared with ``least`` on shares. One below it is multiplied by 0, and 0 is opened in its place.

        Rounds: 2; 7 where ``least`` is above 1. Bytes: ``8 q`` from parties 3 to P; ``step + 8 q`` from parties 1 and
        2, where the step is ``less_than(m=q, b=26) + multiply(x=q, y=q, z=q)``, or none; ``8 q (P - 2)`` besides from
        party 1.
        """
        shares = self._shared(own_counts)
        if self._core is not None:
            shares = self._core.execute(self._steps.sizes(self._core, shares, least))
        return [size or None for size in self._published(shares, self._names[COMPUTING:]).tolist()]

    def best(self, own_inertias: Sequence[int], bound: int) -> int:
        """See :meth:`~secure_kmeans.protocols.smo07.mode.Mode.best`; of equal inertias, the first.

        The inertias are compared on shares, to the last bit, in two parts where their bound is 2^56 or more. Only the
        number is opened.

        Rounds: 0 for one start; otherwise 2 more than an argmin, or 12 more than two argmins of the two parts. Bytes: 8
        or 16 for each start from parties 3 to P; ``step + 8`` from parties 1 and 2, where the step is
        ``argmin_one_hot``, or ``shift_right(b=56)``, an ``argmin_one_hot`` of each part, a ``multiply`` and a
        ``less_than``; ``8 (P - 2)`` besides from party 1.
        """
        assert all(0 <= each <= bound < 1 << MOST_INERTIA_BITS for each in own_inertias)
        if len(own_inertias) == 1:
            return 0
        low = [[each & ((1 << LOW_BITS) - 1)] for each in own_inertias]
        high = [[each >> LOW_BITS] * (bound >> LOW_BITS > 0) for each in own_inertias]
        shares = self._shared(np.array([[*one, *other] for one, other in zip(high, low, strict=True)], dtype=np.int64))
        number = np.zeros(1, dtype=np.int64)
        if self._core is not None:
            number = self._core.execute(self._steps.first_smallest(self._core, shares, LOW_BITS, bound))
        return int(self._published(number, self._names[COMPUTING:])[0])

    # ------------------------------------------------------------------------------------------------------ messages

    def _shared(self, own: np.ndarray) -> np.ndarray:
        """Shares of the totals of all parties' numbers, modulo 2^64; zeros but at parties 1 and 2.

        Rounds: 1 at party 1. Bytes: 8 for each number from parties 3 to P.
        """
        masked = own + self._masks.words(own.shape)
        if self._rank == 0:
            for part in self._gathered(self._names[COMPUTING:], own.shape):
                masked += part
        elif self._rank >= COMPUTING:
            self._context.send(self._names[0], masked)
            masked = np.zeros_like(masked)
        return masked

    def _gathered(self, senders: Sequence[str], shape: tuple[int, ...]) -> list[np.ndarray]:
        """Numbers of several parties. Rounds: 1."""
        mesh, received = self._context.mesh, {name: np.empty(shape, dtype=np.int64) for name in senders}
        mesh.traffic.waited()
        mesh.exchange({}, received)
        return list(received.values())

    def _published(self, result: np.ndarray, receivers: Sequence[str]) -> np.ndarray:
        """The result that party 1 holds, which it sends to the receivers; at any other party its own result.

        The caller of the mode has recorded the result as a disclosure to all parties. Rounds: 1 at a receiver.
        """
        numbers = np.array(result, order="C")  # a receiver overwrites it
        self._context.broadcast(self._names[0], numbers, receivers)
        return numbers


class _Masks:
    """Masks of this party that cancel in the sum over all parties.

    All parties draw the same numbers of words in the same order, and no word is drawn twice.
    """

    def __init__(self, context: Context[Smo07Job]) -> None:
        names, rank, key_of = context.parties, context.rank, context.mesh.key
        self._added = [Prg(key_of(name, MASKS)) for name in names[rank + 1 :]]
        self._subtracted = [Prg(key_of(name, MASKS)) for name in names[:rank]]

    def words(self, shape: tuple[int, ...]) -> np.ndarray:
        """Masks modulo 2^64, int64."""
        total, drawn = np.zeros(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        for streams, combine in ((self._added, np.add), (self._subtracted, np.subtract)):
            for stream in streams:
                stream.fill(drawn)
                combine(total, drawn, out=total)
        return total

    def integers(self, count: int) -> list[int]:
        """Masks modulo 2^256."""
        total = [0] * count
        for sign, streams in ((1, self._added), (-1, self._subtracted)):
            for stream in streams:
                drawn = _integers_of(stream.ring(_WORDS * count).reshape(count, _WORDS))
                total = [one + sign * other for one, other in zip(total, drawn, strict=True)]
        return total


def _words_of(integers: Sequence[int]) -> np.ndarray:
    """Integers modulo 2^256 as (m, 4) int64, the lowest word first."""
    data = b"".join((each % (1 << TOTAL_BITS)).to_bytes(TOTAL_BITS // 8, "little") for each in integers)
    return np.frombuffer(data, dtype=np.int64).reshape(-1, _WORDS)


def _integers_of(words: np.ndarray) -> list[int]:
    """The inverse of :func:`_words_of`, from -2^255 to below 2^255."""
    return [int.from_bytes(row.tobytes(), "little", signed=True) for row in words]
