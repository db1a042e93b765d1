"""SVK-means, run by its roles: parties that hold columns of the same rows, and a dealer.

GMV's Algorithm 6 (see :mod:`secure_kmeans.protocols.svk.open_labels`); with hidden labels, which the paper does not
have, Algorithm 5 on rows that are entered by columns (see :mod:`secure_kmeans.protocols.lloyd`). Before either, the
parties find the rows that all of them have (see :mod:`secure_kmeans.protocols.alignment`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from secure_kmeans.job import Kind
from secure_kmeans.job.fixed_point import RING_BITS
from secure_kmeans.job.model import ColumnsResult
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.conclusion import read_share
from secure_kmeans.protocols.initialisation import first_centroids
from secure_kmeans.protocols.kmeans_checks import check_rows
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByColumns
from secure_kmeans.protocols.starts import PublicStarts, draw_starts
from secure_kmeans.protocols.stopping import movement_bound
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.job import DEALER, SvkJob
from secure_kmeans.protocols.svk.open_labels import OpenLabels
from secure_kmeans.protocols.svk.outcome import Outcome
from secure_kmeans.protocols.svk.rows import ColumnsState, rows_taken
from secure_kmeans.protocols.tally import Resumption


def run(context: Context[SvkJob]) -> ColumnsResult | None:
    """Take part in a run as a party or as the dealer.

    Raises
    ------
    DataError
        Where the tables have too few rows in common, or cannot be told to have the same ones.
    ProtocolError
        Where a role does not keep to the protocol.
    StateError
        Where a state does not fit the run.
    """
    with crypten.joined(context.mesh) as channel:
        sharing = open_session(channel, context.job, context.ledger)
        line = ScheduleLine(context.mesh, context.parties[0], DEALER, in_use=True)
        context.progress("set-up", 2, 2)
        part = _Part(context, sharing, line)
        return part.predict() if context.job.task == "predict" else part.fit()


class _Part:
    """One role's part in a run."""

    def __init__(self, context: Context[SvkJob], sharing: Sharing, line: ScheduleLine) -> None:
        assert isinstance(sharing.engine, SecureEngine)
        self.context, self.job, self.sharing, self.line = context, context.job, sharing, line
        self.engine = sharing.engine
        self.is_dealer = context.role.kind is Kind.DEALER
        self.mine = self.job.columns_of(context.role.name)
        self.state = None if context.resumed is None else ColumnsState.decoded(context.resumed)
        self.resumption = None
        if self.job.task == "fit":
            self.resumption = Resumption.agreed(
                line, self.state, is_dealer=self.is_dealer, restarts=self.job.restarts, max_iter=self.job.max_iter
            )
        if self.job.bounds_from_data:
            context.ledger.record(may.COLUMN_BOUNDS)
        self.taken = rows_taken(context, line, self.state, resumed=self.resumption is not None)
        n = len(self.taken)
        self.scaled = np.zeros((n, 0))
        if context.table is not None:
            self.scaled = context.table.scaled(self.job.scaling.of_columns(self.mine))[self.taken]
        self.partition = ByColumns(n, self.job.widths, self.mine)
        self.outcome = Outcome(context, sharing, self.partition, self.taken)

    # --------------------------------------------------------------------- fit

    def fit(self) -> ColumnsResult | None:
        """Cluster the rows that all parties have."""
        job, sharing = self.job, self.sharing
        check_rows(job, self.partition.n, hidden=job.hide_counts)
        needs_shares = job.hide_labels or not job.start_is_known
        X = self.partition.enter(sharing, self.scaled) if needs_shares else None  # (n, d)
        C, C_before = self._kept() if self.resumption is not None else (self._first_centroids(X), None)
        epsilon = movement_bound(sharing, job, self.scaled, self.partition)
        rows = None
        if X is not None:
            rows = self.engine.execute(self.engine.enter(X, bits_of_a_difference(job, job.precision_bits)))
        if job.hide_labels:
            assert rows is not None
            revealed = Revealed(
                None if job.hide_counts else may.CLUSTER_SIZES,
                may.SMALL_CLUSTERS,
                may.STOP_BIT,
                may.GOING_ON,
                may.BEST_RESTART,
            )
            return self.outcome.of_lloyd(
                self._iterated(Lloyd(sharing, job, rows, C, epsilon, self.line, revealed), C_before)
            )
        loop = OpenLabels(sharing, job, self._encoded(), self.mine, rows, C, epsilon, self.line)
        if self.state is not None:
            loop.restore(self.state)
        return self.outcome.of_open_labels(self._iterated(loop, C_before))

    def _encoded(self) -> np.ndarray:
        """This party's columns in units of the fixed point."""
        return self.sharing.fixed_point.encode(self.scaled)

    def _first_centroids(self, X: Shared | None) -> Shared:
        """[SVK] step 1, for all starts, (r, k, d)."""
        job, context = self.job, self.context
        if job.centroids is not None:
            C = self.sharing.fixed_point.encode(job.scaling.apply(np.array(job.centroids)))[None]
            return self._own_columns_of(C) if X is None else self.sharing.engine.public(C)
        starts = draw_starts(context, self.partition.n, may.STARTING_ROWS, is_dealer=self.is_dealer)
        if X is None:
            assert isinstance(starts, PublicStarts)
            own = self._encoded()[starts.coins.rows]
            return wrap(self.partition.in_all_columns(own))
        return first_centroids(self.sharing, job, self.scaled, self.partition, X, starts, context.progress)

    def _own_columns_of(self, C: np.ndarray) -> Shared:
        """Public centroids as shares, of which this party's is its own columns, and 0 elsewhere."""
        return wrap(self.partition.in_all_columns(C[:, :, self.mine]))

    def _kept(self) -> tuple[Shared, Shared]:
        """The centroids of a state and the earlier ones; the dealer has no state.

        Shares are made fresh where labels are hidden. Otherwise a share is what a party knows, and stays.
        """
        job = self.job
        shape = (job.restarts, job.n_clusters, len(job.columns))
        if self.state is None:
            nothing = wrap(np.zeros(shape, dtype=np.int64))
            return nothing, nothing
        self.context.ledger.entries[:] = self.state.entries()
        both = self.state.share, self.state.share_before
        if job.hide_labels:
            return self.sharing.enter_share(both[0]), self.sharing.enter_share(both[1])
        return wrap(both[0].copy()), wrap(both[1].copy())

    def _iterated(self, loop: Any, C_before: Shared | None) -> Any:
        """A loop, run to its end; a party keeps a state after each iteration."""
        if self.resumption is not None:
            assert C_before is not None
            loop.resume(self.resumption, C_before)
            if self.state is not None:
                loop.tally.restore(self.state)
        self._keep(loop)
        for _ in loop.iterations():
            self._keep(loop)
            self.context.progress("iterations", loop.tally.iteration, self.job.max_iter)
        return loop

    def _keep(self, loop: Lloyd | OpenLabels) -> None:
        """Save what this party needs to resume from here."""
        if self.is_dealer:
            return
        public: dict[str, Any] = {"filled": [], "known": [], "labels": b"", "averaged": b""}
        if isinstance(loop, OpenLabels):
            public = {
                "filled": loop.filled.tolist(),
                "known": loop.known.tolist(),
                "labels": loop.labels.tobytes(),
                "averaged": loop.averaged.tobytes(),
            }
        state = ColumnsState.of(
            loop.tally,
            loop.C,
            loop.C_before if loop.moved else None,
            counts=[self.partition.n] * len(self.job.parties),
            seed=self.job.seed,
            ledger=self.context.ledger,
            rows=self.taken.tobytes(),
            **public,
        )
        self.context.keep(loop.tally.iteration, state.encoded())

    # ----------------------------------------------------------------- predict

    def predict(self) -> ColumnsResult | None:
        """Label new rows that all parties have, by the model that each party keeps its share of: steps 2 to 5."""
        k, d = self.job.n_clusters, len(self.job.columns)
        share, order = np.zeros((1, k, d), dtype=np.int64), np.arange(k)
        if not self.is_dealer:
            share, order = read_share(self.context.model, k, d)
        labels = self._labels_of_new_rows(share)
        return None if self.is_dealer else self.outcome.result(None, labels=order[labels])

    def _labels_of_new_rows(self, share: np.ndarray) -> np.ndarray:
        if self.job.hide_labels:
            X = self.partition.enter(self.sharing, self.scaled)
            rows = self.engine.execute(self.engine.enter(X, RING_BITS))
            C = self.engine.execute(self.engine.centroids(self.sharing.enter_share(share)))
            H = self.engine.execute(rows.label(C, RING_BITS))
        else:
            own = np.ascontiguousarray(share[:, :, self.mine])
            H = self.engine.execute(self.engine.columns(self._encoded(), RING_BITS).label(own, RING_BITS))
        if self.job.labels_to == "all":
            labels = self.engine.execute(self.sharing.revealing_labels(H, self.partition.n, may.FINAL_LABELS))
            return labels[0]
        numbers, _ = self.engine.execute(self.engine.labels_on_shares(H, self.partition.n))
        return self.outcome.reveal_labels(numbers)
