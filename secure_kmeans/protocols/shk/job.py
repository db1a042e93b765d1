"""The job of SHK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from secure_kmeans.job import Agreed, Endpoint, Init, Kind, KMeansJob
from secure_kmeans.job.clustering import ROW_INITS, check_public_minimum, check_resolution, grid_shifts
from secure_kmeans.protocols.disclosures import DEALER as DEALER

Engine = Literal["secure", "crypten"]


class Disclose(Agreed):
    """What a run discloses of its model.

    Attributes
    ----------
    centroids : "all" or "nobody"
        Who learns the final centroids. With "nobody" each party keeps its share of them, to label new rows with.
    """

    centroids: Literal["all", "nobody"] = "all"


class ShkJob(KMeansJob):
    """Secure k-means of rows that several parties hold.

    Attributes
    ----------
    dealer : Endpoint
    engine : "secure" or "crypten"
        What computes on the shares; "crypten", CrypTen's own circuits, is for comparison only.
    hide_counts : bool
        The cluster sizes stay secret, in every iteration and at the end. The centroids are disclosed on a grid that is
        too coarse to tell the sizes from.
    resolution : n_features numbers or None
        Of each column the smallest step between two values, as the parties agreed: the grid of the centroids where the
        sizes are hidden. None: the range of each column divided by the square root of the number of rows.
    disclose : Disclose
    reveal_inertia : bool or None
        The inertia is disclosed at the end. None: where the centroids are and the sizes are not hidden, which could
        follow from it (``experiments/attack_hidden_sizes.py``).
    reveal_mean_distance : bool
        The mean-distance loss is disclosed at the end.
    """

    HELPERS: ClassVar[Mapping[str, Kind]] = {DEALER: Kind.DEALER}
    INITS: ClassVar[tuple[Init, ...]] = ROW_INITS

    FIT_KEYS: ClassVar[frozenset[str]] = KMeansJob.FIT_KEYS | {
        "hide_counts",
        "resolution",
        "disclose",
        "reveal_inertia",
        "reveal_mean_distance",
    }

    protocol: Literal["shk"] = "shk"
    dealer: Endpoint = Endpoint()
    engine: Engine = "secure"
    hide_counts: bool = False
    resolution: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    disclose: Disclose = Disclose()
    reveal_inertia: bool | None = None
    reveal_mean_distance: bool = False

    @model_validator(mode="after")
    def _check_hidden_counts(self) -> Self:
        if self.hide_counts and self.engine == "crypten":
            raise ValueError('hide_counts: only the engine "secure" divides by counts that stay secret')
        if self.hide_counts and self.reveal_mean_distance:
            raise ValueError("hide_counts: the mean-distance loss is made from the cluster sizes; leave it out")
        if self.hide_counts and self.reveal_inertia:
            raise ValueError("reveal_inertia: with it the sizes can follow from the centroids; leave it out")
        if not self.discloses_centroids and (self.reveal_inertia or self.reveal_mean_distance):
            raise ValueError(
                "disclose: the losses are made from the centroids; leave reveal_inertia and reveal_mean_distance out"
            )
        if self.resolution is not None and not self.hide_counts:
            raise ValueError("resolution: without hidden sizes all digits of the centroids are disclosed; leave it out")
        if not self.hide_counts:
            check_public_minimum(self.min_cluster_size)
        check_resolution(self.resolution, self.columns)
        return self

    @model_validator(mode="after")
    def _check_engine(self) -> Self:
        if self.engine == "crypten" and self.task == "fit" and self.centroids is None and self.seed is None:
            raise ValueError('seed: the engine "crypten" draws no secret starts; give a seed')
        return self

    @property
    def discloses_inertia(self) -> bool:
        """Whether all parties learn the inertia."""
        if self.reveal_inertia is None:
            return self.discloses_centroids and not self.hide_counts
        return self.reveal_inertia

    @property
    def sizes_are_hidden(self) -> bool:
        """Whether nobody learns the sizes."""
        return self.hide_counts

    @property
    def discloses_centroids(self) -> bool:
        """Whether all parties learn the final centroids."""
        return self.disclose.centroids == "all"

    def mean_bits(self, n_samples: int) -> int:
        """As for every clustering; CrypTen's division would go astray too often with so many bits."""
        most = super().mean_bits(n_samples)
        return most if self.engine == "secure" else min(most, self.precision_bits)

    def centroid_shifts(self, n_samples: int) -> np.ndarray | None:
        """See :func:`~secure_kmeans.job.clustering.grid_shifts`; None where the sizes are not hidden."""
        return grid_shifts(self, self.resolution, n_samples) if self.hide_counts else None
