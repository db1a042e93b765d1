"""A k-means run in the clear on the rows of all parties, to compare a run on shares with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from secure_kmeans.job import Clustering
from secure_kmeans.plaintext.baseline import run_on_scaled
from secure_kmeans.plaintext.conclusion import PlainModel, conclude
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd, nearest_centroids, number_of_best
from secure_kmeans.plaintext.losses import inertia, mean_distance_terms
from secure_kmeans.plaintext.metrics import Agreement, match_centroids
from secure_kmeans.report.sections import AgreementSection, Centers, PlaintextSection, centers_array
from secure_kmeans.tables import Table


@dataclass(frozen=True)
class InTheClear:
    """A run in the clear on the rows of all parties, and its figures.

    Attributes
    ----------
    clustering : Clustering
    tables : mapping of party to Table
        In rank order.
    seed : int or None
        Of the public coins; None where the centroids are given.
    restart : int
        Number of the start whose run this is.
    run : KMeansRun
        Scaled units.
    model : PlainModel
        What a secure run from the same start discloses.
    section : PlaintextSection
        Original units.
    """

    clustering: Clustering
    tables: Mapping[str, Table]
    seed: int | None
    restart: int
    run: KMeansRun
    model: PlainModel
    section: PlaintextSection

    @classmethod
    def of(
        cls,
        clustering: Clustering,
        tables: Mapping[str, Table],
        seed: int | None,
        restart: int | None = None,
        *,
        order_by_centroid: bool = True,
        discloses_centroids: bool = True,
    ) -> Self:
        """Run every start and keep one.

        Parameters
        ----------
        clustering : Clustering
        tables : mapping of party to Table
            In rank order. Their rows lie below each other.
        seed : int or None
            Of the public coins; needed unless the centroids are given.
        restart : int, optional
            Number of the start to keep; the best if not given.
        order_by_centroid, discloses_centroids : bool
            See :func:`~secure_kmeans.plaintext.conclusion.conclude`.
        """
        assert seed is not None or clustering.centroids is not None
        rows = np.concatenate([table.rows for table in tables.values()])
        scaled = np.concatenate([table.scaled(clustering.scaling) for table in tables.values()])
        runs = run_on_scaled(clustering, scaled, seed or 0)
        kept = number_of_best(runs) if restart is None else restart
        model = conclude(
            clustering,
            rows,
            runs[kept],
            order_by_centroid=order_by_centroid,
            discloses_centroids=discloses_centroids,
        )
        section = _section_of_run(clustering, rows, scaled, runs[kept], model)
        seed = None if clustering.centroids is not None else seed
        return cls(clustering, tables, seed, kept, runs[kept], model, section)

    @property
    def labels(self) -> dict[str, list[int]]:
        """The labels of each party's rows."""
        ends = np.cumsum([len(table) for table in self.tables.values()])[:-1]
        return {party: own.tolist() for party, own in zip(self.tables, np.split(self.model.labels, ends), strict=True)}

    def agreement_with(
        self, centers: Centers | None, labels: Sequence[int] | np.ndarray | None
    ) -> AgreementSection | None:
        """How much a run on shares agrees with this one; None where there is nothing to compare.

        Parameters
        ----------
        centers : (n_clusters, n_features), original units, or None
            None, all of them or one, where they are not known.
        labels : (n_samples,) ints, or None
            Of all rows, in the order of this run; None where they are not known.
        """
        clustering = self.clustering
        shape = clustering.n_clusters, len(clustering.columns)
        found, expected = (
            clustering.scaling.apply(centers_array(centroids, *shape)) for centroids in (centers, self.model.centroids)
        )
        if labels is not None:
            agreement = Agreement.between(found, np.asarray(labels, dtype=int), expected, self.model.labels)
            return AgreementSection(**vars(agreement))
        errors = np.abs(found - expected[match_centroids(found, expected)])
        if np.isnan(errors).all():
            return None
        return AgreementSection(max_centroid_error=float(np.nanmax(errors)), label_agreement=None, adjusted_rand=None)


def _section_of_run(
    clustering: Clustering, rows: np.ndarray, scaled: np.ndarray, run: KMeansRun, model: PlainModel
) -> PlaintextSection:
    """The figures of a run in the clear, original units.

    Parameters
    ----------
    clustering : Clustering
    rows, scaled : (n_samples, n_features)
        The same rows in original and in scaled units.
    run : KMeansRun
    model : PlainModel
        Of the run.
    """
    invert = clustering.scaling.invert
    start = run.centroids_by_iteration[0]
    tol = clustering.tol * float(scaled.var(axis=0).mean())
    unrounded = lloyd(scaled, start, max_iter=clustering.max_iter, tol=tol, least=clustering.fewest_to_move)
    shown = (unrounded.sizes >= clustering.withheld_below)[:, None]
    return PlaintextSection(
        cluster_centers=model.centroids,
        withheld=model.withheld,
        counts=model.sizes,
        inertia=inertia(rows, model.labels, model.centroids),
        inertia_in_double_precision=inertia(
            rows, unrounded.labels, np.where(shown, invert(unrounded.centroids), np.nan)
        ),
        mean_distance=mean_distance_terms(rows, model.labels, model.centroids, model.sizes),
        n_iter=run.n_iter,
        converged=run.converged,
        counts_by_iteration=model.sizes_by_iteration,
        inertia_by_iteration=[
            inertia(rows, nearest_centroids(scaled, earlier)[0], invert(earlier))
            for earlier in run.centroids_by_iteration
        ],
    )
