"""SHK-means, run by its roles: parties that hold rows, and a dealer.

GMV's Algorithm 5 (see :mod:`secure_kmeans.protocols.lloyd`), with the initialisations of
:mod:`secure_kmeans.protocols.initialisation`. The dealer runs the same steps as the parties, without shares: what it
deals follows from shapes, which are public.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from secure_kmeans.job import Kind
from secure_kmeans.job.fixed_point import RING_BITS
from secure_kmeans.job.ledger import Entry
from secure_kmeans.job.model import KMeansModel, KMeansOwn, KMeansResult
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.rows import LABEL_BYTES
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.plaintext.losses import inertia, mean_distance_terms
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.conclusion import Conclude, Concluded, Conclusion, read_share
from secure_kmeans.protocols.initialisation import first_centroids
from secure_kmeans.protocols.kmeans_checks import check_rows
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByRows, row_counts
from secure_kmeans.protocols.shk import disclosures as may
from secure_kmeans.protocols.shk.disclosures import disclosures
from secure_kmeans.protocols.shk.job import DEALER, ShkJob
from secure_kmeans.protocols.starts import draw_starts
from secure_kmeans.protocols.stopping import movement_bound
from secure_kmeans.protocols.tally import Resumption, State


def run(context: Context[ShkJob]) -> KMeansResult | None:
    """Take part in a run as a party or as the dealer.

    Raises
    ------
    ProtocolError
        Where a role does not keep to the protocol.
    StateError
        Where a state does not fit the run.
    """
    answers = context.job.engine == "crypten"  # CrypTen's dealer answers requests; ours deals unasked
    with crypten.joined(context.mesh, dealer_answers=answers) as channel:
        if context.role.kind is Kind.DEALER and answers:
            crypten.serve_requests()
            return None
        sharing = open_session(channel, context.job, context.ledger)
        line = ScheduleLine(context.mesh, context.parties[0], DEALER, in_use=sharing.engine.has_dealer)
        part = _Part(context, sharing, line)
        context.progress("set-up", 2, 2)
        return part.predict() if context.job.task == "predict" else part.fit()


class _Part:
    """One role's part in a run."""

    def __init__(self, context: Context[ShkJob], sharing: Sharing, line: ScheduleLine) -> None:
        self.context, self.job, self.sharing, self.line = context, context.job, sharing, line
        self.engine = sharing.engine
        self.rows = self.scaled = np.empty((0, len(self.job.columns)))
        if context.table is not None:
            self.rows, self.scaled = context.table.rows, context.table.scaled(self.job.scaling)
        if self.job.bounds_from_data:
            context.ledger.record(may.COLUMN_BOUNDS)
        self.counts = row_counts(
            context, line, len(self.rows), (may.ROW_COUNTS, may.ROW_COUNTS_TO_DEALER), is_dealer=self.engine.is_dealer
        )
        self.partition = ByRows(self.counts)

    # --------------------------------------------------------------------- fit

    def fit(self) -> KMeansResult | None:
        """Cluster the rows of all parties."""
        context, job, sharing, engine = self.context, self.job, self.sharing, self.engine
        check_rows(job, sum(self.counts), hidden=job.hide_counts)
        X = self.partition.enter(sharing, self.scaled)  # (n, d)
        state = None if context.resumed is None else State.decoded(context.resumed)
        if state is not None:
            state.check_counts(self.counts)
        resumption = Resumption.agreed(
            self.line, state, is_dealer=engine.is_dealer, restarts=job.restarts, max_iter=job.max_iter
        )
        if resumption is None:
            seed, C = self._first_centroids(X)  # [SHK] step 1
            C_before = C
        else:
            seed, C, C_before = self._kept(state)
        epsilon = movement_bound(sharing, job, self.scaled, self.partition)
        lloyd = self._lloyd(X, C, epsilon)
        if resumption is not None:
            lloyd.resume(resumption, C_before)
            if state is not None:
                lloyd.tally.restore(state)
        self._keep(lloyd, seed)
        for _ in lloyd.iterations():  # steps 2 to 9
            self._keep(lloyd, seed)
            context.progress("iterations", lloyd.tally.iteration, job.max_iter)
        return self._result_of_fit(lloyd, seed)

    def _first_centroids(self, X: crypten.Shared) -> tuple[int | None, crypten.Shared]:
        """The seed of the public coins, None where the starts are given or secret, and the first centroids."""
        job, context = self.job, self.context
        if job.centroids is not None:
            return None, self.sharing.enter_public(job.scaling.apply(np.array(job.centroids))[None])
        starts = draw_starts(context, sum(self.counts), may.STARTING_ROWS, is_dealer=self.engine.is_dealer)
        C = first_centroids(self.sharing, job, self.scaled, self.partition, X, starts, context.progress)
        return job.seed, C

    def _lloyd(self, X: crypten.Shared, C: crypten.Shared, epsilon: crypten.Shared) -> Lloyd:
        """The rows under their mask, and the loop from these centroids."""
        sizes = None if self.job.hide_counts else may.CLUSTER_SIZES
        revealed = Revealed(sizes, may.SMALL_CLUSTERS, may.STOP_BIT, may.GOING_ON, may.BEST_RESTART)
        rows = self.engine.execute(self.engine.enter(X, bits_of_a_difference(self.job, self.job.precision_bits)))
        return Lloyd(self.sharing, self.job, rows, C, epsilon, self.line, revealed)

    def _kept(self, state: State | None) -> tuple[int | None, crypten.Shared, crypten.Shared]:
        """Seed, centroids and earlier centroids of a state, under fresh shares; the dealer has no state."""
        shape = (self.job.restarts, self.job.n_clusters, len(self.job.columns))
        if state is None:
            nothing = self.sharing.enter_share(np.zeros(shape, dtype=np.int64))
            return None, nothing, nothing
        self.context.ledger.entries[:] = state.entries()
        return state.seed, self.sharing.enter_share(state.share), self.sharing.enter_share(state.share_before)

    def _keep(self, lloyd: Lloyd, seed: int | None) -> None:
        """Save what this party needs to resume from here."""
        if self.engine.is_dealer:
            return
        before = lloyd.C_before if lloyd.moved else None
        state = State.of(lloyd.tally, lloyd.C, before, counts=self.counts, seed=seed, ledger=self.context.ledger)
        self.context.keep(lloyd.tally.iteration, state.encoded())

    def _result_of_fit(self, lloyd: Lloyd, seed: int | None) -> KMeansResult | None:
        """Reveal the model, and to each party the labels of its own rows."""
        job = self.job
        announced = disclosures(job)
        small, sizes = (each if each in announced else None for each in (may.WITHHELD, may.FINAL_SIZES))
        centroids = partial(self.sharing.reveal, disclosure=may.FINAL_CENTROIDS) if job.discloses_centroids else None
        disclosed = Concluded(small, sizes, centroids, self._reveal_labels)
        best = lloyd.best()
        by_column = job.scaling.by_column.apply(self.rows)
        found = Conclude(self.sharing, job, lloyd, by_column, self.partition, disclosed).run(best)
        losses = self._losses(found)
        if self.engine.is_dealer:
            return None
        tally = lloyd.tally
        return self._result(
            KMeansModel(
                centroids=found.centroids,
                grid_centroids=found.grid_centroids,
                tie_order=found.order,
                withheld=found.withheld,
                sizes=found.sizes,
                inertia=losses.get("inertia"),
                mean_distance=losses.get("mean_distance"),
                n_iter=int(tally.n_iter[best]),
                converged=bool(tally.converged[best]),
                best_restart=best,
                seed=seed,
                sizes_by_iteration=[
                    [None if sizes[number] < 0 else sizes[number] for number in found.order]
                    for sizes in tally.sizes[best]
                ],
            ),
            KMeansOwn(
                labels=found.labels.tolist(),
                model_share="" if found.grid_centroids is not None and not found.withheld else found.model_share,
                seconds_by_iteration=tally.seconds,
            ),
        )

    def _reveal_labels(self, numbers: crypten.Shared) -> np.ndarray:
        return self.sharing.reveal_to_owners(numbers, self.counts, may.OWN_LABELS, size=LABEL_BYTES)

    def _losses(self, found: Conclusion) -> dict[str, float]:
        """The losses over all parties' rows that the job discloses, in original units.

        Each party adds up those of its own rows in the clusters that are not withheld; the total alone is revealed.
        """
        losses: dict[str, float] = {}
        if found.centroids is None:
            return losses
        longest, bound = float(self.job.scaling.diagonal), float(sum(self.counts))
        if self.job.discloses_inertia:
            own = 0.0 if self.engine.is_dealer else inertia(self.rows, found.labels, found.centroids)
            losses["inertia"] = self.sharing.reveal_sum(own, may.INERTIA, bound=bound * longest**2)
        if self.job.reveal_mean_distance:
            assert found.sizes is not None
            own = 0.0
            if not self.engine.is_dealer:
                own = mean_distance_terms(self.rows, found.labels, found.centroids, found.sizes)
            losses["mean_distance"] = self.sharing.reveal_sum(
                own, may.MEAN_DISTANCE, bound=len(found.centroids) * longest
            )
        return losses

    # ----------------------------------------------------------------- predict

    def predict(self) -> KMeansResult | None:
        """Label new rows by a model that stays in shares; only a row's owner learns its label."""
        labels = self._labels_of_new_rows() if sum(self.counts) else np.empty(0, dtype=np.int64)
        if self.engine.is_dealer:
            return None
        return self._result(None, KMeansOwn(labels=labels.tolist()))

    def _labels_of_new_rows(self) -> np.ndarray:
        sharing, engine = self.sharing, self.engine
        share, order = self._model()
        C = sharing.enter_share(share)
        rows = engine.execute(engine.enter(sharing.enter_rows(self.scaled, self.counts), RING_BITS))
        H = engine.execute(rows.label(engine.execute(engine.centroids(C)), RING_BITS))
        numbers, _ = engine.execute(rows.labels(H))
        return order[self._reveal_labels(numbers)]

    def _model(self) -> tuple[np.ndarray, np.ndarray]:
        """This party's share of the model in the order that decides ties, (1, k, d), and its clusters' numbers, (k,).

        At the dealer all are 0.

        Raises
        ------
        StateError
        """
        k, d = self.job.n_clusters, len(self.job.columns)
        if self.engine.is_dealer:
            return np.zeros((1, k, d), dtype=np.int64), np.zeros(k, dtype=np.int64)
        return read_share(self.context.model, k, d)

    def _result(self, common: KMeansModel | None, own: KMeansOwn) -> KMeansResult:
        entries: list[Entry] = list(self.context.ledger.entries)
        return KMeansResult(
            role=self.context.role.name,
            n_samples=dict(zip(self.job.names, self.counts, strict=True)),
            common=common,
            own=own,
            ledger=entries,
        )
