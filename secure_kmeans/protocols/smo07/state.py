"""What a party keeps after each iteration, to resume from. All of it is known to all parties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec
import numpy as np

from secure_kmeans.errors import StateError
from secure_kmeans.job.ledger import Entry


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """A state in MessagePack."""

    iteration: int
    counts: list[int]
    seed: int | None
    tol: int
    shape: tuple[int, int, int]
    centroids: bytes
    before: bytes
    n_iter: list[int]
    converged: list[bool]
    seconds: list[float]
    ledger: list[tuple[str, str, int | None]]


@dataclass
class State:
    """Lloyd's loop of r starts after some iteration.

    Attributes
    ----------
    counts : list of int
        Rows of each party.
    seed : int or None
        Of the public coins; None where the centroids are given.
    tol : int
        Bound of the squared movements, in units of the fixed point squared.
    C, C_before : (r, k, d) int64
        The centroids now and one iteration earlier, of each start.
    iteration : int
    n_iter : (r,) int64
    converged : (r,) bool
    seconds : list of float
        Of each iteration.
    """

    counts: list[int]
    seed: int | None
    tol: int
    C: np.ndarray
    C_before: np.ndarray
    iteration: int = 0
    n_iter: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    converged: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def at(cls, C: np.ndarray, counts: Sequence[int], seed: int | None, tol: int) -> Self:
        """The state before the first iteration."""
        restarts = len(C)
        return cls(
            list(counts),
            seed,
            tol,
            C.copy(),
            C.copy(),
            n_iter=np.zeros(restarts, dtype=np.int64),
            converged=np.zeros(restarts, dtype=bool),
        )

    @property
    def running(self) -> np.ndarray:
        """Numbers of the starts that go on, ascending."""
        return np.flatnonzero(~self.converged)

    def move(self, running: np.ndarray, C: np.ndarray) -> None:
        """Take the new centroids (m, k, d) of the starts that go on, and stop those that hardly moved."""
        movements = ((C - self.C[running]) ** 2).sum(axis=(1, 2))
        self.C_before[running], self.C[running] = self.C[running], C
        self.iteration += 1
        self.n_iter[running] += 1
        self.converged[running] = movements <= self.tol

    def encoded(self, ledger: Sequence[Entry]) -> bytes:
        """The state, and the ledger up to it, in MessagePack."""
        return msgspec.msgpack.encode(
            _Kept(
                iteration=self.iteration,
                counts=self.counts,
                seed=self.seed,
                tol=self.tol,
                shape=self.C.shape,
                centroids=self.C.tobytes(),
                before=self.C_before.tobytes(),
                n_iter=self.n_iter.tolist(),
                converged=self.converged.tolist(),
                seconds=self.seconds,
                ledger=[(entry.what, entry.to, entry.iteration) for entry in ledger],
            )
        )

    @classmethod
    def decoded(cls, kept: bytes, shape: tuple[int, int, int]) -> tuple[Self, list[Entry]]:
        """Read what :meth:`encoded` made: the state and the ledger.

        Raises
        ------
        StateError
            Where it is damaged, or of another shape.
        """
        try:
            state = msgspec.msgpack.decode(kept, type=_Kept)
        except msgspec.MsgspecError:
            raise StateError("the state is not one of this program's; start the run anew") from None
        size, starts = 8 * math.prod(shape), shape[0]
        lengths = [len(state.centroids), len(state.before), len(state.n_iter), len(state.converged)]
        if tuple(state.shape) != shape or lengths != [size, size, starts, starts]:
            raise StateError("the state is damaged; start the run anew")
        C, C_before = (
            np.frombuffer(each, dtype="<i8").reshape(shape).astype(np.int64) for each in (state.centroids, state.before)
        )
        found = cls(
            state.counts,
            state.seed,
            state.tol,
            C,
            C_before,
            state.iteration,
            np.array(state.n_iter, dtype=np.int64),
            np.array(state.converged, dtype=bool),
            state.seconds,
        )
        return found, [Entry(what=what, to=to, iteration=iteration) for what, to, iteration in state.ledger]
