"""Some seeded strikes at the roles of a job."""

from pathlib import Path

from tests.experiments.scripts import run_script

TRIALS = 3
SEED = 1


def test_roles_that_are_struck_leave_no_anomaly(tmp_path: Path) -> None:
    printed = run_script("kill_roles.py", "--trials", TRIALS, "--seed", SEED, "--keep", tmp_path / "kept")
    lines = [line.split(maxsplit=1) for line in printed.splitlines()]
    counts = {what: int(number) for number, *rest in lines for what in rest if number.isdigit() and what != "trials"}
    assert f"seed {SEED}\n" in printed
    assert sum(count for what, count in counts.items() if what.startswith("trials: ")) == TRIALS
    ended = [what for what in counts if what.startswith(("ended well", "failed rightly"))]
    assert sum(counts[what] for what in ended) >= TRIALS  # which end it is, is a matter of milliseconds
    assert "anomalies" not in printed
    assert not (tmp_path / "kept").exists()
