"""Runs of SVK for tests: jobs, tables of columns, and the comparison with the plaintext on the joined rows."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.job.model import ColumnsResult
from secure_kmeans.mpc.crypten_adapter import wrap
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import PlainModel, conclude
from secure_kmeans.plaintext.kmeans import KMeansRun, number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.svk import SvkJob
from secure_kmeans.protocols.svk import run as run_module
from secure_kmeans.protocols.svk.job import ColumnsParty
from secure_kmeans.protocols.svk.open_labels import OpenLabels
from secure_kmeans.protocols.svk.rows import ColumnsState
from secure_kmeans.tables import Table
from tests.mpc.roles_in_threads import shares_of
from tests.threads import run_protocol


def parties_of(widths: Sequence[int]) -> tuple[ColumnsParty, ...]:
    """Parties party_0, party_1, ... of so many columns x0, x1, ..."""
    edges = np.cumsum([0, *widths]).tolist()
    return tuple(
        ColumnsParty.of(name=f"party_{rank}", columns=tuple(f"x{column}" for column in range(start, stop)))
        for rank, (start, stop) in enumerate(pairwise(edges))
    )


def job_for(rows: np.ndarray, widths: Sequence[int], n_clusters: int, **keys: Any) -> SvkJob:
    """A job for the joined rows, without identifiers unless the keys say otherwise."""
    scaling = Scaling.of(lower=tuple(rows.min(axis=0).tolist()), upper=tuple(rows.max(axis=0).tolist()))
    usual = {
        "parties": parties_of(widths),
        "n_clusters": n_clusters,
        "align": "none",
        "n_init": 1,
        "min_cluster_size": 1,
        "scaling": scaling,
        "precision_bits": choose_precision_bits(rows.shape[1], n_clusters, (keys.get("scaling") or scaling).largest),
    }
    return SvkJob.of(**usual | keys)


def tables_of(job: SvkJob, rows: np.ndarray, ids: Sequence[str] | None = None) -> dict[str, Table]:
    """Each party's columns of the rows, in the order of the rows."""
    parts = np.split(rows, np.cumsum(job.widths)[:-1], axis=1)
    named = None if ids is None else tuple(ids)
    return {
        party.name: Table(party.name, party.columns, np.ascontiguousarray(part), ids=named)
        for party, part in zip(job.parties, parts, strict=True)
    }


def scattered(job: SvkJob, rows: np.ndarray, extra: int, seed: int = 0) -> dict[str, Table]:
    """Each party's columns of the rows in an order of its own, among other rows that no other party has."""
    generator, tables = np.random.default_rng(seed), {}
    for rank, (name, table) in enumerate(tables_of(job, rows).items()):
        more = extra + rank
        own = np.concatenate([table.rows, rows[generator.integers(0, len(rows), more)][:, job.columns_of(name)]])
        ids = [f"id-{number}" for number in range(len(rows))] + [f"only-{name}-{number}" for number in range(more)]
        order = generator.permutation(len(own))
        tables[name] = Table(name, table.columns, own[order], ids=tuple(ids[number] for number in order))
    return tables


def joined(tables: Mapping[str, Table], results: Sequence[ColumnsResult]) -> np.ndarray:
    """The parties' columns side by side, the rows in the order of the run."""
    for result in results:
        assert len(result.own.rows) == len(set(result.own.rows)) == len(results[0].own.rows)
    named = [table.ids for table in tables.values() if table.ids is not None]
    if named:
        normal = [[unicodedata.normalize("NFC", identifier) for identifier in ids] for ids in named]
        taken = [[ids[row] for row in result.own.rows] for ids, result in zip(normal, results, strict=True)]
        assert all(ids == taken[0] for ids in taken), "rows of different entities were joined"
        assert set(taken[0]) == set.intersection(*map(set, normal)), "not all common rows were joined"
    parts = [tables[result.role].rows[np.array(result.own.rows, dtype=int)] for result in results]
    return np.concatenate(parts, axis=1)


def side_by_side(job: SvkJob, results: Sequence[ColumnsResult], what: str) -> list[list[float] | None]:
    """The parties' own columns of each centroid, or grid centroid, joined."""
    found: list[list[float] | None] = []
    for number in range(job.n_clusters):
        parts = [getattr(result.own, what)[number] for result in results]
        assert len({part is None for part in parts}) == 1
        found.append(None if parts[0] is None else [value for part in parts for value in part])
    return found


