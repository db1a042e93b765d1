import json
import os

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from secure_kmeans import mall
from secure_kmeans.data import Table
from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.ledger import ALL, Disclosure, What
from secure_kmeans.local import LocalRun
from secure_kmeans.outcome import Outcome
from secure_kmeans.plaintext.kmeans import lloyd
from secure_kmeans.report import Report, ResultsFolder, plaintext_part, report_of_plaintext, report_of_run

RUN_KEYS = {"n_iter", "converged", "cluster_centers", "counts", "counts_by_iteration", "inertia", "mean_distance"}
KEYS = RUN_KEYS | {
    *("version", "protocol", "engine", "parties", "columns", "n_samples", "n_features", "n_clusters"),
    *("init", "n_init", "max_iter", "tol", "seed", "scaling", "precision_bits", "best_restart", "cluster_names"),
    *("plaintext", "agreement", "timing", "communication", "ledger"),
}
PLAINTEXT_KEYS = RUN_KEYS | {"inertia_by_iteration", "inertia_in_double_precision"}
TABLES = [
    Table("a.csv", ("x", "y"), np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 1.5]])),
    Table("b.csv", ("x", "y"), np.array([[4.0, 1.0], [4.0, 2.0]])),
]
LEDGER = [Disclosure(What.ROW_COUNTS, ALL), Disclosure(What.STOP_BIT, ALL, 1), Disclosure(What.OWN_LABELS, "a")]


def job_with(**values):
    keys = {"parties": Party.named("a", "b"), "columns": ("x", "y"), "n_clusters": 2, "n_init": 3, "precision_bits": 24}
    return Job.of(**(keys | {"scaling": Scaling.of(lower=(0.0, 0.0), upper=(4.0, 4.0)), "seed": 5} | values))


def outcome_of(party, labels, **values):
    """What a party holds: the clusters are in the other order than those of the baseline."""
    keys = {
        "n_samples": {"a": 3, "b": 2},
        "ledger": LEDGER,
        "rounds": 10,
        "bytes_sent": 1000,
        "total_s": 1.5,
        "centroids": [[4.0, 1.5], [1.0, 1.53125]],
        "sizes": [2, 3],
        "inertia": 1.0009765625,
        "mean_distance": None,
        "n_iter": 2,
        "converged": True,
        "best_restart": 1,
        "seed": 5,
        "sizes_by_iteration": [[1, 4], [2, 3]],
        "seconds": [0.25, 0.75],
    }
    return Outcome(party=party, labels=labels, **(keys | values))


def run_with(**values):
    traffic = {"a": {"rounds": 9, "bytes_sent": 90}, "b": {"rounds": 8, "bytes_sent": 80}}
    traffic["dealer"] = {"rounds": 7, "bytes_sent": 70}
    return LocalRun([outcome_of("a", [1, 1, 1], **values), outcome_of("b", [0, 0], **values)], traffic, 3.5)


def baseline():
    rows = np.concatenate([table.rows for table in TABLES]) / 4
    return lloyd(rows, rows[[0, 4]], max_iter=100, tol=0.0)


def report_with(**values):
    return report_of_run(job_with(**values), run_with(), TABLES, baseline())


