"""The mode "paillier": multi-party addition of all numbers of an iteration at once; the leader divides.

Section 4.2.3 of the report, steps 3 to 5. Symbols: T the sums and t the sizes of the clusters, over the rows of all
parties; k parties; q clusters, of all starts that still run; d columns.

Differs from the paper:

- All sums and sizes of an iteration are packed into as few plaintexts as hold them, and go around the ring once. The
  paper runs an addition for each of the q (1 + d) numbers.
- The leader divides the integers T by t, and rounds to the nearest: no inverse modulo N, which would not be a mean.
- A cluster of fewer than ``least`` rows keeps its centroid. The paper's quotient by 0 is undefined.

The leader learns every T and t. The other parties learn what the leader sends them: the quotients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from secure_kmeans.crypto.paillier import PrivateKey
from secure_kmeans.crypto.plaintext_packing import Packing
from secure_kmeans.errors import JobError, ProtocolError, RoleError
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import disclosures as may
from secure_kmeans.protocols.smo07.addition import (
    AdditionKey,
    multi_party_addition,
    new_key,
    product_at_leader,
    room,
)
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.smo07.mode import Limits, Mode

_SAME_INERTIA: Final = 10**12
"""Inertias that differ by less than this part of the smallest count as equal, as in a plaintext run."""

_WITHHELD: Final = -1
"""Sent in place of a size below the least."""

Generate = Callable[[int], PrivateKey]
"""Callback(bits): a new key."""


def check_room(job: Smo07Job, limits: Limits) -> int:
    """Refuse a job of which a sum does not fit into a plaintext, before anything is sent.

    Returns
    -------
    The number of plaintexts that hold all sums and sizes of an iteration.

    Raises
    ------
    JobError
    """
    capacity, d = room(job.key_bits, len(job.parties)) + 1, len(job.columns)
    of_an_iteration = _bounds_of_means(limits.n, limits.largest, job.restarts * job.n_clusters, d)
    at_the_end = [limits.n * limits.largest_by_column, limits.n * d * (2 * limits.largest) ** 2]
    try:
        Packing.of(at_the_end, capacity)
        return Packing.of(of_an_iteration, capacity).plaintexts
    except ValueError as error:
        raise JobError(f"key_bits: {error}") from None


def _bounds_of_means(n: int, largest: int, q: int, d: int) -> list[int]:
    """Bounds of q sizes, then of q d sums."""
    return [n] * q + [n * largest] * (q * d)


class PaillierMode(Mode):
    """The parties' numbers are added under the leader's Paillier key; the leader divides.

    An addition of any number of values is one way around the ring. Messages that wait for each other, with k parties:
    1 for a new key, 2 (k - 1) of the ring, 1 of shares to the leader and 1 of results from it. Rounds of the leader: 2;
    of another party: 3, the last one 2, and 1 more for a new key. Bytes: see
    :func:`~secure_kmeans.protocols.smo07.addition.multi_party_addition`, with a value for each plaintext, and the
    results as 8 bytes a number.

    Parameters
    ----------
    context : Context
    limits : Limits
    generate : callable, optional
        Makes keys; tests pass small ones.
    """

    def __init__(self, context: Context[Smo07Job], limits: Limits, *, generate: Generate | None = None) -> None:
        self.context, self.limits = context, limits
        self._keys = _Keys(context, generate or PrivateKey.generate)
        self._final_is_recorded = False

    def close(self) -> None:
        """Make no more keys ahead."""
        self._keys.close()

    # ------------------------------------------------------------------ the seam

    def totals(self, own: Sequence[int], bounds: Sequence[int]) -> list[int]:
        """See :meth:`Mode.totals <secure_kmeans.protocols.smo07.mode.Mode.totals>`. The leader tells all parties."""
        sums = self._add(own, bounds)
        size = max((bound.bit_length() for bound in bounds), default=0) // 8 + 1
        items = np.zeros((len(bounds), size), dtype=np.uint8)
        if sums is not None:
            for item, total in zip(items, sums, strict=True):
                item[:] = np.frombuffer(total.to_bytes(size, "little", signed=True), dtype=np.uint8)
        self._broadcast(items)
        found = [int.from_bytes(item.tobytes(), "little", signed=True) for item in items]
        if any(abs(total) > bound for total, bound in zip(found, bounds, strict=True)):
            raise self._blame_leader("totals")
        return found

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
        """See :meth:`Mode.means <secure_kmeans.protocols.smo07.mode.Mode.means>`.

        The leader learns the sums and the sizes.
        """
        q, d = own_sums.shape
        self._record(iteration)
        own = own_counts.tolist() + own_sums.ravel().tolist()
        # [SMO07] step 3: multi-party addition of the sums and of the sizes, all at once.
        found = self._add(own, _bounds_of_means(self.limits.n, largest, q, d))
        quotients = np.zeros((q, d), dtype=np.int64)
        if found is not None:
            # [SMO07] step 4: P_1 computes the quotients and sends them to each party.
            quotients[:] = _quotients(found[:q], found[q:], otherwise, largest, least)
        self._broadcast(quotients)
        if (np.abs(quotients) > largest).any():
            raise self._blame_leader("centroids")
        return quotients

    def sizes(self, own_counts: np.ndarray, least: int) -> list[int | None]:
        """See :meth:`Mode.sizes <secure_kmeans.protocols.smo07.mode.Mode.sizes>`. The leader learns all sizes."""
        self._record(None)
        found = self._add(own_counts.tolist(), [self.limits.n] * len(own_counts))
        shown = np.zeros(len(own_counts), dtype=np.int64)
        if found is not None:
            _check_sizes(found)
            shown[:] = [size if size >= least else _WITHHELD for size in found]
        self._broadcast(shown)
        if ((shown != _WITHHELD) & ((shown < least) | (shown > self.limits.n))).any():
            raise self._blame_leader("sizes")
        return [None if size == _WITHHELD else size for size in shown.tolist()]

    def best(self, own_inertias: Sequence[int], bound: int) -> int:
        """See :meth:`Mode.best <secure_kmeans.protocols.smo07.mode.Mode.best>`. The leader learns all inertias.

        Inertias that differ by less than 1e-12 of the smallest count as equal; the first start of them is the best.
        """
        self._record(None)
        found = self._add(own_inertias, [bound] * len(own_inertias))
        number = np.zeros(1, dtype=np.int64)
        if found is not None:
            number[0] = number_of_least(found)
        self._broadcast(number)
        if not 0 <= number[0] < len(own_inertias):
            raise self._blame_leader("the number of a start")
        return int(number[0])

    # --------------------------------------------------------------------- parts

    def _add(self, own: Sequence[int], bounds: Sequence[int]) -> list[int] | None:
        """The sums over all parties, at the leader; None at the others."""
        packing = Packing.of(bounds, room(self.context.job.key_bits, len(self.context.parties)) + 1)  # and a sign
        shares = multi_party_addition(self.context, packing.pack(own), key=self._keys.next())
        packed = product_at_leader(self.context, shares)
        if packed is None:
            return None
        try:
            return packing.unpack(packed)
        except ProtocolError:
            raise _impossible("a sum is beyond its bound") from None

    def _broadcast(self, numbers: np.ndarray) -> None:
        """Send the leader's numbers to all parties, who write them to the array. Rounds: 1."""
        leader, *others = self.context.parties
        self.context.broadcast(leader, numbers, others)

    def _record(self, iteration: int | None) -> None:
        """Record what the leader is about to learn, at all parties; what it learns at the end once."""
        if iteration is None and self._final_is_recorded:
            return
        self._final_is_recorded |= iteration is None
        disclosure: Disclosure = may.FINAL_SUMS if iteration is None else may.SUMS
        leader = self.context.job.leader
        self.context.ledger.record(may.to_leader(disclosure, leader), iteration=iteration)

    def _blame_leader(self, what: str) -> RoleError:
        return self.context.mesh.blame(self.context.job.leader, f"it sent {what} that cannot be")


