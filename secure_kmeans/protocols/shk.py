"""Secure horizontal k-means: GMV's Algorithm 5 (SHK-means) on additive shares.

D. Hurtado Ramirez, J. M. Aunon, "Privacy preserving k-means clustering: a secure multi-party computation
approach" (2020), with the initialisations of :mod:`secure_kmeans.protocols.initialisation`.

Symbols: X the rows of all parties, one below the other (n, d); C the centroids (k, d); H the assignment,
one-hot (n, k); T = H^T X the sums (k, d); t the cluster sizes (k); Delta the movement of all centroids.
r restarts run side by side: their centroids lie one below the other, (r, k, d).

Differs from the paper:

- step 2 compares scores, ``|c|^2 - 2 x . c``, not distances, and never rounds them;
- a tie goes to the lowest index, so each row of H has exactly one 1;
- step 5 reveals the sizes t, unless the job hides them; where one is 0 the old centroid is kept;
- step 5 rounds the means to the nearest number of the fixed point, exactly: a run can be repeated to the last bit;
- steps 6, 8 and 9 stop at ``Delta <= epsilon``, and are made beside step 2 of the next iteration, which opens the same
  numbers: whether a step was the last one is known when the rows have been labelled anew, as they have to be anyway.

Reveals: the sizes, unless hidden, and one stop bit for each restart and iteration; with several restarts the number of
the best; at the end the centroids and their sizes to all parties, and to each party the labels of its rows.
The dealer walks through the same protocol with empty hands; it is told shapes: the numbers of rows, and after each
labelling which restarts go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from secure_kmeans.errors import JobError, StateError
from secure_kmeans.fixed_point import RING_BITS, bits_to_hold
from secure_kmeans.job import Job
from secure_kmeans.ledger import What
from secure_kmeans.mpc.division import LARGEST_COUNT_BITS
from secure_kmeans.mpc.engine import LABEL_BYTES, Assignment, Centroids
from secure_kmeans.mpc.kernels import from_plane, words_for
from secure_kmeans.mpc.packing import RING_BYTES, bytes_for
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.mpc.session import Session
from secure_kmeans.protocols import initialisation
from secure_kmeans.protocols.distances import bits_of_a_difference
from secure_kmeans.protocols.resumption import Keep, State, keep_nothing, known_to_the_dealer, restarts_among


@dataclass
class Clustering:
    """What SHK reveals to one party.

    Attributes
    ----------
    centroids : (k, d) float64, scaled
    sizes : (k,) int64 or None
        Of all parties' rows, with the final centroids; None where the job hides them.
    labels : (own rows,) int64
    n_iter : int
    converged : bool
        The stop bit was 1 before ``max_iter`` was reached.
    best_restart : int
    seed : int or None
        What the public coins were drawn from; None where none were needed.
    sizes_by_iteration : list of (k,) lists
        Of the best restart; empty where the job hides them.
    seconds : list of float
        Of each iteration.
    """

    centroids: np.ndarray
    sizes: np.ndarray | None
    labels: np.ndarray
    n_iter: int
    converged: bool
    best_restart: int = 0
    seed: int | None = None
    sizes_by_iteration: list[list[int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


Report = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and of how much."""


def fit(
    session: Session,
    job: Job,
    own_rows: np.ndarray,
    report: Report,
    keep: Keep = keep_nothing,
    resumed: State | None = None,
) -> Clustering:
    """Cluster the rows of all parties.

    Parameters
    ----------
    session : Session
    job : Job
    own_rows : (n of this party, d) float64, scaled, |x| <= ``job.scaling.largest``
    report : callable
        Progress.
    keep : callable, optional
    resumed : State, optional
        Go on from here, as all parties do, instead of from the start; the shares are made anew.

    Returns
    -------
    Clustering; at the dealer one without content.

    Raises
    ------
    ProtocolError
        Where a party does not keep to the protocol.
    StateError
        Where a party has another number of rows than when the state was kept.

    Notes
    -----
    Rounds of an iteration: 1 for the centroids, those of an argmin (with Delta and the stop bit beside it), 2 for T
    and t, 1 to reveal t, those of one division.
    """
    counts = session.row_counts(len(own_rows))
    X = session.share_rows(own_rows, counts)  # (n, d)
    if resumed is not None and resumed.counts != counts:
        raise StateError("a party has another number of rows than when the state was kept; start without --resume")
    known = known_to_the_dealer(session, job, resumed)
    if known is None:
        seed, C = initialisation.first_centroids(session, job, own_rows, counts, X, report)  # [SHK] step 1
        runs = Restarts(session, job, X, C)
    else:
        seed = None if resumed is None else resumed.seed
        runs = Restarts.resumed(session, job, X, known, resumed)
    keep(runs.state(counts, seed))
    for _ in runs.iterations():  # steps 2 to 9
        keep(runs.state(counts, seed))
        report("iterations", runs.iteration, job.max_iter)
    best = runs.best()
    clustering = runs.finish(best, counts)
    clustering.seed = seed
    return clustering


