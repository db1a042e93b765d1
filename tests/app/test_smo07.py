"""Options, proposals and what is printed of SMO07."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from secure_kmeans.app import commands, console, summary
from secure_kmeans.app.commands import Announcement, Options, Run
from secure_kmeans.app.inputs import JOBS, USUAL_PARTIES, read_inputs
from secure_kmeans.app.proposal import propose_job, propose_smo07_job
from secure_kmeans.errors import JobError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.result import Progress
from secure_kmeans.protocols import PROTOCOLS
from secure_kmeans.protocols.smo07 import Smo07Job
from secure_kmeans.report.sections import KMeansReport
from secure_kmeans.tables import Table
from tests.app.conftest import Call, Mistake, folded
from tests.estimators_in_threads import run_in_threads
from tests.protocols.leading import without_protection

SMO07 = ("--protocol", "smo07")
TABLES = [Table(f"{name}.csv", ("x", "y"), np.array(rows)) for name, rows in (("a", [[1.0, 1.0]]), ("b", [[4.0, 2.0]]))]


@pytest.mark.usefixtures("nothing_starts")
class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (
                ("--parties", "2"),
                "--parties: each of two parties can subtract its own rows from what it learns, and so sees the other's "
                "sums in every iteration; take three, or accept that by --accept-two-parties",
            ),
            (
                ("--mode", "aggregate", "--parties", "2"),
                '--mode: "aggregate" needs three parties or more: one of them deals the masks of the others',
            ),
            (
                ("--mode", "aggregate", "--key-bits", "3072"),
                '--key-bits: the mode "aggregate" has no key; leave it out',
            ),
            (
                ("--mode", "aggregate", "--fresh-keys", "run"),
                '--fresh-keys: the mode "aggregate" has no key; leave it out',
            ),
            (("--init", "farthest"), "--init: Input should be 'moments' or 'uniform'"),
            (("--hide-counts",), "--hide-counts: smo07 hides the sizes unless --reveal-sizes is set; leave it out"),
            (("--resolution", "1,1"), "--resolution: smo07 discloses all digits of the centroids; leave it out"),
            (("--engine", "crypten"), "--engine: smo07 has no choice of it; leave it out"),
            (
                ("--hide-labels",),
                "--hide-labels: this is for parties that hold columns; set --protocol to svk, or leave it out",
            ),
            (
                ("--id", "CustomerID"),
                "--id: this is for parties that hold columns; set --protocol to svk, or leave it out",
            ),
        ],
    )
    def test_one_line(self, mistake: Mistake, arguments: tuple[str, ...], says: str) -> None:
        assert mistake("launcher.py", *SMO07, *arguments) == says

    @pytest.mark.parametrize(
        "option",
        [
            ("--mode", "paillier"),
            ("--fresh-keys", "iteration"),
            ("--key-bits", "2048"),
            ("--accept-two-parties",),
            ("--reveal-sizes",),
            ("--reveal-inertia",),
        ],
    )
    @pytest.mark.parametrize("protocol", ["shk", "svk"])
    def test_options_that_other_protocols_lack(self, mistake: Mistake, protocol: str, option: tuple[str, ...]) -> None:
        said = mistake("launcher.py", "--protocol", protocol, *option)
        assert said == f"{option[0]}: this is for the protocol smo07; set --protocol to smo07, or leave it out"

    @pytest.mark.parametrize(("protocol", "parties"), [("shk", 11), ("svk", 20)])
    def test_more_parties_than_the_protocol_takes(self, mistake: Mistake, protocol: str, parties: int) -> None:
        said = mistake("launcher.py", "--protocol", protocol, "--parties", parties)
        assert said == f"--parties: {protocol} takes at most 10 parties, not {parties}"

    @pytest.mark.parametrize("init", ["moments", "uniform"])
    def test_starts_that_other_protocols_lack(self, mistake: Mistake, init: str) -> None:
        said = mistake("launcher.py", "--init", init)
        assert said == "--init: Input should be 'farthest', 'k-means++' or 'random'"

    @pytest.mark.parametrize("arguments", [("--key-bits", "1024"), ("--mode", "clear"), ("--parties", "21")])
    def test_choices(self, mistake: Mistake, arguments: tuple[str, ...]) -> None:
        assert arguments[0] in mistake("launcher.py", *SMO07, *arguments)

    def test_the_encrypted_elbow_needs_another_protocol(self) -> None:
        for protocol in ("smo07", "svk"):
            with pytest.raises(JobError, match=f"protocol: an encrypted elbow shows .* which {protocol} does not"):
                commands.elbow(Options(protocol=protocol))


class TestOptions:
    def test_every_protocol_has_options_and_a_usual_number_of_parties(self) -> None:
        assert set(JOBS) == set(USUAL_PARTIES) == set(PROTOCOLS)
        for name, parties in USUAL_PARTIES.items():
            assert JOBS[name].FEWEST_PARTIES <= parties <= JOBS[name].MOST_PARTIES
            assert JOBS[name].default_of("protocol") == name

    def test_the_defaults_are_those_of_the_job(self) -> None:
        keys = Options(protocol="smo07").clustering_keys(("x",)) | Options(protocol="smo07").job_keys()
        defaults = {key: Smo07Job.default_of(key) for key in keys if key != "scaling"}
        assert keys == defaults | {"scaling": Scaling.default_of("method")}
        assert {"init", "mode", "fresh_keys", "key_bits"} & set(keys) == set()

    def test_what_is_given_reaches_the_job(self) -> None:
        given: dict[str, Any] = {"mode": "paillier", "fresh_keys": "run", "key_bits": 3072, "reveal_sizes": True}
        given |= {"accept_two_parties": True, "reveal_inertia": True}
        keys = Options(protocol="smo07", **given).job_keys()
        assert {key: keys[key] for key in given} == given

    @pytest.mark.parametrize(("parties", "tables"), [(None, 3), (2, 2), (20, 20)])
    def test_a_single_file_is_split(self, parties: int | None, tables: int) -> None:
        assert len(read_inputs(Options(protocol="smo07", parties=parties)).tables) == tables

    @pytest.mark.parametrize("init", ["farthest", "k-means++", "random", "moments", "uniform"])
    @pytest.mark.usefixtures("no_pictures")
    def test_the_run_in_the_clear_takes_every_start(self, init: str) -> None:
        report = commands.cluster_in_the_clear(Options(init=init, seed=0, n_init=20)).report
        assert isinstance(report, KMeansReport)
        assert report.result.init == init
        assert report.result.inertia == pytest.approx(44448.455, abs=1e-3)


class TestProposal:
    def test_a_job_of_tables_whose_rows_belong_together(self) -> None:
        job = propose_smo07_job(TABLES, 2, bounds=((0.0, 0.0), (8.0, 4.0)), accept_two_parties=True, mode="paillier")
        assert job == Smo07Job.of(
            parties=Party.named("party_0", "party_1"),
            columns=("x", "y"),
            n_clusters=2,
            scaling=Scaling.of(lower=(0.0, 0.0), upper=(8.0, 4.0)),
            accept_two_parties=True,
            precision_bits=24,
        )
        assert (job.leader, job.init) == ("party_0", "moments")

    def test_the_same_keys_as_of_shk(self) -> None:
        centroids = np.array([[1, 1], [4, 2]])
        ours = propose_smo07_job(TABLES, 2, accept_two_parties=True, centroids=centroids, tol=0.5)
        theirs = propose_job(TABLES, 2, centroids=centroids, tol=0.5)
        for key in ("parties", "columns", "scaling", "bounds_from_data", "centroids", "tol", "precision_bits"):
            assert getattr(ours, key) == getattr(theirs, key)


@pytest.fixture
def _threads(monkeypatch: pytest.MonkeyPatch, no_pictures: None) -> None:
    """Roles are threads of this process, and protect nobody."""
    del no_pictures

    def run(job: Any, tables: Sequence[Table], progress: Progress | None = None, **_: object) -> Any:
        return run_in_threads(job, tables, progress)

    monkeypatch.setattr("secure_kmeans.roles.local.run_local", run)
    without_protection(monkeypatch)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    made = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=made, width=100, highlight=False))
    return made


def announced_of(**options: Any) -> tuple[Announcement, Run]:
    found: list[Announcement] = []
    run = commands.cluster(Options(protocol="smo07", seed=1, **options), announce=found.append)
    return found[0], run


@pytest.mark.usefixtures("_threads")
class TestPrinted:
    def test_mode_and_leader_stand_before_and_after(self, page: io.StringIO) -> None:
        announcement, run = announced_of(key_bits=3072, n_init=5)
        console.print_announcement(announcement)
        before = folded(page.getvalue())
        page.truncate(0)
        summary.print_run(run)
        for text in (before, folded(page.getvalue())):
            assert (
                "mode paillier: the sums of the clusters are added under the leader's 3072-bit key, a new one" in text
            )
            assert (
                "leader party_0, the first party: learns the sums and sizes of the clusters in each iteration" in text
            )
            assert "dealer" not in text
            assert "None" not in text
        assert "party_0 each iteration of 5 starts sums and sizes of the clusters" in before

    def test_the_mode_aggregate(self, page: io.StringIO) -> None:
        announcement, run = announced_of(mode="aggregate", parties=4)
        console.print_announcement(announcement)
        summary.print_run(run)
        text = folded(page.getvalue())
        assert text.count("mode aggregate: the sums of the clusters are added under masks; no single party learns") == 2
        assert text.count("leader party_0, the first party: divides with party_1, under masks of party_3") == 2
        assert "dealer" not in text

    def test_two_parties_are_told_what_it_means(self, page: io.StringIO) -> None:
        announcement, _ = announced_of(parties=2, accept_two_parties=True, fresh_keys="run")
        console.print_announcement(announcement)
        text = folded(page.getvalue())
        assert "parties two: each can subtract its own rows from what it learns, and so sees the other's sums" in text
        assert "2048-bit key, one for the run" in text

    def test_what_all_parties_learn_of_their_own_stands_once(self, page: io.StringIO) -> None:
        summary.print_run(announced_of(parties=20)[1])
        text = folded(page.getvalue())
        assert text.count("labels of its own rows") == 1
        assert "each party at the end labels of its own rows" in text

    def test_sizes(self, page: io.StringIO) -> None:
        summary.print_run(announced_of()[1])
        assert page.getvalue().count(" hidden ") == 5
        page.truncate(0)
        _, run = announced_of(reveal_sizes=True, min_cluster_size=30)
        summary.print_run(run)
        assert "under 30" in page.getvalue()
        assert "of fewer than 30 rows, and their centroids are not the means of these" in folded(page.getvalue())
        sizes = Path("results/mall_customers/centroids.csv").read_text().splitlines()[1:]
        assert [line.split(",")[2] == "" for line in sizes].count(True) > 1
        assert "withheld" not in page.getvalue().split("What each role learned")[0]

    @pytest.mark.parametrize(
        ("form", "name"),
        [
            ((*SMO07, "--parties", "20", "--n-init", "5"), "--n-init"),
            (("job.toml",), "n_init"),
            (("check", "job.toml", "--table", "a.csv"), "n_init"),
        ],
    )
    def test_advice_names_keys_as_the_form_does(self, call: Call, form: tuple[str, ...], name: str) -> None:
        for party in "abc":
            Path(f"{party}.csv").write_text("x,y\n1,2\n3,4\n")
        parties = "".join(f'[[parties]]\nname = "{party}"\n' for party in "abc")
        keys = 'protocol = "smo07"\nmode = "aggregate"\ncolumns = ["x", "y"]\nn_clusters = 5\nn_init = 2\n'
        Path("job.toml").write_text(f"{keys}scaling = {{ lower = [0, 0], upper = [5, 5] }}\n{parties}")
        status, out, error = call("launcher.py", *form)
        assert (status, error) == (0, "")
        assert f"Use fewer starts ({name})" in folded(out)
        assert not {"\ue000", "\ue001"} & set(out)

    def test_without_a_seed_a_run_alone_says_how_to_repeat_it(self, page: io.StringIO) -> None:
        run = commands.cluster(Options(protocol="smo07"), compare=False)
        summary.print_run(run)
        assert isinstance(run.report, KMeansReport)
        assert f"--seed {run.report.result.seed}" in page.getvalue()
