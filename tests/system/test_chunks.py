"""Tables that are read in chunks, all roles on one machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from secure_kmeans.report.sections import KMeansReport
from tests.system.test_launcher import left_over, run

FILES = "north.parquet", "south.csv", "west.csv"
OPTIONS = "--protocol", "smo07", "--mode", "aggregate", "--clusters", 3, "--seed", 4


def test_the_same_files_as_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for name, rows in zip(FILES, (900, 40, 30), strict=True):
        frame = pd.DataFrame(rng.choice([-10, 0, 10], (rows, 2)) + rng.normal(size=(rows, 2)), columns=["x", "y"])
        if name.endswith("csv"):
            frame.to_csv(tmp_path / name, index=False)
        else:
            frame.to_parquet(tmp_path / name)
    data = [part for name in FILES for part in ("--data", name)]
    out = run(*OPTIONS, *data, "--chunk-rows", 64, "--output", "chunks", folder=tmp_path)
    assert "plaintext" not in out, "all rows would have to be in memory"
    run(*OPTIONS, *data, "--output", "whole", folder=tmp_path)
    chunks, whole = (KMeansReport.load(tmp_path / each / "report.json") for each in ("chunks", "whole"))
    assert chunks.result == whole.result
    assert (chunks.n_samples, chunks.table_digests) == (whole.n_samples, whole.table_digests)
    assert whole.agreement is not None
    assert (chunks.agreement, chunks.plaintext) == (None, None)
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {path.name for path in (tmp_path / "chunks").iterdir()} == names
    for name in ("centroids.csv", "labels_north.csv", "labels_south.csv", "labels_west.csv"):
        assert (tmp_path / "chunks" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert left_over(tmp_path) == []
