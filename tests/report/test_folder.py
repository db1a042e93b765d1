import json
import os
import stat
from pathlib import Path

import pandas as pd
import pytest

from secure_kmeans.report import Report
from secure_kmeans.report.folder import ResultsFolder
from tests.report.examples import LABELS, report_with

FILES = ["labels_a.csv", "labels_b.csv", "report.json"]


def names_in(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def fill(folder: ResultsFolder) -> None:
    folder.write_report(report_with())
    folder.write_labels(LABELS)


class TestPublishing:
    def test_nothing_appears_before(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "results"
        with ResultsFolder(target) as folder:
            fill(folder)
            assert names_in(target) == [folder.aside.name]
            assert folder.aside.name.startswith(".")
            files = folder.publish()
        assert files == [target / name for name in FILES]
        assert names_in(target) == FILES

    def test_the_report_comes_last(self, tmp_path: Path) -> None:
        with ResultsFolder(tmp_path) as folder:
            fill(folder)
            (folder.aside / "zebra.png").write_bytes(b"")
            assert folder.publish()[-1] == tmp_path / "report.json"

    def test_files_of_the_same_names_are_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "report.json").write_text("before")
        (tmp_path / "notes.txt").write_text("mine")
        with ResultsFolder(tmp_path) as folder:
            fill(folder)
            folder.publish()
        assert Report.load(tmp_path / "report.json").version == 3
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_the_report_can_be_written_again(self, tmp_path: Path) -> None:
        with ResultsFolder(tmp_path) as folder:
            folder.write_report(report_with().model_copy(update={"session": None}))
            folder.write_report(report_with())
            folder.publish()
        assert Report.load(tmp_path / "report.json").session == "0a" * 16


class TestLabelsOfAnEarlierRun:
    def publish_over(self, folder: Path, earlier: str) -> list[str]:
        (folder / "report.json").write_text(earlier)
        (folder / "labels_c.csv").write_text("of another party")
        with ResultsFolder(folder) as results:
            fill(results)
            results.publish()
        return names_in(folder)

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_are_removed_with_a_report_of_any_version(self, tmp_path: Path, version: int) -> None:
        earlier = json.dumps({"version": version, "n_samples": {"c": 7, "a": 2}})
        assert self.publish_over(tmp_path, earlier) == FILES

    @pytest.mark.parametrize(
        "earlier",
        [
            "before",
            "[]",
            "{}",
            '{"version": 4, "n_samples": {"c": 7}}',
            '{"version": 3, "n_samples": ["c"]}',
            '{"version": 3, "n_samples": {"d": 7}}',
            "[" * 10**5,
        ],
        ids=["text", "list", "empty", "later version", "no sizes", "another party", "deep"],
    )
    def test_stay_where_no_report_names_their_party(self, tmp_path: Path, earlier: str) -> None:
        assert self.publish_over(tmp_path, earlier) == [FILES[0], FILES[1], "labels_c.csv", FILES[2]]

    def test_stay_where_no_report_replaces_theirs(self, tmp_path: Path) -> None:
        (tmp_path / "report.json").write_text(json.dumps({"version": 3, "n_samples": {"c": 7}}))
        (tmp_path / "labels_c.csv").write_text("of the run")
        with ResultsFolder(tmp_path) as results:
            results.write_labels({"new": [1, 0]})
            assert [file.name for file in results.publish()] == ["labels_new.csv"]
        assert names_in(tmp_path) == ["labels_c.csv", "labels_new.csv", "report.json"]

    def test_no_report_leads_out_of_the_folder(self, tmp_path: Path) -> None:
        results = tmp_path / "results"
        (results / "labels_").mkdir(parents=True)
        (tmp_path / "precious.csv").write_text("mine")
        self.publish_over(results, json.dumps({"version": 3, "n_samples": {"/../../precious": 1}}))
        assert (tmp_path / "precious.csv").read_text() == "mine"


class TestOtherTexts:
    def test_a_text_is_published_with_the_rest(self, tmp_path: Path) -> None:
        with ResultsFolder(tmp_path) as results:
            results.write_text("job-predict.toml", "model = 1\n")
            assert names_in(tmp_path) == [results.aside.name]
            results.publish()
        assert (tmp_path / "job-predict.toml").read_text() == "model = 1\n"

    def test_one_of_an_earlier_run_goes_when_the_others_are_published(self, tmp_path: Path) -> None:
        earlier, folder = tmp_path / "job-predict.toml", tmp_path / "a-folder-predict.toml"
        earlier.write_text("of an earlier run")
        folder.mkdir()
        with ResultsFolder(tmp_path) as results:
            for path in (earlier, folder, tmp_path / "none"):
                results.forget(path.name)
            fill(results)
            assert earlier.exists()
            results.publish()
        assert not earlier.exists()
        assert folder.exists()  # it is no file of a run


class TestFailing:
    def test_an_exception_leaves_no_file(self, tmp_path: Path) -> None:
        def fail() -> None:
            with ResultsFolder(tmp_path) as folder:
                fill(folder)
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            fail()
        assert names_in(tmp_path) == []

    def test_folders_that_were_made_for_nothing_go(self, tmp_path: Path) -> None:
        with ResultsFolder(tmp_path / "deep" / "results"):
            pass
        assert names_in(tmp_path) == []

    def test_an_exception_keeps_the_files_of_the_run_before(self, tmp_path: Path) -> None:
        (tmp_path / "report.json").write_text("before")

        def fail() -> None:
            with ResultsFolder(tmp_path) as folder:
                fill(folder)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert names_in(tmp_path) == ["report.json"]
        assert (tmp_path / "report.json").read_text() == "before"

    @pytest.mark.parametrize("below", [".", "results"])
    def test_a_file_in_the_way(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="file"):
            ResultsFolder(tmp_path / "file" / below)

    def test_a_full_disk_is_named_before_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No space left on device") as caught:
            ResultsFolder(tmp_path, needed=1 << 62)
        assert caught.value.filename == str(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            ResultsFolder(tmp_path)


def test_labels_can_be_read_back(tmp_path: Path) -> None:
    with ResultsFolder(tmp_path) as folder:
        folder.write_labels({"a": [1, 0, 1], "b": []})
        folder.publish()
    frame = pd.read_csv(tmp_path / "labels_a.csv")
    assert frame.to_dict("list") == {"row": [1, 2, 3], "cluster": [1, 0, 1]}
    assert (tmp_path / "labels_b.csv").read_bytes() == b"row,cluster\n"


class TestModes:
    def test_only_the_owner_may_read_the_results(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            (tmp_path / "results").mkdir(mode=0o755)
            target = tmp_path / "results" / "job" / "a"
            with ResultsFolder(target) as folder:
                fill(folder)
                (folder.aside / "clusters.png").write_bytes(b"drawn by somebody else")
                assert stat.S_IMODE(folder.aside.stat().st_mode) == 0o700
                files = folder.publish()
        finally:
            os.umask(before)
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (target, target.parent, tmp_path / "results")]
        assert modes == [0o700, 0o700, 0o755]  # a folder that was there keeps its mode
