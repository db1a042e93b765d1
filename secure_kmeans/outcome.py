"""What a run leaves with each party."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from secure_kmeans.ledger import Disclosure

Progress = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and of how much."""


def show_nothing(phase: str, done: int, total: int) -> None:
    """Progress of which nobody is told."""
    del phase, done, total


class Outcome(BaseModel):
    """What one party holds after a run: all of it in the ledger, or its own.

    Attributes
    ----------
    party : str
    n_samples : dict of str to int
        Rows of each party.
    labels : list of int
        Of this party's rows, in the order of its table.
    ledger : list of Disclosure
    rounds, bytes_sent : int
        This party's.
    total_s : float

    The rest is for a fit only, in original units, as in :class:`~secure_kmeans.protocols.shk.Clustering`.
    """

    model_config = ConfigDict(frozen=True)

    party: str
    n_samples: dict[str, int]
    labels: list[int]
    ledger: list[Disclosure]
    rounds: int
    bytes_sent: int
    total_s: float
    centroids: list[list[float]] = []
    sizes: list[int] | None = None
    inertia: float | None = None
    mean_distance: float | None = None
    n_iter: int = 0
    converged: bool = False
    best_restart: int = 0
    seed: int | None = None
    sizes_by_iteration: list[list[int]] = []
    seconds: list[float] = []


@dataclass(frozen=True)
class Ended:
    """What a role holds at the end of a run.

    Attributes
    ----------
    outcome : Outcome or None
        None at the dealer.
    communication : dict of str to dict
        For each role ``rounds`` and ``bytes_sent``, as it told.
    """

    outcome: Outcome | None
    communication: dict[str, dict[str, int]]
