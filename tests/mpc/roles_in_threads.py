"""All roles of the secure core in threads of this process, over lines in memory: for tests of single steps."""

import hashlib
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from secure_kmeans.job import DEALER
from secure_kmeans.mpc.core import Core
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.watch import Traffic

SECONDS = 60


class _Post:
    """Queues between all pairs of roles, and all that went through them."""

    def __init__(self) -> None:
        self.queues: dict[tuple[str, str], queue.Queue[np.ndarray]] = {}
        self.seen: dict[tuple[str, str], list[np.ndarray]] = {}
        self._lock = threading.Lock()

    def between(self, sender: str, receiver: str) -> "queue.Queue[np.ndarray]":
        with self._lock:
            return self.queues.setdefault((sender, receiver), queue.Queue())


class MemoryLines(Lines):
    """A role's lines to all others."""

    def __init__(self, post: _Post, me: str) -> None:
        self._post, self._me = post, me

    def post(self, peer: str, numbers: np.ndarray) -> None:
        self._post.seen.setdefault((self._me, peer), []).append(numbers.copy())
        self._post.between(self._me, peer).put(numbers.copy())

    def receive(self, peer: str, target: np.ndarray) -> None:
        came = self._post.between(peer, self._me).get(timeout=SECONDS)
        assert (came.shape, came.dtype) == (target.shape, target.dtype), f"{peer} sent something else"
        target[...] = came

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        for peer, numbers in outgoing.items():
            self.post(peer, numbers)
        for peer, target in targets.items():
            self.receive(peer, target)

    def flush(self) -> None:
        pass


class Run:
    """What all roles returned, and what they did.

    Attributes
    ----------
    returned : list
        Of the parties, then the dealer's.
    traffic : list of Traffic
    sent : dict
        From (sender, receiver) to the arrays that went that way.
    """

    def __init__(self, parties: int, body: Callable[[Core], Any]) -> None:
        names = [f"party_{rank}" for rank in range(parties)]
        roles = [*names, DEALER]
        post = _Post()
        self.traffic = [Traffic() for _ in roles]
        self.returned: list[Any] = [None] * len(roles)
        self.sent = post.seen
        raised: list[BaseException] = []

        def live(rank: int) -> None:
            def key(peer: str, purpose: str) -> bytes:
                return hashlib.sha256(repr((sorted([peer, roles[rank]]), purpose)).encode()).digest()

            try:
                core = Core(MemoryLines(post, roles[rank]), key, names, rank, self.traffic[rank])
                self.returned[rank] = body(core)
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=live, args=(rank,), daemon=True) for rank in range(len(roles))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        if raised:
            raise raised[0]
        assert not any(line.qsize() for line in post.queues.values()), "something was dealt or sent in vain"

    @property
    def rounds(self) -> int:
        """Of the first party."""
        return self.traffic[0].rounds

    @property
    def bytes_sent(self) -> tuple[int, int]:
        """Of the first party and the dealer."""
        return self.traffic[0].bytes_sent, self.traffic[-1].bytes_sent

    def opened(self, modulus_bits: int = 64) -> np.ndarray:
        """The sum of the parties' returned shares, from -2^(bits - 1) to below 2^(bits - 1)."""
        total = sum(share.astype(object) for share in self.returned[:-1])
        half = 1 << (modulus_bits - 1)
        return np.array((total + half) % (1 << modulus_bits) - half)


def shares_of(values: np.ndarray, parties: int, rank: int, seed: int = 0) -> np.ndarray:
    """A role's share of known int64 values, the same split at all roles; the dealer's is 0."""
    generator = np.random.default_rng(seed)
    parts = [generator.integers(-(2**63), 2**63, values.shape) for _ in range(parties - 1)]
    with np.errstate(over="ignore"):
        parts.append(values - sum(parts, np.zeros_like(values)))
    return [*parts, np.zeros_like(values)][rank]
