"""The report of a run whose parties hold columns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult
from secure_kmeans.report.columns import (
    columns_by_party,
    in_the_clear_of_columns,
    joined_rows,
    labels_by_table,
    labels_of_run,
    report_of_columns,
)
from secure_kmeans.report.kmeans import report_of_prediction
from secure_kmeans.report.sections import KMeansReport
from secure_kmeans.tables import Table
from tests.report.columns_examples import (
    CENTERS,
    COLUMNS,
    GRID,
    JOINED,
    LABELS,
    NO_LABELS,
    ROWS,
    TABLES,
    UNKNOWN,
    WHOLE,
    columns_job,
    columns_result,
    columns_results,
)
from tests.report.examples import report_with


def with_rows(party: str, rows: list[int]) -> list[ColumnsResult]:
    """The results, where one party names other rows."""
    return [columns_result(name, {"rows": rows if name == party else ROWS[name]}) for name in ROWS]


class TestJoinedRows:
    def test_rows_in_the_order_of_the_run_and_columns_in_that_of_the_parties(self) -> None:
        assert joined_rows(TABLES, columns_results()).tolist() == JOINED

    def test_without_identifiers(self) -> None:
        tables = {party: replace(table, ids=None) for party, table in TABLES.items()}
        assert joined_rows(tables, columns_results()).tolist() == JOINED
        other = with_rows("b", [5, 1, 0, 3])
        assert joined_rows(tables, other)[:, 2].tolist() == [1.0, 1.0, 3.0, 3.0]

    def test_identifiers_of_one_party_alone_are_compared_with_nothing(self) -> None:
        tables = TABLES | {"b": replace(TABLES["b"], ids=None)}
        assert joined_rows(tables, columns_results()).tolist() == JOINED

    @pytest.mark.parametrize(
        ("party", "rows", "said"),
        [
            ("b", [5, 1, 0, 3], 'rows of "a" and "b" that were joined have different identifiers'),
            ("b", [1, 5, 0, 2], 'rows of "a" and "b" that were joined have different identifiers'),
            ("b", [1, 5, 0], '"a" has 4 common rows, "b" 3'),
            ("b", [1, 5, 0, 0], 'the rows of "b" are not different rows of its table'),
            ("b", [1, 5, 0, 6], 'the rows of "b" are not different rows of its table'),
            ("a", [3, 1, 4, -1], 'the rows of "a" are not different rows of its table'),
        ],
        ids=["other order", "another row", "one less", "a row twice", "beyond", "before"],
    )
    def test_rows_that_are_not_aligned(self, party: str, rows: list[int], said: str) -> None:
        with pytest.raises(ProtocolError) as caught:
            joined_rows(TABLES, with_rows(party, rows))
        assert str(caught.value) == f"the rows of the parties were not aligned: {said}; there is no result"

    def test_a_row_that_all_tables_have_is_missing(self) -> None:
        results = [columns_result(party, {"rows": rows[:3], "labels": LABELS[:3]}) for party, rows in ROWS.items()]
        with pytest.raises(ProtocolError, match="not all rows whose identifiers all tables have were joined"):
            joined_rows(TABLES, results)

    def test_no_row_is_common(self) -> None:
        tables = TABLES | {"b": replace(TABLES["b"], ids=tuple("123456"))}
        results = [columns_result(party, {"rows": [], "labels": []}) for party in ROWS]
        assert joined_rows(tables, results).shape == (0, 3)


class TestLabels:
    def test_of_the_run(self) -> None:
        assert labels_of_run(columns_results()) == LABELS
        assert labels_of_run(columns_results(NO_LABELS)) is None
        assert labels_of_run([columns_result("a", NO_LABELS), columns_result("b")]) == LABELS

    def test_that_differ(self) -> None:
        with pytest.raises(ProtocolError, match='"a" and "b" learned different labels of the same rows'):
            labels_of_run([columns_result("a"), columns_result("b", {"labels": [1, 1, 0, 1]})])

    def test_by_the_rows_of_each_table(self) -> None:
        assert labels_by_table(TABLES, columns_results()) == {
            "a": [0, 1, None, 1, 0],
            "b": [0, 1, None, 0, None, 1],
        }

    def test_only_of_parties_that_learned_them(self) -> None:
        results = [columns_result("a", NO_LABELS), columns_result("b")]
        assert labels_by_table(TABLES, results) == {"b": [0, 1, None, 0, None, 1]}


class TestInTheClear:
    def test_clusters_of_the_same_size_keep_the_order_of_the_start(self) -> None:
        clear = in_the_clear_of_columns(columns_job(), TABLES, columns_results())
        assert clear is not None
        assert (clear.model.centroids, clear.model.labels.tolist()) == (CENTERS, LABELS)
        assert clear.model.grid_centroids == GRID
        assert (clear.section.inertia, clear.section.n_iter) == (1.0, 2)

    def test_but_not_where_all_parties_know_the_centroids(self) -> None:
        job = columns_job(disclose={"centroids": "all"})
        clear = in_the_clear_of_columns(job, TABLES, columns_results(UNKNOWN, **WHOLE))
        assert clear is not None
        assert clear.model.centroids == CENTERS[::-1]
        assert clear.model.tie_order == [1, 0]

    def test_the_larger_cluster_comes_first_whatever_is_known(self) -> None:
        start = ((1.0, 2.0, 1.0), (1.0, 1.0, 1.0), (4.0, 1.0, 3.0))
        job = columns_job(n_clusters=3, centroids=start)
        clear = in_the_clear_of_columns(job, TABLES, columns_results())
        assert clear is not None
        assert clear.model.sizes == [2, 1, 1]
        assert clear.model.tie_order == [2, 0, 1]

    def test_hidden_sizes_leave_the_order_of_the_start(self) -> None:
        job = columns_job(hide_labels=True, hide_counts=True)
        clear = in_the_clear_of_columns(job, TABLES, columns_results(NO_LABELS, sizes=None, sizes_by_iteration=[]))
        assert clear is not None
        assert clear.model.tie_order == [0, 1]

    def test_of_a_seed_and_a_start(self) -> None:
        job = columns_job(centroids=None, seed=3, init="random", n_init=4)
        clear = in_the_clear_of_columns(job, TABLES, columns_results(seed=3, best_restart=2))
        assert clear is not None
        assert (clear.seed, clear.restart) == (3, 2)

    def test_none_where_the_start_is_secret_and_after_a_prediction(self) -> None:
        assert in_the_clear_of_columns(columns_job(centroids=None), TABLES, columns_results()) is None
        job = columns_job().prediction("5e" * 32)
        results = [result.model_copy(update={"common": None}) for result in columns_results(UNKNOWN)]
        assert in_the_clear_of_columns(job, TABLES, results) is None

    def test_the_alignment_is_checked_even_then(self) -> None:
        with pytest.raises(ProtocolError, match="not aligned"):
            in_the_clear_of_columns(columns_job(centroids=None), TABLES, with_rows("b", [5, 1, 0, 3]))


def rehearsed(own: dict[str, Any] | None = None, job: dict[str, Any] | None = None, **values: Any) -> KMeansReport:
    """The report of a rehearsal, compared with the run in the clear."""
    results, of = columns_results(own, **values), columns_job(**(job or {}))
    return report_of_columns(of, results, in_the_clear_of_columns(of, TABLES, results))


class TestRehearsal:
    def test_centers_in_the_columns_of_all_parties(self) -> None:
        report = rehearsed()
        assert report.columns == list(COLUMNS)
        assert report.result.cluster_centers == CENTERS
        assert report.result.grid_centers == GRID
        assert report.n_samples == {"a": 4, "b": 4}
        assert json.loads(report.model_dump_json())["job"]["columns"] == report.columns

    def test_agreement_with_the_run_in_the_clear(self) -> None:
        report = rehearsed()
        assert report.plaintext is not None
        assert report.agreement is not None
        assert report.plaintext.cluster_centers == CENTERS
        assert report.agreement.model_dump() == {
            "max_centroid_error": 0.0,
            "label_agreement": 1.0,
            "adjusted_rand": 1.0,
        }

    def test_hidden_labels_leave_the_centroids_to_compare(self) -> None:
        other = [[4.0, 1.75], [1.0, 1.5]]
        results = [columns_result("a", NO_LABELS | {"centroids": other}), columns_result("b", NO_LABELS)]
        job = columns_job(hide_labels=True)
        report = report_of_columns(job, results, in_the_clear_of_columns(job, TABLES, results))
        assert report.agreement is not None
        assert report.agreement.model_dump() == {
            "max_centroid_error": 0.25 / 8,
            "label_agreement": None,
            "adjusted_rand": None,
        }

    def test_nothing_to_compare(self) -> None:
        job = {"hide_labels": True, "disclose": {"centroids": "nobody"}}
        report = rehearsed(NO_LABELS | UNKNOWN, job, inertia=None)
        assert report.agreement is None
        assert report.plaintext is not None
        assert (report.result.cluster_centers, report.result.grid_centers) == (None, None)
        assert report.columns == list(COLUMNS)

    def test_labels_that_one_party_learned_are_compared(self) -> None:
        results = [columns_result("a", NO_LABELS), columns_result("b")]
        job = columns_job(hide_labels=True, disclose={"labels": ("b",)})
        report = report_of_columns(job, results, in_the_clear_of_columns(job, TABLES, results))
        assert report.agreement is not None
        assert report.agreement.label_agreement == 1.0

    def test_a_withheld_cluster_is_null_in_all_columns(self) -> None:
        results = [
            columns_result(
                party,
                NO_LABELS | {"centroids": [CENTERS[0][own], None], "grid_centroids": [GRID[0][own], None]},
                withheld=[1],
                sizes=[2, None],
            )
            for party, own in (("a", slice(0, 2)), ("b", slice(2, 3)))
        ]
        report = report_of_columns(columns_job(hide_labels=True, min_cluster_size=3), results)
        assert report.result.cluster_centers == [CENTERS[0], None]
        assert report.result.grid_centers == [GRID[0], None]
        assert report.result.remarks == [
            "Cluster 1 is of fewer than 3 rows, so that its centroid and size are withheld."
        ]

    def test_open_labels_and_own_centroids_withhold_nothing(self) -> None:
        report = rehearsed(job={"min_cluster_size": 3})
        assert report.plaintext is not None
        assert (report.result.withheld, report.plaintext.withheld) == ([], [])
        assert report.plaintext.cluster_centers == CENTERS
        assert (report.result.min_cluster_size, report.result.remarks) == (3, [])


class TestOneParty:
    @pytest.mark.parametrize(("party", "columns"), [("a", slice(0, 2)), ("b", slice(2, 3))])
    def test_its_own_columns(self, party: str, columns: slice) -> None:
        report = report_of_columns(columns_job(), [columns_result(party)])
        assert report.columns == list(COLUMNS[columns])
        assert report.result.cluster_centers == [center[columns] for center in CENTERS]
        assert report.result.grid_centers == [center[columns] for center in GRID]
        assert (report.plaintext, report.agreement) == (None, None)
        assert report.result.scaling.upper == (4.0, 4.0, 8.0)
        assert json.loads(report.model_dump_json())["job"]["columns"] == list(COLUMNS)

    def test_equal_parts_of_different_centers_are_no_clusters_at_the_same_place(self) -> None:
        alike = {"centroids": [[3.0], [3.0]]}
        assert report_of_columns(columns_job(), [columns_result("b", alike)]).result.remarks == []
        whole = report_of_columns(columns_job(), columns_results(UNKNOWN, **WHOLE | {"centroids": [CENTERS[0]] * 2}))
        assert [remark.split(":")[0] for remark in whole.result.remarks] == ["Clusters 0 and 1 are at the same place"]

    def test_all_columns_where_all_parties_learn_them(self) -> None:
        report = report_of_columns(columns_job(disclose={"centroids": "all"}), [columns_result("b", UNKNOWN, **WHOLE)])
        assert report.columns == list(COLUMNS)
        assert report.result.cluster_centers == CENTERS[::-1]

    def test_no_centers_where_nobody_learns_them(self) -> None:
        job = columns_job(hide_labels=True, disclose={"centroids": "nobody"})
        report = report_of_columns(job, [columns_result("b", NO_LABELS | UNKNOWN, inertia=None)])
        assert report.columns == list(COLUMNS)
        assert (report.result.cluster_centers, report.result.grid_centers) == (None, None)

    def test_the_coarse_grid_of_its_own_columns_is_that_of_the_number_of_rows(self) -> None:
        job = columns_job(hide_labels=True, hide_counts=True, scaling={"lower": (0, 0, 0), "upper": (4, 2, 8)})
        results = columns_results(NO_LABELS, sizes=None, sizes_by_iteration=[], inertia=None)
        # A range divided by sqrt(4): 2, 1 and 4.
        assert report_of_columns(job, results).result.centroid_grid == [2.0, 1.0, 4.0]
        assert report_of_columns(job, results[:1]).result.centroid_grid == [2.0, 1.0]
        assert report_of_columns(job, results[1:]).result.centroid_grid == [4.0]


def test_a_prediction_counts_each_row_once() -> None:
    job = columns_job().prediction("5e" * 32)
    results = [
        result.model_copy(update={"common": None, "own": ColumnsOwn(rows=result.own.rows, labels=result.own.labels)})
        for result in columns_results()
    ]
    report = report_of_prediction(job, results)
    assert report.result.n_labels == 4
    assert report.columns == list(COLUMNS)


def test_columns_of_each_party_as_the_report_names_them() -> None:
    report = report_of_columns(columns_job(), [columns_result("b")])
    assert columns_by_party(report) == {"a": ["x", "a.y"], "b": ["b.y"]}
    assert columns_by_party(report_with()) == {}


def test_the_report_can_be_read_back() -> None:
    report = rehearsed()
    assert KMeansReport.model_validate_json(report.model_dump_json()) == report


def test_rows_of_many_parties() -> None:
    names = tuple(f"party_{number}" for number in range(5))
    tables = {name: Table(name, ("v",), np.arange(10.0)[:, None] * number) for number, name in enumerate(names)}
    results = [
        columns_result("b").model_copy(update={"role": name, "own": ColumnsOwn(rows=[9, 3], labels=[0, 1])})
        for name in names
    ]
    assert joined_rows(tables, results).tolist() == [[0.0, 9.0, 18.0, 27.0, 36.0], [0.0, 3.0, 6.0, 9.0, 12.0]]
