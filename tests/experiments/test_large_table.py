"""The experiment with a large table, with a small one."""

import json

from tests.experiments.scripts import run_script


def test_the_size_of_each_process() -> None:
    options = "--rows", 3000, "--chunk-rows", 500, "--iterations", 2, "--mode", "aggregate"
    found = json.loads(run_script("large_table.py", *options, "--json"))
    assert (found["rows"], found["labelled"], found["chunk_rows"], found["mode"]) == (3000, 3000, 500, "aggregate")
    assert found["iterations"] <= 2
    assert list(found["megabytes"]) == ["(starter)", "large", "small", "smallest"]
    assert all(50 < megabytes < 1000 for megabytes in found["megabytes"].values())
    assert found["seconds"] > 0
