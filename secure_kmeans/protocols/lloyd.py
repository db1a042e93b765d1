"""Lloyd's loop on additive shares, for any protocol that enters rows.

The steps are those of GMV's Algorithm 5 (SHK-means): D. Hurtado Ramirez, J. M. Aunon, "Privacy preserving k-means
clustering: a secure multi-party computation approach" (2020).

Symbols: X the rows of all parties (n, d); C the centroids (k, d); H the assignment, one-hot (n, k); T = H^T X the sums
(k, d); t the cluster sizes (k); Delta the movement of all centroids. r starts run side by side: C is (r, k, d).

Differs from the paper:

- step 2 compares scores, ``|c|^2 - 2 x . c``, not distances, and never rounds them;
- a tie goes to the lowest index, so each row of H has exactly one 1;
- step 5 reveals the sizes t, unless they stay hidden, and of a cluster of fewer rows than ``min_cluster_size`` only
  that it is so small; where a size is 0 the old centroid is kept;
- step 5 rounds the means to the nearest number of the fixed point, exactly: a run can be repeated to the last bit;
- steps 6, 8 and 9 stop at ``Delta <= epsilon``, where epsilon is 0 or a part of the variance, and are made beside step
  2 of the next iteration, which opens the same numbers: whether a step was the last one is known when the rows have
  been labelled anew, as they have to be anyway.

Reveals: the sizes, unless hidden or small, and one stop bit for each start and iteration; with several starts the
number of the best.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from secure_kmeans.job import Clustering
from secure_kmeans.job.fixed_point import RING_BITS, bits_to_hold, common_multiple
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.mpc.cleartext import bits_of
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Engine, RowsOfAnEngine
from secure_kmeans.mpc.packing import RING_BYTES
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.mpc.rows import Assignment
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.mpc.withholding import dividends, sizes_below
from secure_kmeans.protocols.bounds import Bounds
from secure_kmeans.protocols.lookahead import Lookahead, ScheduleLine
from secure_kmeans.protocols.tally import Resumption, Tally


@dataclass(frozen=True)
class Revealed:
    """The disclosures of Lloyd's loop; the protocol that runs the loop gives them.

    Attributes
    ----------
    sizes : Disclosure or None
        None where the sizes stay secret.
    small : Disclosure
        Which clusters are so small that their sizes stay secret.
    stop_bit : Disclosure
    going_on : Disclosure
        To the dealer, by its schedule or by the requests that it answers.
    best_restart : Disclosure
    """

    sizes: Disclosure | None
    small: Disclosure
    stop_bit: Disclosure
    going_on: Disclosure
    best_restart: Disclosure


class Lloyd:
    """Lloyd's iterations of r starts side by side.

    Parameters
    ----------
    sharing : Sharing
    clustering : Clustering
    rows : rows that an engine has entered
    C : (r, k, d) encrypted tensor
    epsilon : (1,) encrypted tensor
        Bound of Delta at which a start has converged.
    line : ScheduleLine
    revealed : Revealed

    Attributes
    ----------
    C : (r, k, d) encrypted tensor
    C_before : (r, k, d) encrypted tensor
        The centroids one iteration earlier, of each start: ``C`` are the means of the rows that they label.
    tally : Tally
    moved : bool
        Whether an iteration has been labelled, so that ``C_before`` counts.
    assignment : Assignment or None
        Of the last labelling.
    """

    def __init__(
        self,
        sharing: Sharing,
        clustering: Clustering,
        rows: RowsOfAnEngine,
        C: Shared,
        epsilon: Shared,
        line: ScheduleLine,
        revealed: Revealed,
    ) -> None:
        self.sharing, self.engine = sharing, sharing.engine
        self.clustering, self.rows, self.revealed = clustering, rows, revealed
        self.C = self.C_before = C
        self.bounds = Bounds.of(clustering, len(rows), hidden=revealed.sizes is None)
        self._epsilon = epsilon
        self.tally = Tally(C.size(0))
        self._shape: tuple[int, int, int] = tuple(C.size())
        self.assignment: Assignment | None = None
        self._line = line
        self._prepared: tuple[np.ndarray, Any] | None = None  # the last batch, and its centroids

    @property
    def moved(self) -> bool:
        """Whether an iteration has been labelled, so that ``C_before`` counts."""
        return self._prepared is not None

    def resume(self, resumption: Resumption, C_before: Shared) -> None:
        """Take up a run after an iteration, with the centroids one iteration earlier."""
        self.tally.continue_from(resumption.iteration, resumption.running)
        if resumption.moved:
            self.C_before = C_before
            before = C_before[torch.from_numpy(resumption.running)]
            self._prepared = resumption.running, self.engine.execute(self.engine.centroids(before))

    def iterations(self) -> Iterator[None]:
        """[SHK] steps 2 to 9 until every start has stopped; yields after each iteration of the parties."""
        tally, engine = self.tally, self.engine
        turns = self.clustering.max_iter - tally.iteration + 1
        ahead = Lookahead(self._line, is_dealer=engine.is_dealer, has_dealer=engine.has_dealer, turns=turns)
        for batch in ahead.batches(lambda: tally.running):
            began, passed = time.perf_counter(), tally.all_stopped
            with drawing_only_if(engine, passed):
                H = self.label_rows(batch)  # steps 2, 6, 8, 9
            if tally.iteration and not passed:
                self.sharing.ledger.record(self.revealed.going_on, iteration=tally.iteration)
            ahead.announce(tally.running, passed=passed)
            if ahead.is_last(tally.running):
                continue
            with drawing_only_if(engine, tally.all_stopped):
                self.update_centroids(H, batch)  # steps 3, 4, 5, 7
            if not tally.all_stopped:
                tally.seconds.append(time.perf_counter() - began)
                yield

    def label_rows(self, batch: np.ndarray) -> Assignment:
        """[SHK] steps 2, 6, 8 and 9: assign the rows to the centroids, and reveal which starts have converged."""
        engine = self.engine
        now = engine.execute(engine.centroids(of_batch(self.C, batch, self._shape[0])))
        label = self.rows.label(now, self.bounds.score_bits)  # step 2
        if self._prepared is None:
            H: Assignment = engine.execute(label)
        else:
            earlier, before = self._prepared
            before = before if len(earlier) == len(batch) else before[np.searchsorted(earlier, batch)]
            converged, H = engine.together(self._converged(before, now, batch), label)
            if engine.takes_part:
                self.tally.stop(converged)
        self._prepared = batch, now
        if engine.takes_part or engine.is_dealer:
            self.assignment = H
        return H

    def _converged(self, before: Any, now: Any, batch: np.ndarray) -> Step[np.ndarray]:
        """[SHK] steps 6, 8 and 9: those of the running starts that have moved by no more than epsilon."""
        running = self.tally.of(batch)
        moved_more = yield from self.engine.moved_more(before, now, self._epsilon, running)
        words = yield from self.sharing.revealing(moved_more, self.revealed.stop_bit, iteration=self.tally.iteration)
        moved = bits_of(words[None], len(batch))[0]
        return batch[running & (moved == 0)]

    def update_centroids(self, H: Assignment, batch: np.ndarray) -> None:
        """[SHK] steps 3, 4, 5 and 7: each centroid becomes the mean of its rows."""
        running, C = self.tally.of(batch), of_batch(self.C, batch, self._shape[0])
        self.tally.iteration += bool(running.any())
        if self.revealed.sizes is None:
            means, sizes = self._means_by_secret_sizes(H, C), None
        elif self.clustering.min_cluster_size == 1:
            means, sizes = self._means_by_public_sizes(H, C, running, self.revealed.sizes)
        else:
            means, sizes = self._means_by_sizes_of_large_ones(H, C, running, self.revealed.sizes)
        if self.engine.takes_part:
            self.tally.count(sizes)
            self.C_before = self._replaced(self.C_before, of_batch(self.C, batch, self._shape[0]), batch, running)
            self.C = self._replaced(self.C, means, batch, running)  # step 7

    def _means_by_public_sizes(
        self, H: Assignment, C: Shared, running: np.ndarray, disclosure: Disclosure
    ) -> tuple[Shared, np.ndarray]:
        engine, bounds, k = self.engine, self.bounds, self._shape[1]
        T, t = engine.execute(self.rows.sums(H, bounds.sum_bytes))  # steps 3 and 4
        shown = t if running.all() else t[torch.from_numpy(np.flatnonzero(running))]
        reveal = self.sharing.revealing(shown, disclosure, iteration=self.tally.iteration, size=bounds.sum_bytes)
        revealed, divided = engine.together(reveal, engine.divide(T, bounds.sum_bytes))
        sizes = np.full((len(running), k), len(self.rows), dtype=np.int64)  # a stopped start is divided by anything
        sizes[running] = revealed
        means = engine.execute(engine.divided(divided, sizes.clip(1), bounds.largest, bounds.most))
        if engine.takes_part and not sizes.all():
            empty = torch.from_numpy((sizes == 0).astype(np.int64))[:, :, None]
            means = means * (1 - empty) + C * empty
        return means, revealed

    def _means_by_sizes_of_large_ones(
        self, H: Assignment, C: Shared, running: np.ndarray, disclosure: Disclosure
    ) -> tuple[Shared, np.ndarray]:
        """Means where the sizes of small clusters stay secret, by :mod:`~secure_kmeans.mpc.withholding`.

        Returns the means, and the sizes of the starts that go on, -1 in the place of a size that stays secret.
        """
        engine, bounds, iteration = self.engine, self.bounds, self.tally.iteration
        least = self.clustering.min_cluster_size
        T, t = engine.execute(self.rows.sums(H, bounds.sum_bytes))  # steps 3 and 4
        below = engine.execute(sizes_below(engine, t, range(1, least + 1), len(self.rows)))
        smallest, shown = below[least - 1], t
        if not running.all():
            going_on = torch.from_numpy(np.flatnonzero(running))
            smallest, shown = smallest[going_on], t[going_on]
        reveal = self.sharing.revealing(smallest, self.revealed.small, iteration=iteration)
        small, D = engine.together(reveal, dividends(engine, T, C, below, least))
        large = small == 0
        if not large.all():
            shown = shown.reshape(-1)[torch.from_numpy(np.flatnonzero(large))]
        reveal = self.sharing.revealing(shown, disclosure, iteration=iteration, size=bounds.sum_bytes)
        divide = engine.divide(D, bounds.sum_bytes)
        if large.any() or not engine.takes_part:
            revealed, divided = engine.together(reveal, divide)
        else:
            revealed, divided = np.empty(0, dtype=np.int64), engine.execute(divide)
        sizes = np.full(small.shape, -1, dtype=np.int64)
        sizes[large] = revealed.reshape(-1)
        divisors = np.full((len(running), self._shape[1]), bounds.most, dtype=np.int64)
        divisors[running] = np.where(large, sizes, common_multiple(least))
        divisors = divisors.clip(1)  # at a role that does not take part they are 0
        return engine.execute(engine.divided(divided, divisors, bounds.largest, bounds.most)), sizes

    def _means_by_secret_sizes(self, H: Assignment, C: Shared) -> Shared:
        engine, (r, k, d) = self.engine, C.size()
        T, t = engine.execute(self.rows.sums(H, RING_BYTES))  # steps 3 and 4
        step = engine.divided_by_secret(T.reshape(-1, d), t.reshape(-1), C.reshape(-1, d), self.bounds.largest)
        return engine.execute(step).reshape(r, k, d)

    def _replaced(self, old: Shared, new: Shared, batch: np.ndarray, running: np.ndarray) -> Shared:
        """Centroids of all starts, with new ones in the place of those of the batch's starts that go on."""
        if running.all() and len(batch) == self._shape[0]:
            return new
        C = old.clone()
        C[torch.from_numpy(batch[running])] = new[torch.from_numpy(np.flatnonzero(running))]
        return C

    def best(self) -> int:
        """The start of the least inertia, the first of those that found the same; only its number is revealed.

        With T and t of the final centroids the inertia is a constant plus ``sum_j t_j |c_j|^2 - 2 T_j . c_j``.
        Where that sum could wrap, its terms are divided first: inertias that differ by less count as equal.
        """
        engine, restarts = self.engine, self.C.size(0)
        if restarts == 1:
            return 0
        T, t = engine.execute(self.rows.sums(self.relabelled(self.C), RING_BYTES))
        terms = engine.execute(engine.multiply(t.unsqueeze(2), self.C)) - T * 2
        inertias = inertias_of(engine, terms, self.C, excess_bits(self.clustering, len(self.rows)))
        return number_of_least(self.sharing, inertias, self.revealed.best_restart)

    def relabelled(self, C: Shared, bits: int | None = None) -> Assignment:
        """The assignment of the rows to these centroids, (r, k, d).

        ``bits`` hold the difference of two scores of a row, if those of the clustering's bounds do not.
        """
        prepared = self.engine.execute(self.engine.centroids(C))
        H: Assignment = self.engine.execute(self.rows.label(prepared, bits or self.bounds.score_bits))
        return H

    def assignment_of(self, best: int) -> Assignment:
        """The assignment of the rows to the final centroids of one start."""
        if self.C.size(0) > 1 or self.assignment is None:
            return self.relabelled(self.C[best : best + 1])
        return self.assignment


