"""Secure horizontal k-means: GMV's Algorithm 5 (SHK-means) on additive shares.

D. Hurtado Ramirez, J. M. Aunon, "Privacy preserving k-means clustering: a secure multi-party computation
approach" (2020), with the initialisations of :mod:`secure_kmeans.protocols.initialisation`.

Symbols: X the rows of all parties, one below the other (n, d); C the centroids (k, d); H the assignment,
one-hot (n, k); T = H^T X the sums (k, d); t the cluster sizes (k); Delta the movement of all centroids.
r restarts run side by side: their centroids lie one below the other, (r, k, d).

Differs from the paper:

- step 2 compares scores, ``|c|^2 - 2 x . c``, not distances, and never rounds them;
- a tie goes to the lowest index, so each row of H has exactly one 1;
- step 5 reveals the sizes t; where one is 0 the old centroid is kept;
- step 5 rounds the means to the nearest number of the fixed point, exactly: a run can be repeated to the last bit;
- step 9 stops at ``Delta <= epsilon``.

Reveals: the sizes and one stop bit for each restart and iteration; with several restarts the number of the
best; at the end the centroids and their sizes to all parties, and to each party the labels of its rows.
The dealer learns shapes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch

from secure_kmeans.errors import ProtocolError, StateError
from secure_kmeans.fixed_point import RING_BITS, bits_to_hold
from secure_kmeans.job import Job
from secure_kmeans.ledger import Disclosure, What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.argmin import argmin_one_hot
from secure_kmeans.mpc.comparison import less_or_equal
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.division import floor_divide
from secure_kmeans.mpc.session import Session
from secure_kmeans.protocols import initialisation
from secure_kmeans.protocols.distances import scores
from secure_kmeans.public_coins import Coins, DrawGrid

COMPARISONS_AT_ONCE = 1 << 19
"""Bounds the memory of a labelling: CrypTen's adder holds some 20 words for each comparison."""


