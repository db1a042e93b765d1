"""The benchmark of the transport, in its smallest form."""

import json

import benchmark_transport
from click.testing import CliRunner

LINES = {"small", "small_crypten", "large_both", "large_one"}


def test_both_transports_are_measured() -> None:
    ended = CliRunner().invoke(benchmark_transport.main, ["--megabytes", "1", "--times", "1", "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["megabytes"] == 1
    assert found["medians"]["TLS 1.3"].keys() == LINES
    assert found["medians"]["Gloo"].keys() == LINES | {"small_gloo_all_gather"}
    assert all(value > 0 for each in found["medians"].values() for value in each.values())
