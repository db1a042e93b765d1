"""SVK-means, run by its roles: parties that hold columns of the same rows, and a dealer.

GMV's Algorithm 6 (see :mod:`secure_kmeans.protocols.svk.open_labels`); with hidden labels, which the paper does not
have, Algorithm 5 on rows that are entered by columns (see :mod:`secure_kmeans.protocols.lloyd`). Before either, the
parties find the rows that all of them have (see :mod:`secure_kmeans.protocols.alignment`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from secure_kmeans.errors import ProtocolError, StateError
from secure_kmeans.job import Kind
from secure_kmeans.job.fixed_point import RING_BITS, FixedPoint
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult, KMeansModel, usual_order
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.rows import LABEL_BYTES
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.alignment import check_same_order, common_rows
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.conclusion import Conclude, Concluded, kept_share, read_share
from secure_kmeans.protocols.initialisation import first_centroids
from secure_kmeans.protocols.kmeans_checks import check_rows
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByColumns, row_counts
from secure_kmeans.protocols.starts import PublicStarts, draw_starts
from secure_kmeans.protocols.stopping import movement_bound
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.checks import check_equal_counts, fewest_common_rows
from secure_kmeans.protocols.svk.disclosures import disclosures
from secure_kmeans.protocols.svk.job import DEALER, MOST_ROWS, SvkJob
from secure_kmeans.protocols.svk.open_labels import OpenLabels, means_of
from secure_kmeans.protocols.tally import Resumption, State, Tally


class ColumnsState(State, frozen=True, forbid_unknown_fields=True):
    """What one party needs to go on after an iteration, where it holds columns.

    Attributes
    ----------
    rows : bytes
        The numbers of its rows that take part, in the order of the run, int64.
    filled : (r, k) bool
        The clusters that have had a row. Without hidden labels, a party's share of the centroid of such a cluster is
        its own columns.
    """

    rows: bytes
    filled: list[list[bool]]


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
        self.taken = self._rows_taken()
        n = len(self.taken)
        self.scaled = np.zeros((n, 0))
        if context.table is not None:
            self.scaled = context.table.scaled(self.job.scaling.of_columns(self.mine))[self.taken]
        self.partition = ByColumns(n, self.job.widths, self.mine)

    # --------------------------------------------------------------- alignment

    def _rows_taken(self) -> np.ndarray:
        """The numbers of this party's rows that take part, in the order of the run; zeros at the dealer."""
        if self.resumption is not None:
            return self._rows_of_state()
        if self.job.align == "psi":
            return self._common_rows()
        table = self.context.table
        own = 0 if table is None else len(table)
        both = may.ROW_COUNTS, may.ROW_COUNTS_TO_DEALER
        counts = row_counts(self.context, self.line, own, both, is_dealer=self.is_dealer)
        check_equal_counts(dict(zip(self.job.names, counts, strict=True)))
        if self.job.align == "order":
            check_same_order(self.context, None if table is None else table.ids)
            self._record(may.SAME_ORDER, may.SAME_ORDER_TO_DEALER)
        return np.arange(counts[0])

    def _common_rows(self) -> np.ndarray:
        """Find the rows that all parties have."""
        job, table = self.job, self.context.table
        fewest = fewest_common_rows(job)
        most = {party: job.most_rows_of(party) for party in job.names}
        if len(job.parties) > 2:
            self._record(may.OVERLAPS)
        taken = common_rows(self.context, None if table is None else table.ids, most, fewest)
        self._record(may.COMMON_ROWS, may.COMMON_ROWS_TO_DEALER)
        for party in job.names:
            self.context.ledger.record(may.OWN_COMMON_ROWS, party)
        return taken

    def _rows_of_state(self) -> np.ndarray:
        """The rows of a resumed run, which are not looked for again. Rounds: 1.

        Raises
        ------
        StateError
            Where the parties' states are of different numbers of rows.
        """
        if self.is_dealer:
            told = self.line.hear()
            if type(told) is not int or not 0 <= told <= MOST_ROWS:
                raise ProtocolError("the first party told the dealer something that is no number of rows")
            return np.zeros(told, dtype=np.int64)
        assert self.state is not None
        taken = np.frombuffer(self.state.rows, dtype=np.int64)
        counts = self.context.exchange(np.array([len(taken)], dtype=np.int64))
        self.line.tell(len(taken))
        self.state.check_counts([int(count[0]) for count in counts])
        table = self.context.table
        if table is None or (len(taken) and not 0 <= taken.min() <= taken.max() < len(table)):
            raise StateError("the state is of another table; start the run anew")
        return taken

    def _record(self, *disclosed: Any) -> None:
        for disclosure in disclosed:
            self.context.ledger.record(disclosure)

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
            return self._result_of_lloyd(
                self._iterated(Lloyd(sharing, job, rows, C, epsilon, self.line, revealed), C_before)
            )
        loop = OpenLabels(sharing, job, self._encoded(), self.mine, rows, C, epsilon, self.line)
        if self.state is not None:
            loop.filled = np.array(self.state.filled)
        return self._result_of_open_labels(self._iterated(loop, C_before))

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
        filled = loop.filled.tolist() if isinstance(loop, OpenLabels) else []
        state = ColumnsState.of(
            loop.tally,
            loop.C,
            loop.C_before if loop.moved else None,
            counts=[self.partition.n] * len(self.job.parties),
            seed=self.job.seed,
            ledger=self.context.ledger,
            rows=self.taken.tobytes(),
            filled=filled,
        )
        self.context.keep(loop.tally.iteration, state.encoded())

    # ------------------------------------------------- the end, with open labels

    def _result_of_open_labels(self, loop: OpenLabels) -> ColumnsResult | None:
        """What this party knows of the best start; the centroids are published where the job says so."""
        job, tally = self.job, loop.tally
        best = loop.best()
        if self.is_dealer:
            return None
        labels, averaged, k = loop.labels[best], loop.averaged[best], job.n_clusters
        sizes = np.bincount(labels, minlength=k)
        counts = np.bincount(averaged, minlength=k)
        shown = np.minimum(sizes, counts) >= job.withheld_below
        grid = share_of(loop.C)[best]  # of a cluster that is shown, this party's own columns and 0 elsewhere
        means = self.partition.in_all_columns(
            means_of(FixedPoint(self._mean_bits).encode(self._by_column()), averaged, counts)
        )
        to_all = job.disclose.centroids == "all"
        if to_all:
            both = np.stack([grid[shown], means[shown]])
            grid_shown, means_shown = self.sharing.reveal(wrap(both), may.FINAL_CENTROIDS)
        else:
            self._record_to_each(may.OWN_CENTROIDS)
            grid_shown, means_shown = grid[shown], means[shown]
        centroids = _spread(self._in_original_units(means_shown), shown)
        known_sizes = _spread(sizes[shown], shown)
        order = usual_order(known_sizes, centroids if to_all else None)
        position = np.argsort(order)
        self._record(may.FINAL_LABELS)
        final = position[labels]
        value = self._inertia(final, _ordered(centroids, order))
        model = self._model(
            tally,
            best,
            order,
            sizes=_ordered(known_sizes, order),
            withheld=np.flatnonzero(~shown[order]).tolist(),
            inertia=value,
            centroids=_ordered(centroids, order) if to_all else None,
            grid=_ordered(_spread(grid_shown, shown), order) if to_all else None,
        )
        return self._result(
            model,
            labels=final,
            centroids=_ordered(centroids, order),
            grid=_ordered(_spread(grid_shown, shown), order),
            model_share=_kept_columns(grid, loop.filled[best], order),
            seconds=tally.seconds,
        )

    # ----------------------------------------------- the end, with hidden labels

    def _result_of_lloyd(self, lloyd: Lloyd) -> ColumnsResult | None:
        """Reveal the model, and the labels to those that the job names."""
        job = self.job
        announced = disclosures(job)
        small, sizes = (each if each in announced else None for each in (may.WITHHELD, may.FINAL_SIZES))
        to_all = job.disclose.centroids == "all"
        centroids: Callable[[Shared], np.ndarray] | None = None
        if to_all:
            centroids = partial(self.sharing.reveal, disclosure=may.FINAL_CENTROIDS)
        elif job.disclose.centroids == "own":
            centroids = partial(self.sharing.reveal_columns_to_owners, widths=job.widths, disclosure=may.OWN_CENTROIDS)
        disclosed = Concluded(small, sizes, centroids, self._reveal_labels, centroids_to_all=to_all)
        best = lloyd.best()
        found = Conclude(self.sharing, job, lloyd, self._by_column(), self.partition, disclosed).run(best)
        value = self._inertia(found.labels, found.centroids)
        if self.is_dealer:
            return None
        model = self._model(
            lloyd.tally,
            best,
            found.order,
            sizes=found.sizes,
            withheld=found.withheld,
            inertia=value,
            centroids=found.centroids if to_all else None,
            grid=found.grid_centroids if to_all else None,
        )
        return self._result(
            model,
            labels=found.labels,
            centroids=found.centroids,
            grid=found.grid_centroids,
            model_share=found.model_share,
            seconds=lloyd.tally.seconds,
        )

    # ------------------------------------------------------------ common to both

    def _reveal_labels(self, numbers: Shared) -> np.ndarray:
        """The labels, to those that the job names; empty at a party that does not learn them."""
        to, nothing = self.job.labels_to, np.empty(0, dtype=np.int64)
        if to == "nobody":
            return nothing
        if to == "all":
            return self.sharing.reveal(numbers, may.FINAL_LABELS, size=LABEL_BYTES)
        steps = [
            self.sharing.revealing(numbers, may.LABELS_TO_SOME, to=party, size=LABEL_BYTES)
            for party in self.job.names
            if party in to
        ]
        named = [party for party in self.job.names if party in to]
        revealed = dict(zip(named, self.engine.together(*steps), strict=True))
        return revealed.get(self.context.role.name, nothing)

    def _record_to_each(self, disclosure: Any) -> None:
        for party in self.job.names:
            self.context.ledger.record(disclosure, party)

    @property
    def _mean_bits(self) -> int:
        return self.job.mean_bits(self.partition.n)

    def _by_column(self) -> np.ndarray:
        """This party's columns of the rows, each in units of its range."""
        if self.context.table is None:
            return self.scaled
        return self.job.scaling.by_column.of_columns(self.mine).apply(self.context.table.rows[self.taken])

    def _in_original_units(self, means: np.ndarray) -> np.ndarray:
        return self.job.scaling.by_column.invert(FixedPoint(self._mean_bits).decode(means))

    def _inertia(self, labels: np.ndarray, centroids: list[list[float] | None] | None) -> float | None:
        """The inertia over the clusters that are shown, original units, where the job discloses it.

        Each party adds up the squares in its own columns; the total alone is revealed.
        """
        if not self.job.discloses_inertia:
            return None
        own = 0.0
        if not self.is_dealer:
            assert self.context.table is not None
            mine = [None if each is None else each[self.mine] for each in centroids or []]
            own = inertia(self.context.table.rows[self.taken], labels, mine)
        bound = float(self.partition.n) * float(self.job.scaling.diagonal) ** 2
        return self.sharing.reveal_sum(own, may.INERTIA, bound=bound)

    def _model(
        self,
        tally: Tally,
        best: int,
        order: list[int],
        *,
        sizes: list[int | None] | None,
        withheld: list[int],
        inertia: float | None,
        centroids: list[list[float] | None] | None,
        grid: list[list[int] | None] | None,
    ) -> KMeansModel:
        """What all parties know of the best start."""
        least = self.job.withheld_below

        def known(size: int) -> int | None:
            return None if size < 0 or (size < least and least > 1) else size

        return KMeansModel(
            centroids=centroids,
            grid_centroids=grid,
            tie_order=order,
            withheld=withheld,
            sizes=sizes,
            inertia=inertia,
            mean_distance=None,
            n_iter=int(tally.n_iter[best]),
            converged=bool(tally.converged[best]),
            best_restart=best,
            seed=None if self.job.centroids is not None else self.job.seed,
            sizes_by_iteration=[[known(found[number]) for number in order] for found in tally.sizes[best]],
        )

    def _result(
        self,
        common: KMeansModel | None,
        *,
        labels: np.ndarray,
        centroids: list[list[float] | None] | None = None,
        grid: list[list[int] | None] | None = None,
        model_share: str = "",
        seconds: list[float] | None = None,
    ) -> ColumnsResult:
        mine = self.mine

        def own(values: list[Any] | None) -> list[Any] | None:
            return None if values is None else [None if each is None else each[mine] for each in values]

        return ColumnsResult(
            role=self.context.role.name,
            n_samples=dict.fromkeys(self.job.names, self.partition.n),
            common=common,
            own=ColumnsOwn(
                rows=self.taken.tolist(),
                labels=labels.tolist(),
                centroids=own(centroids),
                grid_centroids=own(grid),
                model_share=model_share,
                seconds_by_iteration=seconds or [],
            ),
            ledger=list(self.context.ledger.entries),
        )

    # ----------------------------------------------------------------- predict

    def predict(self) -> ColumnsResult | None:
        """Label new rows that all parties have, by the model that each party keeps its share of: steps 2 to 5."""
        k, d = self.job.n_clusters, len(self.job.columns)
        share, order = np.zeros((1, k, d), dtype=np.int64), np.arange(k)
        if not self.is_dealer:
            share, order = read_share(self.context.model, k, d)
        labels = self._labels_of_new_rows(share)
        return None if self.is_dealer else self._result(None, labels=order[labels])

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
        return self._reveal_labels(numbers)


def _spread(values: np.ndarray, shown: np.ndarray) -> list[Any]:
    """A list with None where a cluster is not shown."""
    given = iter(values.tolist())
    return [next(given) if each else None for each in shown]


def _ordered(values: list[Any], order: list[int]) -> list[Any]:
    return [values[number] for number in order]


def _kept_columns(share: np.ndarray, filled: np.ndarray, order: list[int]) -> str:
    """The model that a party keeps: its own columns of the centroids.

    The centroid of a cluster that never had a row is secret. Its place is taken by a copy of another one, which loses
    every tie with it, so that no new row goes to the cluster.
    """
    columns, ties = share.copy(), np.arange(len(share))
    columns[~filled] = share[np.flatnonzero(filled)[0]]
    ties[~filled] += len(share)
    return kept_share(columns, order, ties)
