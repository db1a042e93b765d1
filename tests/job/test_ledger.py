import pytest
from pydantic import ValidationError

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, Entry, Ledger, When, check_entries

ROWS = Disclosure("number of rows of each party", ALL, When.BEFORE)
SIZES = Disclosure("cluster sizes", ALL, When.EACH)
SUMS = Disclosure("sums of the clusters", "leader", When.EACH)
LABELS = Disclosure("labels of its own rows", OWNER, When.END)
ALLOWED = (ROWS, SIZES, SUMS, LABELS)


def filled() -> Ledger:
    ledger = Ledger(ALLOWED)
    ledger.record(ROWS)
    ledger.record(SIZES, iteration=1)
    ledger.record(SUMS, iteration=1)
    ledger.record(SIZES, iteration=2)
    ledger.record(LABELS, "a")
    ledger.record(LABELS, "b")
    return ledger


class TestRecording:
    def test_entries_in_the_order_in_which_they_happened(self) -> None:
        assert filled().entries == [
            Entry(what="number of rows of each party", to="all"),
            Entry(what="cluster sizes", to="all", iteration=1),
            Entry(what="sums of the clusters", to="leader", iteration=1),
            Entry(what="cluster sizes", to="all", iteration=2),
            Entry(what="labels of its own rows", to="a"),
            Entry(what="labels of its own rows", to="b"),
        ]

    def test_two_ledgers_share_no_entries(self) -> None:
        filled()
        assert Ledger(ALLOWED).entries == []

    def test_a_disclosure_that_was_not_announced_is_refused_and_not_written(self) -> None:
        ledger = Ledger(ALLOWED)
        with pytest.raises(ProtocolError) as caught:
            ledger.record(Disclosure("all rows", ALL, When.END))
        assert str(caught.value) == '"all rows" was to be disclosed to all, which the job does not announce'
        assert ledger.entries == []

    def test_a_line_cannot_be_changed(self) -> None:
        line = filled().entries[0]
        with pytest.raises(ValidationError, match="frozen"):
            line.to = "a"
        assert line.to == ALL


class TestChecking:
    def test_a_ledger_within_its_disclosures_passes(self) -> None:
        entries = filled().entries
        check_entries(entries, ALLOWED)
        assert len(entries) == 6

    @pytest.mark.parametrize(
        "entry",
        [
            Entry(what="all rows", to=ALL),
            Entry(what=ROWS.what, to="a"),
            Entry(what=ROWS.what, to=ALL, iteration=1),
            Entry(what=SIZES.what, to=ALL),
            Entry(what=SUMS.what, to=ALL, iteration=1),
            Entry(what=LABELS.what, to=ALL),
            Entry(what=LABELS.what, to="a", iteration=1),
        ],
        ids=lambda entry: f"{entry.what} to {entry.to}, {entry.iteration}",
    )
    def test_any_other_line_is_named(self, entry: Entry) -> None:
        with pytest.raises(ProtocolError) as caught:
            check_entries([*filled().entries, entry], ALLOWED)
        assert str(caught.value) == (
            f'"{entry.what}" was to be disclosed to {entry.to}, which the job does not announce'
        )

    def test_nothing_may_be_disclosed_where_nothing_is_announced(self) -> None:
        check_entries([], ())
        with pytest.raises(ProtocolError, match="number of rows"):
            check_entries(filled().entries, ())