def number_of_least(inertias: Sequence[int]) -> int:
    """The number of the smallest inertia; of the first that is equal to it but for a rounding."""
    least = min(inertias)
    return next(n for n, each in enumerate(inertias) if each * _SAME_INERTIA <= least * (_SAME_INERTIA + 1))


def _quotients(
    sizes: Sequence[int], sums: Sequence[int], otherwise: np.ndarray, largest: int, least: int
) -> np.ndarray:
    _check_sizes(sizes)
    t, T = np.array(sizes, dtype=np.int64)[:, None], np.array(sums, dtype=np.int64).reshape(otherwise.shape)
    if (np.abs(T) > t * largest).any():
        raise _impossible("a cluster's sum is larger than its number of rows allows")
    divisors = np.maximum(t, 1)
    return np.where(t >= least, (T + divisors // 2) // divisors, otherwise)


def _check_sizes(sizes: Sequence[int]) -> None:
    if any(size < 0 for size in sizes):
        raise _impossible("a cluster has fewer than 0 rows")


def _impossible(what: str) -> ProtocolError:
    return ProtocolError(
        f"the parties' numbers do not add up: {what}. A party sent something else than its own numbers under this key; "
        "nothing was computed. Compare the versions of the program"
    )


class _Keys:
    """The keys of a run, of which the leader makes the next one in a thread of its own, beside other work."""

    def __init__(self, context: Context[Smo07Job], generate: Generate) -> None:
        self._context, self._generate = context, generate
        self._key: AdditionKey | None = None
        self._each = context.job.fresh_keys == "iteration"
        self._ahead: _Ahead | None = None
        if context.role.name == context.job.leader:
            self._start()

    def _start(self) -> None:
        self._ahead = _Ahead(lambda: self._generate(self._context.job.key_bits))

    def next(self) -> AdditionKey:
        """The key of the next addition; all parties get a new one where each addition has its own."""
        if self._key is None or self._each:
            private = None if self._ahead is None else self._ahead.result()
            self._key = new_key(self._context, key_bits=self._context.job.key_bits, private=private)
            if self._ahead is not None and self._each:
                self._start()
        return self._key

    def close(self) -> None:
        """Wait for the key that is being made, and forget it."""
        if self._ahead is not None:
            self._ahead.join()
            self._ahead = None


class _Ahead:
    """A call in a thread, which ends with the process."""

    def __init__(self, call: Callable[[], PrivateKey]) -> None:
        self._call = call
        self._returned: PrivateKey | None = None
        self._raised: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="key", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._returned = self._call()
        except Exception as error:
            self._raised = error

    def join(self) -> None:
        """Wait for the end of the call."""
        self._thread.join()

    def result(self) -> PrivateKey:
        """What the call returned."""
        self.join()
        if self._raised is not None:
            raise self._raised
        assert self._returned is not None
        return self._returned
