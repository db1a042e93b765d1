from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.app import commands
from secure_kmeans.app.commands import Announcement, Options, RoleFiles, Run
from secure_kmeans.errors import DataError
from secure_kmeans.job import Clustering
from secure_kmeans.job.ledger import check_entries
from secure_kmeans.protocols import protocol_of
from secure_kmeans.report.report import Report
from secure_kmeans.report.sections import KMeansReport
from tests.app.conftest import names_in
from tests.app.in_this_process import SECRET

BLOBS = np.concatenate([np.random.default_rng(1).normal(middle, 0.5, (20, 2)) for middle in (0.0, 10.0, 20.0)])
OPTIONS = Options(data=(Path("blobs.csv"),), clusters=3, seed=5)

pytestmark = pytest.mark.usefixtures("in_this_process", "no_pictures")


@pytest.fixture(autouse=True)
def _table(tmp_path: Path, _own_folder: None) -> None:
    pd.DataFrame(BLOBS, columns=["x", "y"]).to_csv(tmp_path / "blobs.csv", index=False)


def found_by(run: Run) -> KMeansReport:
    assert isinstance(run.report, KMeansReport)
    return run.report


class TestCluster:
    def test_what_it_returns(self, tmp_path: Path) -> None:
        run = commands.cluster(OPTIONS)
        report = found_by(run)
        assert report.result.counts == [20, 20, 20]
        assert report.agreement is not None
        assert report.agreement.label_agreement == 1.0
        assert [result.role for result in run.results] == ["party_0", "party_1"]
        assert run.advice == ()
        folder = Path("results") / "blobs"
        assert sorted(file.name for file in run.files) == names_in(tmp_path / folder)
        assert KMeansReport.load(folder / "report.json") == report

    def test_the_ledger_holds_nothing_that_was_not_announced(self) -> None:
        run = commands.cluster(OPTIONS)
        assert run.disclosures == protocol_of("shk").disclosures(run.job)
        check_entries(found_by(run).ledger, run.disclosures)
        assert {entry.what for entry in found_by(run).ledger} == {each.what for each in run.disclosures}

    def test_it_announces_before_it_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        happened: list[str] = []

        def start(*_: object, **__: object) -> None:
            happened.append("run")
            raise InterruptedError

        monkeypatch.setattr("secure_kmeans.roles.local.run_local", start)

        def announce(announcement: Announcement) -> None:
            happened.append(" ".join(each.what for each in announcement.disclosures))

        with pytest.raises(InterruptedError):
            commands.cluster(OPTIONS, announce=announce)
        assert happened[1:] == ["run"]
        assert "smallest and largest value of each column" in happened[0]

    def test_an_announcement_can_end_it(self, tmp_path: Path) -> None:
        def refuse(announcement: Announcement) -> None:
            raise PermissionError(announcement.disclosures[0].what)

        with pytest.raises(PermissionError, match="number of rows"):
            commands.cluster(OPTIONS, announce=refuse)
        assert names_in(tmp_path) == ["blobs.csv"]

    def test_without_a_comparison(self) -> None:
        report = found_by(commands.cluster(OPTIONS, compare=False))
        assert (report.plaintext, report.agreement) == (None, None)

    def test_advice_names_the_parties_that_it_concerns(self) -> None:
        pd.DataFrame(BLOBS[:2], columns=["x", "y"]).to_csv("few.csv", index=False)
        run = commands.cluster(Options(data=(Path("few.csv"), Path("blobs.csv")), clusters=3))
        assert run.advice == ("few: 2 rows for 3 clusters: some cluster will hold none of them",)
        assert found_by(run).parties == ("few", "blobs")

    def test_the_mall_s_segments_are_named(self) -> None:
        found = found_by(commands.cluster(Options(seed=0))).result
        assert sorted(found.cluster_names or []) == ["Careful", "General", "Miser", "Spendthrift", "Target"]
        assert found_by(commands.cluster(OPTIONS)).result.cluster_names is None

    def test_progress_is_passed_on(self) -> None:
        told: list[tuple[str, int, int]] = []
        commands.cluster(OPTIONS, progress=lambda *phase: told.append(phase))
        assert told == [("iterations", 1, 100)]

    @pytest.mark.usefixtures("nothing_starts")
    def test_a_row_outside_the_bounds_is_refused_before_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="outside the agreed bounds"):
            commands.cluster(Options(data=OPTIONS.data, clusters=3, bounds=((0.0, 0.0), (30.0, 30.0))))
        assert names_in(tmp_path) == ["blobs.csv"]


