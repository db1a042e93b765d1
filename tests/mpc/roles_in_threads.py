"""All roles of the secure core in threads of this process, over lines in memory: for tests of single steps."""

import hashlib
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.net.watch import Traffic

SECONDS = 60
DEALER = "helper"
"""The dealer's name in these tests; the core knows no fixed one."""


def key_between(role: str, peer: str, purpose: str, salt: str = "") -> bytes:
    """The key of two roles."""
    return hashlib.sha256(repr((sorted([role, peer]), purpose, salt)).encode()).digest()


def names_of(parties: int) -> list[str]:
    return [f"party_{rank}" for rank in range(parties)]


class _Post:
    """Queues between all pairs of roles, and copies of all arrays that were sent."""

    def __init__(self) -> None:
        self.queues: dict[tuple[str, str], queue.Queue[np.ndarray]] = {}
        self.seen: dict[tuple[str, str], list[np.ndarray]] = {}
        self._lock = threading.Lock()

    def between(self, sender: str, receiver: str) -> "queue.Queue[np.ndarray]":
        with self._lock:
            return self.queues.setdefault((sender, receiver), queue.Queue())


class MemoryLines:
    """A role's lines to all other roles, in memory."""

    def __init__(self, post: _Post, me: str) -> None:
        self._post, self._me = post, me

    def post(self, peer: str, numbers: np.ndarray) -> None:
        self._post.seen.setdefault((self._me, peer), []).append(numbers.copy())
        self._post.between(self._me, peer).put(numbers.copy())

    def receive(self, peer: str, target: np.ndarray) -> None:
        numbers = self._post.between(peer, self._me).get(timeout=SECONDS)
        assert (numbers.shape, numbers.dtype) == (target.shape, target.dtype), f"{peer} sent something else"
        target[...] = numbers

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        for peer, numbers in outgoing.items():
            self.post(peer, numbers)
        for peer, target in targets.items():
            self.receive(peer, target)

    def flush(self) -> None:
        pass

    def post_object(self, peer: str, value: Any) -> int:
        raise NotImplementedError

    def receive_object(self, peer: str) -> Any:
        raise NotImplementedError


class Run:
    """One run of a function at all roles.

    Attributes
    ----------
    returned : list
        Results of the parties, then the dealer's.
    traffic : list of Traffic
    sent : dict
        From (sender, receiver) to the arrays that the sender sent.
    """

    def __init__(self, parties: int, body: Callable[[Core], Any]) -> None:
        names = names_of(parties)
        roles = [*names, DEALER]
        post = _Post()
        self.traffic = [Traffic() for _ in roles]
        self.returned: list[Any] = [None] * len(roles)
        self.sent = post.seen
        raised: list[BaseException] = []

        def work(rank: int) -> None:
            def key(peer: str, purpose: str) -> bytes:
                return key_between(roles[rank], peer, purpose)

            try:
                core = Core(MemoryLines(post, roles[rank]), key, names, rank, self.traffic[rank], dealer=DEALER)
                self.returned[rank] = body(core)
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(len(roles))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        if raised:
            raise raised[0]
        assert not any(line.qsize() for line in post.queues.values()), "a message was never received"

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
    share: np.ndarray = [*parts, np.zeros_like(values)][rank]
    return share


def recorded(step: Step[Any], opened: list[tuple[np.ndarray, int]]) -> Step[Any]:
    """The same step; ``opened`` receives a flat copy of each opened array, and its size in bytes of a number."""
    try:
        opening = next(step)
        while True:
            answer = yield opening
            opened.append((answer.reshape(-1).copy(), opening.size))
            opening = step.send(answer)
    except StopIteration as end:
        return end.value
