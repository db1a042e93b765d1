"""One role, up to the moment at which it would meet the others."""

from pathlib import Path

import pytest
from roles_apart import prepare

from secure_kmeans.app import commands
from secure_kmeans.app.commands import Announcement, RoleFiles
from secure_kmeans.app.consent import text_of
from secure_kmeans.errors import ConsentError, JobError
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.roles.history import USUAL, History
from secure_kmeans.tables import read_table
from tests.app.conftest import Call, Mistake, folded, names_in

LAB = ("job.toml", "--party", "lab", "--identity", "lab", "--table", "lab.csv", "--log", "log.txt")
FILES = RoleFiles(table=Path("lab.csv"), identity=Path("lab"))


@pytest.fixture(autouse=True)
def _prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _own_folder: None) -> None:
    prepare(tmp_path)
    text = Path("job.toml").read_text()
    Path("job.toml").write_text(f'purpose = "A [new] ward :hospital:"\ncontact = "the desk"\n{text}')

    def meet(*_: object) -> None:
        raise AssertionError("nothing may be sent")

    monkeypatch.setattr("secure_kmeans.net.meeting.meet", meet)


def announced(files: RoleFiles = FILES) -> Announcement:
    """What is announced, before a refusal ends the command."""
    found: list[Announcement] = []

    def refuse(announcement: Announcement) -> None:
        found.append(announcement)
        raise ConsentError("no")

    with pytest.raises(ConsentError, match="no"):
        commands.take_part(Path("job.toml"), "lab", files, announce=refuse)
    return found[0]


def take_part_earlier(path: Path = USUAL) -> None:
    """Note an earlier run of the same job with a table that has one row less."""
    lines = Path("lab.csv").read_text().splitlines(keepends=True)
    Path("earlier.csv").write_text("".join(lines[:-1]))
    with History(path) as history:
        history.record(read_job(Path("job.toml")), "lab", read_table(Path("earlier.csv")), bytes(32))


class TestConsent:
    def test_without_a_terminal_nothing_is_sent_and_nothing_is_left(self, call: Call, tmp_path: Path) -> None:
        before = names_in(tmp_path)
        status, out, error = call("launcher.py", *LAB)
        assert status == 2
        assert error.startswith("launcher.py: nobody can be asked, because this is no terminal; nothing was sent.")
        text = folded(out)
        for disclosure in protocol_of("shk").disclosures(read_job(Path("job.toml"))):
            assert disclosure.what in text
        assert names_in(tmp_path) == sorted([*before, "log.txt"])

    def test_what_the_list_lacks_is_named(self, call: Call) -> None:
        disclosures = protocol_of("shk").disclosures(read_job(Path("job.toml")))
        listed = [text_of(each) for each in disclosures if each.what != "inertia"]
        Path("accept.toml").write_text(f"accept = {listed}")
        status, _, error = call("launcher.py", *LAB, "--accept", "accept.toml")
        assert status == 2
        assert error == (
            "launcher.py: accept.toml: the job would disclose what is not accepted there: "
            '"inertia to all parties"; nothing was sent\n'
        )

    @pytest.mark.parametrize("options", [("--yes",), ("--accept", "accept.toml")])
    def test_who_agrees_goes_on_to_meet(self, call: Call, options: tuple[str, ...]) -> None:
        disclosures = protocol_of("shk").disclosures(read_job(Path("job.toml")))
        Path("accept.toml").write_text(f"accept = {[each.what for each in disclosures]}")
        status, _, error = call("launcher.py", *LAB, *options)
        assert status == 1
        assert "AssertionError in test_taking_part.py" in error

    def test_two_answers(self, mistake: Mistake) -> None:
        said = mistake("launcher.py", *LAB, "--yes", "--accept", "accept.toml")
        assert said == "--yes agrees to all, and --accept to what a file lists: give one of them"

    @pytest.mark.parametrize("option", [("--yes",), ("--accept", "x.toml"), ("--history", "x.json")])
    def test_a_rehearsal_asks_nobody(self, mistake: Mistake, option: tuple[str, ...]) -> None:
        assert mistake("launcher.py", "job.toml", *option) == f"{option[0]} is for one role: name it with --party"

    def test_a_function_announces_and_asks_nobody_by_itself(self) -> None:
        announcement = announced()
        assert announcement.job.purpose == "A [new] ward :hospital:"
        assert announcement.advice == ()


class TestPurpose:
    def test_it_is_shown_before_a_run_and_by_a_check(self, call: Call) -> None:
        for arguments in (LAB, ("check", "job.toml", "--table", "lab.csv")):
            _, out, _ = call("launcher.py", *arguments)
            assert "purpose  A [new] ward :hospital:\ncontact  the desk\n" in out

    def test_a_job_without(self, call: Call) -> None:
        text = Path("job.toml").read_text()
        Path("job.toml").write_text(text.split("\n", 2)[2])
        _, out, _ = call("launcher.py", "check", "job.toml", "--table", "lab.csv")
        assert "purpose" not in out
        assert "contact" not in out


class TestHistory:
    def test_a_table_that_took_part_before_but_for_one_row(self, call: Call) -> None:
        take_part_earlier()
        (advice,) = announced().advice
        assert advice.startswith("a table that differs from this one in 1 row took part on ")
        for arguments in (LAB, ("check", "job.toml", "--party", "lab", "--table", "lab.csv")):
            _, out, _ = call("launcher.py", *arguments)
            assert "consider a table that differs from this one in 1 row" in out
            assert "can be subtracted" in out

    def test_it_may_be_elsewhere(self, call: Call) -> None:
        take_part_earlier(Path("own/runs.json"))
        assert announced().advice == ()
        elsewhere = RoleFiles(table=FILES.table, identity=FILES.identity, history=Path("own/runs.json"))
        assert len(announced(elsewhere).advice) == 1
        _, out, _ = call("launcher.py", "check", "job.toml", "--table", "lab.csv", "--history", "own/runs.json")
        assert "differs from this one in 1 row" in out

    def test_a_run_that_disclosed_nothing_is_not_on_the_list(self) -> None:
        announced()
        assert not Path("state").exists()

    def test_a_history_that_others_may_read_is_refused_before_anything_is_sent(self, mistake: Mistake) -> None:
        take_part_earlier()
        USUAL.chmod(0o644)
        assert mistake("launcher.py", *LAB, "--yes").startswith("state/history.json: others may read this history")

    def test_a_helper_has_none_and_reads_no_table(self) -> None:
        with pytest.raises(JobError, match='"dealer" is no party and has no use for a history'):
            commands.take_part(Path("job.toml"), "dealer", RoleFiles(identity=Path("dealer"), history=USUAL))
        with pytest.raises(JobError, match='"dealer" is no party and has no use for chunks of a table'):
            commands.take_part(Path("job.toml"), "dealer", RoleFiles(identity=Path("dealer"), chunk_rows=5))
