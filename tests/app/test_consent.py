import re
import sys
from pathlib import Path

import pytest

from secure_kmeans.app.commands import Announcement
from secure_kmeans.app.consent import check_against, check_consent, read_accepted, text_of
from secure_kmeans.errors import ConsentError
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.protocols import protocol_of, read_job
from tests.documents import ROOT
from tests.report.examples import job_with

ROWS = Disclosure("number of rows", ALL, When.BEFORE)
ROWS_TO_DEALER = Disclosure("number of rows", "dealer", When.BEFORE)
LABELS = Disclosure("labels", OWNER, When.END)
ANNOUNCED = Announcement(job_with(), (ROWS, ROWS_TO_DEALER, LABELS))


def listed(text: str) -> Path:
    path = Path("accept.toml")
    path.write_text(text)
    return path


def refusal(*, yes: bool = False, accepted: Path | None = None) -> str:
    with pytest.raises(ConsentError) as caught:
        check_consent(ANNOUNCED, yes=yes, accepted=accepted)
    return str(caught.value)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A terminal, and the questions that it showed; each is answered as click reads it."""
    questions: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    return questions


class TestAsking:
    @pytest.mark.parametrize("agreed", [True, False])
    def test_a_person_on_a_terminal_is_asked_and_no_is_the_default(
        self, terminal: list[str], monkeypatch: pytest.MonkeyPatch, agreed: bool
    ) -> None:
        def confirm(question: str, *, default: bool, err: bool) -> bool:
            terminal.append(question)
            assert not default
            assert err  # standard output may go to a file
            return agreed

        monkeypatch.setattr("click.confirm", confirm)
        if agreed:
            check_consent(ANNOUNCED, yes=False, accepted=None)
        else:
            assert refusal() == "you did not agree; nothing was sent"
        assert terminal == ["Take part, and disclose this?"]

    def test_nobody_is_asked_with_either_option(self, terminal: list[str]) -> None:
        check_consent(ANNOUNCED, yes=True, accepted=None)
        check_consent(ANNOUNCED, yes=False, accepted=listed('accept = ["number of rows", "labels"]'))
        assert terminal == []

    @pytest.mark.parametrize("stream", ["stdin", "stdout"])
    def test_without_a_terminal_it_is_refused(
        self, terminal: list[str], monkeypatch: pytest.MonkeyPatch, stream: str
    ) -> None:
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: False, raising=False)
        said = refusal()
        assert said.startswith("nobody can be asked, because this is no terminal; nothing was sent.")
        assert "by --yes, or by --accept FILE" in said


class TestList:
    @pytest.mark.parametrize(
        "texts",
        [
            '"number of rows", "labels"',
            '"number of rows to all parties", "number of rows to dealer", "labels to each party"',
            '"labels", "number of rows", "labels", "something that no job discloses"',
        ],
    )
    def test_all_is_accepted(self, texts: str) -> None:
        check_consent(ANNOUNCED, yes=False, accepted=listed(f"accept = [{texts}]"))

    @pytest.mark.parametrize(
        ("texts", "missing"),
        [
            ("", '"number of rows to all parties", "number of rows to dealer", "labels to each party"'),
            ('"labels"', '"number of rows to all parties", "number of rows to dealer"'),
            ('"labels", "number of rows to all parties"', '"number of rows to dealer"'),
            ('"number of rows", "Labels"', '"labels to each party"'),
        ],
    )
    def test_what_is_missing_is_named(self, texts: str, missing: str) -> None:
        assert refusal(accepted=listed(f"accept = [{texts}]")) == (
            f"accept.toml: the job would disclose what is not accepted there: {missing}; nothing was sent"
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the file needs the key accept, a list of texts, and no other"),
            ("accept = 1", "the file needs the key accept"),
            ("accept = [1]", "the file needs the key accept"),
            ('accept = ["a"]\nsecret = 1', "the file needs the key accept"),
            ("accept", "this is no TOML"),
        ],
    )
    def test_a_file_that_is_no_list(self, text: str, message: str) -> None:
        assert refusal(accepted=listed(text)).startswith(f"accept.toml: {message}")

    def test_a_file_that_is_not_there(self) -> None:
        assert refusal(accepted=Path("none.toml")) == "none.toml: No such file or directory"

    def test_the_list_in_the_documentation_accepts_the_example(self) -> None:
        text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
        (block,) = re.findall(r"```\n(accept = .*?)```", text, flags=re.DOTALL)
        disclosures = protocol_of("shk").disclosures(read_job(ROOT / "data" / "two_malls" / "job.toml"))
        path = listed(block)
        check_against(path, disclosures)
        whats = {each.what for each in disclosures} | {text_of(each) for each in disclosures}
        assert read_accepted(path) <= whats

    def test_every_disclosure_of_a_job_can_be_listed(self) -> None:
        disclosures = protocol_of("shk").disclosures(job_with())
        texts = ", ".join(f'"{text_of(each)}"' for each in disclosures)
        path = listed(f"accept = [{texts}]")
        check_against(path, disclosures)
        assert read_accepted(path) == {text_of(each) for each in disclosures}
