"""Public coins: randomness that every party sees, and that decides where a run starts.

They are drawn from one seed: from the job, so that a run can be repeated, or tossed by all parties
together (:meth:`secure_kmeans.mpc.session.Session.toss_coins`), so that no single party chooses. The
plaintext run draws the same coins from the same seed. No share, mask or key ever comes from here.
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
    """A seed from the operating system, for a run that has only one party to choose it."""
    return secrets.randbelow(SEEDS)


@dataclass(frozen=True)
class Coins:
    """What the initialisations of all restarts draw.

    Attributes
    ----------
    rows : (n_init, m) ints
        Row numbers over all parties' rows, in rank order: one for each restart, or, for "random",
        ``n_clusters`` different ones.
    draws : (n_init, n_clusters - 1) floats in [0, 1)
        For "k-means++" only.
    """

    rows: np.ndarray
    draws: np.ndarray

    @classmethod
    def draw(cls, seed: int, init: Init, n_samples: int, n_clusters: int, n_init: int) -> Coins:
        """The coins that belong to a seed: a pure function, the same on every machine."""
        generator = np.random.Generator(np.random.PCG64(seed))
        if init == "random":
            rows = np.stack([generator.choice(n_samples, n_clusters, replace=False) for _ in range(n_init)])
        else:
            rows = generator.choice(n_samples, (n_init, 1), replace=n_init > n_samples)
        return cls(rows, generator.random((n_init, n_clusters - 1)))


@dataclass(frozen=True)
class DrawGrid:
    """The grid on which k-means++ draws, so that the secure and the plaintext run draw the same rows.

    Attributes
    ----------
    row_bits : int
        Fractional bits of the rows from which the distances are taken.
    draw_bits : int
        Bits of a draw: [0, 1) becomes the integers below ``2^draw_bits``.
    """

    row_bits: int
    draw_bits: int

    @classmethod
    def fitting(cls, n_samples: int, n_features: int, largest: float) -> DrawGrid:
        """The finest grid with which ``sum(D) 2^draw_bits < 2^61``, where ``D <= 4 d B^2``.

        About 22 bits go to a draw, but never fewer than the number of rows needs to be told apart.
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