class TestEncrypted:
    def test_every_key(self):
        report = json.loads(report_with().model_dump_json())
        assert set(report) == KEYS
        assert set(report["plaintext"]) == PLAINTEXT_KEYS
        assert set(report["agreement"]) == {"max_centroid_error", "label_agreement", "adjusted_rand"}
        assert set(report["timing"]) == {"total_s", "per_iteration_s"}
        assert set(report["scaling"]) == {"method", "lower", "upper"}
        assert set(report["communication"]) == {"a", "b", "dealer"}
        assert all(set(sent) == {"rounds", "bytes_sent"} for sent in report["communication"].values())
        assert all(set(entry) == {"what", "to", "iteration"} for entry in report["ledger"])

    def test_every_value(self):
        report = json.loads(report_with().model_dump_json())
        del report["plaintext"], report["agreement"]
        assert report == {
            "version": 1,
            "protocol": "shk",
            "engine": "secure",
            "parties": ["a", "b"],
            "columns": ["x", "y"],
            "n_samples": {"a": 3, "b": 2},
            "n_features": 2,
            "n_clusters": 2,
            "init": "farthest",
            "n_init": 3,
            "max_iter": 100,
            "tol": 1e-8,
            "seed": 5,
            "scaling": {"method": "uniform", "lower": [0.0, 0.0], "upper": [4.0, 4.0]},
            "precision_bits": 24,
            "best_restart": 1,
            "n_iter": 2,
            "converged": True,
            "cluster_centers": [[4.0, 1.5], [1.0, 1.53125]],
            "cluster_names": None,
            "counts": [2, 3],
            "counts_by_iteration": [[1, 4], [2, 3]],
            "inertia": 1.0009765625,
            "mean_distance": None,
            "timing": {"total_s": 3.5, "per_iteration_s": 0.5},
            "communication": {
                "a": {"rounds": 9, "bytes_sent": 90},
                "b": {"rounds": 8, "bytes_sent": 80},
                "dealer": {"rounds": 7, "bytes_sent": 70},
            },
            "ledger": [
                {"what": "number of rows of each party", "to": "all", "iteration": None},
                {"what": "stop bit", "to": "all", "iteration": 1},
                {"what": "labels of its own rows", "to": "a", "iteration": None},
            ],
        }

    def test_plaintext_and_agreement(self):
        report = report_with()
        # All of it is exact: multiples of 1/2, a range of 4.
        part = report.plaintext
        assert part.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert part.counts == [3, 2]
        assert part.inertia == 1.0
        assert part.mean_distance == pytest.approx(1 / 3 + 1 / 2, rel=1e-15)
        assert (part.n_iter, part.converged) == (2, True)
        assert part.counts_by_iteration == [[3, 2], [3, 2]]
        assert part.inertia_by_iteration == [0 + 1 + 0.25 + 1 + 0, 1.0]
        assert part.inertia_in_double_precision == 1.0
        assert report.agreement.model_dump() == {
            "max_centroid_error": 0.03125 / 4,
            "label_agreement": 1.0,
            "adjusted_rand": 1.0,
        }

    def test_without_a_baseline(self):
        report = report_of_run(job_with(), run_with(), TABLES, None)
        assert report.plaintext is None
        assert report.agreement is None
        assert set(json.loads(report.model_dump_json())) == KEYS

    def test_a_given_start_has_no_restarts(self):
        report = report_with(centroids=((1.0, 1.0), (4.0, 2.0)), init="random")
        assert (report.init, report.n_init) == ("given", 1)

    def test_what_was_not_revealed_is_null(self):
        report = report_of_run(job_with(), run_with(inertia=None, seed=None, mean_distance=2.5), TABLES, None)
        assert (report.inertia, report.seed, report.mean_distance) == (None, None, 2.5)

    def test_segments_of_the_mall(self):
        centers = [[55.0, 50.0], [87.0, 82.0], [88.0, 17.0], [26.0, 79.0], [26.0, 21.0]]
        sizes = {"centroids": centers, "sizes": [1] * 5, "sizes_by_iteration": [[1] * 5]}
        job = job_with(columns=mall.COLUMNS, n_clusters=5, scaling=Scaling.of(lower=(0.0, 0.0), upper=(150.0, 100.0)))
        report = report_of_run(job, run_with(**sizes), TABLES, None)
        assert report.cluster_names == ["General", "Target", "Miser", "Spendthrift", "Careful"]


class TestPlaintextAlone:
    def report(self, **values):
        job = job_with(protocol="plaintext", engine="numpy", **values)
        return report_of_plaintext(job, TABLES, baseline(), seed=77, number=2, total_s=0.5)

    def test_every_key(self):
        assert set(json.loads(self.report().model_dump_json())) == KEYS

    def test_nothing_is_sent_or_disclosed(self):
        report = self.report()
        assert (report.protocol, report.engine) == ("plaintext", "numpy")
        assert (report.plaintext, report.agreement, report.communication, report.ledger) == (None, None, {}, [])

    def test_values(self):
        report = self.report()
        assert report.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert report.counts == [3, 2]
        assert report.inertia == 1.0
        assert report.n_samples == {"a": 3, "b": 2}
        assert (report.seed, report.best_restart) == (77, 2)
        assert report.timing.model_dump() == {"total_s": 0.5, "per_iteration_s": 0.25}

    def test_a_given_start_needs_no_seed(self):
        assert self.report(centroids=((1.0, 1.0), (4.0, 2.0))).seed is None

    def test_part_is_in_original_units_where_columns_are_weighted(self):
        scaling = Scaling.of(method="minmax", lower=(0.0, 0.0), upper=(4.0, 2.0))
        rows = scaling.apply(np.concatenate([table.rows for table in TABLES]))
        part = plaintext_part(job_with(scaling=scaling), TABLES, lloyd(rows, rows[[0, 4]], max_iter=9, tol=0.0))
        assert part.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert part.inertia == 1.0
        assert part.inertia_by_iteration == [2.25, 1.0]


