"""The end of a run of SVK: what each party learns of the model, and its result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from secure_kmeans.job import Kind
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult, KMeansModel, usual_order
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.rows import LABEL_BYTES
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.conclusion import Conclude, Concluded, kept_share, ordered, spread
from secure_kmeans.protocols.lloyd import Lloyd
from secure_kmeans.protocols.partition import ByColumns
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.disclosures import disclosures
from secure_kmeans.protocols.svk.job import SvkJob
from secure_kmeans.protocols.svk.open_labels import OpenLabels, means_of
from secure_kmeans.protocols.tally import Tally


class Outcome:
    """The steps after the loop, at one role.

    Parameters
    ----------
    context : Context
    sharing : Sharing
    partition : ByColumns
    taken : (n,) ints
        The numbers of this party's rows that take part.
    """

    def __init__(self, context: Context[SvkJob], sharing: Sharing, partition: ByColumns, taken: np.ndarray) -> None:
        self.context, self.job, self.sharing = context, context.job, sharing
        self.engine, self.partition, self.taken = sharing.engine, partition, taken
        self.mine, self.is_dealer = partition.own, context.role.kind is Kind.DEALER

    # ------------------------------------------------- the end, with open labels

    def of_open_labels(self, loop: OpenLabels) -> ColumnsResult | None:
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
            means_of(FixedPoint(self._mean_bits).encode(self._by_column().T), averaged, counts)
        )
        to_all = job.disclose.centroids == "all"
        if to_all:
            both = np.stack([grid[shown], means[shown]])
            grid_shown, means_shown = self.sharing.reveal(wrap(both), may.FINAL_CENTROIDS)
        else:
            self._record_to_each(may.OWN_CENTROIDS)  # each party has computed its own
            grid_shown, means_shown = grid[shown], means[shown]
        centroids = spread(self._in_original_units(means_shown), shown)
        known_sizes = spread(sizes[shown], shown)
        order = usual_order(known_sizes, centroids if to_all else None)
        position = np.argsort(order)
        self.context.ledger.record(may.FINAL_LABELS)
        final = position[labels]
        value = self._inertia(final, ordered(centroids, order))
        model = self._model(
            tally,
            best,
            order,
            sizes=ordered(known_sizes, order),
            withheld=np.flatnonzero(~shown[order]).tolist(),
            inertia=value,
            centroids=ordered(centroids, order) if to_all else None,
            grid=ordered(spread(grid_shown, shown), order) if to_all else None,
        )
        return self.result(
            model,
            labels=final,
            centroids=ordered(centroids, order),
            grid=ordered(spread(grid_shown, shown), order),
            model_share=_kept_columns(grid, loop.known[best], order),
            seconds=tally.seconds,
        )

    # ----------------------------------------------- the end, with hidden labels

    def of_lloyd(self, lloyd: Lloyd) -> ColumnsResult | None:
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
        disclosed = Concluded(small, sizes, centroids, self.reveal_labels, centroids_to_all=to_all)
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
        return self.result(
            model,
            labels=found.labels,
            centroids=found.centroids,
            grid=found.grid_centroids,
            model_share=found.model_share,
            seconds=lloyd.tally.seconds,
        )

    # ------------------------------------------------------------ common to both

    def reveal_labels(self, numbers: Shared) -> np.ndarray:
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

    def _record_to_each(self, disclosure: Disclosure) -> None:
        for party in self.job.names:
            self.context.ledger.record(disclosure, party)

    @property
    def _mean_bits(self) -> int:
        return self.job.mean_bits(self.partition.n)

    def _by_column(self) -> np.ndarray:
        """This party's columns of the rows, each in units of its range."""
        if self.context.table is None:
            return np.zeros((self.partition.n, 0))
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

    def result(
        self,
        common: KMeansModel | None,
        *,
        labels: np.ndarray,
        centroids: list[list[float] | None] | None = None,
        grid: list[list[int] | None] | None = None,
        model_share: str = "",
        seconds: list[float] | None = None,
    ) -> ColumnsResult:
        """This party's result; of the centroids, its own columns."""
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


def _kept_columns(share: np.ndarray, known: np.ndarray, order: list[int]) -> str:
    """The model that a party keeps: its own columns of the centroids.

    The centroid of a cluster that had no row before the last labelling is secret. Its place is taken by a copy of
    another one, which loses every tie with it, so that no new row goes to the cluster.
    """
    columns, ties = share.copy(), np.arange(len(share))
    columns[~known] = share[np.flatnonzero(known)[0]]
    ties[~known] += len(share)
    return kept_share(columns, order, ties)
