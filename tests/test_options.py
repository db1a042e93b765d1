import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click
import pandas as pd
import pytest

import launcher
import main
from secure_kmeans import workflow
from secure_kmeans.errors import DataError, JobError, ProtocolError, RoleError
from secure_kmeans.options import Options, run
from secure_kmeans.report import Report

PROGRAMS = {"main.py": lambda: run(main.main), "launcher.py": launcher.main}
SCRIPT = Path(main.__file__)


@pytest.fixture(autouse=True)
def _nothing_is_started(tmp_path, monkeypatch):
    def run_local(*_):
        raise AssertionError("every mistake is found before a role is started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow, "run_local", run_local)


@pytest.fixture
def no_pictures(monkeypatch):
    """They take most of a run's time."""
    monkeypatch.setattr(workflow, "draw_clusters", lambda *_: None)
    monkeypatch.setattr(workflow, "draw_convergence", lambda *_: None)


@pytest.fixture
def call(monkeypatch, capsys):
    def called(program, *arguments):
        """Exit status, standard output and standard error."""
        monkeypatch.setattr(sys, "argv", [f"somewhere/{program}", *arguments])
        status = 0
        try:
            PROGRAMS[program]()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return called


def mistake(answer, program):
    status, out, error = answer
    assert status == 2
    assert out == ""
    assert "Traceback" not in error
    assert error.endswith("\n")
    assert error.count("\n") == 1
    assert error.startswith(f"{program}: ")
    return error.removeprefix(f"{program}: ").rstrip("\n")


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
            (["--tol", "nan"], "tol: "),
            (["--scale", "standard"], "--scale"),
            (["--bounds", "5"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "0:150,"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "0:1:2,0:1"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "low:high"], "write one pair of numbers for each column, like 0:150,0:100"),
            (["--bounds", "0:150"], "there are bounds for 1 columns and 2 columns; give one pair for each"),
            (["--bounds", "150:0,0:100"], "column 1: its lower bound is above its upper bound"),
            (["--bounds", "0:nan,0:100"], "write one pair of numbers for each column"),
            (["--bounds", "0:100,0:100"], "is outside the agreed bounds"),
            (["--columns", "Age,,Gender"], "a name is empty; separate names or numbers by single commas"),
            (["--columns", "Age,Income"], 'there is no column "Income"'),
            (["--columns", "3,6"], 'there is no column "6"'),
            (["--columns", "3,Age"], 'column "Age" is named twice; name each column once'),
            (["--columns", "Gender"], 'column "Gender", row 1: this is text, not a number'),
            (["--columns", "Age\nGender"], "--columns"),
            (["--init", "kmeans++"], '"kmeans++" is neither farthest, k-means++, random nor a file of centroids'),
            (["--init", "none.csv"], '"none.csv" is neither'),
            (["--clusters", "201"], "n_samples=200 should be >= n_clusters=201; use fewer clusters"),
            (["--data", "none.csv"], "none.csv: there is no such file"),
            (["--data", "none.csv", "--data", "other.csv"], "none.csv: there is no such file"),
            (["--data", "."], "this is a folder; name a CSV or Parquet file"),
        ],
        ids=lambda value: " ".join(value).replace("\n", "|") if isinstance(value, list) else "",
    )
    def test_one_line(self, call, tmp_path, program, arguments, says):
        assert says in mistake(call(program, *arguments), program)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--parties", "1"], "--parties"),
            (["--parties", "11"], "--parties"),
            (["--parties", "two"], "--parties"),
            (["--timeout", "0"], "--timeout"),
            (
                ["--parties", "2", *["--data", "x.csv"] * 3],
                "--data is given 3 times for --parties 2; give it once, or once for each party",
            ),
        ],
    )
    def test_one_line_about_parties(self, call, tmp_path, arguments, says):
        assert says in mistake(call("launcher.py", *arguments), "launcher.py")
        assert list(tmp_path.iterdir()) == []

    def test_a_table_with_a_bad_cell(self, call, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n1,2\n987654321.125,secretname\n")
        said = mistake(call("launcher.py", "--data", "t.csv", "--clusters", "1"), "launcher.py")
        assert said == 't.csv: column "b", row 2: this is text, not a number; correct it, or choose other columns'

    def test_fewer_rows_than_parties(self, call, tmp_path):
        (tmp_path / "t.csv").write_text("a\n1\n2\n")
        said = mistake(call("launcher.py", "--data", "t.csv", "--clusters", "1", "--parties", "3"), "launcher.py")
        assert said == "t.csv: 2 rows do not suffice for 3 parties; use fewer parties"

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize(
        ("centroids", "says"),
        [
            ("a,b\n1,2\n", 'there is no column "Annual Income (k$)"'),
            ("Annual Income (k$),Spending Score (1-100)\n1,2\n3,4\n", "there are 2 centroids for --clusters 5"),
        ],
        ids=["columns", "rows"],
    )
    def test_a_start_that_does_not_fit(self, call, tmp_path, program, centroids, says):
        (tmp_path / "start.csv").write_text(centroids)
        assert says in mistake(call(program, "--init", "start.csv"), program)
        assert [path.name for path in tmp_path.iterdir()] == ["start.csv"]

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("income", ["1e6", "1e15"])
    def test_a_start_far_outside_the_bounds(self, call, tmp_path, program, income):
        # Scaled by 150: squared, with 48 fractional bits, even the first is above 2^63.
        rows = f"1,2\n3,4\n5,6\n7,8\n{income},9\n"
        (tmp_path / "start.csv").write_text("Annual Income (k$),Spending Score (1-100)\n" + rows)
        mistake(call(program, "--init", "start.csv"), program)
        assert [path.name for path in tmp_path.iterdir()] == ["start.csv"]

    def test_an_elbow_from_given_centroids(self, call, tmp_path):
        (tmp_path / "start.csv").write_text("Annual Income (k$),Spending Score (1-100)\n1,2\n3,4\n5,6\n7,8\n9,9\n")
        mistake(call("main.py", "--elbow", "--init", "start.csv"), "main.py")
        assert [path.name for path in tmp_path.iterdir()] == ["start.csv"]

    def test_an_output_that_is_a_file(self, call, tmp_path):
        (tmp_path / "file").write_text("")
        assert "--output" in mistake(call("main.py", "--output", "file"), "main.py")

    def test_a_process_of_its_own(self, tmp_path):
        command = [sys.executable, SCRIPT, "--bounds", "5"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        mistake((done.returncode, done.stdout, done.stderr), "main.py")


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
    def test_status_and_line(self, monkeypatch, capsys, error, status, line):
        @click.command()
        def fail():
            raise error

        monkeypatch.setattr(sys, "argv", ["folder/program.py"])
        with pytest.raises(SystemExit) as end:
            run(fail)
        assert end.value.code == status
        out, said = capsys.readouterr()
        # click first ends the line on which a terminal shows ^C
        assert (out, said.removeprefix("\n")) == ("", f"program.py: {line}\n")

    def test_a_bug_is_not_hidden(self, monkeypatch):
        @click.command()
        def fail():
            raise ZeroDivisionError

        monkeypatch.setattr(sys, "argv", ["program.py"])
        with pytest.raises(ZeroDivisionError):
            run(fail)


class TestOptions:
    @pytest.mark.parametrize(("command", "own"), [(main.main, "elbow"), (launcher.tables, "skip_plaintext")])
    def test_the_commands_have_the_defaults_of_the_dataclass(self, command, own):
        params = command.make_context("program", []).params
        assert params.pop(own) is False
        defaults = asdict(Options())
        assert params == {name: defaults[name] for name in params}
        assert set(defaults) - set(params) <= {"parties", "timeout", "transport", "engine", "hide_counts"}

    def test_values(self):
        arguments = ["--data", "a.csv", "--data", "b.pq", "--bounds", "0:1.5,-2:3e2", "--scale", "minmax"]
        arguments += ["--columns", '"income, yearly", Age ,3', "--init", "k-means++"]
        params = launcher.tables.make_context("program", arguments).params
        assert params["data"] == (Path("a.csv"), Path("b.pq"))
        assert params["bounds"] == ((0.0, -2.0), (1.5, 300.0))
        assert params["columns"] == ("income, yearly", "Age", "3")
        assert (params["scale"], params["init"]) == ("minmax", "k-means++")

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_help(self, call, program, option):
        status, out, error = call(program, option)
        assert (status, error) == (0, "")
        assert "--clusters" in out
        assert all(len(line) <= 100 for line in out.splitlines())


class TestPlaintext:
    def test_the_mall_customers(self, call, tmp_path):
        status, out, error = call("main.py", "--seed", "0", "--output", "results")
        assert (status, error) == (0, "")
        assert "44,448.455" in out
        assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
            "centroids.csv",
            "clusters.png",
            "convergence.png",
            "labels_all.csv",
            "report.json",
        ]
        report = json.loads((tmp_path / "results" / "report.json").read_text())
        assert report["inertia"] == pytest.approx(44448.455, abs=1e-3)
        assert sorted(report["counts"]) == [22, 23, 35, 39, 81]
        assert (report["seed"], report["n_init"], report["protocol"]) == (0, 5, "plaintext")
        labels = pd.read_csv(tmp_path / "results" / "labels_all.csv")
        assert labels["row"].tolist() == list(range(1, 201))
        assert labels["cluster"].value_counts().sort_index().tolist() == report["counts"]

    @pytest.mark.usefixtures("no_pictures")
    def test_a_seed_repeats_a_run(self, call):
        for output in ("one", "two"):
            assert call("main.py", "--seed", "3", "--init", "random", "--output", output)[0] == 0
        first, second = (Report.load(Path(output) / "report.json") for output in ("one", "two"))
        assert first.cluster_centers == second.cluster_centers
        assert first.seed == second.seed == 3

    @pytest.mark.usefixtures("no_pictures")
    def test_a_start_from_a_file(self, call, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n1,1\n1,2\n4,1\n4,2\n")
        (tmp_path / "start.csv").write_text("b,a\n1,1\n2,4\n")
        arguments = ["--data", "t.csv", "--init", "start.csv", "--clusters", "2", "--bounds", "0:4,0:4"]
        assert call("main.py", *arguments, "--output", "results")[0] == 0
        report = Report.load("results/report.json")
        assert report.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert (report.init, report.n_init, report.seed, report.inertia) == ("given", 1, None, 1.0)

    @pytest.mark.usefixtures("no_pictures")
    def test_one_row_is_enough_for_one_cluster(self, call, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n1,2\n")
        status, _, error = call("main.py", "--data", "t.csv", "--clusters", "1", "--output", "results")
        assert (status, error) == (0, "")
        assert Report.load("results/report.json").cluster_centers == [[1.0, 2.0]]
