"""The job of SHK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from secure_kmeans.job import Endpoint, Kind, KMeansJob

DEALER = "dealer"
"""The name of the role that deals correlated randomness."""

Engine = Literal["secure", "crypten"]


class ShkJob(KMeansJob):
    """Secure k-means of rows that several parties hold.

    Attributes
    ----------
    dealer : Endpoint
    engine : "secure" or "crypten"
        What computes on the shares; "crypten", CrypTen's own circuits, is for comparison only.
    hide_counts : bool
        The cluster sizes stay secret, in every iteration and at the end.
    reveal_inertia, reveal_mean_distance : bool
        These sums over all parties' rows are disclosed at the end.
    """

    HELPERS: ClassVar[Mapping[str, Kind]] = {DEALER: Kind.DEALER}

    protocol: Literal["shk"] = "shk"
    dealer: Endpoint = Endpoint()
    engine: Engine = "secure"
    hide_counts: bool = False
    reveal_inertia: bool = True
    reveal_mean_distance: bool = False

    @model_validator(mode="after")
    def _check_hidden_counts(self) -> Self:
        if self.hide_counts and self.engine == "crypten":
            raise ValueError('hide_counts: only the engine "secure" divides by counts that stay secret')
        if self.hide_counts and self.reveal_mean_distance:
            raise ValueError("hide_counts: the mean-distance loss is made from the cluster sizes; leave it out")
        return self
