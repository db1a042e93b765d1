"""The toy protocols as an installed package: a folder on PYTHONPATH with an entry point."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from secure_kmeans.job import Party
from secure_kmeans.tables import Table
from tests.protocols.toy.mean import MeanJob

ROOT = Path(__file__).resolve().parents[3]
PARTIES = ("clinic", "lab", "ward")
COLUMNS = ("age", "dose", "weight")
ENTRY_POINTS = """
[secure_kmeans.protocols]
mean = tests.protocols.toy.mean:MEAN_PROTOCOL
faulty mean = tests.protocols.toy.faulty:FAULTY_PROTOCOL
"""


def install(folder: Path) -> str:
    """Write the package's metadata into a folder; return a PYTHONPATH with it."""
    metadata = folder / "toy_protocols-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-protocols\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return os.pathsep.join((str(folder), str(ROOT)))


def install_for_test(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it for this process and those that it starts."""
    monkeypatch.setenv("PYTHONPATH", install(folder))
    monkeypatch.syspath_prepend(str(folder))


def tables(rows: int = 4) -> list[Table]:
    """A table for each party; each has one row more than the one before."""
    generator = np.random.default_rng(5)
    return [
        Table(f"{party}.csv", COLUMNS, np.round(generator.normal(40, 20, (rows + rank, len(COLUMNS))), 2))
        for rank, party in enumerate(PARTIES)
    ]


def job_of_mean(job: type[MeanJob] = MeanJob, **keys: object) -> MeanJob:
    """A job of the toy."""
    return job.of(**({"parties": Party.named(*PARTIES), "columns": COLUMNS, "timeout": 20.0} | keys))
