import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from secure_kmeans.roles.process import in_processes
from tests.protocols.toy.installed import install_for_test, job_of_mean

SCRIPT = """
import json, os, resource, sys
from secure_kmeans.roles.core_dumps import switch_off_core_dumps
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
switch_off_core_dumps()
switch_off_core_dumps()
print(json.dumps(resource.getrlimit(resource.RLIMIT_CORE)), flush=True)
os.abort()
"""


@pytest.mark.parametrize(("limits", "left"), [((0, 5000), 1), ((0, 0), 0), ((1 << 20, 1 << 20), 1)])
def test_a_process_that_crashes_leaves_no_dump(tmp_path: Path, limits: tuple[int, int], left: int) -> None:
    crashed = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, limits)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(crashed.stdout) == [left, limits[1]]
    assert crashed.returncode == -6
    assert not list(tmp_path.iterdir())


def test_every_role_of_a_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_for_test(tmp_path / "installed", monkeypatch)

    limits = in_processes(job_of_mean(), lambda _role, _mesh: resource.getrlimit(resource.RLIMIT_CORE)[0])
    assert all(limit in (0, 1) for limit in limits)