def drawing_only_if(engine: Engine, passed: bool) -> AbstractContextManager[Any]:
    """At a party whose starts have all stopped: only draw what the dealer has dealt ahead."""
    return engine.drawing_only() if passed and engine.takes_part else nullcontext()


def of_batch(tensor: Shared, batch: np.ndarray, starts: int) -> Shared:
    """The part of a tensor of all ``starts`` that belongs to those of a batch."""
    return tensor if len(batch) == starts else tensor[torch.from_numpy(batch)]


def inertias_of(engine: Engine, terms: Shared, C: Shared, excess: int) -> Shared:
    """(r,) sums of ``terms * C``, of (r, k, d), in terms that lose ``excess`` bits first where the sum could wrap.

    Rounds: 1, and those of a shift.
    """
    if excess > 0:
        terms = engine.execute(engine.shift_right(terms.reshape(-1), excess)).reshape(*terms.size())
    return engine.execute(engine.multiply(terms, C)).sum(2).sum(1)


def excess_bits(clustering: Clustering, n: int) -> int:
    """Bits by which the part of an inertia that depends on the centroids could be too long for the ring, of n rows."""
    largest_sum = 3.0 * n * len(clustering.columns) * clustering.scaling.largest**2
    return 2 * clustering.precision_bits + bits_to_hold(largest_sum) - RING_BITS + 3


def number_of_least(sharing: Sharing, inertias: Shared, disclosure: Disclosure) -> int:
    """The number of the least of (r,) numbers, the first of those that are equal; nothing else is revealed.

    Rounds: those of an argmin of r numbers, and 1.
    """
    one_hot = sharing.engine.execute(sharing.engine.argmin_one_hot(inertias.unsqueeze(1)))
    number = (one_hot[:, 0] * torch.arange(inertias.size(0))).sum().reshape(1)
    return int(sharing.reveal(number, disclosure)[0])
