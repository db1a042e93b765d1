"""The ledger: a run's complete list of disclosures.

Whatever a role learns besides its own input passes through one function,
:meth:`secure_kmeans.mpc.session.Session.reveal`, which writes it down here: what, to whom, in which
iteration. The report's "what each role learned" and the table in ``docs/threat-model.md`` are made
from the names below, and a test holds the three together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ALL: Final = "all"
"""Every party. The dealer is not one: it learns shapes and nothing else."""


class What(StrEnum):
    """Everything that a run may disclose."""

    ROW_COUNTS = "number of rows of each party"
    COLUMN_BOUNDS = "smallest and largest value of each column"
    CLUSTER_SIZES = "cluster sizes"
    STOP_BIT = "stop bit"
    BEST_RESTART = "number of the best restart"
    FINAL_CENTROIDS = "final centroids"
    FINAL_SIZES = "final cluster sizes"
    INERTIA = "inertia"
    MEAN_DISTANCE = "mean-distance loss"
    OWN_LABELS = "labels of its own rows"


@dataclass(frozen=True)
class Disclosure:
    """One line of the ledger.

    Attributes
    ----------
    what : What
    to : str
        Name of a party, or :data:`ALL`.
    iteration : int or None
        Counted from 1; None before the first and after the last.
    """

    what: What
    to: str
    iteration: int | None = None


@dataclass
class Ledger:
    """Disclosures in the order in which they happened."""

    entries: list[Disclosure] = field(default_factory=list)

    def record(self, what: What, to: str, iteration: int | None = None) -> None:
        """Write one disclosure down."""
        self.entries.append(Disclosure(What(what), to, iteration))
