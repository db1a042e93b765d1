"""SVK of the rows that all parties have, whole runs: in part, all, none, and identifiers that only look alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import DataError, MismatchError, ProtocolError
from secure_kmeans.job.ledger import ALL
from secure_kmeans.protocols.svk import SvkJob
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.job import DEALER
from secure_kmeans.tables import Table
from tests.protocols.columns import (
    check_svk_against_plaintext,
    job_for,
    joined,
    parties_of,
    scattered,
    tables_of,
)
from tests.threads import MemoryMesh, run_protocol

ROWS = np.random.default_rng(8).random((30, 4))


def aligned(widths: Sequence[int], **keys: Any) -> SvkJob:
    usual: dict[str, Any] = {"align": "psi", "id": "no", "most_rows": 40, "n_init": 2}
    if not {"centroids", "task"} & set(keys):
        usual["seed"] = 4
    return job_for(ROWS, widths, keys.pop("n_clusters", 3), **usual | keys)


def check(job: SvkJob, tables: dict[str, Table]) -> list[Any]:
    """The parties' results, which are those of the plaintext on the rows that all have."""
    results, _ = run_protocol(job, tables)
    check_svk_against_plaintext(job, joined(tables, results), results)
    return results


@pytest.mark.parametrize("widths", [(2, 2), (1, 2, 1)])
@pytest.mark.parametrize("keys", [{}, {"init": "random"}, {"hide_labels": True, "disclose": {"labels": "all"}}])
def test_the_rows_that_all_have_among_others(widths: tuple[int, ...], keys: dict[str, Any]) -> None:
    job = aligned(widths, **keys)
    tables = scattered(job, ROWS, extra=5)
    results = check(job, tables)
    assert results[0].n_samples == dict.fromkeys(job.names, 30)
    orders = [result.own.rows for result in results]
    assert orders[0] != orders[1]
    told = [entry.to for entry in results[0].ledger if entry.what == may.OVERLAPS.what]
    assert told == [DEALER] * (len(widths) > 2)


def test_all_rows_shuffled() -> None:
    job = aligned((3, 1))
    tables = {name: _without_extra(table) for name, table in scattered(job, ROWS, extra=1).items()}
    assert [len(table) for table in tables.values()] == [30, 30]
    assert sorted(check(job, tables)[0].own.rows) == list(range(30))


def _without_extra(table: Table) -> Table:
    ids = table.ids or ()
    rows = [number for number, identifier in enumerate(ids) if not identifier.startswith("only")]
    return Table(table.source, table.columns, table.rows[rows], ids=tuple(ids[number] for number in rows))


@pytest.mark.parametrize("hide_labels", [False, True])
def test_the_order_of_the_run_says_nothing_about_a_table(hide_labels: bool) -> None:
    """Two sessions order the same rows in different ways."""
    job = aligned((2, 2), hide_labels=hide_labels, centroids=tuple(map(tuple, ROWS[:3].tolist())))
    tables = scattered(job, ROWS, extra=3)
    one, other = (run_protocol(job, tables, session=session)[0] for session in (bytes(32), b"\1" * 32))
    assert one[0].own.rows != other[0].own.rows
    assert sorted(one[0].own.rows) == sorted(other[0].own.rows)
    assert one[0].common.sizes == other[0].common.sizes
    assert one[1].own.centroids == other[1].own.centroids


def test_with_a_seed_the_order_is_the_first_party_s_so_that_a_rehearsal_can_be_repeated() -> None:
    job = aligned((1, 2, 1))
    tables = scattered(job, ROWS, extra=3)
    one, other = (run_protocol(job, tables, session=session)[0] for session in (bytes(32), b"\1" * 32))
    assert one[0].own.rows == sorted(one[0].own.rows)
    assert [result.own.rows for result in one] == [result.own.rows for result in other]
    assert one[0].common == other[0].common
    assert may.ROW_ORDER.what in {entry.what for entry in one[0].ledger}


class _NoOrder(MemoryMesh):
    """A mesh of a first party that sends the same row twice."""

    def post(self, peer: str, numbers: np.ndarray) -> None:
        is_order = self.me == "party_0" and numbers.shape == (30,) and numbers.dtype == np.int64
        super().post(peer, numbers * (numbers != 1) if is_order else numbers)


