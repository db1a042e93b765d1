import pytest

from secure_kmeans.errors import DataError, JobError, RoleError
from secure_kmeans.words import (
    column_title,
    counted,
    figure,
    figures,
    is_no_name,
    key,
    may_be_value,
    named,
    printable,
    shown,
    within,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1000, "1,000 rows"), (1.0, "1 row"), (0.5, "0.5 rows")],
)
def test_a_number_and_its_noun(number: float, text: str) -> None:
    assert counted(number, "row") == text
    assert counted(2, "party", "parties") == "2 parties"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (44448.4551, "44,448.455"),
        (4.2e-7, "4.2e-07"),
        (0.01234, "0.01234"),
        (-0.000123456, "-0.0001235"),
        (0.5, "0.500"),
        (1e17, "1e+17"),
    ],
)
def test_small_numbers_keep_their_digits(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([55.296, 86.538, 25.727], ["55.30", "86.54", "25.73"]),
        ([0.0012, 0.0034], ["0.00120", "0.00340"]),
        ([1000.001, 1000.004], ["1,000.00100", "1,000.00400"]),
        ([1e-9, 3e-9], ["1e-09", "3e-09"]),
        ([1e12, 3e12], ["1e+12", "3e+12"]),
        ([5.0], ["5.00"]),
        ([0.0, 0.0], ["0.00", "0.00"]),
        ([], []),
    ],
)
def test_numbers_of_a_column_can_be_told_apart(values: list[float], texts: list[str]) -> None:
    assert figures(values) == texts


@pytest.mark.parametrize(
    "text",
    ["29", "-4.5", "1e-3", "5.1", ".5", "1,234.5", "3,5", "29 EUR", "$12", "12 %", "2024-01-05", "05.01.2024", "12:30"],
)
def test_what_may_be_a_value(text: str) -> None:
    assert may_be_value(text)
    assert may_be_value(f" {text} ")


@pytest.mark.parametrize("text", ["age", "x1", "Annual Income (k$)", "2019_income", "Q1 2019", "", "nan"])
def test_what_is_no_value(text: str) -> None:
    assert not may_be_value(text)


@pytest.mark.parametrize("text", ["", " ", "NaN", "NA", "null", "Unnamed: 0"])
def test_what_is_no_name(text: str) -> None:
    assert is_no_name(text)
    assert not is_no_name("age")


def test_names_from_files() -> None:
    assert printable("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\\nc\\u202e"
    assert shown("größe") == "größe"
    assert shown("a" * 100) == "a" * 59 + "…"
    assert column_title(["age", "2951"], 0) == 'column "age"'
    assert column_title(["age", "2951"], 1) == "column 2 of 2"


NAMES = {"n_clusters": "--clusters", "scaling": "--bounds", "scaling.method": "--scale", "precision_bits": ""}


class TestKeys:
    def test_a_message_keeps_its_keys_where_nobody_says_otherwise(self) -> None:
        assert str(JobError("n_init: too many")) == "n_init: too many"
        assert str(JobError(f"use {key('scaling.method')} or less")) == "use scaling.method or less"

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            ("n_clusters: too many", "--clusters: too many"),
            ("precision_bits: no room", "no room"),
            ("scaling.lower.0: wrong", "--bounds: wrong"),
            ("scaling.method: wrong", "--scale: wrong"),
            ("timeout: wrong", "timeout: wrong"),
            ("t.csv: no room", "t.csv: no room"),
            (f"take fewer {key('n_clusters')}", "take fewer --clusters"),
            (f"without {key('precision_bits')}", "without precision_bits"),
        ],
    )
    def test_or_has_the_user_s_names(self, message: str, said: str) -> None:
        error = JobError(message)
        error.names = NAMES
        assert str(error) == said

    def test_only_errors_of_a_job_begin_with_a_key(self) -> None:
        error = DataError("n_clusters: there is no such file")
        error.names = NAMES
        assert str(error) == "n_clusters: there is no such file"
        assert RoleError("a", "it died").reason == "it died"

    def test_of_a_table_of_the_job(self) -> None:
        assert named(within("scaling", "column 1: wrong"), NAMES) == "--bounds: column 1: wrong"
        assert named(within("scaling", JobError("method: wrong").marked), NAMES) == "--scale: wrong"
        assert named(within("scaling", JobError("method: wrong").marked)) == "scaling.method: wrong"
