"""Labels of new rows: by the public centroids of a report, and by a model in the parties' states."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.app import commands
from secure_kmeans.app.commands import Announcement, Options, RoleFiles
from secure_kmeans.errors import DataError, JobError, SecureKMeansError, StateError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.ledger import ALL, OWNER
from secure_kmeans.job.toml import to_toml
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols.shk.job import DEALER, ShkJob
from secure_kmeans.report.columns import report_of_columns
from secure_kmeans.report.sections import PredictionReport
from secure_kmeans.roles.models import KeptModel, keep_model
from tests.app.conftest import Call, Mistake, names_in
from tests.app.in_this_process import shares_of
from tests.report.columns_examples import COLUMNS, JOINED, LABELS, columns_job, columns_result, columns_results

BLOBS = np.concatenate([np.random.default_rng(1).normal(middle, 0.5, (20, 2)) for middle in (0.0, 10.0, 20.0)])
OPTIONS = Options(data=(Path("blobs.csv"),), clusters=3, seed=5)
REPORT = Path("results/blobs/report.json")

pytestmark = pytest.mark.usefixtures("no_pictures")


def write(path: str, rows: Any, columns: tuple[str, ...] = ("x", "y")) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)
    return Path(path)


def labels_in(path: str | Path) -> list[int]:
    table = pd.read_csv(path)
    assert table["row"].tolist() == list(range(1, len(table) + 1))
    found: list[int] = table["cluster"].tolist()
    return found


class TestByAReport:
    @pytest.fixture(autouse=True)
    def centers(self, tmp_path: Path, _own_folder: None) -> np.ndarray:
        """The centroids of a run in the clear, in the report's order."""
        assert tmp_path == Path.cwd()
        write("blobs.csv", BLOBS)
        run = commands.cluster_in_the_clear(OPTIONS, REPORT.parent)
        assert run.report is not None
        return np.array(run.report.result.model_dump()["cluster_centers"])

    def change(self, key: str, change: Callable[[Any], Any]) -> None:
        report = json.loads(REPORT.read_text())
        report["result"][key] = change(report["result"][key])
        REPORT.write_text(json.dumps(report))

    def refusal(self, *data: Path, output: Path | None = None) -> str:
        with pytest.raises((DataError, JobError)) as caught:
            commands.predict(REPORT, data or (Path("blobs.csv"),), output)
        assert names_in(Path.cwd()) == before(Path.cwd())
        return str(caught.value)

    def test_labels_of_new_rows(self, centers: np.ndarray) -> None:
        found = commands.predict(REPORT, [write("new.csv", centers[[2, 0, 1, 1]] + 0.5)])
        assert found.files == (Path("results/blobs/prediction/labels_new.csv"),)
        assert found.remarks == ()
        assert labels_in(found.files[0]) == [2, 0, 1, 1]

    def test_the_rows_of_the_run_have_its_labels(self) -> None:
        found = commands.predict(REPORT, [Path("blobs.csv")])
        assert labels_in(found.files[0]) == labels_in("results/blobs/labels_all.csv")

    def test_columns_are_found_by_their_names(self, centers: np.ndarray) -> None:
        rows = np.column_stack([np.zeros(3), centers[:, 1], centers[:, 0]])
        found = commands.predict(REPORT, [write("new.csv", rows, ("other", "y", "x"))])
        assert labels_in(found.files[0]) == [0, 1, 2]

    def test_files_of_the_same_name_do_not_replace_each_other(self, centers: np.ndarray) -> None:
        paths = [write(f"{name}.csv", centers[[number]]) for number, name in enumerate(("a/new", "b/NEW", "c/new_2"))]
        found = commands.predict(REPORT, paths)
        assert {path.name: labels_in(path) for path in found.files} == {
            "labels_new.csv": [0],
            "labels_NEW_3.csv": [1],
            "labels_new_2.csv": [2],
        }

    def test_all_tables_are_checked_before_anything_is_written(self) -> None:
        far = write("far.csv", [[0.0, 0.0], [1e12, 0.0]])
        said = self.refusal(Path("blobs.csv"), far)
        assert said.startswith('far.csv: column "x", row 2: the number is too far outside')
        assert not Path("results/blobs/prediction").exists()

    def test_a_column_is_missing(self) -> None:
        assert 'new.csv: there is no column "y"' in self.refusal(write("new.csv", [[1.0], [2.0]], ("x",)))

    def test_a_withheld_cluster_labels_no_row_and_is_remarked_on(self, centers: np.ndarray) -> None:
        self.change("grid_centers", lambda grid: [grid[0], None, grid[2]])
        found = commands.predict(REPORT, [write("new.csv", centers)])
        assert set(labels_in(found.files[0])) == {0, 2}
        assert found.remarks == (
            "the centroid of cluster 1 is withheld: each row has the label of the nearest of the others",
        )
        self.change("grid_centers", lambda grid: [None, None, grid[2]])
        assert commands.predict(REPORT, [Path("new.csv")]).remarks == (
            "the centroids of clusters 0, 1 are withheld: each row has the label of the nearest of the others",
        )

    @pytest.mark.parametrize("grid", [None, [None, None, None]])
    def test_a_report_without_centroids_says_where_the_model_is(self, grid: Any) -> None:
        self.change("grid_centers", lambda _: grid)
        assert self.refusal() == (
            f"{REPORT}: all centroids stay in shares, and the report holds none. To label new rows, name the folder "
            "with all parties' states, or start the roles with the job file whose name ends in -predict.toml"
        )

    @pytest.mark.parametrize("party", ["a", "b"])
    def test_a_report_of_one_partys_columns_says_where_the_model_is(self, party: str) -> None:
        REPORT.write_text(report_of_columns(columns_job(), [columns_result(party)]).model_dump_json())
        assert self.refusal() == (
            f"{REPORT}: the report holds the centroids in the columns of one party alone, and a row is labelled by the "
            "columns of all parties. To label new rows, name the folder with all parties' states, or start the roles "
            "with the job file whose name ends in -predict.toml"
        )

    def test_a_report_of_the_columns_of_all_parties_labels_joined_rows(self) -> None:
        REPORT.write_text(report_of_columns(columns_job(), columns_results()).model_dump_json())
        found = commands.predict(REPORT, [write("joined.csv", JOINED, COLUMNS)])
        assert labels_in(found.files[0]) == LABELS

    @pytest.mark.parametrize("far", [1 << 40, -(1 << 62), 10**30, 10**400], ids=["40", "62", "1e30", "1e400"])
    def test_a_centroid_far_outside_the_bounds(self, far: int) -> None:
        self.change("grid_centers", lambda grid: [grid[0], [far, 0], grid[2]])
        assert "lies outside the bounds" in self.refusal()

    @pytest.mark.parametrize(
        ("key", "change"),
        [
            ("grid_centers", lambda grid: grid[:2]),
            ("grid_centers", lambda grid: [row[:1] for row in grid]),
            ("tie_order", lambda _: [0, 1]),
            ("tie_order", lambda _: [0, 1, 1]),
            ("tie_order", lambda _: [0, 1, 7]),
        ],
    )
    def test_a_model_that_does_not_fit_its_job(self, key: str, change: Callable[[Any], Any]) -> None:
        self.change(key, change)
        assert self.refusal() == f"{REPORT}: its centroids do not fit its job"

    @pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 2}', "\udcff"])
    def test_a_file_that_is_no_report(self, content: str) -> None:
        REPORT.write_bytes(content.encode("utf-8", "surrogateescape"))
        assert self.refusal() == f"{REPORT}: this is not the report of a clustering"

    def test_no_file(self) -> None:
        REPORT.unlink()
        assert self.refusal().startswith(f"{REPORT}: No such file")

    def test_the_results_of_a_run_are_not_replaced(self) -> None:
        said = self.refusal(output=REPORT.parent)
        assert said == f"{REPORT.parent}: there are the results of a run; name another folder for the labels"

    def test_a_centroid_on_a_coarse_grid_may_lie_half_a_cell_outside(self) -> None:
        job = ShkJob.of(
            parties=Party.named("a", "b"),
            columns=("x", "y"),
            n_clusters=3,
            scaling=Scaling.of(lower=(-5.0, -5.0), upper=(25.0, 25.0)),
            precision_bits=20,
            hide_counts=True,
        )
        assert job.centroid_shifts(9) is not None
        cell = 30.0 / 4
        report = json.loads(REPORT.read_text())
        report["job"] |= {"scaling": job.scaling.model_dump(), "precision_bits": 20}
        report["result"] |= {"grid_centers": [[0, 0], [1 << 18, 0], [(1 << 20) + (1 << 17), 0]]}
        report["result"] |= {"centroid_grid": [cell, cell]}
        REPORT.write_text(json.dumps(report))
        found = commands.predict(REPORT, [write("new.csv", [[25.0, -5.0]])])
        assert labels_in(found.files[0]) == [2]

    def test_by_the_command_line(self, call: Call, centers: np.ndarray, mistake: Mistake) -> None:
        write("new.csv", centers)
        out = "results/blobs/prediction/labels_new.csv\n"
        assert call("launcher.py", "predict", REPORT, "--data", "new.csv") == (0, out, "")
        self.change("grid_centers", lambda grid: [*grid[:2], None])
        status, said, remark = call("launcher.py", "predict", REPORT, "--data", "new.csv", "--output", "elsewhere")
        assert (status, said) == (0, "elsewhere/labels_new.csv\n")
        assert remark.startswith("the centroid of cluster 2 is withheld")
        assert "is for a model in shares" in mistake(
            "launcher.py", "predict", REPORT, "--data", "new.csv", "--session", "ab"
        )


