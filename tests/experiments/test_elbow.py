"""The elbow of a table of two rows: one and two clusters, in the clear and encrypted."""

from pathlib import Path

import pandas as pd
import pytest

from tests.experiments.scripts import run_script


def test_losses_in_the_clear_and_encrypted_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n0,0\n6,8\n")
    options = ("--data", "rows.csv", "--bounds", "0:10,0:10", "--n-init", 1, "--seed", 1, "--output", "out")
    printed = run_script("elbow.py", *options, "--min-cluster-size", 1, folder=tmp_path)
    elbow = pd.read_csv(tmp_path / "out" / "elbow.csv")
    assert list(elbow.iloc[:, 0]) == [1, 2]
    assert list(elbow.iloc[:, 1]) == pytest.approx([50, 0])  # both rows lie 5 from (3, 4)
    assert list(elbow.iloc[:, 3]) == pytest.approx([50, 0], abs=1e-5)
    assert (tmp_path / "out" / "elbow.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "report_02.json").exists()
    assert "50" in printed


def test_the_encrypted_runs_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n0\n2\n6\n")
    run_script("elbow.py", "--data", "rows.csv", "--skip-encrypted", "--output", "out", folder=tmp_path)
    elbow = pd.read_csv(tmp_path / "out" / "elbow.csv")
    assert list(elbow.iloc[:, 1]) == pytest.approx([56 / 3, 2, 0])
    assert elbow.iloc[:, 3:].isna().all(axis=None)
