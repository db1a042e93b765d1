"""The figures of the report on SMO07, with runs of a few hundred points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import smo07_figures
from smo07_figures import BASE, FIGURES, MODES, Shape

SMALL = replace(BASE, points=300, parties=3)
FEW = [replace(figure, base=SMALL, quick=figure.quick[:1]) for figure in FIGURES]
FEW[0] = replace(FEW[0], quick=(200, 300))


def test_whole_runs_are_measured_and_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(smo07_figures, "ITERATIONS", 2)  # few points come to rest in ten
    times = smo07_figures.measure(FEW, ["aggregate"], full=False)
    assert times["figure"].tolist() == [1, 1, 2, 3, 4]
    assert times["points"].tolist() == [200, 300, 300, 300, 300]
    assert times["parties"].tolist() == [3] * 5
    assert (times["seconds"] > 0).all()
    shapes = times.groupby(["points", "parties", "dimensions", "clusters"])["seconds"]
    assert (shapes.nunique() == 1).all(), "equal runs are made once"
    smo07_figures.draw(tmp_path / "figures.png", FEW, times)
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_the_full_sizes_reach_the_points_of_the_report() -> None:
    for figure in FIGURES:
        if figure.theirs is not None:
            value, _, _ = figure.theirs
            assert value == figure.full[-1]
    assert replace(BASE, points=500_000) == Shape(points=500_000, parties=5, dimensions=2, clusters=4)
    assert MODES == ("paillier", "aggregate")