def test_what_is_no_order_of_the_rows_is_refused() -> None:
    job = aligned((2, 2))
    with pytest.raises(ProtocolError, match='party "party_0" sent something that is no order of the common rows'):
        run_protocol(job, scattered(job, ROWS, extra=3), mesh=_NoOrder)


@pytest.mark.parametrize("common", [0, 1, 2])
@pytest.mark.parametrize("widths", [(2, 2), (1, 2, 1)])
def test_too_few_common_rows_are_refused_by_all_roles(common: int, widths: tuple[int, ...]) -> None:
    job = aligned(widths)
    tables = {
        name: Table(name, table.columns, table.rows, ids=tuple(f"{name if n >= common else ''}{n}" for n in range(30)))
        for name, table in tables_of(job, ROWS).items()
    }
    kept: list[str] = []
    with pytest.raises(MismatchError, match="fewer than 3 rows in common, the least for this job"):
        run_protocol(job, tables, keep=lambda role: lambda *_: kept.append(role))
    assert kept == [], "nothing was computed"


def test_of_clusters_that_may_be_withheld_there_have_to_be_so_many_rows() -> None:
    job = aligned((2, 2), hide_labels=True, min_cluster_size=12)
    with pytest.raises(MismatchError, match="fewer than 12 rows in common"):
        run_protocol(job, scattered(job, ROWS[:11], extra=4))


def test_identifiers_that_look_like_the_same_number_differ() -> None:
    job = aligned((2, 2))
    tables = tables_of(job, ROWS)
    first = ("007", *(f"{n}" for n in range(100, 129)))
    second = ("7", *(f"{n}" for n in range(100, 129)))
    named = {
        name: Table(name, table.columns, table.rows, ids=ids)
        for (name, table), ids in zip(tables.items(), (first, second), strict=True)
    }
    results = check(job, named)
    assert sorted(results[0].own.rows) == list(range(1, 30))


def test_two_ways_to_write_the_same_character_are_one_identifier() -> None:
    job = aligned((2, 2))
    tables = tables_of(job, ROWS)
    composed = ("Jos\u00e9", *(f"{n}" for n in range(29)))
    decomposed = ("Jose\u0301", *(f"{n}" for n in range(29)))
    assert composed[0] != decomposed[0]
    named = {
        name: Table(name, table.columns, table.rows, ids=ids)
        for (name, table), ids in zip(tables.items(), (composed, decomposed), strict=True)
    }
    assert sorted(check(job, named)[0].own.rows) == list(range(30))


def test_each_party_may_have_another_number_of_rows_at_most() -> None:
    parties = tuple(
        party.model_copy(update={"most_rows": most, "id": f"id{most}"})
        for party, most in zip(parties_of((1, 2, 1)), (31, 60, 45), strict=True)
    )
    job = aligned((1, 2, 1), parties=parties, id=None, most_rows=None)
    assert [job.most_rows_of(name) for name in job.names] == [31, 60, 45]
    tables = scattered(job, ROWS, extra=1)
    check(job, tables)
    with pytest.raises(DataError, match="the table has 32 rows, where the job allows 31 rows"):
        run_protocol(job, scattered(job, ROWS, extra=2))


def test_a_run_by_order_goes_on_where_the_identifiers_are_the_same() -> None:
    job = aligned((2, 2), align="order", most_rows=None)
    ids = [f"{number}" for number in range(30)]
    results = check(job, tables_of(job, ROWS, ids))
    assert results[0].own.rows == results[1].own.rows == list(range(30))
    told = [(entry.what, entry.to) for entry in results[0].ledger]
    assert told[:4] == [
        (may.ROW_COUNTS.what, ALL),
        (may.ROW_COUNTS.what, DEALER),
        (may.SAME_ORDER.what, ALL),
        (may.SAME_ORDER.what, DEALER),
    ]
    mixed = tables_of(job, ROWS, ids) | {"party_1": tables_of(job, ROWS, ids[::-1])["party_1"]}
    with pytest.raises(MismatchError, match="do not have the same identifiers in the same order"):
        run_protocol(job, mixed)


def test_bounds_from_data_are_in_the_ledger() -> None:
    job = aligned((2, 2), bounds_from_data=True)
    results = check(job, scattered(job, ROWS, extra=2))
    assert results[0].ledger[0].what == may.COLUMN_BOUNDS.what
