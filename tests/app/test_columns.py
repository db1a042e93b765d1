"""Options and tables of parties that hold columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.app import cli, commands
from secure_kmeans.app.inputs import Inputs, Options, read_inputs, table_of_job, tables_of_job
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job.toml import to_toml
from secure_kmeans.protocols import protocol_of, read_job
from tests.app.conftest import Mistake, names_in

BANK = "customer,income,balance\n007,1,10\n7,2,20\n08,3,40\n"
SHOP = "customer,visits,income\n08,5,9\n007,6,9\n"
JOB = """\
protocol = "svk"
n_clusters = 1
min_cluster_size = 1
id = "customer"
most_rows = 10

[[parties]]
name = "bank"
columns = ["income", "balance"]

[[parties]]
name = "shop"
columns = ["visits"]

[scaling]
lower = [0, 0, 0]
upper = [50, 50, 50]
"""


@pytest.fixture(autouse=True)
def _tables(_own_folder: None) -> None:
    for name, text in {"bank.csv": BANK, "shop.csv": SHOP, "job.toml": JOB}.items():
        Path(name).write_text(text)


def inputs(*data: str, **options: Any) -> Inputs:
    return read_inputs(Options(data=tuple(map(Path, data)), protocol="svk", **options))


def held(found: Inputs) -> Mapping[str, tuple[str, ...]]:
    return {name: table.columns for name, table in found.tables.items()}


class TestTables:
    def test_one_for_each_party(self) -> None:
        found = inputs("bank.csv", "shop.csv", id=("customer",))
        assert held(found) == {"bank": ("income", "balance"), "shop": ("visits", "income")}
        assert (found.name, found.align) == ("bank+shop", "psi")
        assert found.columns == ("bank.income", "balance", "visits", "shop.income")
        assert [table.ids for table in found.tables.values()] == [("007", "7", "08"), ("08", "007")]

    def test_the_chosen_columns_that_each_has(self) -> None:
        found = inputs("bank.csv", "shop.csv", id=("customer",), columns=("visits", "balance"))
        assert held(found) == {"bank": ("balance",), "shop": ("visits",)}
        assert found.columns == ("balance", "visits")

    def test_parquet(self) -> None:
        pd.read_csv("shop.csv", dtype={"customer": str}).to_parquet("shop.parquet")
        found = inputs("bank.csv", "shop.parquet", id=("customer",), columns=("balance", "visits"))
        assert found.tables["shop"].ids == ("08", "007")

    def test_in_one_order(self) -> None:
        found = inputs("bank.csv", "bank.csv", align="none", columns=("income",))
        assert (found.align, [table.ids for table in found.tables.values()]) == ("none", [None, None])
        assert inputs("bank.csv", "bank.csv", align="order", id=("customer",)).align == "order"

    @pytest.mark.parametrize(
        ("options", "align", "ids"),
        [
            ({"columns": ("income", "balance")}, "none", None),
            ({"id": ("customer",)}, "psi", ("007", "7", "08")),
            ({"id": ("customer",), "align": "order"}, "order", ("007", "7", "08")),
        ],
    )
    def test_one_that_is_split(self, options: dict[str, Any], align: str, ids: tuple[str, ...] | None) -> None:
        found = inputs("bank.csv", **options)
        assert held(found) == {"party_0": ("income",), "party_1": ("balance",)}
        assert (found.name, found.align, found.columns) == ("bank", align, ("income", "balance"))
        assert [table.ids for table in found.tables.values()] == [ids, ids]

    def test_the_mall_customers(self) -> None:
        found = inputs()
        assert held(found) == {"party_0": ("Annual Income (k$)",), "party_1": ("Spending Score (1-100)",)}
        assert (found.align, found.bounds) == ("none", ((0.0, 0.0), (150.0, 100.0)))

    def test_those_of_a_job(self) -> None:
        tables = tables_of_job(read_job("job.toml"), Path("job.toml"), {})
        assert [table.ids for table in tables.values()] == [("007", "7", "08"), ("08", "007")]
        np.testing.assert_array_equal(tables["shop"].rows, [[5], [6]])

    def test_no_rows_have_no_identifiers(self) -> None:
        table = table_of_job(read_job("job.toml"), "bank", None)
        assert (table.ids, table.rows.shape) == ((), (0, 2))


FILES = ("--protocol", "svk", "--data", "bank.csv", "--data", "shop.csv")
NAMED = (*FILES, "--id", "customer")
CLUSTER = (*NAMED, "--clusters", "1", "--min-cluster-size", "1")


@pytest.mark.usefixtures("nothing_starts")
class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (
                FILES,
                "--id: the rows of several tables find each other by a column of identifiers; name it, or set --align "
                "to none where equal rows of all tables are about the same person or thing",
            ),
            ((*FILES, "--align", "order"), "--id: the rows of several tables find each other"),
            ((*FILES, "--id", "client"), 'bank.csv: there is no column "client"; it has "customer", "income", '),
            (
                (*NAMED, "--align", "none"),
                "--id: with --align none no identifier is compared; leave one of the two out",
            ),
            ((*NAMED, "--align", "rows"), "--align"),
            ((*NAMED, "--columns", "age"), '--columns: none of the tables has a column "age"; name columns as in the '),
            ((*NAMED, "--columns", "2"), '--columns: none of the tables has a column "2"'),
            ((*NAMED, "--columns", "balance"), "shop.csv: it has none of the chosen columns; name one of its own"),
            (
                (*NAMED, "--columns", "balance,customer"),
                'bank.csv: column "customer" holds the identifiers; leave it out of the columns to cluster by',
            ),
            ((*NAMED, "--parties", "3"), "--parties: there are 2 files for 3 parties"),
            ((*NAMED, "--clusters", "3"), "shop.csv: 2 rows do not suffice for 3 clusters; use fewer clusters"),
            ((*CLUSTER, "--bounds", "0:9"), "--bounds: there are bounds for 1 column, but 4 to cluster by"),
            (
                (*CLUSTER, "--most-rows", "2"),
                "bank.csv: 3 rows, but the parties agreed on at most 2; agree on more (--most-rows)",
            ),
            ((*CLUSTER, "--align", "order", "--most-rows", "9"), "--most-rows: only align"),
            (
                (*CLUSTER, "--engine", "crypten"),
                "--engine: parties that hold columns have no choice of it; leave it out",
            ),
            (
                (*CLUSTER, "--disclose-labels", "bank"),
                "--disclose-labels: all parties see the labels of each iteration; ",
            ),
            ((*CLUSTER, "--disclose-labels", "bank,,shop"), "write all, nobody, or names of parties"),
            ((*CLUSTER, "--hide-labels", "--disclose-labels", "lab"), "--disclose-labels: name some of the parties"),
            ((*CLUSTER, "--disclose-centroids", "nobody"), "--disclose-centroids: with the labels each party knows"),
            ((*CLUSTER, "--hide-counts"), "--hide-counts: the sizes follow from the labels; set --hide-labels, too"),
            (
                ("--protocol", "svk", "--data", "bank.csv", "--align", "psi"),
                "--id: with --align psi identifiers are compared; name the column that holds them",
            ),
            (
                ("--protocol", "svk", "--data", "bank.csv", "--id", "customer", "--parties", "3"),
                "bank.csv: 2 columns do not suffice for 3 parties; choose more columns, or fewer parties",
            ),
        ],
    )
    def test_one_line(self, mistake: Mistake, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
        assert says in mistake("launcher.py", *arguments)
        assert names_in(tmp_path) == ["bank.csv", "job.toml", "shop.csv"]

    @pytest.mark.parametrize("align", [("--align", "none"), ("--align", "order", "--id", "customer")])
    def test_different_numbers_of_rows(self, mistake: Mistake, align: tuple[str, ...]) -> None:
        said = mistake("launcher.py", *FILES, *align, "--columns", "visits,balance", "--clusters", "1")
        assert said.startswith('"bank" has 3 rows and "shop" 2 rows: ')

    @pytest.mark.parametrize(
        "option",
        [
            ("--id", "customer"),
            ("--align", "none"),
            ("--most-rows", "9"),
            ("--hide-labels",),
            ("--disclose-centroids", "own"),
            ("--disclose-labels", "all"),
        ],
    )
    def test_what_does_not_fit_parties_with_rows(self, mistake: Mistake, option: tuple[str, ...]) -> None:
        remedy = "this is for parties that hold columns; set --protocol to svk, or leave it out"
        assert mistake("launcher.py", *option) == f"{option[0]}: {remedy}"

    @pytest.mark.parametrize(
        ("shop", "says"),
        [
            ("customer,visits\n7,1\nsecret,1\nsecret,2\n", "rows 2 and 3: the identifiers are the same"),
            ("customer,visits\n7,1\n,1\n", "row 2: the identifier is missing"),
            ("customer,visits\n7,1\n secret,1\n", "row 2: there are blanks before or after the identifier"),
        ],
    )
    def test_identifiers(self, mistake: Mistake, shop: str, says: str) -> None:
        Path("shop.csv").write_text(shop)
        said = mistake("launcher.py", *CLUSTER)
        assert said.startswith(f'shop.csv: column "customer", {says}')
        assert "secret" not in said
        assert says in mistake("launcher.py", "check", "job.toml", "--party", "shop", "--table", "shop.csv")
        assert says in mistake("launcher.py", "job.toml")


class TestOptions:
    def test_they_reach_the_job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        jobs = []

        def noted(job: Any, *_: object, **__: object) -> None:
            jobs.append(job)
            raise JobError("noted")

        monkeypatch.setattr("secure_kmeans.roles.local.run_local", noted)
        given = (*CLUSTER, "--hide-labels", "--disclose-labels", "shop", "--disclose-centroids", "all", "--tol", "0.5")
        params = cli.tables.make_context("program", list(given)).params
        options = Options(**{name: value for name, value in params.items() if name in Options.__dataclass_fields__})
        with pytest.raises(JobError, match="noted"):
            commands.cluster(options, compare=False)
        (job,) = jobs
        assert (job.protocol, job.align, job.id, job.hide_labels, job.tol) == ("svk", "psi", "customer", True, 0.5)
        assert (job.disclose.labels, job.disclose.centroids) == (("shop",), "all")
        assert [party.most_rows for party in job.parties] == [3, 2]

    def test_a_start_from_a_file_of_all_columns(self) -> None:
        Path("start.csv").write_text("visits,balance,bank.income,shop.income\n1,2,3,4\n")
        found = inputs("bank.csv", "shop.csv", id=("customer",))
        keys = Options(init="start.csv", clusters=1).clustering_keys(found.columns)
        assert keys["centroids"].tolist() == [[3.0, 2.0, 1.0, 4.0]]


class TestCheck:
    def test_the_rows_have_identifiers(self) -> None:
        found = commands.check(Path("job.toml"), "bank", commands.RoleFiles(table=Path("bank.csv")))
        assert found.findings[-1] == "bank.csv: 3 rows with identifiers, 2 columns, which fit the job"

    def test_a_table_without_the_column_of_identifiers(self) -> None:
        Path("bank.csv").write_text("income,balance\n1,2\n")
        with pytest.raises(DataError, match=r'^bank\.csv: there is no column "customer"; it has "income", "balance"'):
            commands.check(Path("job.toml"), "bank", commands.RoleFiles(table=Path("bank.csv")))

    def test_nobody_checks_the_order(self) -> None:
        text = JOB.replace('id = "customer"\nmost_rows = 10\n', 'align = "none"\n')
        Path("job.toml").write_text(text)
        found = commands.check(Path("job.toml"), "bank", commands.RoleFiles(table=Path("bank.csv")))
        assert len([line for line in found.advice if "nobody checks" in line]) == 1
        assert found.findings[-1] == "bank.csv: 3 rows, 2 columns, which fit the job"


class TestPrediction:
    @pytest.fixture(autouse=True)
    def _job(self) -> None:
        job: Any = read_job("job.toml")
        Path("job-predict.toml").write_text(to_toml(job.prediction("0a" * 32)))

    def test_every_party_needs_a_table(self) -> None:
        Path("shop.csv").unlink()
        with pytest.raises(DataError, match=r'^shop\.csv: there is no such file; name the table of "shop"'):
            commands.rehearse(Path("job-predict.toml"))
        assert not protocol_of("svk").may_lack_rows(read_job("job-predict.toml"))
