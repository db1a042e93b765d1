"""Coins: randomness that the parties see, and from which a run's starts are drawn.

Coins are drawn from one seed. All parties toss the seed together, so that no single party chooses it, and the dealer
does not hear it. Or the job gives the seed, so that a run can be repeated and compared with a run in the clear; then
everybody knows which rows the starts begin at. No share, mask or key is ever drawn from a seed.

The numbers come from SHAKE-256 (FIPS 202), so that they are the same on every machine and with every release of NumPy.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.job.clustering import Init
from secure_kmeans.job.fixed_point import bits_to_hold
from secure_kmeans.job.job import SEEDS
from secure_kmeans.words import counted

_WORD_BITS = 64


def fresh_seed() -> int:
    """A seed from the operating system, for a run in which a single party may choose it."""
    return secrets.randbelow(SEEDS)


def _words(seed: int, purpose: str, size: int) -> np.ndarray:
    """``size`` uniform uint64 words, which follow from the seed and the purpose."""
    stream = hashlib.shake_256(b"secure_kmeans coins, " + purpose.encode() + b", " + seed.to_bytes(8, "big"))
    return np.frombuffer(stream.digest(8 * size), dtype="<u8").astype(np.uint64)


def _permutation(seed: int, purpose: str, size: int) -> np.ndarray:
    """A permutation of ``size`` numbers: the order of as many random words, which a stable sort decides."""
    return np.argsort(_words(seed, purpose, size), kind="stable")


@dataclass(frozen=True)
class Coins:
    """The draws of the initialisations of all restarts, with public starting rows.

    Attributes
    ----------
    rows : (n_init, m) ints
        Row numbers over all parties' rows, in rank order. For "random" each restart has ``n_clusters`` different
        ones, else one.
    draws : (n_init, n_clusters - 1) uint64
        Uniform words, for "k-means++" only.
    """

    rows: np.ndarray
    draws: np.ndarray

    @classmethod
    def draw(cls, seed: int, init: Init, n_samples: int, n_clusters: int, n_init: int) -> Coins:
        """Draw the coins that belong to a seed: a pure function, equal on every machine."""
        if init == "random":
            chosen = [_permutation(seed, f"rows of start {start}", n_samples) for start in range(n_init)]
            rows = np.stack([permutation[:n_clusters] for permutation in chosen])
        else:  # different rows as long as there are any
            turns = [_permutation(seed, f"rows, {turn}", n_samples) for turn in range(-(-n_init // n_samples))]
            rows = np.concatenate(turns)[:n_init, None]
        return cls(rows, _draws(seed, n_clusters, n_init))

    @property
    def digest(self) -> bytes:
        """SHA-256 of all draws, which the parties compare before they use them."""
        return _digest(self.rows, self.draws)


@dataclass(frozen=True)
class SecretCoins:
    """The parties' coins where the starting rows stay secret. The dealer does not know them.

    A start begins at the row ``order[i]``, where the dealer alone draws i. The word of a draw of "k-means++" is
    ``draws`` XOR a word that the dealer alone draws. So nobody knows a row or a word, as long as the dealer does not
    collude with a party.

    Attributes
    ----------
    order : (n_samples,) ints
        A permutation of all rows.
    draws : (n_init, n_clusters - 1) uint64
    """

    order: np.ndarray
    draws: np.ndarray

    @classmethod
    def draw(cls, seed: int, n_samples: int, n_clusters: int, n_init: int) -> SecretCoins:
        """Draw the coins that belong to a seed: a pure function, equal on every machine."""
        return cls(_permutation(seed, "order", n_samples), _draws(seed, n_clusters, n_init))

    @property
    def digest(self) -> bytes:
        """SHA-256 of all draws, which the parties compare before they use them."""
        return _digest(self.order, self.draws)


def _draws(seed: int, n_clusters: int, n_init: int) -> np.ndarray:
    return _words(seed, "draws", n_init * (n_clusters - 1)).reshape(n_init, n_clusters - 1)


def point_draws(seed: int, n_init: int, n_clusters: int, n_features: int) -> np.ndarray:
    """Uniform uint64 words for starts at points that are no rows, (n_init, n_clusters, n_features)."""
    return _words(seed, "points", n_init * n_clusters * n_features).reshape(n_init, n_clusters, n_features)


def _digest(*arrays: np.ndarray) -> bytes:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array.astype("<u8")).tobytes())
    return digest.digest()


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
                f'init: "k-means++" has no room in the ring for {counted(n_samples, "row")} of '
                f'{counted(n_features, "column")}; use "farthest"'
            )
        return cls(row_bits, draw_bits)

    def round(self, draws: np.ndarray) -> np.ndarray:
        """Uniform uint64 words as integers below ``2^draw_bits``: their highest bits."""
        return (draws >> np.uint64(_WORD_BITS - self.draw_bits)).astype(np.int64)
