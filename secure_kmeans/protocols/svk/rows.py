"""Which rows of a party's table take part in a run of SVK, and in which order."""

from __future__ import annotations

import numpy as np

from secure_kmeans.errors import ProtocolError, StateError
from secure_kmeans.job import Kind
from secure_kmeans.protocols.alignment import check_same_order, common_rows
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import row_counts
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.checks import check_equal_counts, fewest_common_rows
from secure_kmeans.protocols.svk.job import MOST_ROWS, SvkJob
from secure_kmeans.protocols.tally import State


class ColumnsState(State, frozen=True, forbid_unknown_fields=True):
    """What one party needs to go on after an iteration, where it holds columns.

    Attributes
    ----------
    rows : bytes
        The numbers of its rows that take part, in the order of the run, int64.
    filled, known : (r, k) bool
        The clusters that have had a row, and those of whose centroid a party's share is its own columns; empty with
        hidden labels.
    labels, averaged : bytes
        The last labels of each start, and those of which the centroids are the means; empty with hidden labels.
    """

    rows: bytes
    filled: list[list[bool]]
    known: list[list[bool]]
    labels: bytes
    averaged: bytes


def rows_taken(
    context: Context[SvkJob], line: ScheduleLine, state: ColumnsState | None, *, resumed: bool
) -> np.ndarray:
    """The numbers of this party's rows that take part, in the order of the run, (n,) int64; zeros at the dealer.

    Parameters
    ----------
    context : Context
    line : ScheduleLine
    state : ColumnsState or None
        A party's, of a resumed run, whose rows are not looked for again.
    resumed : bool

    Raises
    ------
    DataError
        Where the tables have too few rows in common, or are not of the same rows in the same order.
    StateError
        Where a state does not fit the others, or the table.
    """
    if resumed:
        return _rows_of_state(context, line, state)
    job, table = context.job, context.table
    ids = None if table is None else table.ids
    assert job.align == "none" or table is None or ids is not None, "a party's table has identifiers"
    if job.align == "psi":
        _record_common_rows(context)
        most = {party: job.most_rows_of(party) for party in job.names}
        taken = common_rows(context, ids, most, fewest_common_rows(job))
        return _in_order_of_first_party(context, taken) if job.starts_are_public else taken
    is_dealer = context.role.kind is Kind.DEALER
    disclosed = may.ROW_COUNTS, may.ROW_COUNTS_TO_DEALER
    counts = row_counts(context, line, 0 if table is None else len(table), disclosed, is_dealer=is_dealer)
    check_equal_counts(dict(zip(job.names, counts, strict=True)))
    if job.align == "order":
        context.ledger.record(may.SAME_ORDER)
        context.ledger.record(may.SAME_ORDER_TO_DEALER)
        check_same_order(context, ids)
    return np.arange(counts[0])


def _in_order_of_first_party(context: Context[SvkJob], taken: np.ndarray) -> np.ndarray:
    """The common rows in the order in which the first party has them. Rounds: 1, but none of the first party.

    Raises
    ------
    ProtocolError
        Where the first party sends no order of these rows.
    """
    context.ledger.record(may.ROW_ORDER)
    if context.role.kind is Kind.DEALER:
        return taken
    first = context.parties[0]
    if context.role.name == first:
        order = np.argsort(taken, kind="stable")
        for party in context.parties[1:]:
            context.send(party, order)
    else:
        order = context.receive(first, np.empty(len(taken), dtype=np.int64), disclosure=None)
        if not np.array_equal(np.sort(order), np.arange(len(taken))):
            raise ProtocolError(f'party "{first}" sent something that is no order of the common rows')
    return taken[order]


def _record_common_rows(context: Context[SvkJob]) -> None:
    if len(context.parties) > 2:
        context.ledger.record(may.OVERLAPS)
    context.ledger.record(may.COMMON_ROWS)
    context.ledger.record(may.COMMON_ROWS_TO_DEALER)
    for party in context.parties:
        context.ledger.record(may.OWN_COMMON_ROWS, party)


def _rows_of_state(context: Context[SvkJob], line: ScheduleLine, state: ColumnsState | None) -> np.ndarray:
    """The rows of a resumed run. Rounds: 1."""
    if context.role.kind is Kind.DEALER:
        told = line.hear()
        if type(told) is not int or not 0 <= told <= MOST_ROWS:
            raise ProtocolError("the first party told the dealer something that is no number of rows")
        return np.zeros(told, dtype=np.int64)
    assert state is not None, "all parties of a resumed run have a state"
    if len(state.rows) % 8:
        raise StateError("the state is damaged; start the run anew")
    taken = np.frombuffer(state.rows, dtype=np.int64)
    counts = context.exchange(np.array([len(taken)], dtype=np.int64))
    line.tell(len(taken))
    state.check_counts([int(count[0]) for count in counts])
    table = context.table
    if table is None or (len(taken) and not 0 <= taken.min() <= taken.max() < len(table)):
        raise StateError("the state is of another table; start the run anew")
    return taken
