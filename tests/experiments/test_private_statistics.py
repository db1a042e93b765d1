"""A private mean and variance and the split of a decision tree, against answers computed by hand."""

import json
from pathlib import Path

import pytest

from tests.experiments.scripts import run_script

QUINLAN = {"outlook": 0.247, "temperature": 0.029, "humidity": 0.152, "wind": 0.048}


def test_the_mall_and_the_weather() -> None:
    found = json.loads(run_script("private_statistics.py", "--parties", 3, "--json"))
    moments, split = found["moments"], found["split"]
    assert moments["private"] == pytest.approx({"rows": 200, "mean": 60.56, "variance": 686.3864}, abs=1e-6)
    assert moments["in_the_clear"] == pytest.approx(moments["private"], abs=1e-6)
    assert split["private"] == pytest.approx(QUINLAN, abs=1e-3)
    assert split["private"] == split["in_the_clear"]
    assert (split["attribute"], split["counts_are_the_same"]) == ("outlook", True)


def test_tables_of_one_s_own(tmp_path: Path) -> None:
    """Of -1 and 2, mean 1 / 2 and variance 9 / 4; the colour says all about the taste. One party has no row."""
    (tmp_path / "numbers.csv").write_text("x\n-1\n2\n")
    (tmp_path / "fruit.csv").write_text("colour,size,taste\nred,big,sweet\ngreen,big,sour\n")
    options = ("--data", "numbers.csv", "--column", "x", "--tree", "fruit.csv", "--label", "taste")
    printed = run_script("private_statistics.py", "--parties", 3, *options, folder=tmp_path)
    assert "0.5" in printed
    assert "2.25" in printed
    assert "1.000000" in printed
    assert "ID3 splits by colour" in printed


@pytest.mark.parametrize("options", [("--column", "no such"), ("--label", "no such"), ("--column", "Gender")])
def test_a_column_that_is_not_there_or_no_numbers(options: tuple[str, str]) -> None:
    with pytest.raises(AssertionError, match=r"there is no column of this name|a finite number in each"):
        run_script("private_statistics.py", *options)


def test_tables_without_rows(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("x\n")
    with pytest.raises(AssertionError, match="the column needs rows"):
        run_script("private_statistics.py", "--data", "none.csv", "--column", "x", folder=tmp_path)
    with pytest.raises(AssertionError, match="the table has no rows"):
        run_script("private_statistics.py", "--tree", "none.csv", "--label", "x", folder=tmp_path)
