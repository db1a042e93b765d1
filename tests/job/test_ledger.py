from dataclasses import FrozenInstanceError

import pytest

from secure_kmeans.ledger import ALL, Disclosure, Ledger, What


def filled():
    ledger = Ledger()
    ledger.record(What.ROW_COUNTS, ALL)
    ledger.record(What.STOP_BIT, ALL, 1)
    ledger.record(What.STOP_BIT, ALL, 2)
    ledger.record(What.OWN_LABELS, "a")
    ledger.record(What.OWN_LABELS, "b")
    return ledger


def test_entries_in_the_order_in_which_they_happened():
    assert filled().entries == [
        Disclosure(What.ROW_COUNTS, ALL, None),
        Disclosure(What.STOP_BIT, ALL, 1),
        Disclosure(What.STOP_BIT, ALL, 2),
        Disclosure(What.OWN_LABELS, "a", None),
        Disclosure(What.OWN_LABELS, "b", None),
    ]


def test_two_ledgers_share_no_entries():
    filled()
    assert Ledger().entries == []


def test_a_name_is_as_good_as_a_member():
    ledger = Ledger()
    ledger.record("inertia", ALL)
    assert ledger.entries[0].what is What.INERTIA


def test_what_has_no_name_cannot_be_disclosed():
    ledger = Ledger()
    with pytest.raises(ValueError, match="all rows"):
        ledger.record("all rows", ALL)
    assert ledger.entries == []


def test_a_line_cannot_be_changed():
    line = filled().entries[0]
    with pytest.raises(FrozenInstanceError):
        line.to = "a"
