"""The benchmark of the alignment, in its smallest form."""

import json

from tests.experiments.scripts import run_script


def test_every_size_is_measured() -> None:
    sizes = "--identifiers", 40, "--identifiers", 80
    found = json.loads(run_script("benchmark_alignment.py", *sizes, "--parties", 3, "--json"))
    assert (found["parties"], list(found["medians"])) == (3, ["40", "80"])
    for size, each in found["medians"].items():
        assert each["common"] == int(size) / 2  # a quarter is missing between neighbours
        assert each["rounds"] == 6
        assert all(value > 0 for value in each.values())
