"""The rows at which the starts of a run begin, and the draws of k-means++: secret, or public.

Public: the coins name the rows, and all parties know the coins. A run in the clear finds the same rows.

Secret: the dealer deals one-hot vectors, of which it alone knows the positions i. The parties reorder their shares by a
permutation that they toss and the dealer does not hear, so that position i becomes row ``order[i]``. A product with all
rows selects it. So neither a party nor the dealer knows which row it is. The draws of k-means++ are made in the same
way: bits of a mask that the dealer knows and nobody opens, each turned over or not by a coin that the dealer does not
hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch

from secure_kmeans.job import Clustering, KMeansJob
from secure_kmeans.job.coins import Coins, DrawGrid, SecretCoins
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.protocols.base import Context

_ELEMENTS_AT_ONCE: Final = 1 << 23
"""Bounds the memory of one-hot vectors: 64 MiB."""


class Starts(Protocol):
    """Where r starts begin."""

    def rows(self, engine: Engine, X: Shared) -> Step[Shared]:
        """The starting rows, (r, m, d), of (n, d) rows: m is the number of clusters for "random", else 1."""

    def times_draws(self, engine: Engine, totals: Shared, number: int, grid: DrawGrid) -> Step[Shared]:
        """(r, 1) totals, each times the draw of its start with this number, as an integer of ``grid.draw_bits``."""


@dataclass(frozen=True)
class PublicStarts:
    """Rows and draws that all parties know. Rounds: 0."""

    coins: Coins

    def rows(self, engine: Engine, X: Shared) -> Step[Shared]:
        """See :class:`Starts`."""
        del engine
        yield from ()
        return X[torch.from_numpy(self.coins.rows)]

    def times_draws(self, engine: Engine, totals: Shared, number: int, grid: DrawGrid) -> Step[Shared]:
        """See :class:`Starts`."""
        del engine
        yield from ()
        return totals * torch.from_numpy(grid.round(self.coins.draws[:, number])[:, None])


@dataclass(frozen=True)
class SecretStarts:
    """Rows and draws that nobody knows.

    Attributes
    ----------
    coins : SecretCoins
        At the dealer, which does not hear them, only their shapes are meaningful.
    starts : int
        r.
    each : int
        m, the rows of a start, which differ from each other.
    """

    coins: SecretCoins
    starts: int
    each: int

    @classmethod
    def of(cls, clustering: Clustering, coins: SecretCoins) -> SecretStarts:
        """The starts of a clustering."""
        return cls(coins, clustering.n_init, clustering.n_clusters if clustering.init == "random" else 1)

    def rows(self, engine: Engine, X: Shared) -> Step[Shared]:
        """See :class:`Starts`. Rounds: 1 for each block of one-hot vectors."""
        n, d = X.size()
        positions = torch.from_numpy(np.argsort(self.coins.order, kind="stable"))  # row order[i] is position i
        found = []
        for count in self._blocks(n):
            one_hots = yield from engine.one_hots(count, n)
            found.append((yield from engine.matmul(one_hots[:, positions], X)))
        return crypten.cat(found).reshape(self.starts, self.each, d)

    def _blocks(self, n: int) -> list[int]:
        """How many one-hot vectors are dealt at once; the positions of a block differ from each other."""
        if self.each > 1:
            return [self.each] * self.starts
        at_once = max(1, _ELEMENTS_AT_ONCE // n)
        return [min(at_once, self.starts - start) for start in range(0, self.starts, at_once)]

    def times_draws(self, engine: Engine, totals: Shared, number: int, grid: DrawGrid) -> Step[Shared]:
        """See :class:`Starts`. Rounds: 1."""
        bits = grid.draw_bits
        coins = grid.round(self.coins.draws[:, number])  # (r,)
        turned = torch.from_numpy((coins[:, None] >> np.arange(bits)) & 1)  # (r, bits)
        dealt = yield from engine.random_bits(self.starts, bits)
        draws = ((dealt * (1 - 2 * turned) + turned) * torch.from_numpy(1 << np.arange(bits))).sum(1)
        return (yield from engine.multiply(totals, draws.unsqueeze(1)))


def draw_starts(context: Context[Any], n: int, disclosure: Disclosure, *, is_dealer: bool) -> Starts:
    """The starts of a job of n rows: those of its seed, which the ledger then names, or secret ones.

    The parties compare their coins. Rounds: 1 for the seed of the job; 3 for secret starts, whose coins are tossed.
    """
    job: KMeansJob = context.job
    starts: PublicStarts | SecretStarts
    if job.seed is not None:
        starts = PublicStarts(Coins.draw(job.seed, job.init, n, job.n_clusters, job.n_init))
        context.ledger.record(disclosure)
    else:
        seed = 0 if is_dealer else context.toss_coins()
        starts = SecretStarts.of(job, SecretCoins.draw(seed, n, job.n_clusters, job.n_init))
    if not is_dealer:
        context.agree_on(starts.coins.digest, "coins")
    return starts