class TestLoading:
    @pytest.mark.parametrize("report", [report_with(), TestPlaintextAlone().report()], ids=["encrypted", "plaintext"])
    def test_round_trip(self, tmp_path, report):
        path = tmp_path / "report.json"
        path.write_text(report.model_dump_json(), encoding="utf-8")
        assert Report.load(path) == report
        assert Report.load(str(path)).model_dump_json() == report.model_dump_json()

    @pytest.mark.parametrize(
        "change", [{"version": 2}, {"secret": 1}, {"protocol": "smo07"}, {"converged": None}, {"timing": {}}]
    )
    def test_refuses_another_layout(self, tmp_path, change):
        path = tmp_path / "report.json"
        path.write_text(json.dumps(json.loads(report_with().model_dump_json()) | change), encoding="utf-8")
        with pytest.raises(ValidationError, match=next(iter(change))):
            Report.load(path)

    def test_refuses_a_report_that_lacks_a_key(self, tmp_path):
        path = tmp_path / "report.json"
        whole = json.loads(report_with().model_dump_json())
        for key in KEYS - {"version"}:
            path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
            with pytest.raises(ValidationError, match=key):
                Report.load(path)

    def test_cannot_be_changed(self):
        report = report_with()
        with pytest.raises(ValidationError, match="frozen"):
            report.inertia = 0.0


LABELS = {"a": [1, 1, 1], "b": [0, 0]}
FILES = ["centroids.csv", "labels_a.csv", "labels_b.csv", "report.json"]


def names_in(path):
    return sorted(file.name for file in path.iterdir())


class TestResultsFolder:
    def test_nothing_appears_before_publish(self, tmp_path):
        target = tmp_path / "deep" / "results"
        with ResultsFolder(target) as folder:
            folder.write_tables(report_with(), LABELS)
            assert names_in(target) == [folder.aside.name]
            assert folder.aside.name.startswith(".")
            files = folder.publish()
        assert files == [target / name for name in FILES]
        assert names_in(target) == FILES

    def test_the_report_comes_last(self, tmp_path):
        with ResultsFolder(tmp_path) as folder:
            folder.write_tables(report_with(), LABELS)
            (folder.aside / "zebra.png").write_bytes(b"")
            assert folder.publish()[-1] == tmp_path / "report.json"

    def test_an_exception_leaves_no_file(self, tmp_path):
        def fail():
            with ResultsFolder(tmp_path) as folder:
                folder.write_tables(report_with(), LABELS)
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            fail()
        assert names_in(tmp_path) == []

    def test_an_exception_keeps_the_files_of_the_run_before(self, tmp_path):
        (tmp_path / "report.json").write_text("before")

        def fail():
            with ResultsFolder(tmp_path) as folder:
                folder.write_tables(report_with(), LABELS)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert names_in(tmp_path) == ["report.json"]
        assert (tmp_path / "report.json").read_text() == "before"

    def test_files_of_the_same_names_are_replaced(self, tmp_path):
        (tmp_path / "report.json").write_text("before")
        (tmp_path / "notes.txt").write_text("mine")
        with ResultsFolder(tmp_path) as folder:
            folder.write_tables(report_with(), LABELS)
            folder.publish()
        assert Report.load(tmp_path / "report.json").version == 1
        assert (tmp_path / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("below", [".", "results"])
    def test_a_file_in_the_way(self, tmp_path, below):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="file"):
            ResultsFolder(tmp_path / "file" / below)

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            ResultsFolder(tmp_path)

    def test_centroids_can_be_read_back(self, tmp_path):
        third = 1 / 3
        columns = ("income, yearly", 'score "1-100"')
        run = run_with(centroids=[[third, 1e-17], [-2.5, 1e17]])
        report = report_of_run(job_with(columns=columns), run, TABLES, None)
        with ResultsFolder(tmp_path) as folder:
            folder.write_tables(report, {})
            folder.publish()
        frame = pd.read_csv(tmp_path / "centroids.csv")
        assert list(frame.columns) == ["cluster", "name", "size", *columns]
        assert frame["cluster"].tolist() == [0, 1]
        assert frame["name"].isna().all()
        assert frame["size"].tolist() == [2, 3]
        assert frame[list(columns)].to_numpy().tolist() == [[third, 1e-17], [-2.5, 1e17]]

    def test_labels_can_be_read_back(self, tmp_path):
        with ResultsFolder(tmp_path) as folder:
            folder.write_tables(report_with(), {"a": [1, 0, 1], "b": []})
            folder.publish()
        frame = pd.read_csv(tmp_path / "labels_a.csv")
        assert frame.to_dict("list") == {"row": [1, 2, 3], "cluster": [1, 0, 1]}
        assert (tmp_path / "labels_b.csv").read_bytes() == b"row,cluster\n"
