import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click
import pandas as pd
import pytest

from secure_kmeans.app import cli, forms
from secure_kmeans.app.inputs import Options
from secure_kmeans.errors import DataError, JobError, ProtocolError, RoleError
from secure_kmeans.job import MOST_STARTS, USUAL_CLUSTERS, Scaling
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.report.sections import KMeansReport
from secure_kmeans.version import VERSION
from tests.app.conftest import PROGRAMS, Call, Mistake, names_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("nothing_starts")
class TestMistakes:
    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--clusterz", "3"], "--clusterz"),
            (["extra"], "extra"),
            (["--seed"], "--seed"),
            (["--clusters", "five"], "--clusters"),
            (["--clusters", "0"], "--clusters"),
            (["--clusters", "2.5"], "--clusters"),
            (["--seed", "-1"], "--seed"),
            (["--seed", "9007199254740992"], "--seed"),
            (["--n-init", "0"], "--n-init"),
            (["--n-init", "1001"], "--n-init"),
            (["--max-iter", "0"], "--max-iter"),
            (["--tol", "-1"], "--tol"),
            (["--tol", "nan"], "--tol"),
            (["--scale", "standard"], "--scale"),
            (["--bounds", "5"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "0:150,"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "0:1:2,0:1"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "low:high"], "write one pair of numbers for each column, like 0:150,0:100"),
            (
                ["--bounds", "0:150"],
                "--bounds: there are bounds for 1 column, but 2 to cluster by; give one pair for each",
            ),
            (["--bounds", "150:0,0:100"], "--bounds: column 1: its lower bound is above its upper bound"),
            (["--bounds", "0:nan,0:100"], "write one pair of numbers for each column"),
            (["--bounds", "0:100,0:100"], "is outside the agreed bounds"),
            (["--columns", "Age,,Gender"], "a name is empty; separate names or numbers by single commas"),
            (["--columns", "Age,Income"], 'there is no column "Income"'),
            (["--columns", "3,6"], 'there is no column "6"'),
            (["--columns", "3,Age"], 'column "Age" is named twice; name each column once'),
            (["--columns", "Gender"], 'column "Gender", row 1: this is text, not a number'),
            (["--columns", "Age\nGender"], "--columns"),
            (
                ["--init", "kmeans++"],
                '"kmeans++" is neither farthest, k-means++, random, moments, uniform nor a file of centroids',
            ),
            (["--init", "none.csv"], '"none.csv" is neither'),
            (["--clusters", "201"], "200 rows do not suffice for 201 clusters; use fewer clusters"),
            (["--data", "none.csv"], "none.csv: there is no such file"),
            (["--data", "none.csv", "--data", "other.csv"], "none.csv: there is no such file"),
            (["--data", "."], "this is a folder; name a CSV or Parquet file"),
        ],
        ids=lambda value: " ".join(value).replace("\n", "|") if isinstance(value, list) else "",
    )
    def test_one_line(self, mistake: Mistake, tmp_path: Path, program: str, arguments: list[str], says: str) -> None:
        assert says in mistake(program, *arguments)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--parties", "1"], "--parties"),
            (["--parties", "11"], "--parties"),
            (["--parties", "two"], "--parties"),
            (["--timeout", "0"], "--timeout"),
            (["--protocol", "smo07", "--chunk-rows", "0"], "--chunk-rows"),
            (
                ["--chunk-rows", "5"],
                "--chunk-rows: smo07 alone reads tables in chunks; set --protocol to smo07, or leave it out",
            ),
            (
                ["--protocol", "smo07", "--chunk-rows", "5"],
                "--chunk-rows: a single file can only be split among the parties where it is read whole; give one file "
                "for each party, or leave it out",
            ),
            (
                ["--protocol", "smo07", "--chunk-rows", "5", "--data", "x.csv", "--data", "y.csv"],
                "x.csv: there is no such file",
            ),
            (
                ["--parties", "2", *["--data", "x.csv"] * 3],
                "there are 3 files for 2 parties; give one file, or one for each party",
            ),
        ],
    )
    def test_one_line_about_parties(self, mistake: Mistake, tmp_path: Path, arguments: list[str], says: str) -> None:
        assert says in mistake("launcher.py", *arguments)
        assert list(tmp_path.iterdir()) == []

    def test_a_table_with_a_bad_cell(self, mistake: Mistake, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("a,b\n1,2\n987654321.125,secretname\n")
        said = mistake("launcher.py", "--data", "t.csv", "--clusters", "1")
        assert said == 't.csv: column "b", row 2: this is text, not a number; correct it, or choose other columns'

    def test_fewer_rows_than_parties(self, mistake: Mistake, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("a\n1\n2\n")
        said = mistake("launcher.py", "--data", "t.csv", "--clusters", "1", "--parties", "3")
        assert said == "t.csv: 2 rows do not suffice for 3 parties; use fewer parties"

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize(
        ("centroids", "says"),
        [
            ("a,b\n1,2\n", 'there is no column "Annual Income (k$)"'),
            (
                "Annual Income (k$),Spending Score (1-100)\n1,2\n3,4\n",
                "2 centroids for 5 clusters; give one row for each",
            ),
        ],
        ids=["columns", "rows"],
    )
    def test_a_start_that_does_not_fit(
        self, mistake: Mistake, tmp_path: Path, program: str, centroids: str, says: str
    ) -> None:
        (tmp_path / "start.csv").write_text(centroids)
        assert says in mistake(program, "--init", "start.csv")
        assert [path.name for path in tmp_path.iterdir()] == ["start.csv"]

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("income", ["1e6", "1e15"])
    def test_a_start_far_outside_the_bounds(self, mistake: Mistake, tmp_path: Path, program: str, income: str) -> None:
        # Scaled by 150: squared, with 48 fractional bits, even the first is above 2^63.
        rows = f"1,2\n3,4\n5,6\n7,8\n{income},9\n"
        (tmp_path / "start.csv").write_text("Annual Income (k$),Spending Score (1-100)\n" + rows)
        mistake(program, "--init", "start.csv")
        assert [path.name for path in tmp_path.iterdir()] == ["start.csv"]

    def test_an_elbow_from_given_centroids(self, mistake: Mistake, tmp_path: Path) -> None:
        (tmp_path / "start.csv").write_text("Annual Income (k$),Spending Score (1-100)\n1,2\n3,4\n5,6\n7,8\n9,9\n")
        mistake("main.py", "--elbow", "--init", "start.csv")
        assert [path.name for path in tmp_path.iterdir()] == ["start.csv"]

    def test_an_output_that_is_a_file(self, mistake: Mistake, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert "--output" in mistake("main.py", "--output", "file")

    def test_a_process_of_its_own(self, tmp_path: Path) -> None:
        command = [sys.executable, str(ROOT / "main.py"), "--bounds", "5"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("main.py: ")
        assert done.stderr.count("\n") == 1


class TestEnds:
    @pytest.mark.parametrize(
        ("error", "status", "line"),
        [
            (DataError("t.csv: wrong"), 2, "t.csv: wrong"),
            (JobError("tol: wrong"), 2, "tol: wrong"),
            (JobError("two\n  lines"), 2, "two lines"),
            (RoleError("party_1", "it died"), 1, 'role "party_1" failed: it died'),
            (ProtocolError("run again"), 1, "run again"),
            (PermissionError(13, "Permission denied", "results"), 1, "results: Permission denied"),
            (OSError("no space"), 1, "no space"),
            (click.UsageError("wrong"), 2, "wrong"),
            (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
            (click.Abort(), 130, "interrupted; nothing was written"),
        ],
    )
    def test_status_and_line(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        error: BaseException,
        status: int,
        line: str,
    ) -> None:
        @click.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(sys, "argv", ["folder/program.py"])
        with pytest.raises(SystemExit) as end:
            forms.run_command(fail)
        assert end.value.code == status
        out, said = capsys.readouterr()
        # click first ends the line on which a terminal shows ^C
        assert (out, said.removeprefix("\n")) == ("", f"program.py: {line}\n")

    def test_a_bug_is_not_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        @click.command()
        def fail() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(sys, "argv", ["program.py"])
        with pytest.raises(ZeroDivisionError):
            forms.run_command(fail)


class TestOptions:
    @pytest.mark.parametrize(
        ("command", "own"),
        [(cli.in_the_clear, "elbow"), (cli.tables, "skip_plaintext"), (cli.elbow, "skip_encrypted")],
    )
    def test_the_commands_have_the_defaults_of_the_dataclass(self, command: click.Command, own: str) -> None:
        params = command.make_context("program", []).params
        assert params.pop(own) is False
        assert params.pop("output") is None
        defaults = asdict(Options())
        assert params == {name: defaults[name] for name in params}
        secure = {"parties", "timeout", "engine", "hide_counts", "min_cluster_size", "resolution"}
        columns = {"protocol", "id", "align", "most_rows", "hide_labels", "disclose_centroids", "disclose_labels"}
        addition = {"mode", "fresh_keys", "key_bits", "accept_two_parties", "reveal_sizes", "reveal_inertia"}
        assert set(defaults) - set(params) <= secure | columns | addition | {"clusters", "chunk_rows"}

    def test_the_defaults_are_those_of_the_job(self) -> None:
        job = Options().clustering_keys(("x",)) | Options().job_keys()
        defaults = {key: ShkJob.default_of(key) for key in job if key != "scaling"}
        assert job == defaults | {"scaling": Scaling.default_of("method")}
        assert Options().clusters == USUAL_CLUSTERS

    def test_the_number_of_starts_is_the_job_s(self) -> None:
        assert ShkJob.model_json_schema()["properties"]["n_init"]["maximum"] == MOST_STARTS

    def test_values(self) -> None:
        arguments = ["--data", "a.csv", "--data", "b.pq", "--bounds", "0:1.5,-2:3e2", "--scale", "minmax"]
        arguments += ["--columns", '"income, yearly", Age ,3', "--init", "k-means++"]
        params = cli.tables.make_context("program", arguments).params
        assert params["data"] == (Path("a.csv"), Path("b.pq"))
        assert params["bounds"] == ((0.0, -2.0), (1.5, 300.0))
        assert params["columns"] == ("income, yearly", "Age", "3")
        assert (params["scale"], params["init"]) == ("minmax", "k-means++")

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_help(self, call: Call, program: str, option: str) -> None:
        status, out, error = call(program, option)
        assert (status, error) == (0, "")
        assert "--clusters" in out
        assert "SECURE_KMEANS_CLUSTERS" in out
        assert all(len(line) <= 100 for line in out.splitlines())

    def test_the_version(self, call: Call) -> None:
        assert call("launcher.py", "--version") == (0, f"secure_kmeans {VERSION}\n", "")

    def test_unencrypted_transport_is_gone(self, mistake: Mistake) -> None:
        assert "--transport" in mistake("launcher.py", "--transport", "gloo")


class TestEnvironment:
    def test_every_option_has_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECURE_KMEANS_CLUSTERS", "3")
        monkeypatch.setenv("SECURE_KMEANS_DATA", "a.csv:b.csv")
        monkeypatch.setenv("SECURE_KMEANS_HIDE_COUNTS", "yes")
        params = cli.tables.make_context("program", []).params
        assert (params["clusters"], params["hide_counts"]) == (3, True)
        assert params["data"] == (Path("a.csv"), Path("b.csv"))

    def test_an_option_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECURE_KMEANS_CLUSTERS", "3")
        assert cli.in_the_clear.make_context("program", ["--clusters", "4"]).params["clusters"] == 4

    def test_a_wrong_value_is_a_mistake(self, mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECURE_KMEANS_CLUSTERS", "many")
        said = mistake("launcher.py")
        assert "--clusters" in said
        assert "many" in said


class TestPlaintext:
    def test_the_mall_customers(self, call: Call, tmp_path: Path) -> None:
        status, out, error = call("main.py", "--seed", "0", "--output", "results")
        assert (status, error) == (0, "")
        assert "44,448.455" in out
        files = ["centroids.csv", "clusters.png", "convergence.png", "labels_all.csv", "report.json"]
        assert names_in(tmp_path / "results") == files
        report = KMeansReport.load(tmp_path / "results" / "report.json")
        found = report.result
        assert found.inertia == pytest.approx(44448.455, abs=1e-3)
        assert found.counts is not None
        assert found.counts == [81, 39, 35, 23, 22]
        assert (found.seed, found.n_init, report.protocol, report.ledger) == (0, 5, None, [])
        assert sorted(found.cluster_names or []) == ["Careful", "General", "Miser", "Spendthrift", "Target"]
        labels = pd.read_csv(tmp_path / "results" / "labels_all.csv")
        assert labels["row"].tolist() == list(range(1, 201))
        assert labels["cluster"].value_counts().sort_index().tolist() == found.counts

    @pytest.mark.usefixtures("no_pictures")
    def test_a_seed_repeats_a_run(self, call: Call) -> None:
        for output in ("one", "two"):
            assert call("main.py", "--seed", "3", "--init", "random", "--output", output)[0] == 0
        first, second = (KMeansReport.load(Path(output) / "report.json").result for output in ("one", "two"))
        assert first.cluster_centers == second.cluster_centers
        assert first.seed == second.seed == 3

    @pytest.mark.usefixtures("no_pictures")
    def test_a_start_from_a_file(self, call: Call, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("a,b\n1,1\n1,2\n4,1\n4,2\n")
        (tmp_path / "start.csv").write_text("b,a\n1,1\n2,4\n")
        arguments = ["--data", "t.csv", "--init", "start.csv", "--clusters", "2", "--bounds", "0:4,0:4"]
        assert call("main.py", *arguments, "--output", "results")[0] == 0
        found = KMeansReport.load("results/report.json").result
        assert found.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert (found.init, found.n_init, found.seed, found.inertia) == ("given", 1, None, 1.0)

    @pytest.mark.usefixtures("no_pictures")
    def test_one_row_is_enough_for_one_cluster(self, call: Call, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("a,b\n1,2\n")
        status, _, error = call("main.py", "--data", "t.csv", "--clusters", "1", "--output", "results")
        assert (status, error) == (0, "")
        assert KMeansReport.load("results/report.json").result.cluster_centers == [[1.0, 2.0]]

    @pytest.mark.usefixtures("no_pictures")
    def test_a_coarse_column_is_told(self, call: Call, tmp_path: Path) -> None:
        rows = "\n".join(f"{number / 1e12},{number}" for number in range(9))
        (tmp_path / "t.csv").write_text(f"a,b\n{rows}\n")
        out = call("main.py", "--data", "t.csv", "--clusters", "2")[1]
        assert "consider columns that lose most of their values in the fixed point: a;" in out
