"""Commands whose tables are read in chunks, up to the start of the roles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.app import commands
from secure_kmeans.app.commands import RoleFiles
from secure_kmeans.chunked_tables import ChunkedTable
from secure_kmeans.errors import DataError
from secure_kmeans.job import Job
from secure_kmeans.tables import Table
from tests.app.conftest import Mistake

NAMES = ("north", "south", "west")
JOB = """
protocol = "{protocol}"
columns = ["x", "y"]
n_clusters = 2
scaling = {{ lower = [0, 0], upper = [9, 9] }}
parties = [{{ name = "north" }}, {{ name = "south" }}, {{ name = "west" }}]
"""


class StartError(Exception):
    """The roles would be started now."""


@pytest.fixture(autouse=True)
def _files(_own_folder: None) -> None:
    for protocol in ("smo07", "shk"):
        Path(f"{protocol}.toml").write_text(JOB.format(protocol=protocol))
    for number, name in enumerate(NAMES):
        Path(f"{name}.csv").write_text("y,x,note\n" + f"{number},2,a\n3,4,b\n5,6.5,c\n")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Job, Sequence[Table]]]:
    """The job and the tables of the roles that would be started."""
    found: list[tuple[Job, Sequence[Table]]] = []

    def run_local(job: Job, tables: Sequence[Table], *_: object, **__: object) -> None:
        found.append((job, tables))
        raise StartError

    monkeypatch.setattr("secure_kmeans.roles.local.run_local", run_local)
    return found


def test_a_rehearsal_of_a_job_file(started: list[tuple[Job, Sequence[Table]]]) -> None:
    seen: list[tuple[Any, ...]] = []
    with pytest.raises(StartError):
        commands.rehearse(
            Path("smo07.toml"), files=RoleFiles(chunk_rows=2), progress=lambda *progress: seen.append(progress)
        )
    ((job, tables),) = started
    assert all(isinstance(table, ChunkedTable) for table in tables)
    assert [[block.tolist() for block in table.blocks()] for table in tables][2] == [[[2, 2], [4, 3]], [[6.5, 5]]]
    assert set(seen) == {("reading", 3, 3)}
    assert getattr(job, "seed", 0) is None, "there is no run in the clear that would have to begin in the same places"


def test_a_check_finds_the_same_as_in_memory() -> None:
    in_chunks, whole = (
        commands.check(Path("smo07.toml"), "north", RoleFiles(table=Path("north.csv"), chunk_rows=chunk_rows))
        for chunk_rows in (2, None)
    )
    assert in_chunks == whole
    Path("north.csv").write_text("x,y\n1,2\n3,4\n5,10\n")
    said = []
    for chunk_rows in (2, None):
        with pytest.raises(DataError) as caught:
            commands.check(Path("smo07.toml"), "north", RoleFiles(table=Path("north.csv"), chunk_rows=chunk_rows))
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert 'column "y", row 3' in said[0]


def test_advice_on_digits_is_that_of_the_rows() -> None:
    rows = "".join(f"1.00000{number},1\n" for number in range(9))
    Path("north.csv").write_text(f"x,y\n{rows}")
    job = Path("smo07.toml").read_text().replace("[9, 9]", "[1e7, 1e7]").replace("[0, 0]", "[-1e7, -1e7]")
    Path("smo07.toml").write_text(job)
    advised = [
        commands.check(Path("smo07.toml"), "north", RoleFiles(table=Path("north.csv"), chunk_rows=chunk_rows)).advice
        for chunk_rows in (2, None)
    ]
    assert advised[0] == advised[1]
    assert "columns that lose most of their values in the fixed point: x" in advised[0][0]


@pytest.mark.parametrize(
    "arguments", [("shk.toml",), ("check", "shk.toml", "--party", "north", "--table", "north.csv")]
)
def test_another_protocol_is_refused_by_name(mistake: Mistake, arguments: tuple[str, ...]) -> None:
    said = mistake("launcher.py", *arguments, "--chunk-rows", 5)
    assert said == "--chunk-rows: the protocol shk reads tables whole; leave it out"
