"""The tally of a k-means run on shares: which starts go on, what was counted, and the state that a party keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import msgspec
import numpy as np

from secure_kmeans.errors import ProtocolError, StateError
from secure_kmeans.job.ledger import Entry, Ledger
from secure_kmeans.mpc.crypten_adapter import Shared, share_of
from secure_kmeans.protocols.lookahead import ScheduleLine, members_among


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one party needs to go on after an iteration: its share of the centroids, and what all parties know.

    Attributes
    ----------
    iteration : int
        0 after the initialisation.
    counts : list of int
        Every party's number of rows.
    seed : int or None
        Seed of the public coins; None where the starts are given or secret.
    shape : (r, k, d)
    centroids, before : bytes
        This party's shares of the centroids, and of those one iteration earlier, int64; the latter are empty where no
        iteration has been labelled yet.
    running, converged, sizes, n_iter, seconds
        As in :class:`Tally`.
    ledger : list of (what, to, iteration)
    """

    iteration: int
    counts: list[int]
    seed: int | None
    shape: tuple[int, int, int]
    centroids: bytes
    before: bytes
    running: list[int]
    converged: list[bool]
    sizes: list[list[list[int]]]
    n_iter: list[int]
    seconds: list[float]
    ledger: list[tuple[str, str, int | None]]

    @classmethod
    def of(
        cls,
        tally: Tally,
        C: Shared,
        C_before: Shared | None,
        *,
        counts: Sequence[int],
        seed: int | None,
        ledger: Ledger,
        **more: Any,
    ) -> Self:
        """The state after an iteration; ``more`` are what a protocol's own kind of state has besides."""
        r, k, d = C.size()
        return cls(
            iteration=tally.iteration,
            counts=list(counts),
            seed=seed,
            shape=(r, k, d),
            centroids=share_of(C).tobytes(),
            before=b"" if C_before is None else share_of(C_before).tobytes(),
            running=tally.running.tolist(),
            converged=tally.converged.tolist(),
            sizes=[list(sizes) for sizes in tally.sizes],
            n_iter=tally.n_iter.tolist(),
            seconds=list(tally.seconds),
            ledger=[(entry.what, entry.to, entry.iteration) for entry in ledger.entries],
            **more,
        )

    @classmethod
    def decoded(cls, kept: bytes) -> Self:
        """Read a state that :meth:`encoded` made.

        Raises
        ------
        StateError
            Where it is damaged.
        """
        try:
            state = msgspec.msgpack.decode(kept, type=cls)
        except msgspec.MsgspecError:
            raise StateError("the state is not one of this program's; start the run anew") from None
        if len(state.centroids) != 8 * math.prod(state.shape) or len(state.before) not in (0, len(state.centroids)):
            raise StateError("the state is damaged; start the run anew")
        return state

    def check_counts(self, counts: Sequence[int]) -> None:
        """Refuse to go on where a party has another number of rows than when the state was kept.

        Raises
        ------
        StateError
        """
        if self.counts != list(counts):
            raise StateError("a party has another number of rows than when the state was kept; start the run anew")

    def encoded(self) -> bytes:
        """The state in MessagePack."""
        return msgspec.msgpack.encode(self)

    def entries(self) -> list[Entry]:
        """The ledger up to this state."""
        return [Entry(what=what, to=to, iteration=iteration) for what, to, iteration in self.ledger]

    @property
    def share(self) -> np.ndarray:
        """This party's share of the centroids, int64 of ``shape``."""
        return np.frombuffer(self.centroids, dtype=np.int64).reshape(self.shape)

    @property
    def share_before(self) -> np.ndarray:
        """This party's share of the centroids one iteration earlier; zeros where no iteration has been labelled."""
        if not self.before:
            return np.zeros(self.shape, dtype=np.int64)
        return np.frombuffer(self.before, dtype=np.int64).reshape(self.shape)


class Tally:
    """Which of r starts go on, and what was counted of each. Public to the parties; the dealer counts nothing.

    Attributes
    ----------
    iteration : int
        Iterations so far.
    converged : (r,) bool
    n_iter : (r,) ints
    sizes : list of lists of (k,) lists
        For each start the revealed sizes of each of its iterations; -1 for a size that stays secret.
    seconds : list of float
        Of each iteration.
    """

    def __init__(self, restarts: int) -> None:
        self._running = np.ones(restarts, dtype=bool)
        self.iteration = 0
        self.converged = np.zeros(restarts, dtype=bool)
        self.n_iter = np.zeros(restarts, dtype=np.int64)
        self.sizes: list[list[list[int]]] = [[] for _ in range(restarts)]
        self.seconds: list[float] = []

    @property
    def running(self) -> np.ndarray:
        """Numbers of the starts that go on, ascending."""
        return np.flatnonzero(self._running)

    @property
    def all_stopped(self) -> bool:
        """Whether no start goes on."""
        return not self._running.any()

    def of(self, batch: np.ndarray) -> np.ndarray:
        """For each start of a batch whether it goes on, bool."""
        return self._running[batch]

    def stop(self, restarts: np.ndarray) -> None:
        """Note that these starts have converged."""
        self.converged[restarts] = True
        self._running[restarts] = False

    def count(self, sizes: np.ndarray | None) -> None:
        """Note one more iteration of the starts that go on, and its sizes where they were revealed."""
        self.n_iter[self._running] += 1
        if sizes is not None:
            for restart, found in zip(self.running.tolist(), sizes.tolist(), strict=True):
                self.sizes[restart].append(found)

    def continue_from(self, iteration: int, running: np.ndarray) -> None:
        """Take up a run after some iteration, with the starts that went on then."""
        self.iteration = iteration
        self._running[:] = False
        self._running[running] = True

    def restore(self, state: State) -> None:
        """Take up what was counted before."""
        self.n_iter = np.array(state.n_iter, dtype=np.int64)
        self.converged = np.array(state.converged, dtype=bool)
        self.sizes, self.seconds = list(state.sizes), list(state.seconds)


class Resumption:
    """Where a resumed run goes on, which all roles know: iteration, starts that go on, and whether they have moved yet.

    Attributes
    ----------
    iteration : int
    running : ints
    moved : bool
        Whether there are centroids of an iteration earlier.
    """

    def __init__(self, iteration: int, running: np.ndarray, *, moved: bool) -> None:
        self.iteration, self.running, self.moved = iteration, running, moved

    @classmethod
    def agreed(
        cls, line: ScheduleLine, state: State | None, *, is_dealer: bool, restarts: int, max_iter: int
    ) -> Resumption | None:
        """Send to the dealer where a run goes on, or receive it there; None where the run starts anew.

        Raises
        ------
        ProtocolError
            At the dealer, for what is no state.
        """
        if is_dealer:
            told: Any = line.hear()
        else:
            told = None if state is None else [state.iteration, state.running, bool(state.before)]
            line.tell(told)
        match told:
            case None:
                return None
            case [int(iteration), list(running), bool(moved)] if 0 <= iteration <= max_iter:
                return cls(iteration, members_among(running, np.arange(restarts)), moved=moved)
            case _:
                raise ProtocolError("the first party told the dealer something that is no state")
