"""One party's side of a run: who takes part, what is shared, what is revealed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from secure_kmeans.errors import ProtocolError
from secure_kmeans.fixed_point import RING_BITS, FixedPoint, bits_to_hold
from secure_kmeans.job import SEEDS
from secure_kmeans.ledger import ALL, Ledger, What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.net.watch import Traffic

_NONCE_BYTES: Final = 32


class Session:
    """What a protocol needs to know and may do at one party.

    Parameters
    ----------
    parties : sequence of str
        Names in rank order.
    rank : int
        This party's place among them.
    precision_bits : int
        Fractional bits f of the fixed point.
    """

    def __init__(self, parties: Sequence[str], rank: int, precision_bits: int) -> None:
        self.parties = tuple(parties)
        self.rank = rank
        self.name = self.parties[rank]
        self.fixed_point = FixedPoint(precision_bits)
        self.ledger = Ledger()
        self.n_samples: dict[str, int] = {}

    @property
    def total_samples(self) -> int:
        """Rows of all parties; 0 before :meth:`row_counts`."""
        return sum(self.n_samples.values())

    @property
    def traffic(self) -> Traffic:
        """This party's rounds and bytes so far."""
        return crypten.traffic()

    # ------------------------------------------------------------------ inputs

    def row_counts(self, own: int) -> list[int]:
        """Every party's number of rows, which the shapes of the shares disclose. Rounds: 1."""
        counts = [int(count) for count in crypten.exchange(torch.tensor([own]))[:, 0]]
        self.n_samples = dict(zip(self.parties, counts, strict=True))
        self.ledger.record(What.ROW_COUNTS, ALL)
        return counts

    def share_rows(self, own: np.ndarray, counts: Sequence[int], bits: int | None = None) -> Shared:
        """All parties' rows, one below the other in rank order, as one shared matrix. Rounds: 0.

        Parameters
        ----------
        own : (counts[rank], n_features) float64, scaled
        counts : sequence of int
            Every party's number of rows.
        bits : int, optional
            Fractional bits, if not the session's.
        """
        fixed_point = self.fixed_point if bits is None else FixedPoint(bits)
        encoded = torch.from_numpy(fixed_point.encode(own))
        parts = [
            crypten.share(encoded if rank == self.rank else None, rank, (count, own.shape[1]))
            for rank, count in enumerate(counts)
            if count
        ]
        return crypten.cat(parts)

    def from_public(self, values: np.ndarray) -> Shared:
        """Public reals as shares. Rounds: 0."""
        return crypten.from_public(torch.from_numpy(self.fixed_point.encode(values)))

    # ----------------------------------------------------------------- outputs

    def reveal(self, values: Shared, *, to: str, what: What, iteration: int | None = None) -> np.ndarray | None:
        """Disclose shared integers on purpose, to all parties or to one, and write it into the ledger.

        Parameters
        ----------
        values : additive shares
        to : str
            :data:`~secure_kmeans.ledger.ALL` or a party's name.
        what : What
        iteration : int, optional

        Returns
        -------
        int64 array of the shape of ``values``; None at a party that does not learn it. Rounds: 1.
        """
        self.ledger.record(what, to, iteration)
        if to == ALL:
            return crypten.open_to_all(values).numpy()
        opened = crypten.open_to_one(values, self.parties.index(to))
        return None if opened is None else opened.numpy()

    def reveal_to_all(self, values: Shared, *, what: What, iteration: int | None = None) -> np.ndarray:
        """:meth:`reveal` to every party."""
        opened = self.reveal(values, to=ALL, what=what, iteration=iteration)
        assert opened is not None
        return opened

    def reveal_sum(self, own: float, *, bound: float, what: What) -> float:
        """The sum of one number of each party, disclosed to all; nothing else about the numbers is.

        Parameters
        ----------
        own : float
            This party's, from 0 to ``bound``.
        bound : float
            Public bound of the sum.
        what : What

        Returns
        -------
        float. Error: P half units of ``2^-59`` times the next power of two above ``bound``, and the sum's own
        rounding.

        Notes
        -----
        A party's share of what it entered is hidden by its two neighbours' keys only. A product with 1 hides it
        under the dealer's stream, so that no neighbours together see more than the sum.

        Rounds: 2, and an answer of the dealer to the first party.
        """
        fixed_point = FixedPoint(RING_BITS - 4 - bits_to_hold(bound))
        encoded = torch.from_numpy(fixed_point.encode(np.array([own])))
        parts = [crypten.share(encoded if rank == self.rank else None, rank, (1,)) for rank in range(len(self.parties))]
        return float(fixed_point.decode(self.reveal_to_all(_hidden_anew(crypten.cat(parts).sum(0)), what=what)))

    # ------------------------------------------------------------ public coins

    def toss_coins(self) -> int:
        """A seed of 53 bits that no party chose: every party commits to a nonce, then shows it.

        The seed is the hash of all nonces, so it is uniform as long as one party's is (Blum, 1983;
        the commitment is SHA-256 of a nonce of 32 bytes). Rounds: 2.

        Raises
        ------
        ProtocolError
            Where a party shows another nonce than it committed to.
        """
        nonce = os.urandom(_NONCE_BYTES)
        commitments = self._exchange_bytes(self._commitment(self.rank, nonce))
        nonces = self._exchange_bytes(nonce)
        for rank, (commitment, shown) in enumerate(zip(commitments, nonces, strict=True)):
            if commitment != self._commitment(rank, shown):
                raise ProtocolError(f'party "{self.parties[rank]}" did not keep to its coin: nothing was computed')
        return int.from_bytes(hashlib.sha256(b"coins" + b"".join(nonces)).digest(), "big") % SEEDS

    @staticmethod
    def _commitment(rank: int, nonce: bytes) -> bytes:
        return hashlib.sha256(b"commitment %d " % rank + nonce).digest()

    @staticmethod
    def _exchange_bytes(own: bytes) -> list[bytes]:
        return [row.numpy().tobytes() for row in crypten.exchange(torch.frombuffer(bytearray(own), dtype=torch.long))]


def _hidden_anew(values: Shared) -> Shared:
    """The same values under fresh shares. Rounds: 1."""
    return values * crypten.from_public(torch.ones(values.shape, dtype=torch.long))