class TestInTheClear:
    def test_what_it_returns(self) -> None:
        run = commands.cluster_in_the_clear(OPTIONS)
        assert type(run.job) is Clustering
        report = found_by(run)
        assert (report.protocol, report.ledger, report.communication) == (None, [], {})
        assert report.result.counts == [20, 20, 20]
        assert run.disclosures == ()

    def test_the_same_as_on_shares(self) -> None:
        clear, shares = commands.cluster_in_the_clear(OPTIONS), commands.cluster(OPTIONS)
        assert found_by(clear).result.cluster_centers == found_by(shares).result.cluster_centers


class TestElbow:
    def test_in_the_clear(self) -> None:
        elbow = commands.elbow(OPTIONS, encrypted=False)
        assert [point.clusters for point in elbow.points] == list(range(1, 11))
        inertias = [point.inertia for point in elbow.points]
        assert inertias[0] > 10 * inertias[2]
        assert {point.encrypted_inertia for point in elbow.points} == {None}
        assert (elbow.seed, elbow.reports, elbow.disclosures) == (5, (), ())
        one = commands.cluster_in_the_clear(Options(data=OPTIONS.data, clusters=4, seed=5))
        assert found_by(one).result.inertia == inertias[3]

    def test_on_shares_each_run_has_a_report_with_its_ledger(self, tmp_path: Path) -> None:
        announced: list[Announcement] = []
        told: list[Any] = []
        elbow = commands.elbow(
            Options(data=OPTIONS.data), announce=announced.append, progress=lambda *step: told.append(step)
        )
        assert [announcement.runs for announcement in announced] == [10]
        assert announced[0].disclosures == elbow.disclosures
        assert "mean-distance loss" in {each.what for each in elbow.disclosures}
        for point, report in zip(elbow.points, elbow.reports, strict=True):
            assert point.encrypted_inertia == pytest.approx(point.inertia, rel=1e-12)
            assert point.encrypted_mean_distance == pytest.approx(point.mean_distance, rel=1e-12)
            check_entries(report.ledger, elbow.disclosures)
            assert (
                Report.load(tmp_path / f"results/blobs_elbow/report_{point.clusters:02}.json").ledger == report.ledger
            )
        assert told[-1] == ("K = 10", 10, 10)
        losses = pd.read_csv(tmp_path / "results" / "blobs_elbow" / "elbow.csv")
        assert losses["clusters"].tolist() == list(range(1, 11))

    def test_never_more_clusters_than_rows(self) -> None:
        pd.DataFrame(BLOBS[:4], columns=["x", "y"]).to_csv("few.csv", index=False)
        elbow = commands.elbow(Options(data=(Path("few.csv"),), seed=SECRET))
        assert [point.clusters for point in elbow.points] == [1, 2, 3, 4]


class TestRehearse:
    JOB = """
columns = ["x", "y"]
n_clusters = 3
parties = [{ name = "north" }, { name = "south" }]
scaling = { lower = [-9, -9], upper = [30, 30] }
"""

    @pytest.fixture(autouse=True)
    def _job(self) -> None:
        Path("job.toml").write_text(self.JOB)
        for name, rows in (("north", BLOBS[::2]), ("south", BLOBS[1::2])):
            pd.DataFrame(rows, columns=["x", "y"]).to_csv(f"{name}.csv", index=False)

    def test_all_roles_with_tables_beside_the_job(self) -> None:
        run = commands.rehearse(Path("job.toml"))
        assert found_by(run).parties == ("north", "south")
        seed = found_by(run).result.seed  # a rehearsal's follows from the job
        assert seed is not None
        assert found_by(commands.rehearse(Path("job.toml"))).result.seed == seed
        assert found_by(commands.rehearse(Path("job.toml"), compare=False)).result.seed is None
        assert run.files[-1] == Path("results/job/report.json")
        assert not list(Path("state").rglob("*.state"))

    def test_tables_elsewhere(self) -> None:
        Path("north.csv").rename("elsewhere.csv")
        run = commands.rehearse(Path("job.toml"), {"north": Path("elsewhere.csv")}, RoleFiles(output=Path("out")))
        assert run.files[-1] == Path("out/report.json")

    def test_check_finds_the_same_advice(self) -> None:
        pd.DataFrame(BLOBS[:1], columns=["x", "y"]).to_csv("north.csv", index=False)
        checked = commands.check(Path("job.toml"), "north", RoleFiles(table=Path("north.csv")))
        (advice,) = commands.rehearse(Path("job.toml")).advice
        assert advice == f"north: {checked.advice[0]}"
        assert checked.disclosures == protocol_of("shk").disclosures(checked.job)
