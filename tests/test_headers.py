"""Tables without a header, with one of numbers, and with an index: no message shows a value."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from secure_kmeans.errors import DataError
from secure_kmeans.tables import check_together, read_table, table_from_frame

NO_HEADER = "its first line looks like a row of data, not a header; add a header line"
OR_NAME_IT = f"{NO_HEADER}, or name each column with columns"
ROW = ("987654321.125", "2951")


def a_file(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, columns: Sequence[str] = ()) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, columns)
    said = str(caught.value).removeprefix(f"{path}: ")
    for value in ("987654321", "2951", "Muller", "secret"):
        assert value not in said
    return said


class TestWithoutAHeader:
    @pytest.mark.parametrize(
        "text",
        [
            "987654321.125,2951\n3,4\n",
            "2951\n30\n31\n",
            "2951\n",
            "2951,5\n",
            "Muller,2951\nSmith,30\n",
            "Muller,London,m,2951\nSmith,Paris,f,30\n",
            "2024-01-05,2951\n2024-01-06,30\n",
            "2951,,5\n1,2,3\n",
            "2951,NA,nan\n1,2,3\n",
            "2951 EUR,12:30\n30 EUR,12:31\n",
            '"2,951",5 %\n"3,000",6 %\n',
            "C2951,2951,5\nC3000,30,6\n",
            "-2951e3,.5\n1,2\n",
            "2951,2951\n1,2\n",
            "2951,x\n1,2\n",
        ],
    )
    def test_is_refused(self, tmp_path: Path, text: str) -> None:
        path = a_file(tmp_path, text)
        assert refusal(path) == OR_NAME_IT
        assert refusal(path, ["1"]) == OR_NAME_IT
        assert refusal(path, ["income"]) == f'there is no column "income"; {NO_HEADER}'

    def test_a_parquet_file_that_was_made_of_it(self, tmp_path: Path) -> None:
        frame = pd.read_csv(a_file(tmp_path, "2951,5,5\n30,6,7\n"))
        assert list(frame.columns) == ["2951", "5", "5.1"]
        frame.to_parquet(tmp_path / "t.parquet")
        said = refusal(tmp_path / "t.parquet")
        assert said == (
            "the names of its columns look like a row of data, not like a header; rename them, or name each column "
            "with columns"
        )

    def test_a_frame_that_was_read_so(self, tmp_path: Path) -> None:
        frame = pd.read_csv(a_file(tmp_path, "2951,5\n30,6\n"))
        with pytest.raises(DataError, match=r"^X: the names of its columns look like a row of data") as caught:
            table_from_frame(frame, source="X")
        assert "2951" not in str(caught.value)

    def test_a_number_that_is_a_name_and_a_position_is_no_choice(self, tmp_path: Path) -> None:
        assert refusal(a_file(tmp_path, "2,1,2951\n10,20,30\n"), ["1", "2951"]) == OR_NAME_IT

    def test_columns_of_text_alone_are_called_by_number(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, "Muller,secret\nSmith,x\n")
        assert refusal(path) == "column 1, row 1: this is text, not a number; correct it, or choose other columns"
        assert refusal(path, ["3"]) == 'there is no column "3"; it has 2 columns, numbered from 1'


class TestNumbersAsNames:
    def test_years_named_one_by_one(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, "2019,2020\n1,2\n3,x\n")
        assert refusal(path) == OR_NAME_IT
        assert read_table(path, ["2019"]).columns == ("2019",)
        assert read_table(path, ["2019"]).rows.tolist() == [[1.0], [3.0]]
        said = refusal(path, ["2019", "2020"])
        assert said == "column 2, row 2: this is text, not a number; correct it, or choose other columns"

    def test_a_few_among_names(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, "age,income,2019\n1,2,\n")
        assert read_table(path, ["age", "2019"][:1]).columns == ("age",)
        said = refusal(path)
        assert said == "column 3, row 1: a value is missing; fill it in or leave the row out"
        assert refusal(path, ["size"]) == 'there is no column "size"; it has 3 columns, numbered from 1'

    @pytest.mark.parametrize("header", ["0,1,2", "1,2,3", ",0,1,2"])
    def test_columns_counted_as_pandas_counts_them(self, tmp_path: Path, header: str) -> None:
        path = a_file(tmp_path, f"{header}\n" + ",".join("7" for _ in header.split(",")) + "\n")
        assert read_table(path, ["1", "2"]).columns == ("1", "2")

    def test_of_a_frame_they_are_no_values(self) -> None:
        assert table_from_frame(pd.DataFrame([[1.0, 2.0]], columns=[29, 5]), source="X").columns == ("29", "5")


class TestSeveralTables:
    def test_columns_that_differ_are_not_shown_where_they_may_be_values(self, tmp_path: Path) -> None:
        first = read_table(a_file(tmp_path, "age,2951\n1,2\n", "a.csv"), ["age", "2951"])
        second = read_table(a_file(tmp_path, "age,5\n1,2\n", "b.csv"), ["age", "5"])
        with pytest.raises(DataError) as caught:
            check_together([first, second], 1)
        assert str(caught.value) == (
            f"{second.source}: column 2 has another name than in {first.source}; name the same columns for all tables"
        )

    def test_another_number_of_columns(self, tmp_path: Path) -> None:
        first = read_table(a_file(tmp_path, "2951,2952\n1,2\n", "a.csv"), ["2951", "2952"])
        second = read_table(a_file(tmp_path, "age\n1\n", "b.csv"))
        with pytest.raises(DataError, match=r"b\.csv: 1 column, not 2 as .*a\.csv; name the same"):
            check_together([first, second], 1)


class TestNamesInMessages:
    def test_control_characters_are_escaped(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, "\x1b[31mage\u202e,b\nx,1\n")
        assert refusal(path).startswith('column "\\x1b[31mage\\u202e", row 1: ')

    def test_long_names_are_cut(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, "a" * 500 + ",b\nx,1\n")
        assert refusal(path).startswith('column "' + "a" * 59 + '…", row 1: ')

    def test_doubled_names_that_may_be_values(self, tmp_path: Path) -> None:
        path = a_file(tmp_path, "a,2951,b,2951,c\n1,2,3,4,5\n")
        assert refusal(path, ["2951"]) == "the columns 2, 4 have the same name; rename them"


class TestIndex:
    def test_a_named_index_is_a_column(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([7, 8], name="age"))
        frame.to_parquet(tmp_path / "t.parquet")
        table = read_table(tmp_path / "t.parquet")
        assert table.columns == ("age", "a")
        assert table.rows.tolist() == [[7.0, 1.0], [8.0, 2.0]]

    def test_a_named_range(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.RangeIndex(2, name="age"))
        frame.to_parquet(tmp_path / "t.parquet")
        assert read_table(tmp_path / "t.parquet").rows.tolist() == [[0.0, 1.0], [1.0, 2.0]]

    def test_every_level_that_has_a_name(self, tmp_path: Path) -> None:
        index = pd.MultiIndex.from_tuples([(1, 2, 3), (4, 5, 6)], names=["x", None, "z"])
        pd.DataFrame({"a": [7, 8]}, index=index).to_parquet(tmp_path / "t.parquet")
        table = read_table(tmp_path / "t.parquet")
        assert table.columns == ("x", "z", "a")
        assert table.rows.tolist() == [[1.0, 3.0, 7.0], [4.0, 6.0, 8.0]]

    def test_text_in_it_is_refused_unless_other_columns_are_named(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index(["secret", "x"], name="name"))
        frame.to_parquet(tmp_path / "t.parquet")
        assert refusal(tmp_path / "t.parquet").startswith('column "name", row 1: this is text')
        assert read_table(tmp_path / "t.parquet", ["a"]).columns == ("a",)

    def test_without_a_name_it_is_dropped(self, tmp_path: Path) -> None:
        pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 8]).to_parquet(tmp_path / "t.parquet")
        assert read_table(tmp_path / "t.parquet").columns == ("a",)

    def test_a_name_that_a_column_has_too(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([7, 8], name="a"))
        frame.to_parquet(tmp_path / "t.parquet")
        assert refusal(tmp_path / "t.parquet") == "a level of its index has the name of another column; rename it"
