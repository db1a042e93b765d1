"""SMO07's k-means, run by its parties: the loop of section 4.2.3, with either mode.

Symbols of the paper: n parties P_i, k means mu_j, the sum l_ji and the number r_ji of the rows of P_i that are nearest
to mu_j. All parties know every mean; what is protected are each party's sums and numbers.

Differs from the paper: all starts of a run go on side by side, in the same messages; all means of an iteration are
computed by one addition; the means are integers in units of the fixed point, rounded to the nearest; a mean of fewer
rows than ``min_cluster_size`` stays where it is, as that of an empty cluster does; the run stops by itself.

Sources: Samet, Miri, Orozco-Barbosa, "Privacy preserving k-means clustering in multi-party environment" (SECRYPT 2007);
Biswas, Bubna, Doss, Scheffler, "Privacy Preserving K-Means Clustering" (MIT, 2016), sections 4.2.2 and 4.2.3.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np

from secure_kmeans.errors import StateError
from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold
from secure_kmeans.job.model import KMeansModel, KMeansOwn, KMeansResult, usual_order
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.plaintext.conclusion import grid_by_column
from secure_kmeans.plaintext.points import Moments, points
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import disclosures as may
from secure_kmeans.protocols.smo07.checks import check_all_rows
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.smo07.local import OwnRows
from secure_kmeans.protocols.smo07.mode import Limits, Mode
from secure_kmeans.protocols.smo07.state import State

_LOSS_BITS: Final = 240
"""A sum of losses is added up exactly as an integer of so many bits."""


def run(context: Context[Smo07Job]) -> KMeansResult:
    """Take part in a run as a party.

    Raises
    ------
    ProtocolError
        Where a party does not keep to the protocol.
    StateError
        Where a state does not fit the run.
    """
    return _Part(context).fit()


def mode_of(context: Context[Smo07Job], limits: Limits) -> Mode:
    """The mode that the job names. Each imports what the other one does not need."""
    if context.job.mode == "paillier":
        from secure_kmeans.protocols.smo07.paillier_mode import PaillierMode

        return PaillierMode(context, limits)
    from secure_kmeans.protocols.smo07.aggregate import AggregateMode

    return AggregateMode(context, limits)


class _Part:
    """One party's part in a run."""

    def __init__(self, context: Context[Smo07Job]) -> None:
        assert context.table is not None, "every role is a party"
        self.context, self.job = context, context.job
        self.own = OwnRows(context.job, context.table)

    def fit(self) -> KMeansResult:
        """Cluster the rows of all parties."""
        context, job = self.context, self.job
        if job.bounds_from_data:
            context.ledger.record(may.COLUMN_BOUNDS)
        self.counts = self._row_counts()
        self.n = sum(self.counts)
        limits = check_all_rows(job, self.n)
        context.progress("set-up", 1, 2)
        with self._mode(limits) as self.mode:
            state = self._first_state() if context.resumed is None else self._resumed_state(context.resumed)
            context.agree_on(_digest(state), "centroids")
            context.progress("set-up", 2, 2)
            self._keep(state)
            while state.iteration < job.max_iter and len(state.running):
                self._iterate(state)
                self._keep(state)
                context.progress("iterations", state.iteration, job.max_iter)
            return self._conclude(state)

    @contextlib.contextmanager
    def _mode(self, limits: Limits) -> Iterator[Mode]:
        mode = mode_of(self.context, limits)
        try:
            yield mode
        finally:
            mode.close()

    # --------------------------------------------------------------- the start

    def _row_counts(self) -> list[int]:
        """The number of rows of each party, which all of them learn. Rounds: 1."""
        self.context.ledger.record(may.ROW_COUNTS)
        counts = [int(each[0]) for each in self.context.exchange(np.array([len(self.own)], dtype=np.int64))]
        for party, count in zip(self.context.parties, counts, strict=True):
            if not 0 <= count < 1 << 40:
                raise self.context.mesh.blame(party, "it sent no number of rows")
        return counts

    def _first_state(self) -> State:
        """The first centroids, which all parties know. Rounds: 2 for the coins, and those of ``totals``."""
        # [SMO07] step 1: k random initial guesses for the means are known to all parties.
        job, context = self.job, self.context
        moments, tol = self._moments()
        if job.centroids is not None:
            seed = None
            C = FixedPoint(job.precision_bits).encode(job.scaling.apply(np.array(job.centroids)))[None]
        else:
            seed = context.toss_coins()
            C = points(job, seed, moments)
        return State.at(C, self.counts, seed, tol)

    def _moments(self) -> tuple[Moments | None, int]:
        """The moments of all rows, where the starts need them, and the bound of the stop rule."""
        job, n = self.job, self.n
        if not job.discloses_moments:
            return None, 0
        self.context.ledger.record(may.MOMENTS)
        tolerance = Tolerance.of(job, n)
        own, norms = self.own.moments(tolerance)
        reach, d = self.mode.limits.largest, len(job.columns)
        bounds = [n * reach] * d + [n * reach**2] * d
        numbers = [*own.sums, *own.squares]
        if tolerance is not None:
            numbers, bounds = [*numbers, norms], [*bounds, d * n * reach**2]
        totals = self.mode.totals(numbers, bounds)
        moments = Moments(n, totals[:d], totals[d : 2 * d])
        tol = 0 if tolerance is None else tolerance.bound_of(totals[2 * d], moments.sums)
        return (moments if job.init == "moments" else None), tol

    def _resumed_state(self, kept: bytes) -> State:
        job = self.job
        state, entries = State.decoded(kept, (job.restarts, job.n_clusters, len(job.columns)))
        if state.counts != self.counts:
            raise StateError("a party has another number of rows than when the state was kept; start the run anew")
        self.context.ledger.entries[:] = entries
        return state

    def _keep(self, state: State) -> None:
        self.context.keep(state.iteration, state.encoded(self.context.ledger.entries))

    # ---------------------------------------------------------- each iteration

    def _iterate(self, state: State) -> None:
        """Steps 2 to 5 for all starts that go on."""
        began = time.perf_counter()
        running = state.running
        C = state.C[running]  # (m, k, d)
        own_sums, own_sizes = self.own.sums(C)  # [SMO07] step 2: the closest mean of each own row
        self.context.ledger.record(may.CENTROIDS, iteration=state.iteration + 1)
        means = self.mode.means(  # [SMO07] steps 3 to 5: l_j / r_j for all j at once
            own_sums.reshape(-1, C.shape[2]),
            own_sizes.reshape(-1),
            C.reshape(-1, C.shape[2]),
            largest=self.mode.limits.largest,
            least=self.job.fewest_to_move,
            iteration=state.iteration + 1,
        )
        state.move(running, means.reshape(C.shape))
        state.seconds.append(time.perf_counter() - began)

    # ------------------------------------------------------------------ the end

    def _conclude(self, state: State) -> KMeansResult:
        """The best start's model, and the labels of the own rows by it."""
        job, ledger = self.job, self.context.ledger
        best = self._best(state)
        grid = state.C[best]
        ledger.record(may.FINAL_CENTROIDS)
        centroids = self._final_means(grid, state.C_before[best])
        sizes = self._sizes(grid) if job.reveal_sizes else None
        inertia = self._inertia(grid, centroids) if job.reveal_inertia else None
        order = usual_order(sizes, centroids.tolist())
        model = KMeansModel(
            centroids=centroids[order].tolist(),
            grid_centroids=grid[order].tolist(),
            tie_order=order,
            withheld=[],
            sizes=None if sizes is None else [sizes[number] for number in order],
            inertia=inertia,
            mean_distance=None,
            n_iter=int(state.n_iter[best]),
            converged=bool(state.converged[best]),
            best_restart=best,
            seed=state.seed,
            sizes_by_iteration=[],
        )
        ledger.record(may.OWN_LABELS, self.context.role.name)
        return KMeansResult(
            role=self.context.role.name,
            n_samples=dict(zip(job.names, self.counts, strict=True)),
            common=model,
            own=KMeansOwn(labels=self._labels(grid, order), seconds_by_iteration=state.seconds),
            ledger=list(ledger.entries),
        )

    def _best(self, state: State) -> int:
        """The number of the start of least inertia."""
        if len(state.C) == 1:
            return 0
        self.context.ledger.record(may.BEST_RESTART)
        d, reach = len(self.job.columns), self.mode.limits.largest
        return self.mode.best(self.own.inertias(state.C), self.n * d * (2 * reach) ** 2)

    def _final_means(self, grid: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The means of the rows that were nearest to the centroids before, each column at its own precision.

        Returns
        -------
        (k, d), original units.
        """
        job, bits = self.job, self.job.mean_bits(self.n)
        sums, sizes = self.own.sums_by_column(before, bits)
        means = self.mode.means(
            sums,
            sizes,
            grid_by_column(job, grid, self.n),
            largest=self.mode.limits.largest_by_column,
            least=job.fewest_to_move,
            iteration=None,
        )
        return job.scaling.by_column.invert(FixedPoint(bits).decode(means))

    def _labels(self, grid: np.ndarray, order: list[int]) -> list[int]:
        """The labels of the own rows, by the order of the clusters; none of a table that is read in chunks."""
        if self.own.table.IS_CHUNKED:
            return []
        labels = np.concatenate([np.empty(0, dtype=np.int64), *self.own.labels(grid)])
        return np.argsort(order)[labels].tolist()

    def _sizes(self, grid: np.ndarray) -> list[int | None]:
        self.context.ledger.record(may.FINAL_SIZES)
        own = self.own.sizes(grid)
        if self.job.sizes_known_from:
            return self.mode.sizes(own, self.job.sizes_known_from)
        return list(self.mode.totals(own.tolist(), [self.n] * len(own)))

    def _inertia(self, grid: np.ndarray, centroids: np.ndarray) -> float:
        """The inertia over the rows of all parties, in original units."""
        self.context.ledger.record(may.INERTIA)
        bound = self.n * float(self.job.scaling.diagonal) ** 2
        unit = Fraction(2) ** (bits_to_hold(bound) - _LOSS_BITS)
        own = round(Fraction(self.own.inertia(grid, centroids)) / unit)
        return float(self.mode.totals([own], [1 << _LOSS_BITS])[0] * unit)


def _digest(state: State) -> bytes:
    """SHA-256 of what all parties must have in common."""
    return hashlib.sha256(repr((state.iteration, state.seed, state.tol)).encode() + state.C.tobytes()).digest()
