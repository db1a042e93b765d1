"""The summary of runs whose parties hold columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from secure_kmeans.app import console, summary
from secure_kmeans.app.commands import Run
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult
from secure_kmeans.protocols.svk.job import ColumnsParty
from secure_kmeans.report.columns import in_the_clear_of_columns, report_of_columns
from secure_kmeans.report.kmeans import report_of_prediction
from tests.app.conftest import folded
from tests.report.columns_examples import (
    NO_LABELS,
    TABLES,
    UNKNOWN,
    columns_job,
    columns_result,
    columns_results,
)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    made = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=made, width=80, highlight=False))
    return made


def show(
    page: io.StringIO, results: Sequence[ColumnsResult], *, compared: bool = False, **job: Any
) -> tuple[list[str], str]:
    """The lines of a summary, and all its text without line breaks."""
    of = columns_job(**job)
    clear = in_the_clear_of_columns(of, TABLES, results) if compared else None
    summary.print_run(Run(of, report_of_columns(of, results, clear)))
    lines = [line.rstrip() for line in page.getvalue().splitlines()]
    assert all(len(line) <= 80 for line in lines)
    return lines, folded(page.getvalue())


def test_a_rehearsal(page: io.StringIO) -> None:
    lines, text = show(page, columns_results(), compared=True)
    assert lines[1:8] == [
        "Encrypted k-means on 4 common rows, whose columns 2 parties hold",
        "rows aligned   by the identifiers that all parties have",
        "columns        a: x, a.y",
        "               b: b.y",
        "centroids      known to each party in its own columns",
        "labels         known to all parties",
        "",
    ]
    assert lines[8] == "Clusters (original units)"
    assert lines[10].split() == ["cluster", "rows", "x", "a.y", "b.y"]
    assert "0 2 4.00 1.50 3.00 1 2 1.00 1.50 1.00" in text
    assert "100 % of the labels, adjusted Rand 1" in text
    assert "What each role learned besides its own columns" in text


@pytest.mark.parametrize(
    ("party", "header", "row"),
    [("a", ["cluster", "rows", "x", "a.y"], "1 2 1.00 1.50"), ("b", ["cluster", "rows", "b.y"], "1 2 1.00")],
)
def test_one_party_sees_its_own_columns(page: io.StringIO, party: str, header: list[str], row: str) -> None:
    lines, text = show(page, [columns_result(party)])
    assert f"Clusters, in the columns of {party} alone (original units)" in text
    assert header in [line.split() for line in lines]
    assert row in text
    assert "agreement" not in text


@pytest.mark.parametrize(
    ("job", "own", "said"),
    [
        ({"hide_labels": True}, NO_LABELS, "labels known to nobody"),
        ({"hide_labels": True, "disclose": {"labels": ("b",)}}, {}, "labels known to b"),
        (
            {"hide_labels": True, "disclose": {"centroids": "nobody"}},
            NO_LABELS | UNKNOWN,
            "centroids known to nobody labels known to nobody",
        ),
        ({"align": "order", "most_rows": None}, {}, "by their order; the identifiers of all parties are the same"),
        (
            {"align": "none", "most_rows": None, "id": None},
            {},
            "Encrypted k-means on 4 rows, whose columns 2 parties hold rows aligned by their order; no identifiers "
            "were compared",
        ),
    ],
    ids=["hidden", "one party", "nobody", "order", "none"],
)
def test_who_knows_what(page: io.StringIO, job: dict[str, Any], own: dict[str, Any], said: str) -> None:
    assert said in show(page, [columns_result("b", own)], **job)[1]


def test_hidden_labels_are_compared_by_the_centroids(page: io.StringIO) -> None:
    _, text = show(page, columns_results(NO_LABELS), compared=True, hide_labels=True)
    assert "agreement largest centroid error 0.0e+00 in scaled units" in text
    assert "% of the labels" not in text


def test_nothing_to_compare(page: io.StringIO) -> None:
    job = {"hide_labels": True, "disclose": {"centroids": "nobody"}}
    _, text = show(page, columns_results(NO_LABELS | UNKNOWN, inertia=None), compared=True, **job)
    assert "agreement not known: neither labels nor centroids are disclosed" in text


@pytest.mark.parametrize("align", ["psi", "order"])
def test_a_seed_repeats_a_run(page: io.StringIO, align: str) -> None:
    most = 100 if align == "psi" else None
    _, text = show(page, columns_results(seed=3), align=align, most_rows=most, centroids=None, seed=3)
    assert "repeat it with" in text


def test_withheld_clusters(page: io.StringIO) -> None:
    own = NO_LABELS | {"centroids": [[3.0], None], "grid_centroids": [[3 << 21], None]}
    _, text = show(
        page, [columns_result("b", own, withheld=[1], sizes=[3, None])], hide_labels=True, min_cluster_size=2
    )
    assert "0 3 3.00 1 withheld" in text
    assert "Cluster 1 is of fewer than 2 rows, so that its centroid and size are withheld." in text


def test_many_columns_are_not_all_listed(page: io.StringIO) -> None:
    names = tuple(f"measurement {number}" for number in range(9))
    parties = (ColumnsParty(name="a", columns=names), ColumnsParty(name="b", columns=("[red]y",)))
    scaling = {"lower": (0,) * 10, "upper": (8,) * 10}
    wide = {"centroids": [[1.0] * 9, [2.0] * 9], "grid_centroids": [[1] * 9, [2] * 9]}
    _, text = show(page, [columns_result("a", wide)], parties=parties, scaling=scaling, centroids=None)
    assert "measurement 4, measurement 5 and 3 more b: [red]y" in text


def test_a_prediction(page: io.StringIO) -> None:
    job = columns_job().prediction("5e" * 32)
    results = [
        result.model_copy(update={"common": None, "own": ColumnsOwn(rows=result.own.rows, labels=result.own.labels)})
        for result in columns_results()
    ]
    summary.print_run(Run(job, report_of_prediction(job, results)))
    text = folded(page.getvalue())
    assert "Labels of 4 common rows, whose columns 2 parties hold" in text
    assert "centroids" not in text
    assert "labels known to all parties" in text
