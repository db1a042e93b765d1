"""Runs of SMO07 in threads, and the plaintext run that each of them has to equal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pytest

from secure_kmeans.crypto.paillier import PrivateKey
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.job.ledger import ALL, check_entries
from secure_kmeans.job.model import KMeansModel, KMeansResult
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import SMO07, Smo07Job
from secure_kmeans.protocols.smo07 import run as run_module
from secure_kmeans.protocols.smo07.mode import Limits, Mode
from secure_kmeans.report.kmeans import InTheClear
from secure_kmeans.tables import Table
from tests.protocols.adding import small_key
from tests.threads import run_protocol


class ClearMode(Mode):
    """A mode that protects nobody: every party sends its numbers to all others. It shows what all modes return."""

    def __init__(self, context: Context[Smo07Job], limits: Limits) -> None:
        self.context, self.limits = context, limits

    def totals(self, own: Sequence[int], bounds: Sequence[int]) -> list[int]:
        assert all(abs(each) <= bound for each, bound in zip(own, bounds, strict=True))
        others = [party for party in self.context.parties if party != self.context.role.name]
        for party in others:
            self.context.mesh.post_object(party, [str(each) for each in own])
        all_parts = [own, *([int(each) for each in self.context.mesh.receive_object(party)] for party in others)]
        totals = [sum(each) for each in zip(*all_parts, strict=True)]
        assert all(abs(each) <= bound for each, bound in zip(totals, bounds, strict=True))
        return totals

    def means(
        self,
        own_sums: np.ndarray,
        own_counts: np.ndarray,
        otherwise: np.ndarray,
        *,
        largest: int,
        least: int,
        iteration: int | None,
    ) -> np.ndarray:
        del iteration
        assert (np.abs(own_sums) <= own_counts[:, None] * largest).all()
        assert (np.abs(otherwise) <= largest).all()
        T: np.ndarray = np.add.reduce(self.context.exchange(np.ascontiguousarray(own_sums)))
        t: np.ndarray = np.add.reduce(self.context.exchange(own_counts))
        divisors = np.maximum(t, 1)[:, None]
        means: np.ndarray = np.where(t[:, None] >= least, (T + divisors // 2) // divisors, otherwise)
        return means

    def sizes(self, own_counts: np.ndarray, least: int) -> list[int | None]:
        counts = np.add.reduce(self.context.exchange(own_counts)).tolist()
        return [count if count >= least else None for count in counts]

    def best(self, own_inertias: Sequence[int], bound: int) -> int:
        totals = self.totals(own_inertias, [bound] * len(own_inertias))
        return totals.index(min(totals))


def without_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all jobs in the :class:`ClearMode`."""
    monkeypatch.setattr(run_module, "mode_of", ClearMode)


def job_for(rows: np.ndarray, parties: int, n_clusters: int, **keys: Any) -> Smo07Job:
    """A job for these rows; two parties accept that they are two."""
    scaling = Scaling.of(lower=tuple(rows.min(axis=0).tolist()), upper=tuple(rows.max(axis=0).tolist()))
    usual = {
        "parties": Party.named(*(f"party_{rank}" for rank in range(parties))),
        "columns": tuple(f"column_{number}" for number in range(rows.shape[1])),
        "n_clusters": n_clusters,
        "n_init": 1,
        "min_cluster_size": 1,
        "scaling": scaling,
        "accept_two_parties": parties == 2,
        "precision_bits": choose_precision_bits(rows.shape[1], n_clusters, (keys.get("scaling") or scaling).largest),
    }
    return Smo07Job.of(**usual | keys)


SMALL: Final = 512
"""Bits of a key that is quick, and not safe."""


def with_small_keys(job: Smo07Job) -> Smo07Job:
    """The job with keys of a size that no job may have; see :func:`let_keys_be_small`."""
    return job.model_copy(update={"key_bits": SMALL}) if job.mode == "paillier" else job


def let_keys_be_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a run whose job has small keys one of three."""
    usual, numbers = PrivateKey.generate, itertools.count()

    def generate(bits: int) -> PrivateKey:
        return small_key(bits, next(numbers) % 3) if bits == SMALL else usual(bits)

    monkeypatch.setattr(PrivateKey, "generate", generate)


def tables_of(job: Smo07Job, rows: np.ndarray, shares: Sequence[int] | None = None) -> dict[str, Table]:
    """Each party's rows, as many as ``shares`` says; as evenly as possible if not given."""
    ends = np.cumsum(shares)[:-1] if shares is not None else len(job.parties)
    parts = np.array_split(rows, ends)
    return {name: Table(name, job.columns, part) for name, part in zip(job.names, parts, strict=True)}


def check_against_plaintext(job: Smo07Job, rows: np.ndarray, shares: Sequence[int] | None = None) -> KMeansModel:
    """Run a job, and compare everything with the plaintext run from the same start; return the model."""
    tables = tables_of(job, rows, shares)
    return check_results_against_plaintext(job, tables, run_protocol(job, tables)[0])


def check_results_against_plaintext(
    job: Smo07Job, tables: Mapping[str, Table], results: Sequence[KMeansResult]
) -> KMeansModel:
    """Compare the parties' results with the plaintext run from the same start; return the model."""
    model = results[0].common
    assert model is not None
    assert all(result.common == model for result in results)
    clear = InTheClear.of(job, tables, model.seed, None if job.restarts == 1 else model.best_restart)
    assert model.grid_centroids == clear.model.grid_centroids
    assert model.centroids == clear.model.centroids
    assert model.tie_order == clear.model.tie_order
    assert (model.n_iter, model.converged) == (clear.run.n_iter, clear.run.converged)
    assert {result.role: result.own.labels for result in results} == clear.labels
    assert model.withheld == []
    assert model.sizes == (clear.model.sizes if job.reveal_sizes else None)
    if job.reveal_inertia:
        assert model.inertia == pytest.approx(clear.section.inertia, rel=1e-12)
    if job.restarts > 1:
        best = InTheClear.of(job, tables, model.seed).restart
        assert model.best_restart == best
    for result in results:
        check_entries(result.ledger, SMO07.disclosures(job))
    in_common = [[entry for entry in result.ledger if entry.to == ALL] for result in results]
    assert all(each == in_common[0] for each in in_common)
    return model