def before(folder: Path) -> list[str]:
    """All but half-written files."""
    return [name for name in names_in(folder) if not name.startswith(".")]


GRID = [[0, 0], [1 << 20, 1 << 20]]  # (0, 0) and (10, 10)
FITTED = ShkJob.of(
    parties=Party.named("north", "south"),
    columns=("x", "y"),
    n_clusters=2,
    scaling=Scaling.of(lower=(0.0, 0.0), upper=(10.0, 10.0)),
    precision_bits=20,
    disclose={"centroids": "nobody"},
)
SESSION, LATER = "5e" * 32, "0f" * 32


def keep(session: str, grid: list[list[int]], day: int, folder: str = "state/fit") -> None:
    for name, share in zip(FITTED.names, shares_of(grid, 2), strict=True):
        path = Path(folder) / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep_model(path, KeptModel(FITTED, name, session, datetime(2026, 3, day, tzinfo=UTC), share))


@pytest.mark.usefixtures("in_this_process")
class TestOnShares:
    @pytest.fixture(autouse=True)
    def _states(self, _own_folder: None) -> None:
        keep(SESSION, GRID, 1)
        write("north.csv", [[1.0, 1.0], [9.0, 8.0], [2.0, 0.0]])
        write("south.csv", [[8.0, 8.0]])

    def test_the_labels_go_to_their_owners(self) -> None:
        announced: list[Announcement] = []
        run = commands.predict_on_shares(Path("state/fit"), ["north.csv", "south.csv"], announce=announced.append)
        assert [(each.what, each.to) for each in run.disclosures] == [
            ("number of rows of each party", ALL),
            ("number of rows of each party", DEALER),
            ("labels of its own rows", OWNER),
        ]
        assert announced[0].disclosures == run.disclosures
        where = Path("results/fit-predict")
        assert labels_in(where / "labels_north.csv") == [0, 1, 0]
        assert labels_in(where / "labels_south.csv") == [1]
        report = PredictionReport.load(where / "report.json")
        assert (report.job.model_dump()["model"], report.result.n_labels) == (SESSION, 4)

    def test_a_party_may_have_no_new_rows(self) -> None:
        run = commands.predict_on_shares(Path("state/fit"), ["south=south.csv"], Path("out"))
        assert run.report is not None
        assert run.report.n_samples == {"north": 0, "south": 1}
        assert labels_in("out/labels_south.csv") == [1]

    def test_the_model_is_the_latest_or_that_of_a_session(self) -> None:
        keep(LATER, GRID[::-1], 2)
        data = ["north.csv", "south.csv"]
        commands.predict_on_shares(Path("state/fit"), data, Path("out"))
        assert labels_in("out/labels_north.csv") == [1, 0, 1]
        commands.predict_on_shares(Path("state/fit"), data, Path("out"), session=SESSION[:4])
        assert labels_in("out/labels_north.csv") == [0, 1, 0]

    def test_a_model_of_which_a_party_has_no_share_is_none(self) -> None:
        keep(LATER, GRID[::-1], 2)
        next(Path("state/fit/south").glob(f"model-{LATER[:16]}")).unlink()
        run = commands.predict_on_shares(Path("state/fit"), ["south=south.csv"])
        assert isinstance(run.job, ShkJob)
        assert run.job.model == SESSION

    @pytest.mark.parametrize(
        ("states", "data", "session", "says"),
        [
            ("state/fit", ["north.csv"], None, "name one file for each of north, south in this order, or NAME=FILE"),
            ("state/fit", ["north.csv"] * 3, None, "name one file for each of north, south"),
            ("state/fit", ["north=north.csv", "south.csv"], None, "name one file for each of north, south"),
            ("state/fit", ["west=north.csv"], None, "name one file for each of north, south"),
            ("state/fit/north", ["north.csv"], None, 'this is the state folder of "north" alone'),
            ("state", ["north.csv"], None, "not every party keeps its share of a model here"),
            ("state/fit", ["south=south.csv"], "ab", "not every party keeps its share of the model of session ab here"),
            ("state/fit", ["south=south.csv"], "", None),
        ],
    )
    def test_what_is_refused(self, states: str, data: list[str], session: str | None, says: str | None) -> None:
        if says is None:
            assert commands.predict_on_shares(Path(states), data, session=session).files
            return
        with pytest.raises((JobError, StateError), match=re.escape(says)):
            commands.predict_on_shares(Path(states), data, session=session)
        assert not Path("results").exists()

    @pytest.mark.usefixtures("nothing_starts")
    def test_a_row_out_of_reach(self) -> None:
        write("south.csv", [[0.0, 1e12]])
        with pytest.raises(DataError, match=r'^south\.csv: column "y", row 1: the number is too far outside'):
            commands.predict_on_shares(Path("state/fit"), ["south=south.csv"])

    def test_by_the_job_file_that_the_fit_wrote(self) -> None:
        Path("fit-predict.toml").write_text(to_toml(FITTED.prediction(SESSION)))
        Path("north.csv").unlink()
        run = commands.rehearse(Path("fit-predict.toml"))
        assert run.report is not None
        assert run.report.n_samples == {"north": 0, "south": 1}
        assert labels_in("results/fit-predict/labels_south.csv") == [1]
        assert names_in(Path("state")) == ["fit"]

    def test_by_the_job_file_with_the_states_elsewhere(self) -> None:
        Path("job.toml").write_text(to_toml(FITTED.prediction(SESSION)))
        Path("state/fit").rename("kept")
        with pytest.raises(StateError, match=f"there is no model of session {SESSION[:16]}, which the job names; name"):
            commands.rehearse(Path("job.toml"))
        assert commands.rehearse(Path("job.toml"), files=RoleFiles(states=Path("kept"))).files

    @pytest.mark.usefixtures("nothing_starts")
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda job: job.model_copy(update={"model": LATER}), f"but no model of session {LATER[:16]}"),
            (lambda job: job.model_copy(update={"n_clusters": 3}), "n_clusters: the job differs in it from the run"),
        ],
    )
    def test_a_job_that_does_not_fit_the_model(self, change: Callable[[ShkJob], ShkJob], says: str) -> None:
        Path("job.toml").write_text(to_toml(change(FITTED.prediction(SESSION))))
        with pytest.raises(SecureKMeansError) as caught:
            commands.rehearse(Path("job.toml"))
        assert says in str(caught.value)

    @pytest.mark.usefixtures("nothing_starts")
    def test_a_prediction_is_not_resumed(self) -> None:
        Path("job.toml").write_text(to_toml(FITTED.prediction(SESSION)))
        with pytest.raises(JobError, match="resume: a prediction is a single step and keeps no states; start it anew"):
            commands.rehearse(Path("job.toml"), files=RoleFiles(resume=True))

    def test_by_the_command_line(self, call: Call) -> None:
        status, out, error = call("launcher.py", "predict", "state/fit", "--data", "north.csv", "--data", "south.csv")
        assert (status, error) == (0, "")
        assert "Will be disclosed, and nothing else" in out
        assert "Labels of 4 rows of 2 parties; only its owner learned the label of a row" in out
        assert "results/fit-predict/labels_north.csv" in out
        assert (
            labels_in("results/fit-predict/labels_north.csv")
            == label_rows(FITTED, GRID, np.array([[1.0, 1.0], [9.0, 8.0], [2.0, 0.0]])).tolist()
        )
