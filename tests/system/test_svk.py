"""SVK with all roles in processes of their own, which meet over TLS: aligned, killed, and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import RoleError
from secure_kmeans.roles.local import run_local
from tests.protocols.columns import check_svk_against_plaintext, job_for, joined, scattered
from tests.system.test_launcher import process_of

ROWS = np.random.default_rng(1).random((300, 4))


def test_a_rehearsal_that_is_killed_goes_on_with_the_same_rows(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"align": "psi", "id": "no", "most_rows": 310}
    job = job_for(ROWS, (1, 3), 12, init="random", seed=2, n_init=4, **keys)
    tables = scattered(job, ROWS, extra=4)
    seen: list[tuple[str, int]] = []

    def kill_one(phase: str, done: int, _total: int) -> None:
        if phase == "iterations" and done >= 2 and ("killed", 0) not in seen:
            os.kill(process_of("party_1", os.getpid()), signal.SIGKILL)
            seen.append(("killed", 0))

    def note(phase: str, done: int, _total: int) -> None:
        seen.append((phase, done))

    with pytest.raises(RoleError, match='role "party_1" failed: '):
        run_local(job, list(tables.values()), kill_one, states=tmp_path / "states")
    seen.clear()
    results: list[Any] = run_local(job, list(tables.values()), note, states=tmp_path / "states", resume=True)
    iterations = [done for phase, done in seen if phase == "iterations"]
    assert min(iterations) > 1, "it went on"
    assert "alignment" not in {phase for phase, _ in seen}
    rows = joined(tables, results)
    assert len(rows) == 300
    check_svk_against_plaintext(job, rows, results)
    assert not list((tmp_path / "states").rglob("*.state"))
