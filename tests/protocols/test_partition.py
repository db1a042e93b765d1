"""How rows are divided among the parties: entered by rows, or by columns."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job import Kind
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.ledger import Entry, Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import share_of
from secure_kmeans.mpc.session import open_session
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByColumns, ByRows, row_counts
from secure_kmeans.protocols.svk import SVK, SvkJob
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.job import DEALER
from tests.protocols.columns import job_for
from tests.threads import threads_of

ROWS = np.random.default_rng(2).random((6, 5))
JOB = job_for(ROWS, (2, 1, 2), 3)


def entered(bits: int | None, by_columns: bool) -> tuple[list[np.ndarray], Any]:
    """Each party's share of the rows and the dealer's, and what was sent."""
    counts = [1, 2, 3]

    def part(role: Any, mesh: Any) -> np.ndarray:
        with crypten.joined(mesh) as channel:
            sharing = open_session(channel, JOB, Ledger(SVK.disclosures(JOB)))
            if by_columns:
                mine = JOB.columns_of(role.name)
                partition: Any = ByColumns(len(ROWS), JOB.widths, mine)
                return share_of(partition.enter(sharing, ROWS[:, mine], bits))
            partition = ByRows(counts)
            own = np.split(ROWS, [1, 3])[channel.rank] if role.kind is Kind.PARTY else ROWS[:0]
            return share_of(partition.enter(sharing, own, bits))

    threads = threads_of(JOB, part)
    return threads.answers, threads.sent


@pytest.mark.parametrize("bits", [None, 10])
@pytest.mark.parametrize("by_columns", [False, True])
def test_shares_add_up_to_the_rows_and_nothing_is_sent(bits: int | None, by_columns: bool) -> None:
    (*of_parties, of_dealer), sent = entered(bits, by_columns)
    expected = FixedPoint(bits or JOB.precision_bits).encode(ROWS)
    assert np.add.reduce(of_parties).tolist() == expected.tolist()
    assert of_dealer.shape == expected.shape
    assert not of_dealer.any()
    assert not sent
    for share in of_parties:
        assert not np.isin(share, [expected, -expected, 0 * expected]).any()


def test_a_part_of_the_columns_among_all() -> None:
    partition = ByColumns(6, (2, 1, 2), slice(2, 3))
    assert partition.n == 6
    assert partition.in_all_columns(np.array([[[7]], [[8]]])).tolist() == [[[0, 0, 7, 0, 0]], [[0, 0, 8, 0, 0]]]
    assert partition.in_all_columns(np.array([5])).tolist() == [0, 0, 5, 0, 0]
    assert partition.in_all_columns(np.array([[1.5]])).dtype == np.float64
    of_dealer = ByColumns(6, (2, 1, 2), slice(5, 5))
    assert of_dealer.in_all_columns(np.zeros((4, 0), dtype=np.int64)).tolist() == [[0] * 5] * 4


def test_rows_are_in_all_columns_already() -> None:
    partition = ByRows([1, 0, 3])
    assert partition.n == 4
    assert partition.in_all_columns(ROWS) is ROWS


# ------------------------------------------------------------------------------------------------------ numbers of rows


def counted(own: dict[str, int]) -> tuple[list[Any], list[list[Entry]]]:
    """What each role finds, and its ledger."""
    ledgers = []

    def part(role: Any, mesh: Any) -> list[int]:
        ledger = Ledger(SVK.disclosures(JOB))
        ledgers.append(ledger.entries)
        nothing: Any = lambda *_: None  # noqa: E731
        context: Context[SvkJob] = Context(JOB, role, None, mesh, ledger, nothing, None, nothing)
        line = ScheduleLine(mesh, "party_0", DEALER, in_use=True)
        both = may.ROW_COUNTS, may.ROW_COUNTS_TO_DEALER
        return row_counts(context, line, own.get(role.name, -1), both, is_dealer=role.kind is Kind.DEALER)

    return threads_of(JOB, part).answers, ledgers


def test_all_roles_learn_the_numbers_of_rows() -> None:
    found, ledgers = counted({"party_0": 5, "party_1": 0, "party_2": 7})
    assert found == [[5, 0, 7]] * 4
    assert [[(entry.what, entry.to) for entry in entries] for entries in ledgers] == [
        [(may.ROW_COUNTS.what, may.ROW_COUNTS.to), (may.ROW_COUNTS.what, DEALER)]
    ] * 4


class _Heard(ScheduleLine):
    def __init__(self, value: Any) -> None:
        self._value = value

    def hear(self) -> Any:
        return self._value


@pytest.mark.parametrize(
    "told", [None, 5, [5, 6], [5, 6, 7, 8], [5, 6, -1], [5, 6, 1 << 40], [5, 6, True], ["5", 6, 7]]
)
def test_the_dealer_refuses_what_is_no_number_of_rows(told: Any) -> None:
    context = cast("Context[SvkJob]", type("Its", (), {"parties": JOB.names})())
    with pytest.raises(ProtocolError, match="the first party told the dealer something that is no number of rows"):
        row_counts(context, _Heard(told), 0, (), is_dealer=True)
