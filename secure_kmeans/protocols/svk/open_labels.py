"""GMV's Algorithm 6 (SVK-means): Lloyd's loop on columns, with labels that all parties see.

D. Hurtado Ramirez, J. M. Aunon, "Privacy preserving k-means clustering: a secure multi-party computation approach"
(2020). Each step of the loop below names the paper's.

Symbols: X the rows, of which a party holds some columns (n, own columns); C the centroids (k, d); D the squared
distances (n, k); E the labels (n); t the cluster sizes (k); Delta the movement of all centroids. r starts run side by
side: C is (r, k, d).

A party knows its own columns of the centroids, since they are means of its own rows by public labels. So its share of C
is its own columns, and 0 elsewhere, and its share of D and of Delta is what it computes from its own columns alone.
Nothing is multiplied on shares.

Only the first centroids are different, where nobody may know the rows that they are. They are shares, until the labels
have been opened once. A cluster that then has no row keeps its centroid, which is as secret as before. As long as there
is such a cluster, labelling takes the way of :class:`~secure_kmeans.protocols.lloyd.Lloyd`, on shares of all columns.
The dealer has to know two turns ahead which way is taken; so the first two turns take that way in any case.

Differs from the paper:

- step 2's sharing of 0 is the masks of the comparison, which are shares of their own;
- step 3 leaves out |x|^2, which is the same for all centroids of a row;
- a tie goes to the lowest index; a cluster without rows keeps its centroid;
- step 7 rounds the means to the nearest number of the fixed point, exactly;
- steps 8 and 10 are made beside steps 2 to 5 of the next iteration, in the same rounds;
- rows are labelled once more by the final centroids, so that labels and centroids belong together.

Reveals: the labels, and one stop bit for each start and iteration; with several starts the number of the best.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from secure_kmeans.errors import StateError
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.cleartext import bits_of
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.engine import RowsOfAnEngine, SecureEngine
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.mpc.rows import Assignment
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.protocols.bounds import Bounds
from secure_kmeans.protocols.lloyd import drawing_only_if, excess_bits, inertias_of, number_of_least, of_batch
from secure_kmeans.protocols.lookahead import Lookahead, ScheduleLine
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.job import SvkJob
from secure_kmeans.protocols.svk.rows import ColumnsState
from secure_kmeans.protocols.tally import Resumption, Tally


class OpenLabels:
    """The iterations of r starts side by side.

    Parameters
    ----------
    sharing : Sharing
    job : SvkJob
    own : (n, own columns) int64
        This party's columns of the rows, in units of the fixed point; without columns at the dealer.
    mine : slice
        Of these columns among all.
    rows : rows that an engine has entered, or None
        Shares of all columns; None where each party knows its columns of the first centroids.
    C : (r, k, d) encrypted tensor
        The first centroids. Where they are known, a party's share is its own columns, and 0 elsewhere.
    epsilon : (1,) encrypted tensor
        Bound of Delta at which a start has converged.
    line : ScheduleLine

    Attributes
    ----------
    C, C_before : (r, k, d) encrypted tensor
        The centroids now and one iteration earlier. A party's share of the centroid of a cluster that was ever filled
        is its own columns.
    filled : (r, k) bool
        Which clusters have had a row, so that each party knows its columns of their centroids; all, where the first
        centroids are known.
    known : (r, k) bool
        Of which clusters each party knows its columns of ``C``: of those that are filled, but for one whose first rows
        were found by the last labelling, of which no mean has been taken.
    labels : (r, n) ints
        Of each start, by the centroids ``C``.
    averaged : (r, n) ints
        The labels of which ``C`` are the means.
    tally : Tally
    moved : bool
        Whether an iteration has been labelled, so that ``C_before`` counts.
    """

    def __init__(
        self,
        sharing: Sharing,
        job: SvkJob,
        own: np.ndarray,
        mine: slice,
        rows: RowsOfAnEngine | None,
        C: Shared,
        epsilon: Shared,
        line: ScheduleLine,
    ) -> None:
        assert isinstance(sharing.engine, SecureEngine)
        self.sharing, self.engine, self.job = sharing, sharing.engine, job
        self.n, self.mine, self._rows = len(own), mine, rows
        self.bounds = Bounds.of(job, self.n, hidden=False)
        self._columns = self.engine.columns(own, self.bounds.score_bits)
        self._epsilon, self._line = epsilon, line
        self.C = self.C_before = C
        r, k, _ = C.size()
        kind = np.min_scalar_type(k)
        self.filled = np.full((r, k), rows is None)
        self.known = self.filled.copy()
        self.labels = np.zeros((r, self.n), dtype=kind)
        self.averaged = np.zeros((r, self.n), dtype=kind)
        self.tally = Tally(r)
        self.moved = False
        self._prepared: tuple[np.ndarray, Any] | None = None  # of a turn on shares: its batch, and its centroids

    def restore(self, state: ColumnsState) -> None:
        """Take up what a party knew, besides the centroids and the tally.

        Raises
        ------
        StateError
            Where the state is damaged.
        """
        both = (state.labels, self.labels), (state.averaged, self.averaged)
        shapes = {np.shape(state.filled), np.shape(state.known)}
        if shapes != {self.filled.shape} or any(len(kept) != known.nbytes for kept, known in both):
            raise StateError("the state is damaged; start the run anew")
        for kept, known in both:
            known[:] = np.frombuffer(kept, dtype=known.dtype).reshape(known.shape)
        self.filled, self.known = np.array(state.filled), np.array(state.known)

    def resume(self, resumption: Resumption, C_before: Shared) -> None:
        """Take up a run after an iteration, with the centroids one iteration earlier."""
        self.tally.continue_from(resumption.iteration, resumption.running)
        if resumption.moved:
            self.C_before, self.moved = C_before, True
            if self._rows is not None:
                before = self.engine.execute(
                    self.engine.centroids(of_batch(C_before, resumption.running, len(self.filled)))
                )
                self._prepared = resumption.running, before

    def iterations(self) -> Iterator[None]:
        """[SVK] steps 2 to 10 until every start has stopped; yields after each iteration of the parties."""
        tally, engine = self.tally, self.engine
        turns = self.job.max_iter - tally.iteration + 1
        flag = None if self._rows is None else True
        ahead = Lookahead(self._line, is_dealer=engine.is_dealer, has_dealer=engine.has_dealer, turns=turns, flag=flag)
        for batch in ahead.batches(lambda: tally.running):
            began, passed = time.perf_counter(), tally.all_stopped
            with drawing_only_if(engine, passed):
                labels = self.label_rows(batch, on_shares=ahead.flag)  # steps 2 to 5, 8 and 10
            if tally.iteration and not passed:
                self._record(may.GOING_ON)
            if self._rows is not None and not passed:
                self._record(may.NEVER_FILLED, tally.iteration + 1)
            ahead.announce(tally.running, passed=passed, flag=not self.filled.all())
            if ahead.is_last(tally.running):
                continue
            tally.iteration += not tally.all_stopped
            if engine.takes_part:
                self.update_centroids(labels, batch)  # steps 6, 7 and 9
            if not tally.all_stopped:
                tally.seconds.append(time.perf_counter() - began)
                yield

    def _record(self, disclosure: Disclosure, iteration: int | None = None) -> None:
        if iteration is None:
            iteration = self.tally.iteration
        self.sharing.ledger.record(disclosure, iteration=iteration)

    def label_rows(self, batch: np.ndarray, *, on_shares: bool) -> np.ndarray:
        """[SVK] steps 2 to 5, 8 and 10: label the rows for all parties, and reveal which starts have converged.

        Returns
        -------
        (starts of the batch, n) labels.
        """
        engine, opened = self.engine, self.tally.running
        now, label = self._prepare(batch, on_shares=on_shares)
        labelling = self._labelled(label)
        if not self.moved:
            labels = engine.execute(labelling)
        else:
            converged, labels = engine.together(self._converged(now, batch, on_shares=on_shares), labelling)
            if engine.takes_part:
                self.tally.stop(converged)
        self.moved = True
        if on_shares:
            self._prepared = batch, now
        if engine.takes_part:
            self._take_labels(labels, batch, opened)
        return labels

    def _prepare(self, batch: np.ndarray, *, on_shares: bool) -> tuple[Any, Step[Assignment]]:
        """The centroids of a batch as a labelling takes them, and this labelling."""
        C = of_batch(self.C, batch, len(self.filled))
        if on_shares:
            assert self._rows is not None
            now = self.engine.execute(self.engine.centroids(C))
            return now, self._rows.label(now, self.bounds.score_bits)
        own = np.ascontiguousarray(share_of(C)[:, :, self.mine])
        return own, self._columns.label(own, self.bounds.score_bits)  # step 3: (x - c)^2 over own columns

    def _labelled(self, label: Step[Assignment]) -> Step[np.ndarray]:
        """[SVK] steps 4 and 5."""
        H = yield from label
        iteration = self.tally.iteration + 1
        return (yield from self.sharing.revealing_labels(H, self.n, may.LABELS, iteration=iteration))

    def _converged(self, now: Any, batch: np.ndarray, *, on_shares: bool) -> Step[np.ndarray]:
        """[SVK] steps 8 and 10: those of the running starts that have moved by no more than epsilon."""
        running = self.tally.of(batch)
        if on_shares:
            assert self._prepared is not None
            earlier, before = self._prepared
            before = before if len(earlier) == len(batch) else before[np.searchsorted(earlier, batch)]
            moved_more = yield from self.engine.moved_more(before, now, self._epsilon, running)
        else:
            before = share_of(of_batch(self.C_before, batch, len(self.filled)))[:, :, self.mine]
            moved_more = yield from self.engine.own_columns_moved_more(before, now, self._epsilon, running)
        words = yield from self.sharing.revealing(moved_more, may.STOP_BIT, iteration=self.tally.iteration)
        moved = bits_of(words[None], len(batch))[0]
        return batch[running & (moved == 0)]

    def _take_labels(self, labels: np.ndarray, batch: np.ndarray, opened: np.ndarray) -> None:
        """Keep the labels of the starts that ran, and note which of their clusters have rows."""
        for start, found in zip(batch.tolist(), labels, strict=True):
            if start in opened:
                self.averaged[start], self.labels[start] = self.labels[start], found
                self.filled[start] |= np.bincount(found, minlength=self.filled.shape[1]) > 0

    def update_centroids(self, labels: np.ndarray, batch: np.ndarray) -> None:
        """[SVK] steps 6, 7 and 9: each party averages its own columns of each cluster's rows."""
        running = self.tally.running
        k = self.filled.shape[1]
        share = share_of(self.C).copy()
        sizes = np.empty((len(running), k), dtype=np.int64)
        for number, start in enumerate(running.tolist()):
            found = labels[np.searchsorted(batch, start)]
            sizes[number] = np.bincount(found, minlength=k)  # step 6
            means = means_of(self._columns.own, found, sizes[number])  # step 7
            filled = np.flatnonzero(sizes[number])
            share[start, filled] = 0
            share[start, filled, self.mine] = means[filled]
            self.known[start, filled] = True
        self.tally.count(sizes)
        self.C_before, self.C = self.C, wrap(share)  # step 9

    def best(self) -> int:
        """The start of the least inertia, the first of those that found the same; only its number is revealed.

        The inertia, less a constant, is ``sum_j t_j |c_j|^2 - 2 T_j . c_j``. Where the sum could wrap, it is made of
        numbers that are divided first: inertias that differ by less count as equal.
        """
        if self.C.size(0) == 1:
            return 0
        shift = max(0, excess_bits(self.job, self.n))
        inertias = self._own_inertias(shift) if self._rows is None else self._inertias_on_shares(shift)
        return number_of_least(self.sharing, inertias, may.BEST_RESTART)

    def _own_inertias(self, shift: int) -> Shared:
        """(r,), where each party knows its columns of all centroids: its share is the sum over them. Rounds: 0."""
        shares = np.zeros(self.C.size(0), dtype=np.int64)
        if self.engine.takes_part:
            own = share_of(self.C)[:, :, self.mine]
            shares[:] = [
                _inertia(self._columns.own, labels, C) >> shift for labels, C in zip(self.labels, own, strict=True)
            ]
        return wrap(shares)

    def _inertias_on_shares(self, shift: int) -> Shared:
        """(r,), where the last labelling may have been the first to find rows of a cluster: its centroid is secret.

        Rounds: 1, and those of a shift where the sum could wrap.
        """
        shares = np.zeros(self.C.size(), dtype=np.int64)
        if self.engine.takes_part:
            for share, labels, C in zip(shares, self.labels, share_of(self.C), strict=True):
                share += np.bincount(labels, minlength=len(C))[:, None] * C
                share[:, self.mine] -= 2 * sums_of(self._columns.own, labels, len(C))
        return inertias_of(self.engine, wrap(shares), self.C, shift)


def means_of(columns: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The means of the rows of each cluster, rounded to the nearest integer; meaningless where there is no row.

    Parameters
    ----------
    columns : (columns, n) int64
    labels : (n,) ints
    sizes : (k,) int64
        The number of each label.

    Returns
    -------
    (k, columns) int64
    """
    divisors = sizes.clip(1)[:, None]
    means: np.ndarray = (sums_of(columns, labels, len(sizes)) + divisors // 2) // divisors
    return means


def sums_of(columns: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """The sums of the rows with each label, (k, columns) int64."""
    sums = np.zeros((k, len(columns)), dtype=np.int64)
    kernels.add_by_label(labels.astype(np.int64), np.ascontiguousarray(columns), sums)
    return sums


def _inertia(columns: np.ndarray, labels: np.ndarray, C: np.ndarray) -> int:
    """``sum_j t_j |c_j|^2 - 2 T_j . c_j`` over some columns, exactly."""
    k = len(C)
    sizes, sums = np.bincount(labels, minlength=k).astype(object), sums_of(columns, labels, k).astype(object)
    centroids = C.astype(object)
    return int((sizes[:, None] * centroids * centroids - 2 * sums * centroids).sum())