@dataclass
class Clustering:
    """What SHK reveals to one party.

    Attributes
    ----------
    centroids : (k, d) float64, scaled
    sizes : (k,) int64
        Of all parties' rows, with the final centroids.
    labels : (own rows,) int64
    n_iter : int
    converged : bool
        The stop bit was 1 before ``max_iter`` was reached.
    best_restart : int
    seed : int or None
        What the public coins were drawn from; None where none were needed.
    sizes_by_iteration : list of (k,) lists
        Of the best restart.
    seconds : list of float
        Of each iteration.
    """

    centroids: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    n_iter: int
    converged: bool
    best_restart: int = 0
    seed: int | None = None
    sizes_by_iteration: list[list[int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one party needs to go on after an iteration: its share of the centroids, and what all parties know.

    Attributes
    ----------
    iteration : int
        0 after the initialisation.
    counts : list of int
        Every party's number of rows.
    seed : int or None
    shape : (r, k, d)
    centroids : bytes
        This party's share, int64.
    active, converged, sizes, seconds
        As in :class:`_Restarts`.
    ledger : list of Disclosure
    """

    iteration: int
    counts: list[int]
    seed: int | None
    shape: tuple[int, int, int]
    centroids: bytes
    active: list[int]
    converged: list[bool]
    sizes: list[list[list[int]]]
    seconds: list[float]
    ledger: list[Disclosure]


Report = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and of how much."""

Keep = Callable[[State], None]
"""Told the state after the initialisation and after each iteration."""


def keep_nothing(state: State) -> None:
    """For a run that cannot be resumed."""
    del state


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
    Clustering

    Raises
    ------
    ProtocolError
        Where a division went astray.
    StateError
        Where a party has another number of rows than when the state was kept.

    Notes
    -----
    Rounds of an iteration: 2 for the scores, those of :func:`~secure_kmeans.mpc.argmin.argmin_one_hot`, 1 for T,
    1 for the sizes, those of one division, 1 for Delta, one comparison, 1 for the stop bit.
    """
    counts = session.row_counts(len(own_rows))
    X = session.share_rows(own_rows, counts)  # (n, d)
    if resumed is None:
        seed, C = _start(session, job, own_rows, counts, X, report)  # [SHK] step 1
        runs = _Restarts(session, job, X, C)
    else:
        seed, runs = resumed.seed, _Restarts.resumed(session, job, X, counts, resumed)
    keep(runs.state(counts, seed))
    while runs.active.size and runs.iteration < job.max_iter:
        runs.iterate()  # steps 2 to 9
        keep(runs.state(counts, seed))
        report("iterations", runs.iteration, job.max_iter)
    best = runs.best()
    clustering = _finish(session, X, counts, runs.C[best])
    clustering.seed = seed
    clustering.best_restart = best
    clustering.n_iter = len(runs.sizes[best])
    clustering.converged = bool(runs.converged[best])
    clustering.sizes_by_iteration = runs.sizes[best]
    clustering.seconds = runs.seconds
    return clustering


def label_samples(X: Shared, C: Shared) -> Shared:
    """GMV's Algorithm 4: H with ``H[i, j, l] = 1`` where C[j, l] is the nearest of C[j] to X[i].

    Parameters
    ----------
    X : (n, d) shares
    C : (r, k, d) shares

    Returns
    -------
    (n, r, k) shares of integers. Rows are labelled in blocks, so memory does not grow with n, and
    a block more costs the rounds of :func:`~secure_kmeans.mpc.argmin.argmin_one_hot` and of the scores again.
    """
    r, k, d = C.shape
    flat = C.reshape(r * k, d)
    block = max(1, COMPARISONS_AT_ONCE // (r * k * k))
    parts = []
    for start in range(0, len(X), block):
        rows = X[start : start + block]
        parts.append(argmin_one_hot(scores(rows, flat).reshape(len(rows), r, k)))
    return crypten.cat(parts)


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
    counts = session.row_counts(len(own_rows))
    C = session.from_public(job.scaling.apply(np.array(job.centroids)))
    if not sum(counts):
        return np.empty(0, dtype=np.int64)
    H = label_samples(session.share_rows(own_rows, counts), C.unsqueeze(0))
    return _own_labels(session, H[:, 0], counts)


def _start(
    session: Session, job: Job, own_rows: np.ndarray, counts: list[int], X: Shared, report: Report
) -> tuple[int | None, Shared]:
    """[SHK] step 1, for all restarts: the seed of the coins and the first centroids, (r, k, d) shares."""
    if job.centroids is not None:
        return None, session.from_public(job.scaling.apply(np.array(job.centroids))).unsqueeze(0)
    seed = session.toss_coins() if job.seed is None else job.seed
    coins = Coins.draw(seed, job.init, sum(counts), job.n_clusters, job.n_init)

    def chosen(number: int, of: int) -> None:
        report("initialisation", number, of)

    if job.init == "random":
        return seed, initialisation.random_rows(X, coins)
    if job.init == "farthest":
        return seed, initialisation.farthest(X, job.n_clusters, coins, chosen)
    grid = DrawGrid.fitting(sum(counts), X.shape[1], job.scaling.largest)
    X_coarse = session.share_rows(session.fixed_point.on_grid(own_rows), counts, grid.row_bits)
    return seed, initialisation.k_means_plus_plus(X, X_coarse, grid, job.n_clusters, coins, chosen)


class _Restarts:
    """Lloyd's iterations of r restarts side by side; one that has stopped is left out of the next iterations.

    Attributes
    ----------
    C : (r, k, d) shares
    active : (those still running,) ints
    converged : (r,) bool
    sizes : for each restart the revealed sizes of each of its iterations
    iteration : int
    seconds : list of float
    """

    def __init__(self, session: Session, job: Job, X: Shared, C: Shared) -> None:
        self.session, self.X, self.C = session, X, C
        restarts = len(C)
        self.active = np.arange(restarts)
        self.converged = np.zeros(restarts, dtype=bool)
        self.sizes: list[list[list[int]]] = [[] for _ in range(restarts)]
        self.iteration = 0
        self.seconds: list[float] = []
        self._largest = job.scaling.largest
        self._largest_centroid = math.ceil(1.02 * self._largest * session.fixed_point.scale)
        self._epsilon = int(min(job.tol * session.fixed_point.scale**2, 2.0 ** (RING_BITS - 2)))

    @classmethod
    def resumed(cls, session: Session, job: Job, X: Shared, counts: list[int], state: State) -> _Restarts:
        """The restarts as they were, under fresh shares."""
        if state.counts != counts:
            raise StateError("a party has another number of rows than when the state was kept; start without --resume")
        kept = torch.frombuffer(bytearray(state.centroids), dtype=torch.long).reshape(state.shape)
        zero = crypten.share(torch.zeros(state.shape, dtype=torch.long), 0, state.shape)
        runs = cls(session, job, X, crypten.with_share(zero, zero.share + kept))
        runs.iteration, runs.active = state.iteration, np.array(state.active, dtype=np.int64)
        runs.converged = np.array(state.converged, dtype=bool)
        runs.sizes, runs.seconds = list(state.sizes), list(state.seconds)
        session.ledger.entries[:] = state.ledger
        return runs

    def state(self, counts: list[int], seed: int | None) -> State:
        """What this party needs to go on from here."""
        r, k, d = self.C.shape
        return State(
            iteration=self.iteration,
            counts=counts,
            seed=seed,
            shape=(r, k, d),
            centroids=self.C.share.numpy().tobytes(),
            active=self.active.tolist(),
            converged=self.converged.tolist(),
            sizes=[list(sizes) for sizes in self.sizes],
            seconds=list(self.seconds),
            ledger=list(self.session.ledger.entries),
        )

    def iterate(self) -> None:
        """[SHK] steps 2 to 9, once, for the restarts that are still running."""
        began = time.perf_counter()
        self.iteration += 1
        reveal = self.session.reveal_to_all
        active = torch.from_numpy(self.active)
        C = self.C[active]
        H = label_samples(self.X, C)  # step 2
        t = torch.from_numpy(reveal(H.sum(0), what=What.CLUSTER_SIZES, iteration=self.iteration))  # steps 3 and 5
        T = _sums(H, self.X)  # step 4
        half = crypten.from_public((t // 2).unsqueeze(2).expand(T.shape))
        means, astray = floor_divide(T + half, t.clamp(min=1).unsqueeze(2), self._largest_centroid)  # step 5
        kept = (t == 0).long().unsqueeze(2)
        C_new = crypten.with_share(C, means.share * (1 - kept) + C.share * kept)
        Delta = crypten.squares(C_new - C).sum(2).sum(1)  # steps 6 and 8
        C_all = self.C.share.clone()
        C_all[active] = C_new.share
        self.C = crypten.with_share(self.C, C_all)  # step 7
        epsilon = crypten.from_public(torch.full((len(active),), self._epsilon))
        ended = less_or_equal(Delta, epsilon) + astray * 2
        stop = _checked(reveal(ended, what=What.STOP_BIT, iteration=self.iteration), below=2) == 1  # step 9
        for restart, sizes in zip(self.active, t.tolist(), strict=True):
            self.sizes[restart].append(sizes)
        self.converged[self.active[stop]] = True
        self.active = self.active[~stop]
        self.seconds.append(time.perf_counter() - began)

    def best(self) -> int:
        """The restart with the least inertia, the first of those that found the same; only its number is revealed.

        With T and t of the final centroids the inertia is a constant plus ``sum_j t_j |c_j|^2 - 2 T_j . c_j``.
        Where that sum could wrap, its terms are divided first: inertias that differ by less count as equal.
        """
        restarts, _, d = self.C.shape
        if restarts == 1:
            return 0
        H = label_samples(self.X, self.C)
        terms = H.sum(0).unsqueeze(2) * self.C - _sums(H, self.X) * 2
        magnitude = 2 * self.session.fixed_point.bits + bits_to_hold(3.0 * len(self.X) * d * self._largest**2)
        astray = crypten.from_public(torch.tensor(0))
        if (excess := magnitude - RING_BITS + 3) > 0:
            largest_term = math.ceil(3.1 * len(self.X) * self._largest_centroid) >> excess
            terms, astray = floor_divide(terms, torch.tensor(1 << excess), largest_term)
        inertias = (terms * self.C).sum(2).sum(1)
        number = (argmin_one_hot(inertias) * torch.arange(restarts)).sum(0) + astray * restarts
        return int(_checked(self.session.reveal_to_all(number, what=What.BEST_RESTART), below=restarts))


def _checked(revealed: np.ndarray, *, below: int) -> np.ndarray:
    """What was revealed together with the number of quotients astray, if there are none."""
    if (revealed >= below).any():
        raise ProtocolError("a division of shares went astray, which happens once in many runs: run again")
    return revealed


def _sums(H: Shared, X: Shared) -> Shared:
    """T = H^T X for each restart, (r, k, d) shares from (n, r, k) and (n, d); H is unscaled, nothing is rounded."""
    n, r, k = H.shape
    return H.reshape(n, r * k).t().matmul(X).reshape(r, k, X.shape[1])


def _finish(session: Session, X: Shared, counts: list[int], C: Shared) -> Clustering:
    """Reveal the model, and to each party the labels of its own rows."""
    H = label_samples(X, C.unsqueeze(0))[:, 0]
    centroids = session.fixed_point.decode(session.reveal_to_all(C, what=What.FINAL_CENTROIDS))
    sizes = session.reveal_to_all(H.sum(0), what=What.FINAL_SIZES)
    return Clustering(centroids, sizes, _own_labels(session, H, counts), n_iter=0, converged=False)


def _own_labels(session: Session, H: Shared, counts: list[int]) -> np.ndarray:
    """To each party the labels of its own rows, and to nobody else."""
    labels = (H * torch.arange(H.shape[1])).sum(1)
    own = np.empty(0, dtype=np.int64)
    start = 0
    for party, count in zip(session.parties, counts, strict=True):
        if count:
            revealed = session.reveal(labels[start : start + count], to=party, what=What.OWN_LABELS)
            own = own if revealed is None else revealed
        start += count
    return own
