"""The figures of GMV's paper, with the rounds of two clusters."""

from __future__ import annotations

import json
from pathlib import Path

import gmv_runs
import numpy as np
import pandas as pd
import pytest

from tests.documents import ROOT, rows_of
from tests.experiments.scripts import run_script

TEXT = (ROOT / "docs" / "vertical-data.md").read_text(encoding="utf-8")
DOCUMENTED = {row.pop("clusters"): row for row in rows_of("vertical-data", "The paper's experiment")}
"""What the document states: for each curve the rounds by the number of clusters."""
CURVES = {
    "paper: svk, labels revealed": "paper, columns: labels revealed",
    "paper: shk, sizes revealed": "paper, rows: sizes revealed",
    "paper: shk, all sizes hidden": "paper, rows: all sizes hidden",
    "counted: svk, labels revealed": "`svk`, labels revealed",
    "counted: svk, labels hidden": "`svk`, labels hidden",
    "counted: shk, sizes revealed": "`shk`, sizes revealed",
    "counted: shk, small sizes hidden": "`shk`, sizes below 5 hidden",
    "counted: shk, all sizes hidden": "`shk`, all sizes hidden",
}


def test_the_script(tmp_path: Path) -> None:
    """All that it writes, in one test: it takes a while."""
    folder = tmp_path / "gmv"
    printed = run_script("gmv_figures.py", "--most-clusters", 2, "--output", folder)
    assert "horizontal, together by shk" in printed
    runs_on_shares_are_as_the_centralised_one(folder)
    alice_alone_finds_other_groups_and_misleads_bob(folder)
    rounds_by_the_paper_and_counted(folder)
    all_figures_are_drawn(folder)


def runs_on_shares_are_as_the_centralised_one(output: Path) -> None:
    agreement = json.loads((output / "agreement.json").read_text())["agreement"]
    for name in ("centralised", "horizontal, together by shk", "vertical, together by svk"):
        assert agreement[name] == {
            "adjusted_rand": 1.0,
            "rows": 400,
            "labels_as_centralised": 400,
            "centroids_as_centralised": True,
        }


def alice_alone_finds_other_groups_and_misleads_bob(output: Path) -> None:
    agreement = json.loads((output / "agreement.json").read_text())["agreement"]
    for split, most in (("horizontal", 0.95), ("vertical", 0.5)):
        for who in ("alice alone", "bob by alice's model"):
            found = agreement[f"{split}, {who}"]
            assert found["adjusted_rand"] < most
            assert found["labels_as_centralised"] < found["rows"]
            assert f"{found['adjusted_rand']:.2f}" in TEXT


def rounds_by_the_paper_and_counted(output: Path) -> None:
    rounds = pd.read_csv(output / "rounds.csv", index_col="clusters")
    assert rounds.index.tolist() == [2]
    paper = rounds[[name for name in rounds.columns if str(name).startswith("paper")]]
    assert paper.to_numpy().tolist() == [[24, 154, 18]]
    for column, curve in CURVES.items():
        assert rounds[column].tolist() == [int(DOCUMENTED[curve][number]) for number in ("2",)]
    assert set(rounds) == set(CURVES)


@pytest.mark.parametrize("clusters", [3, 6, 10])
def test_the_document_has_the_rounds_that_are_counted(clusters: int) -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    counted = {f"counted: {name}": gmv_runs.rounds_of(name, clusters, rows) for name in gmv_runs.OURS}
    stated = counted | {f"paper: {name}": formula(clusters) for name, formula in gmv_runs.THEIRS.items()}
    assert stated == {column: int(DOCUMENTED[curve][str(clusters)]) for column, curve in CURVES.items()}


def all_figures_are_drawn(output: Path) -> None:
    for number in (2, 3, 4, 6):
        assert (output / f"figure_{number}.png").read_bytes().startswith(b"\x89PNG")


def test_the_points_are_those_of_the_paper() -> None:
    points = gmv_runs.Points.drawn(0)
    assert np.bincount(points.groups).tolist() == [100] * 4
    for group, mean in enumerate(((5, 3), (5, -5), (-5, 5), (-3, -5))):
        own = points.rows[points.groups == group]
        assert own.mean(axis=0) == pytest.approx(mean, abs=0.5)  # five standard errors
        assert own.std(axis=0) == pytest.approx([1, 1], abs=0.3)
    assert points.is_alices.sum() == 200


def test_clusters_are_numbered_by_the_rows_that_they_share() -> None:
    found = gmv_runs.Found(np.array([1, 1, 0]), np.array([[7.0], [8.0]]))
    alike = found.numbered_as(np.array([0, 0, 1]))
    assert alike.labels.tolist() == [0, 0, 1]
    assert alike.centroids.tolist() == [[8.0], [7.0]]
