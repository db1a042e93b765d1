"""The benchmark of an iteration, in its smallest form."""

import json

import benchmark
import pytest
from click.testing import CliRunner

ROWS = 300
KEYS = {
    *("protocol", "engine", "mode", "samples", "features", "clusters", "parties", "iterations", "precision_bits"),
    *(
        "hide_counts",
        "hide_labels",
        "min_cluster_size",
        "transport",
        "seconds_per_iteration",
        "bytes_sent_per_party_per_iteration",
    ),
    *("dealer_bytes_per_iteration", "rounds_per_iteration", "peak_rss_mb"),
    *("max_centroid_error", "max_centroid_error_same_precision"),
}
SMALL = ("--samples", ROWS, "--clusters", 3, "--iterations", 2)


def printed(*options: object) -> str:
    """What the script prints; its roles are processes of their own."""
    ended = CliRunner().invoke(benchmark.main, list(map(str, options)), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.mark.parametrize(
    ("options", "rounds"),
    [
        (("--min-cluster-size", 5), 16),
        (("--hide-counts",), 33),
        (("--engine", "crypten"), None),
        (("--protocol", "svk", "--parties", 3, "--features", 3), 5),
        (("--protocol", "svk", "--hide-labels"), 12),
        (("--protocol", "smo07", "--parties", 3), None),
        (("--protocol", "smo07", "--parties", 3, "--mode", "aggregate"), None),
    ],
)
def test_an_iteration_is_measured(options: tuple[object, ...], rounds: int | None) -> None:
    figures = json.loads(printed(*SMALL, *options, "--json"))
    assert figures.keys() == KEYS
    assert (figures["iterations"], figures["transport"], figures["precision_bits"]) == (2, "tls", 24)
    assert figures["max_centroid_error_same_precision"] == 0
    assert figures["max_centroid_error"] < 2.0**-23
    assert figures["seconds_per_iteration"] > 0
    if rounds is not None:
        assert figures["rounds_per_iteration"] == rounds
        assert 80 < figures["dealer_bytes_per_iteration"] / ROWS < 120 or "--hide-counts" in options


def test_a_person_reads_a_line_for_each_figure() -> None:
    lines = printed(*SMALL, "--precision-bits", 18).splitlines()
    assert {line.split()[0] for line in lines} == KEYS
    assert "precision_bits                       18" in lines
