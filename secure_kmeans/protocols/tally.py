"""What a party keeps of a run to go on with it, and what the dealer has to know then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job import Job
from secure_kmeans.ledger import Disclosure
from secure_kmeans.mpc.session import Session


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one party needs to go on after an iteration: its share of the centroids, and what all parties know.

    Attributes
    ----------
    iteration : int
        0 after the initialisation.
    counts : list of int
        Every party's number of rows.
    seed : int or None
    shape : (r, k, d)
    centroids, before : bytes
        This party's shares of the centroids, and of those an iteration earlier, int64.
    active, converged, sizes, n_iter, seconds
        As in :class:`~secure_kmeans.protocols.shk.Restarts`.
    ledger : list of Disclosure
    """

    iteration: int
    counts: list[int]
    seed: int | None
    shape: tuple[int, int, int]
    centroids: bytes
    before: bytes
    active: list[int]
    converged: list[bool]
    sizes: list[list[list[int]]]
    n_iter: list[int]
    seconds: list[float]
    ledger: list[Disclosure]


Keep = Callable[[State], None]
"""Told the state after the initialisation and after each iteration."""


def keep_nothing(state: State) -> None:
    """For a run that cannot be resumed."""
    del state


def known_to_the_dealer(session: Session, job: Job, resumed: State | None) -> tuple[int, np.ndarray, bool] | None:
    """What the dealer has to know of a resumed run: its iteration, which restarts go on, whether they have moved."""
    if not session.deals:
        known = None if resumed is None else [resumed.iteration, resumed.active, bool(resumed.before)]
        session.tell(known)
    else:
        known = session.hear()
    match known:
        case None:
            return None
        case [int(iteration), list(active), bool(moved)] if 0 <= iteration <= job.max_iter:
            return iteration, restarts_among(active, np.arange(job.n_init)), moved
        case _:
            raise ProtocolError("the first party told the dealer something that is no state")


def restarts_among(told: Any, known: np.ndarray) -> np.ndarray:
    """Which restarts go on, as the dealer is told: some of those that it knows."""
    if not isinstance(told, list) or not set(map(repr, told)) <= set(map(repr, known.tolist())):
        raise ProtocolError("the first party told the dealer something that is no list of restarts")
    return np.array(sorted(told), dtype=np.int64)
