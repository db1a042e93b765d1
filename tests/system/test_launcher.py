import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from sklearn.datasets import load_wine, make_blobs

from secure_kmeans.app.proposal import propose_job
from secure_kmeans.errors import RoleError
from secure_kmeans.report.sections import KMeansReport, PredictionReport
from secure_kmeans.roles.local import run_local
from secure_kmeans.tables import Table

ROOT = Path(__file__).resolve().parents[2]


def launch(*arguments: object, folder: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "launcher.py"), *map(str, arguments)]
    environment = os.environ | {"TMPDIR": str(folder), "COLUMNS": "120"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def run(*arguments: object, folder: Path) -> str:
    process = launch(*arguments, folder=folder)
    out, error = process.communicate(timeout=100)
    assert process.returncode == 0, error
    return out


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(("secure-kmeans-", "."))]


def test_the_main_job(tmp_path: Path) -> None:
    out = run("--seed", 0, folder=tmp_path)
    results = tmp_path / "results" / "mall_customers"
    report = KMeansReport.load(results / "report.json")
    found = report.result
    assert found.counts == [81, 39, 35, 23, 22]
    assert found.inertia == pytest.approx(44448.455, abs=1e-3)
    assert report.plaintext is not None
    assert report.agreement is not None
    assert report.plaintext.inertia == pytest.approx(found.inertia, rel=1e-9)
    assert report.plaintext.inertia_in_double_precision == pytest.approx(44448.455, abs=1e-3)
    assert report.agreement.label_agreement == report.agreement.adjusted_rand == 1.0
    assert report.agreement.max_centroid_error == 0.0
    assert report.n_samples == {"party_0": 100, "party_1": 100}
    assert set(report.communication) == {"party_0", "party_1", "dealer"}
    assert all(traffic.bytes_sent > 0 for traffic in report.communication.values())
    assert [traffic.rounds > 0 for traffic in report.communication.values()] == [True, True, False]  # nobody asks
    assert sorted(found.cluster_names or []) == ["Careful", "General", "Miser", "Spendthrift", "Target"]

    centroids = pd.read_csv(results / "centroids.csv")
    assert centroids["size"].tolist() == found.counts
    labels = [pd.read_csv(results / f"labels_party_{rank}.csv") for rank in (0, 1)]
    assert [len(own) for own in labels] == [100, 100]
    assert np.bincount(pd.concat(labels)["cluster"]).tolist() == found.counts
    for picture in ("clusters.png", "convergence.png"):
        pixels = image.imread(results / picture)
        assert min(pixels.shape[:2]) > 500
        assert len(np.unique(pixels[..., 0])) > 50  # something is drawn

    for name in found.cluster_names or []:
        assert name in out
    before, after = " ".join(out.split()).split("Encrypted k-means on 200 rows")
    for entry in report.ledger:
        assert entry.what in before
        assert entry.what in after
    assert "100 % of the labels" in out
    assert "--seed 0" in out
    assert left_over(tmp_path) == left_over(results) == []


def test_hidden_counts_stand_nowhere(tmp_path: Path) -> None:
    out = run("--seed", 0, "--hide-counts", "--n-init", 1, "--skip-plaintext", folder=tmp_path)
    results = tmp_path / "results" / "mall_customers"
    report = KMeansReport.load(results / "report.json")
    assert (report.result.counts, report.result.counts_by_iteration) == (None, [])
    assert not {"cluster sizes", "final cluster sizes"} & {entry.what for entry in report.ledger}
    assert "cluster sizes" not in out
    assert pd.read_csv(results / "centroids.csv")["size"].isna().all()
    assert (results / "convergence.png").exists()