def predict(session: Session, job: Job, own_rows: np.ndarray) -> np.ndarray:
    """Labels of new rows by public centroids, computed on shares; only their owner learns them.

    Parameters
    ----------
    session, job
    own_rows : (new rows of this party, d) float64, scaled

    Returns
    -------
    (new rows of this party,) int64
    """
    engine = session.engine
    counts = session.row_counts(len(own_rows))
    C = session.from_public(job.scaling.apply(np.array(job.centroids)))[None]
    if not sum(counts):
        return np.empty(0, dtype=np.int64)
    engine.execute(engine.enter(session.share_rows(own_rows, counts), 1, job.n_clusters, RING_BITS))
    H = engine.execute(engine.label(engine.execute(engine.centroids(C)), RING_BITS))
    numbers, _ = engine.execute(engine.labels(H))
    return session.reveal_to_owners(numbers, counts, what=What.OWN_LABELS, size=LABEL_BYTES)


class Restarts:
    """Lloyd's iterations of r restarts side by side.

    The dealer works ahead: what it deals for a labelling is for the restarts that were known to go on two labellings
    before. One that has stopped since rides along, and its results are dropped.

    Attributes
    ----------
    C : (r, k, d) shares
    converged : (r,) bool
    sizes : for each restart the revealed sizes of each of its iterations
    n_iter : (r,) ints
    iteration : int
    seconds : list of float
    """

    def __init__(self, session: Session, job: Job, X: np.ndarray, C: np.ndarray) -> None:
        self.session, self.engine, self.job = session, session.engine, job
        self.C = self._C_before = C
        r, k, _ = C.shape
        self._running = np.ones(r, dtype=bool)
        self.converged = np.zeros(r, dtype=bool)
        self.sizes: list[list[list[int]]] = [[] for _ in range(r)]
        self.n_iter = np.zeros(r, dtype=np.int64)
        self.iteration = 0
        self.seconds: list[float] = []
        scale = session.fixed_point.scale
        self._n = len(X)
        self._bits = bits_of_a_difference(job, job.precision_bits)
        self._largest = math.ceil(1.02 * job.scaling.largest * scale)
        self._size = min(RING_BYTES, bytes_for(bits_to_hold(float(self._n) * self._largest) + 2))
        self._epsilon = int(min(job.tol * scale**2, 2.0 ** (RING_BITS - 2)))
        self._seen: tuple[np.ndarray, Centroids] | None = None
        self._labelled: Assignment | None = None
        if job.hide_counts and bits_to_hold(float(self._n) + 1) > LARGEST_COUNT_BITS:
            raise JobError(f"hide_counts: at most {(1 << LARGEST_COUNT_BITS) - 1:,} rows can be counted in secret")
        self.engine.execute(self.engine.enter(X, r, k, self._bits))

    @classmethod
    def resumed(
        cls, session: Session, job: Job, X: np.ndarray, known: tuple[int, np.ndarray, bool], state: State | None
    ) -> Restarts:
        """The restarts as they were, under fresh shares; the dealer has no state."""
        iteration, active, moved = known
        shape = (1 if job.centroids is not None else job.n_init, job.n_clusters, len(job.columns))
        nothing = bytes(8 * math.prod(shape))
        kept = [nothing, nothing] if state is None else [state.centroids, state.before or nothing]
        C, before = (session.shared_anew(np.frombuffer(share, dtype=np.int64).reshape(shape)) for share in kept)
        runs = cls(session, job, X, C)
        runs.iteration = iteration
        runs._running[:] = False
        runs._running[active] = True
        if state is not None:
            runs.n_iter = np.array(state.n_iter, dtype=np.int64)
            runs.converged = np.array(state.converged, dtype=bool)
            runs.sizes, runs.seconds = list(state.sizes), list(state.seconds)
            session.ledger.entries[:] = state.ledger
        if moved:
            runs._C_before = before
            runs._seen = active, session.engine.execute(session.engine.centroids(before[active]))
        return runs

    @property
    def active(self) -> np.ndarray:
        """Those still running, ints."""
        return np.flatnonzero(self._running)

    def state(self, counts: list[int], seed: int | None) -> State:
        """What this party needs to go on from here."""
        r, k, d = self.C.shape
        return State(
            iteration=self.iteration,
            counts=counts,
            seed=seed,
            shape=(r, k, d),
            centroids=self.C.tobytes(),
            before=self._C_before.tobytes() if self._seen is not None else b"",
            active=self.active.tolist(),
            converged=self.converged.tolist(),
            sizes=[list(sizes) for sizes in self.sizes],
            n_iter=self.n_iter.tolist(),
            seconds=list(self.seconds),
            ledger=list(self.session.ledger.entries),
        )

    def iterations(self) -> Iterator[None]:
        """[SHK] steps 2 to 9 until all restarts have stopped; yields after each iteration.

        The dealer's iterations are those that it deals. A party whose restarts have all stopped passes over what was
        dealt ahead.
        """
        known = [self.active, self.active]  # for each labelling, which restarts were known to go on when it was dealt
        last = self.job.max_iter - self.iteration
        for labelling in range(last + 1):
            if self.session.deals and labelling >= 2:
                known.append(self._heard(known))
            riding = known[labelling] if self.session.dealt_ahead else self.active
            if not riding.size:
                break
            began, over = time.perf_counter(), not self.active.size
            with self.session.passing_over(over):
                H = self._look(riding)
            if not self.session.deals:
                known.append(self.active)
                if not over:
                    self.session.tell(self.active.tolist())
            if labelling == last or not (self.session.dealt_ahead or self.active.size):
                break
            with self.session.passing_over(not self.active.size):
                self._move(H, riding)
            if self.active.size:
                self.seconds.append(time.perf_counter() - began)
                yield
        while self.session.deals and len(known) < last + 3 and known[-1].size:
            known.append(self._heard(known))

    def _heard(self, known: list[np.ndarray]) -> np.ndarray:
        return restarts_among(self.session.hear(), known[-1])

    def _look(self, riding: np.ndarray) -> Assignment:
        """[SHK] steps 2, 6, 8 and 9: label the rows, and find out what the last iteration has moved."""
        now = self.engine.execute(self.engine.centroids(self.C[riding]))
        label = self.engine.label(now, self._bits)
        if self._seen is None:
            H = self.engine.execute(label)
        else:
            ridden, before = self._seen
            before = before[np.searchsorted(ridden, riding)]
            stopped, H = self.engine.together(self._stopped(before, now, riding), label)
            if self.engine.takes_part:
                self.converged[stopped] = True
                self._running[stopped] = False
        self._seen = riding, now
        if self.engine.takes_part or self.session.deals:
            self._labelled = H
        return H

    def _stopped(self, before: Centroids, now: Centroids, riding: np.ndarray) -> Step[np.ndarray]:
        """Which of the running restarts have moved by no more than epsilon."""
        moved_more = yield from self.engine.moved_more(before, now, self._epsilon)
        running = self._running[riding]
        shown = np.zeros(words_for(len(riding)), dtype=np.uint64)
        shown.view(np.uint8)[: -(-len(riding) // 8)] = np.packbits(running, bitorder="little")
        revealed = yield from self.session.revealing(moved_more & shown, what=What.STOP_BIT, iteration=self.iteration)
        moved = np.empty(len(riding), dtype=np.int64)
        from_plane(revealed, moved)
        return riding[running & (moved == 0)]

    def _move(self, H: Assignment, riding: np.ndarray) -> None:
        """[SHK] steps 3, 4, 5 and 7: each centroid becomes the mean of its rows."""
        run, (r, k, d) = self.engine.execute, (len(riding), *self.C.shape[1:])
        running = self._running[riding]
        C = self.C[riding]
        self.iteration += bool(self.active.size)
        if self.job.hide_counts:
            T, t = run(self.engine.sums(H, RING_BYTES))
            means = run(self.engine.divided_by_secret(T.reshape(-1, d), t.reshape(-1), C.reshape(-1, d), self._largest))
        else:
            T, t = run(self.engine.sums(H, self._size))  # steps 3 and 4
            reveal = self.session.revealing(
                t[running], what=What.CLUSTER_SIZES, iteration=self.iteration, size=self._size
            )
            revealed, dividends = self.engine.together(reveal, self.engine.divide(T.reshape(-1, d), self._size))
            sizes = np.full((r, k), self._n, dtype=np.int64)  # what has stopped is divided by anything
            sizes[running] = revealed
            means = run(self.engine.divided(dividends, sizes.clip(1).reshape(-1), self._largest, self._n))  # step 5
            means = np.where(sizes.reshape(-1, 1) == 0, C.reshape(-1, d), means)
            if self.engine.takes_part:
                for restart, found in zip(self.active, revealed.tolist(), strict=True):
                    self.sizes[restart].append(found)
        if self.engine.takes_part:
            self.n_iter[self.active] += 1
            self._C_before, self.C = self.C, self.C.copy()
            self.C[self.active] = means.reshape(r, k, d)[running]  # step 7

    def best(self) -> int:
        """The restart with the least inertia, the first of those that found the same; only its number is revealed.

        With T and t of the final centroids the inertia is a constant plus ``sum_j t_j |c_j|^2 - 2 T_j . c_j``.
        Where that sum could wrap, its terms are divided first: inertias that differ by less count as equal.
        """
        engine, (restarts, _, d) = self.engine, self.C.shape
        if restarts == 1:
            return 0
        H = engine.execute(engine.label(engine.execute(engine.centroids(self.C)), self._bits))
        T, t = engine.execute(engine.sums(H, RING_BYTES))
        terms = engine.execute(engine.multiply(t[:, :, None], self.C)) - 2 * T
        magnitude = 2 * self.session.fixed_point.bits + bits_to_hold(3.0 * self._n * d * self.job.scaling.largest**2)
        if (excess := magnitude - RING_BITS + 3) > 0:
            terms = engine.execute(engine.shift_right(terms.reshape(-1), excess)).reshape(terms.shape)
        inertias = engine.execute(engine.multiply(terms, self.C)).sum(axis=(1, 2))
        one_hot = engine.execute(engine.argmin_one_hot(inertias[:, None]))
        number = (one_hot[:, 0] * np.arange(restarts)).sum(keepdims=True)
        return int(self.session.reveal(number, what=What.BEST_RESTART)[0])

    def finish(self, best: int, counts: list[int]) -> Clustering:
        """Reveal the model, and to each party the labels of its own rows."""
        engine, session, C = self.engine, self.session, self.C[best : best + 1]
        if len(self.C) > 1 or self._labelled is None:
            self._labelled = engine.execute(engine.label(engine.execute(engine.centroids(C)), self._bits))
        numbers, t = engine.execute(engine.labels(self._labelled))
        centroids = session.fixed_point.decode(session.reveal(C[0], what=What.FINAL_CENTROIDS))
        return Clustering(
            centroids=centroids,
            sizes=None if self.job.hide_counts else session.reveal(t, what=What.FINAL_SIZES, size=LABEL_BYTES),
            labels=session.reveal_to_owners(numbers, counts, what=What.OWN_LABELS, size=LABEL_BYTES),
            n_iter=int(self.n_iter[best]),
            converged=bool(self.converged[best]),
            best_restart=best,
            sizes_by_iteration=self.sizes[best],
            seconds=self.seconds,
        )
