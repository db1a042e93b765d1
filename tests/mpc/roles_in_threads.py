"""All roles of the secure core in threads of this process, over lines in memory: for tests of single steps."""

import hashlib
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.net.mesh import Mesh
from tests.threads import MemoryMesh, Threads

DEALER = "helper"
"""The dealer's name in these tests; the core knows no fixed one."""


def key_between(role: str, peer: str, purpose: str, salt: str = "") -> bytes:
    """The key of two roles."""
    return hashlib.sha256(repr((sorted([role, peer]), purpose, salt)).encode()).digest()


def names_of(parties: int) -> list[str]:
    return [f"party_{rank}" for rank in range(parties)]


class _CoreMesh(MemoryMesh):
    """A mesh whose keys :func:`key_between` gives."""

    def key_for(self, peer: str, purpose: str) -> bytes:
        return key_between(self.me, peer, purpose)


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

        def part(rank: int, mesh: MemoryMesh) -> Any:
            with crypten.joined(cast("Mesh", mesh)):  # for steps that add public numbers to encrypted tensors
                return body(Core(mesh, mesh.key, names, rank, mesh.traffic, dealer=DEALER))

        threads = Threads([*names, DEALER], part, mesh=_CoreMesh)
        self.returned, self.traffic, self.sent = threads.answers, threads.traffic, threads.sent

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