def test_three_parties_with_files_of_their_own(tmp_path: Path) -> None:
    rows = pd.DataFrame(load_wine(as_frame=True).data.iloc[::2, [0, 6, 9]])
    bounds = ",".join(f"{low}:{high}" for low, high in zip(rows.min(), rows.max(), strict=True))
    names = ["clinic", "lab", "a hospital"]
    files = []
    parts = [rows.iloc[:20], rows.iloc[20:50], rows.iloc[50:]]
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        files.append(tmp_path / f"{name}.{'parquet' if number else 'csv'}")
        write = part.to_parquet if number else part.to_csv
        write(files[-1], index=False)
    data = [argument for file in files for argument in ("--data", file)]
    run(
        *data,
        "--clusters",
        3,
        "--scale",
        "minmax",
        "--bounds",
        bounds,
        "--skip-plaintext",
        "--output",
        "out",
        folder=tmp_path,
    )
    report = KMeansReport.load(tmp_path / "out" / "report.json")
    assert report.parties == ("clinic", "lab", "a_hospital")
    assert report.plaintext is None
    assert report.agreement is None
    assert not any("smallest and largest" in entry.what for entry in report.ledger)  # the bounds were agreed on
    for name, part in zip(report.parties, parts, strict=True):
        own = pd.read_csv(tmp_path / "out" / f"labels_{name}.csv")["cluster"]
        scaled = (part.to_numpy() - rows.min().to_numpy()) / np.ptp(rows.to_numpy(), axis=0)
        centers = (np.array(report.result.cluster_centers) - rows.min().to_numpy()) / np.ptp(rows.to_numpy(), axis=0)
        assert own.tolist() == ((scaled[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1).tolist()


@pytest.fixture(scope="module")
def long_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that keeps the parties busy for minutes."""
    path: Path = tmp_path_factory.mktemp("data") / "long.csv"
    rows = make_blobs(4000, centers=30, n_features=4, random_state=0)[0]
    pd.DataFrame(rows, columns=list("abcd")).to_csv(path, index=False)
    return path


def process_of(role: str, group_of: int) -> int:
    """The process of a role among the descendants of a launcher, by the name that it goes by."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                number, rest = status.read_text().split(" (", 1)
                name, fields = rest.rsplit(") ", 1)
                session = int(fields.split()[3])
                if name == role and _parent(session) == group_of:
                    return int(number)
            except (OSError, ValueError):
                continue
        time.sleep(0.05)
    raise AssertionError(f"{role} did not start")


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()[1])


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="finds processes by their names in /proc")
@pytest.mark.parametrize(
    ("role", "after", "what", "reason"),
    [
        ("party_1", 0.0, signal.SIGKILL, "its process ended without a word"),  # while the roles still connect
        ("dealer", 1.0, signal.SIGKILL, "its process ended without a word"),
        ("party_0", 1.0, signal.SIGSTOP, "it has not answered for 3 seconds"),
    ],
)
def test_a_role_that_fails_is_named(
    tmp_path: Path, long_job: Path, role: str, after: float, what: int, reason: str
) -> None:
    process = launch("--data", long_job, "--clusters", 10, "--timeout", 3, "--output", "out", folder=tmp_path)
    victim = process_of(role, process.pid)
    time.sleep(after)
    began = time.monotonic()
    os.kill(victim, what)
    _out, error = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 1
    assert error.splitlines()[-1] == f'launcher.py: role "{role}" failed: {reason}'
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists(), "half a result"
    assert left_over(tmp_path) == []
    assert not alive(victim)


def alive(process: int) -> bool:
    """Whether a process still runs; what is dead but not yet collected by its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_run_ends_all_its_processes(tmp_path: Path, long_job: Path) -> None:
    # Started in the background of a script, this process would pass on that interrupts are to be ignored.
    process = launch(
        "--data", long_job, "--clusters", 10, "--output", "out", folder=tmp_path, preexec_fn=_heed_interrupts
    )
    role = process_of("party_1", process.pid)
    process.send_signal(signal.SIGINT)
    _out, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert left_over(tmp_path) == []
    assert not alive(role)


def test_labels_of_new_rows_by_public_centroids(tmp_path: Path) -> None:
    run("--seed", 0, "--n-init", 1, "--skip-plaintext", "--output", "fit", folder=tmp_path)
    fitted = KMeansReport.load(tmp_path / "fit" / "report.json").result
    new = pd.DataFrame(np.array(fitted.cluster_centers)[[3, 1, 4]] + 0.25)
    new.columns = pd.Index(["Annual Income (k$)", "Spending Score (1-100)"])
    new.to_csv(tmp_path / "new.csv", index=False)
    out = run("predict", "fit/report.json", "--data", "new.csv", folder=tmp_path)
    assert out == "fit/prediction/labels_new.csv\n"
    assert pd.read_csv(tmp_path / "fit" / "prediction" / "labels_new.csv")["cluster"].tolist() == [3, 1, 4]


def test_a_model_that_nobody_sees_labels_new_rows(tmp_path: Path) -> None:
    for name in ("job.toml", "north.csv", "south.csv"):
        text = (ROOT / "data" / "two_malls" / name).read_text()
        (tmp_path / name).write_text(re.sub("(?m)^reveal_inertia.*$", 'disclose = { centroids = "nobody" }', text))
    out = run("job.toml", "--skip-plaintext", folder=tmp_path)
    assert "final centroids" not in out
    assert "The share of the model that labels new rows is kept in state/job" in out
    assert KMeansReport.load(tmp_path / "results" / "job" / "report.json").result.cluster_centers is None
    out = run("predict", "state/job", "--data", "north.csv", "--data", "south.csv", folder=tmp_path)
    assert "labels of its own rows" in out
    first, second = (tmp_path / "results" / name for name in ("job", "job-predict"))
    for party in ("north", "south"):
        assert (first / f"labels_{party}.csv").read_bytes() == (second / f"labels_{party}.csv").read_bytes()
    report = PredictionReport.load(second / "report.json")
    assert {entry.what for entry in report.ledger} == {"number of rows of each party", "labels of its own rows"}


def test_what_can_fail_in_a_role_alone_is_named_without_a_value() -> None:
    table = Table("clinic", ("a",), np.array([[0.5], [0.75]]))
    job = propose_job([table, table], 1, parties=("clinic", "lab"))
    strange = Table("lab", ("a",), np.array([["987654.25"]]))
    with pytest.raises(RoleError, match=r'role "lab" failed: ') as error:
        run_local(job, [table, strange])
    assert error.value.role == "lab"
    assert "987654" not in str(error.value)