def check_svk_against_plaintext(
    job: SvkJob, rows: np.ndarray, results: Sequence[ColumnsResult], starts: np.ndarray | None = None
) -> tuple[KMeansRun, PlainModel]:
    """Compare all that SVK found with the plaintext run on the joined rows, to the last bit.

    Parameters
    ----------
    job : SvkJob
        Its starts are public, and it discloses centroids.
    rows : (n, d)
        Joined, in the order of the run.
    results : sequence of ColumnsResult
    starts : (r, k, d), optional
        Where the run began, in original units, where the starts are not public.
    """
    model = results[0].common
    assert model is not None
    assert all(result.common == model for result in results), "the parties hold different results"
    if starts is None:
        runs = run_in_the_clear(job, rows, model.seed or 0)
    else:
        begun = [job.model_copy(update={"centroids": tuple(map(tuple, start.tolist()))}) for start in starts]
        runs = [run for each in begun for run in run_in_the_clear(each, rows, 0)]
    assert model.best_restart == number_of_best(runs)
    run = runs[model.best_restart]
    to_all = job.disclose.centroids == "all"
    plain = conclude(job, rows, run, order_by_centroid=to_all)
    assert (model.n_iter, model.converged, model.withheld) == (run.n_iter, run.converged, plain.withheld)
    assert model.tie_order == plain.tie_order
    assert side_by_side(job, results, "centroids") == plain.centroids
    assert side_by_side(job, results, "grid_centroids") == plain.grid_centroids
    assert model.centroids == (plain.centroids if to_all else None)
    assert model.grid_centroids == (plain.grid_centroids if to_all else None)
    assert model.sizes == (None if job.hide_counts else plain.sizes)
    assert model.sizes_by_iteration == ([] if job.hide_counts else plain.sizes_by_iteration)
    for result in results:
        learns = job.labels_to == "all" or result.role in job.labels_to
        assert result.own.labels == (plain.labels.tolist() if learns else [])
    assert (model.inertia is not None) == job.discloses_inertia
    if model.inertia is not None:
        expected = inertia(rows, plain.labels, plain.centroids)
        assert math.isclose(model.inertia, expected, rel_tol=1e-12, abs_tol=1e-30)
    return run, plain


def fit(job: SvkJob, rows: np.ndarray, **options: Any) -> list[ColumnsResult]:
    """The parties' results, in threads."""
    results: list[ColumnsResult] = run_protocol(job, tables_of(job, rows), **options)[0]
    return results


def check_against_plaintext(job: SvkJob, rows: np.ndarray) -> Any:
    """The model that all parties found, which is the plaintext's."""
    results = fit(job, rows)
    check_svk_against_plaintext(job, rows, results)
    return results[0].common


def start_in_secret_at(monkeypatch: pytest.MonkeyPatch, centroids: np.ndarray) -> None:
    """Let the secret first centroids of every run be (r, k, d) known ones, in original units, under uniform shares."""

    def first(sharing: Sharing, job: SvkJob, *_: Any) -> Any:
        encoded = sharing.fixed_point.encode(job.scaling.apply(centroids))
        return wrap(shares_of(encoded, len(job.parties), sharing.rank))

    monkeypatch.setattr(run_module, "first_centroids", first)


def ways_taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What receives, for each labelling of a run's first party, whether it is made on shares of all columns."""
    taken: list[bool] = []
    label_rows = OpenLabels.label_rows

    def noted(self: OpenLabels, batch: np.ndarray, *, on_shares: bool) -> np.ndarray:
        if self.sharing.rank == 0 and not self.tally.all_stopped:
            taken.append(on_shares)
        return label_rows(self, batch, on_shares=on_shares)

    monkeypatch.setattr(OpenLabels, "label_rows", noted)
    return taken


def first_centroids_of(job: SvkJob, rows: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The secret first centroids (r, k, d), and the shares of them that the parties keep before the first iteration."""
    states: dict[str, bytes] = {}

    def keep(name: str) -> Callable[[int, bytes], None]:
        return lambda iteration, state: states.update({name: state} if iteration == 0 else {})

    fit(job, rows, keep=keep)
    shares = [ColumnsState.decoded(states[name]).share for name in job.names]
    total: np.ndarray = np.add.reduce(shares)
    return total, shares
