"""Public coins: randomness that every party sees. They decide where a run starts.

Coins are drawn from one seed. The job gives the seed, so that a run can be repeated, or all parties toss it together,
so that no single party chooses it. A run in the clear draws the same coins from the same seed. No share, mask or key
is ever drawn from a seed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.job.clustering import Init
from secure_kmeans.job.fixed_point import bits_to_hold
from secure_kmeans.job.job import SEEDS


def fresh_seed() -> int:
    """A seed from the operating system, for a run in which a single party may choose it."""
    return secrets.randbelow(SEEDS)


@dataclass(frozen=True)
class Coins:
    """The draws of the initialisations of all restarts.

    Attributes
    ----------
    rows : (n_init, m) ints
        Row numbers over all parties' rows, in rank order. For "random" each restart has ``n_clusters`` different
        ones, else one.
    draws : (n_init, n_clusters - 1) floats in [0, 1)
        For "k-means++" only.
    """

    rows: np.ndarray
    draws: np.ndarray

    @classmethod
    def draw(cls, seed: int, init: Init, n_samples: int, n_clusters: int, n_init: int) -> Coins:
        """Draw the coins that belong to a seed: a pure function, equal on every machine."""
        generator = np.random.Generator(np.random.PCG64(seed))
        if init == "random":
            rows = np.stack([generator.choice(n_samples, n_clusters, replace=False) for _ in range(n_init)])
        else:
            rows = generator.choice(n_samples, (n_init, 1), replace=n_init > n_samples)
        return cls(rows, generator.random((n_init, n_clusters - 1)))


@dataclass(frozen=True)
class DrawGrid:
    """The grid of k-means++. On it a secure run and a run in the clear draw the same rows.

    Attributes
    ----------
    row_bits : int
        Fractional bits of the rows between which distances are computed.
    draw_bits : int
        Bits of a draw: [0, 1) becomes the integers below ``2^draw_bits``.
    """

    row_bits: int
    draw_bits: int

    @classmethod
    def fitting(cls, n_samples: int, n_features: int, largest: float) -> DrawGrid:
        """The finest grid with which ``sum(D) 2^draw_bits < 2^61``, where ``D <= 4 d B^2``.

        A draw has 22 bits, or more where there are too many rows to tell apart with 22.

        Parameters
        ----------
        n_samples, n_features : int
        largest : float
            B, the bound of |scaled value|.

        Raises
        ------
        JobError
            Where fewer than 6 bits are left for the rows.
        """
        magnitude = bits_to_hold(4.0 * n_samples * n_features * max(largest, 2.0**-20) ** 2)
        draw_bits = max(22, min(30, bits_to_hold(n_samples) + 4))
        row_bits = (61 - magnitude - draw_bits) // 2
        if row_bits < 6:
            raise JobError(
                f'"k-means++" has no room in the ring for {n_samples} rows of {n_features} columns: use "farthest"'
            )
        return cls(row_bits, draw_bits)

    def round(self, draws: np.ndarray) -> np.ndarray:
        """Draws in [0, 1) as integers below ``2^draw_bits``."""
        rounded: np.ndarray = np.floor(draws * (1 << self.draw_bits)).astype(np.int64)
        return rounded
