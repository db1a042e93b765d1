"""The job of SMO07."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from secure_kmeans.job import MOST_STARTS, Init, KMeansJob
from secure_kmeans.job.clustering import POINT_INITS
from secure_kmeans.words import key

Mode = Literal["paillier", "aggregate"]
FreshKeys = Literal["iteration", "run"]
KeyBits = Literal[2048, 3072]

MOST_ROWS: Final = (1 << 24) - 1
"""The most rows of all parties in the mode "aggregate", which counts them in secret."""

MOST_MEAN_BITS: Final = 30
"""Fractional bits of the final means: a secret quotient has at most 31 bits."""


class Smo07Job(KMeansJob):
    """K-means of rows that several parties hold, with each iteration's centroids known to all.

    The first party of the job leads: it has the key, or divides with the second one.

    Attributes
    ----------
    n_init : int
        1 by default: what all parties learn of each start says more about single rows
        (``experiments/attack_iterated_centroids.py``).
    mode : "paillier" or "aggregate"
        How the parties' sums become centroids. "paillier": as in the paper, by multi-party addition under the leader's
        key; the leader learns the sums and sizes of each iteration. "aggregate": under masks and on shares, so that
        no single party learns more than the centroids; for three parties or more.
    fresh_keys : "iteration" or "run"
        When the leader makes a new key, in the mode "paillier".
    key_bits : 2048 or 3072
        Of the modulus.
    accept_two_parties : bool
        Two parties may take part, although each of them can subtract its own rows from what it learns.
    reveal_sizes : bool
        All parties learn the final sizes of the clusters, except those below ``min_cluster_size``.
    reveal_inertia : bool
        All parties learn the final inertia.
    """

    MOST_PARTIES: ClassVar[int] = 20
    INITS: ClassVar[tuple[Init, ...]] = POINT_INITS

    protocol: Literal["smo07"] = "smo07"
    init: Init = "moments"
    n_init: Annotated[int, Field(ge=1, le=MOST_STARTS)] = 1
    mode: Mode = "paillier"
    fresh_keys: FreshKeys = "iteration"
    key_bits: KeyBits = 2048
    accept_two_parties: bool = False
    reveal_sizes: bool = False
    reveal_inertia: bool = False
    task: Literal["fit"] = "fit"
    model: Annotated[None, Field()] = None

    @property
    def leader(self) -> str:
        """The name of the party that leads."""
        return self.names[0]

    @property
    def withheld_below(self) -> int:
        """No final centroid is withheld: those of small clusters stay where all parties know them to be."""
        return 0

    @property
    def sizes_known_from(self) -> int:
        """The size of a cluster of fewer rows is not disclosed; with a minimum of 1 that of an empty cluster is."""
        return self.min_cluster_size if self.min_cluster_size > 1 else 0

    @property
    def fewest_to_move(self) -> int:
        """A cluster of fewer rows keeps its centroid, so that nobody learns their mean."""
        return self.min_cluster_size

    @property
    def sizes_are_hidden(self) -> bool:
        """Whether not all parties learn the final sizes."""
        return not self.reveal_sizes

    @property
    def discloses_moments(self) -> bool:
        """Whether all parties learn mean and variance of the columns of all rows: to start from, or to stop by."""
        return self.tol > 0 or (self.init == "moments" and self.centroids is None)

    def mean_bits(self, n_samples: int) -> int:
        """As for every clustering, but no more than a secret quotient has room for."""
        return min(super().mean_bits(n_samples), MOST_MEAN_BITS)

    @model_validator(mode="after")
    def _check_parties_of_mode(self) -> Self:
        if len(self.parties) > 2:
            return self
        if self.mode == "aggregate":
            raise ValueError('mode: "aggregate" needs three parties or more: one of them deals the masks of the others')
        if not self.accept_two_parties:
            raise ValueError(
                "parties: each of two parties can subtract its own rows from what it learns, and so sees the other's "
                f"sums in every iteration; take three, or accept that by {key('accept_two_parties')}"
            )
        return self

    @model_validator(mode="after")
    def _check_keys_of_mode(self) -> Self:
        if self.mode == "aggregate":
            for name in ("fresh_keys", "key_bits"):
                if getattr(self, name) != self.default_of(name):
                    raise ValueError(f'{name}: the mode "aggregate" has no key; leave it out')
        return self
