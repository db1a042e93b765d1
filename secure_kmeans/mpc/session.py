"""One role's side of a run: who takes part, what is shared, what is revealed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch

from secure_kmeans.errors import ProtocolError
from secure_kmeans.fixed_point import RING_BITS, FixedPoint, bits_to_hold
from secure_kmeans.job import DEALER, SEEDS
from secure_kmeans.ledger import ALL, Ledger, What
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_engine import CryptenEngine
from secure_kmeans.mpc.engine import Engine, SecureEngine
from secure_kmeans.mpc.packing import RING_BYTES
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.net.watch import Traffic

_NONCE_BYTES: Final = 32


class Session:
    """What a protocol needs to know and may do at one role.

    Parameters
    ----------
    parties : sequence of str
        Names in rank order.
    rank : int
        This role's place among them; the dealer's is their number.
    precision_bits : int
        Fractional bits f of the fixed point.
    engine : "secure" or "crypten"
        With "crypten" the dealer has no session: it answers requests.
    """

    def __init__(
        self, parties: Sequence[str], rank: int, precision_bits: int, engine: Literal["secure", "crypten"] = "secure"
    ) -> None:
        self.parties = tuple(parties)
        self.rank = rank
        self.name = (*self.parties, DEALER)[rank]
        self.fixed_point = FixedPoint(precision_bits)
        self.ledger = Ledger()
        self.n_samples: dict[str, int] = {}
        channel = crypten.channel()
        self.core = Core(
            channel.links,
            channel.mesh.key,
            self.parties,
            rank,
            channel.traffic,
            dealer=DEALER,
            has_dealer=engine == "secure",
        )
        self.engine: Engine = (SecureEngine if engine == "secure" else CryptenEngine)(self.core)

    @property
    def deals(self) -> bool:
        """Whether this is the dealer, which walks through the protocol with empty hands."""
        return self.rank == len(self.parties)

    @property
    def dealt_ahead(self) -> bool:
        """Whether the dealer walks along, ahead of the parties."""
        return self.core.has_dealer

    @property
    def total_samples(self) -> int:
        """Rows of all parties; 0 before :meth:`row_counts`."""
        return sum(self.n_samples.values())

    @property
    def traffic(self) -> Traffic:
        """This party's rounds and bytes so far."""
        return self.core.traffic

    # ------------------------------------------------------------------ inputs

    def row_counts(self, own: int) -> list[int]:
        """Every party's number of rows, which the shapes of the shares disclose; the dealer is told. Rounds: 1."""
        if self.deals:
            counts = self.hear()
            if not _are_counts(counts, len(self.parties)):
                raise ProtocolError("the first party told the dealer something that is no number of rows")
        else:
            counts = [int(count) for count in crypten.exchange(torch.tensor([own]))[:, 0]]
            self.tell(counts)
        self.n_samples = dict(zip(self.parties, counts, strict=True))
        self.ledger.record(What.ROW_COUNTS, ALL)
        return list(counts)

    def tell(self, value: Any) -> None:
        """The first party tells the dealer what its schedule depends on; nothing happens at any other."""
        if self.rank == 0 and self.dealt_ahead:
            self.core.traffic.sent(self.core.lines.post_object(DEALER, value))

    def hear(self) -> Any:
        """What the first party tells the dealer."""
        return self.core.lines.receive_object(self.parties[0])

    @contextlib.contextmanager
    def passing_over(self, over: bool) -> Iterator[None]:
        """While this lasts, and if it is ``over``, a party only draws what the dealer has dealt."""
        with self.core.drawing_only() if over and self.core.takes_part else contextlib.nullcontext():
            yield

    def share_rows(self, own: np.ndarray, counts: Sequence[int], bits: int | None = None) -> np.ndarray:
        """All parties' rows, one below the other in rank order, entered as CrypTen's encrypted tensors. Rounds: 0.

        Parameters
        ----------
        own : (counts[rank], n_features) float64, scaled
        counts : sequence of int
            Every party's number of rows.
        bits : int, optional
            Fractional bits, if not the session's.

        Returns
        -------
        (n, n_features) int64: this role's share.
        """
        if self.deals:
            return np.zeros((sum(counts), own.shape[1]), dtype=np.int64)
        fixed_point = self.fixed_point if bits is None else FixedPoint(bits)
        encoded = torch.from_numpy(fixed_point.encode(own))
        parts = [
            crypten.share(encoded if rank == self.rank else None, rank, (count, own.shape[1])).share.numpy()
            for rank, count in enumerate(counts)
            if count
        ]
        return np.concatenate(parts)

    def from_public(self, values: np.ndarray) -> np.ndarray:
        """Public reals as shares. Rounds: 0."""
        return self.engine.public(self.fixed_point.encode(values))

    def shared_anew(self, kept: np.ndarray) -> np.ndarray:
        """Shares of an earlier run, with fresh shares of 0 added. Rounds: 0."""
        if self.deals:
            return np.zeros(kept.shape, dtype=np.int64)
        zero = crypten.share(torch.zeros(kept.shape, dtype=torch.long), 0, kept.shape).share.numpy()
        return np.asarray(kept + zero)

    # ----------------------------------------------------------------- outputs

    def revealing(
        self, share: np.ndarray, *, to: str = ALL, what: What, iteration: int | None = None, size: int = RING_BYTES
    ) -> Step[np.ndarray]:
        """Disclose shared integers on purpose, to all parties or to one, and write it into the ledger.

        Parameters
        ----------
        share : int64 array of additive shares, or uint64 array of XOR shares
        to : str
            :data:`~secure_kmeans.ledger.ALL` or a party's name.
        what : What
        iteration : int, optional
        size : int
            The value is below ``2^(8 size)``.

        Returns
        -------
        Array of the same shape; zeros at a role that does not learn it. Rounds: 1.
        """
        if not self.engine.takes_part:
            return np.zeros_like(share)
        self.ledger.record(what, to, iteration)
        opened = yield Opening(share, size, None if to == ALL else self.parties.index(to))
        return opened if size == RING_BYTES else opened & np.int64((1 << 8 * size) - 1)

    def reveal(
        self,
        share: np.ndarray,
        *,
        to: str = ALL,
        what: What,
        iteration: int | None = None,
        size: int = RING_BYTES,
    ) -> np.ndarray:
        """:meth:`revealing`, as a round of its own."""
        revealed: np.ndarray = self.engine.execute(
            self.revealing(share, to=to, what=what, iteration=iteration, size=size)
        )
        return revealed

    def reveal_to_owners(self, share: np.ndarray, counts: Sequence[int], *, what: What, size: int) -> np.ndarray:
        """Of (n,) numbers, one for each row, each party is shown those of its own rows. Rounds: 1.

        Returns
        -------
        (own rows,) int64
        """
        edges = np.cumsum([0, *counts])
        owners = {
            party: slice(start, stop)
            for party, start, stop in zip(self.parties, edges[:-1], edges[1:], strict=True)
            if stop > start
        }
        steps = [self.revealing(share[rows], to=party, what=what, size=size) for party, rows in owners.items()]
        revealed = dict(zip(owners, self.engine.together(*steps), strict=True))
        return np.asarray(revealed.get(self.name, np.empty(0, dtype=np.int64)))

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
        A party's share of what it entered is hidden by its two neighbours' keys only. The dealer's shares of 0 hide it
        anew, so that no neighbours together see more than the sum.

        Rounds: 1.
        """
        fixed_point = FixedPoint(RING_BITS - 4 - bits_to_hold(bound))
        entered = self.share_rows(np.array([[own]]), [1] * len(self.parties), fixed_point.bits)
        hidden = self.engine.execute(self.engine.hidden_anew(entered.sum(axis=0)))
        return float(fixed_point.decode(self.reveal(hidden, what=what))[0])

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
        if self.deals:
            return 0
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


def _are_counts(heard: Any, parties: int) -> bool:
    return isinstance(heard, list) and len(heard) == parties and all(type(n) is int and 0 <= n < 1 << 40 for n in heard)
