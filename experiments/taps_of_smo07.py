"""A run of SMO07 at all parties, in processes with TLS between them, and what each party has of it afterwards.

A tap writes down what a party knows anyway: its own numbers, what it receives, the masks that it draws, its shares and,
at the leader, its keys. Nothing else is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from gmpy2 import mpz

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.crypto.paillier import PrivateKey
from secure_kmeans.crypto.prg import Prg
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import SMO07, Smo07Job, aggregate, paillier_mode
from secure_kmeans.protocols.smo07 import run as running
from secure_kmeans.protocols.smo07.addition import new_key
from secure_kmeans.protocols.smo07.aggregate import AggregateMode
from secure_kmeans.protocols.smo07.job import Mode
from secure_kmeans.roles.process import in_processes
from secure_kmeans.tables import Table

CLUSTERS: Final = 3
COLUMNS: Final = ("x", "y")
ITERATIONS: Final = 3
NUMBERS: Final = CLUSTERS * (1 + len(COLUMNS))
"""Of a party in each iteration: sizes, then sums."""


@dataclass
class Known:
    """What one party has after a run.

    Attributes
    ----------
    own : list of lists of int
        Its own numbers of each iteration.
    received : dict of str to lists of str
        By sender, the byte strings of the ring and of shares, in hexadecimal and in their order.
    masked : dict of str to lists of lists of int
        By sender, numbers of 64 bits.
    masks : dict of str to lists of lists of int
        By the party that it shares them with, masks in the order in which they are drawn.
    shares : list of lists of int
        Of the totals, in the mode "aggregate".
    keys : list of (p, q)
        Of the leader, in the order of the additions.
    """

    own: list[list[int]] = field(default_factory=list)
    received: dict[str, list[str]] = field(default_factory=dict)
    masked: dict[str, list[list[int]]] = field(default_factory=dict)
    masks: dict[str, list[list[int]]] = field(default_factory=dict)
    shares: list[list[int]] = field(default_factory=list)
    keys: list[tuple[int, int]] = field(default_factory=list)

    def note(self, sender: str, numbers: np.ndarray) -> None:
        """Write down what was received."""
        if numbers.dtype == np.uint8:
            self.received.setdefault(sender, []).append(numbers.tobytes().hex())
        else:
            self.masked.setdefault(sender, []).append(numbers.ravel().tolist())


def job_of(mode: Mode, parties: int) -> Smo07Job:
    """A job of one start and some iterations."""
    return Smo07Job.of(
        parties=Party.named(*(f"party_{number}" for number in range(1, parties + 1))),
        columns=COLUMNS,
        n_clusters=CLUSTERS,
        n_init=1,
        init="uniform",
        max_iter=ITERATIONS,
        min_cluster_size=1,
        scaling=Scaling.of(lower=(0.0, 0.0), upper=(100.0, 100.0)),
        precision_bits=24,
        mode=mode,
        accept_two_parties=parties == 2,
    )


def known_after_a_run(mode: Mode, parties: int, rows: int, seed: int) -> list[Known]:
    """Run the protocol on random tables; what each party has afterwards, in the order of the job."""
    job = job_of(mode, parties)
    tables = np.random.default_rng(seed).integers(0, 101, (parties, rows, len(COLUMNS))).astype(float)
    answers = in_processes(job, partial(_take_part, job, tables))
    return [Known(**answer) for answer in answers]


def _take_part(job: Smo07Job, tables: np.ndarray, role: Role, mesh: Mesh) -> dict[str, Any]:
    known = Known()
    _tap_receiving(mesh, known)
    _tap_numbers(known)
    _tap_keys(known)
    _tap_masks([name for name in job.names if name != role.name], job.names.index(role.name), known)
    table = Table("a random table", COLUMNS, tables[job.names.index(role.name)])
    ledger = Ledger(SMO07.disclosures(job))
    SMO07.run(Context(job, role, table, mesh, ledger, no_progress, None, lambda _iteration, _state: None))
    return vars(known)


def _replace(owner: Any, name: str, by: Any) -> None:
    """Put a tap in the place of a function, in this role's process alone."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, by)


def _tap_receiving(mesh: Mesh, known: Known) -> None:
    receive = mesh.receive

    def tapped(peer: str, target: np.ndarray) -> None:
        receive(peer, target)
        known.note(peer, target)

    _replace(mesh, "receive", tapped)


def _tap_numbers(known: Known) -> None:
    made = running.mode_of

    def tapped(context: Any, limits: Any) -> Any:
        mode = made(context, limits)
        means = mode.means

        def tapped_means(sums: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, **options: Any) -> np.ndarray:
            if options["iteration"] is not None:
                known.own.append([*counts.ravel().tolist(), *sums.ravel().tolist()])
            return means(sums, counts, otherwise, **options)

        _replace(mode, "means", tapped_means)
        return mode

    _replace(running, "mode_of", tapped)


def _tap_keys(known: Known) -> None:
    made = new_key

    def tapped(*arguments: Any, **options: Any) -> Any:
        key = made(*arguments, **options)
        if key.private is not None:
            known.keys.append((int(key.private._p), int(key.private._q)))
        return key

    _replace(paillier_mode, "new_key", tapped)


def _tap_masks(others: Sequence[str], rank: int, known: Known) -> None:
    peers = iter([*others[rank:], *others[:rank]])  # in the order in which the mode makes the streams

    class Tapped(Prg):
        def __init__(self, key: bytes) -> None:
            super().__init__(key)
            self._drawn = known.masks.setdefault(next(peers), [])

        def fill(self, target: np.ndarray) -> None:
            super().fill(target)
            self._drawn.append(target.ravel().tolist())

    _replace(aggregate, "Prg", Tapped)
    shared = AggregateMode._shared

    def tapped(self: Any, own: np.ndarray) -> np.ndarray:
        shares = shared(self, own)
        known.shares.append(shares.ravel().tolist())
        return shares

    _replace(AggregateMode, "_shared", tapped)


def key_of(p: int, q: int) -> PrivateKey:
    """A key from its primes."""
    return PrivateKey.of_primes(mpz(p), mpz(q))
