"""Alignment: the rows that all parties have, found by their identifiers, which nobody shows.

The parties compute a pseudorandom function F of their identifiers, under a key of which each party has a share. Each
party sends tags of F to the dealer, which has no share of the key. The dealer finds the tags that all parties sent, and
answers with their positions. :mod:`secure_kmeans.crypto.psi` has the notation.

The list of party p, filled up with random elements, goes once around all parties::

    hop 0          party p       H(x) to the power of r_p
    hop 1 .. P-1   party p + h   to the power of its share of the key
    hop P          party p       to the power of a_p / r_p, which gives F(x); then a tag to the dealer

So a party sends to the next party only, and receives from the one before it only. Lists travel in blocks. In tick t
block b of every list is at hop t - b, so that all parties compute at the same time.

Nobody but party p sees its elements without its blinding: all other parties together learn nothing from its list.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import numpy as np

from secure_kmeans.crypto.psi import (
    ELEMENT_BYTES,
    TAG_BYTES,
    InvalidElementError,
    RepeatedTagError,
    Scalars,
    Workers,
    common_positions,
    digest_of_identifier,
    digest_of_list,
    hash_to_group,
    raise_to,
    random_digest,
    random_order,
    tags_of,
)
from secure_kmeans.errors import DataError, MismatchError, ProtocolError, RoleError
from secure_kmeans.protocols.base import Context
from secure_kmeans.tables import few_common_rows
from secure_kmeans.words import counted, key

BLOCK: Final = 4096
"""Elements that travel together: 128 KiB."""

_TOO_FEW: Final = -1
"""What the dealer answers instead of the number of common rows."""

Digest = Callable[[int], bytes]
"""Callback(position): the digest of the element at a position of a party's list; see :func:`hash_to_group`."""


def common_rows(
    context: Context[Any], ids: Sequence[str] | None, most_rows: Mapping[str, int], fewest: int
) -> np.ndarray:
    """The party's own rows whose identifiers all parties have, in an order that is the same at all parties.

    The order follows from the tags: it says nothing about the identifiers. Each party learns which of its own rows are
    common and so their number n, and nothing of another identifier. The dealer learns n, and of each group of parties
    how many identifiers they have in common. Where n is smaller than ``fewest``, the dealer learns it alone.

    P parties; party p has M_p = ``most_rows[p]`` elements; the longest list has b blocks of 4,096. Rounds of a party:
    b + P + 2, or fewer where lists differ in length; of the dealer: b. Bytes that party p sends:
    32 (M_1 + ... + M_P) + 16 M_p + 32 (P - 1); that the dealer sends: P (8 + 4 n). Scalar products of party p:
    M_1 + ... + M_P + M_p.

    Parameters
    ----------
    context : Context
    ids : sequence of str, or None
        A party's identifiers, of which no two are equal after Unicode NFC; None at the dealer.
    most_rows : mapping of str to int
        The size to which each party's list is filled up.
    fewest : int
        Fewer common rows than these are refused. At least 1.

    Returns
    -------
    int64 (n,)
        At a party numbers of its rows, from 0; at the dealer zeros.

    Raises
    ------
    MismatchError
        At all roles, where fewer rows are common than ``fewest``.
    DataError
        Where a party has more identifiers than ``most_rows``.
    ProtocolError
        Names the role that sent something invalid.
    """
    sizes = [most_rows[party] for party in context.parties]
    if ids is None:
        return _answer(context, _receive_tags(context, sizes), fewest)
    if len(ids) > most_rows[context.role.name]:
        most = counted(most_rows[context.role.name], "row")
        raise DataError(
            f"the table has {len(ids):,} rows, where the job allows {most}: agree on a larger {key('most_rows')}"
        )
    order = random_order(most_rows[context.role.name])  # the number of the row at each position; of padding too large

    def digest(position: int) -> bytes:
        row = order[position]
        return digest_of_identifier(ids[row]) if row < len(ids) else random_digest()

    tags = _send_tags(context, sizes, digest)
    positions = _receive_positions(context, order < len(ids), fewest)
    _compare_with_others(context, tags[positions])
    return order[positions].astype(np.int64)


def check_same_order(context: Context[Any], ids: Sequence[str] | None) -> None:
    """Refuse tables that do not have the same identifiers in the same order.

    Each party's list counts as one identifier. All parties learn whether all lists are equal, and the dealer which are.

    Rounds of a party: P + 1, of the dealer: 1. Bytes that a party sends: 32 P + 16; the dealer: 8 P.
    Scalar products: P + 1.

    Parameters
    ----------
    context : Context
    ids : sequence of str, or None
        A party's identifiers, in the order of its rows; None at the dealer.

    Raises
    ------
    MismatchError
        At all roles, where not all lists are equal.
    ProtocolError
        Names the role that sent something invalid.
    """
    sizes = [1] * len(context.parties)
    if ids is None:
        lists = _receive_tags(context, sizes)
        same = int(all((tags == lists[0]).all() for tags in lists))
        for party in context.parties:
            context.send(party, np.array([same], dtype=np.int64))
    else:
        own = digest_of_list(ids)
        _send_tags(context, sizes, lambda _position: own)
        dealer = _dealer(context)
        same = int(context.receive(dealer, np.empty(1, dtype=np.int64), disclosure=None)[0])
        if same not in (0, 1):
            raise ProtocolError(f'role "{dealer}" did not answer whether all lists are equal')
    if not same:
        _refuse(
            context,
            "the tables do not have the same identifiers in the same order: sort all of them by their identifiers, and "
            f"leave out rows that not all tables have; or set {key('align')} to psi",
        )


# ------------------------------------------------------------------ the parties


@dataclass(frozen=True)
class _Schedule:
    """Which block is where in each tick.

    Attributes
    ----------
    sizes : sequence of int
        The number of elements of each party's list.
    """

    sizes: Sequence[int]

    @property
    def ticks(self) -> int:
        """Until the last block of the longest list is at hop P."""
        return -(-max(self.sizes) // BLOCK) + len(self.sizes)

    def block(self, rank: int, hop: int, tick: int) -> slice | None:
        """The block that a party computes on as its list's ``hop``-th station: a part of the list of another party.

        It belongs to the party ``hop`` places before ``rank``; None where no block is there in this tick.
        """
        start, size = (tick - hop) * BLOCK, self.sizes[(rank - hop) % len(self.sizes)]
        return slice(start, min(start + BLOCK, size)) if 0 <= start < size else None

    def blocks(self, rank: int, tick: int) -> dict[int, slice]:
        """All blocks that a party computes on in a tick, by their hops."""
        found = {hop: self.block(rank, hop, tick) for hop in range(len(self.sizes) + 1)}
        return {hop: block for hop, block in found.items() if block is not None}


def _send_tags(context: Context[Any], sizes: Sequence[int], digest: Digest) -> np.ndarray:
    """Take part in the evaluation of all lists, and send the tags of the own list to the dealer; return them."""
    parties, rank, mesh = context.parties, context.rank, context.mesh
    last_hop, schedule, scalars = len(parties), _Schedule(sizes), Scalars.draw()
    before, after, dealer = parties[rank - 1], parties[(rank + 1) % len(parties)], _dealer(context)
    tags = np.empty((sizes[rank], TAG_BYTES), dtype=np.uint8)

    def compute(hop: int) -> Callable[[np.ndarray], np.ndarray]:
        if hop == 0:
            return lambda positions: raise_to(scalars.blinding, hash_to_group(map(digest, positions)))
        if hop < last_hop:
            return lambda elements: raise_to(scalars.share, elements)
        return lambda elements: tags_of(mesh.session, raise_to(scalars.last, elements))

    received: dict[int, np.ndarray] = {}
    with Workers() as workers:
        for tick in range(schedule.ticks):
            blocks = schedule.blocks(rank, tick)
            if 0 in blocks:
                received[0] = np.arange(blocks[0].start, blocks[0].stop)
            try:
                results = workers.compute([(compute(hop), received[hop]) for hop in blocks])
            except InvalidElementError:
                raise ProtocolError(f'party "{before}" sent something that is no element of the group') from None
            for (hop, block), result in zip(blocks.items(), results, strict=True):
                if hop == last_hop:
                    tags[block] = result
                _post(context, after if hop < last_hop else dealer, result)
            received = _receive_blocks(context, before, schedule.blocks(rank, tick + 1))
            context.progress("alignment", tick + 1, schedule.ticks)
    return tags


def _post(context: Context[Any], peer: str, numbers: np.ndarray) -> None:
    context.mesh.post(peer, numbers)
    context.mesh.traffic.sent(numbers.nbytes)


def _receive_blocks(context: Context[Any], before: str, blocks: Mapping[int, slice]) -> dict[int, np.ndarray]:
    """What the next tick computes on, from the party before this one. Sends what was posted."""
    targets = {
        hop: np.empty((block.stop - block.start, ELEMENT_BYTES), dtype=np.uint8)
        for hop, block in blocks.items()
        if hop > 0
    }
    if targets:
        context.mesh.traffic.waited()
    for target in targets.values():
        context.mesh.receive(before, target)
    context.mesh.flush()
    return targets


def _receive_positions(context: Context[Any], is_row: np.ndarray, fewest: int) -> np.ndarray:
    """The dealer's answer.

    Parameters
    ----------
    context : Context
    is_row : bool (M,)
        Of each position of the party's list whether a row is there, and no padding.
    fewest : int
    """
    dealer = _dealer(context)
    count = int(context.receive(dealer, np.empty(1, dtype=np.int64), disclosure=None)[0])
    if count == _TOO_FEW:
        _refuse_few(context, fewest)
    if not fewest <= count <= is_row.sum():
        raise ProtocolError(f'role "{dealer}" sent a number of common rows that cannot be')
    positions = context.receive(dealer, np.empty(count, dtype=np.int32), disclosure=None)
    in_range = ((positions >= 0) & (positions < len(is_row))).all()
    if not in_range or not is_row[positions].all() or len(np.unique(positions)) < count:
        raise ProtocolError(f'role "{dealer}" sent positions of common rows that cannot be')
    return positions


def _compare_with_others(context: Context[Any], tags: np.ndarray) -> None:
    """Compare the tags of the common rows with the other parties', which have the same: a digest shows no more.

    Raises
    ------
    ProtocolError
        Names the party whose tags differ.
    """
    own = np.frombuffer(hashlib.sha256(context.mesh.session + tags.tobytes()).digest(), dtype=np.uint8)
    for party, other in zip(context.parties, context.exchange(own), strict=True):
        if (other != own).any():
            raise ProtocolError(
                f'party "{party}" has other common rows, or in another order: it or role "{_dealer(context)}" did not '
                "follow the protocol, and nothing was computed"
            )


# ------------------------------------------------------------------- the dealer


def _receive_tags(context: Context[Any], sizes: Sequence[int]) -> list[np.ndarray]:
    """The tags of each party's list."""
    lists = [np.empty((size, TAG_BYTES), dtype=np.uint8) for size in sizes]
    schedule = _Schedule(sizes)
    for tick in range(len(sizes), schedule.ticks):
        context.mesh.traffic.waited()
        for rank, party in enumerate(context.parties):
            block = schedule.block(rank, len(sizes), tick)
            if block is not None:
                context.mesh.receive(party, lists[rank][block])
    return lists


def _answer(context: Context[Any], lists: Sequence[np.ndarray], fewest: int) -> np.ndarray:
    """Tell each party where in its list the common tags are."""
    try:
        positions = common_positions(lists)
    except RepeatedTagError as error:
        raise ProtocolError(
            f'party "{context.parties[error.position]}" sent the same tag twice: it, or a party that computed on its '
            "list, did not follow the protocol"
        ) from None
    count = positions.shape[1]
    for party, own in zip(context.parties, positions, strict=True):
        context.send(party, np.array([count if count >= fewest else _TOO_FEW], dtype=np.int64))
        if count >= fewest:
            context.send(party, own)
    if count < fewest:
        _refuse_few(context, fewest)
    return np.zeros(count, dtype=np.int64)


# --------------------------------------------------------------------- refusals


def _refuse_few(context: Context[Any], fewest: int) -> NoReturn:
    _refuse(context, few_common_rows(fewest))


def _refuse(context: Context[Any], reason: str) -> NoReturn:
    """Raise the same error at all roles, after all have the dealer's answer."""
    with contextlib.suppress(RoleError):  # of a role that did not wait for the others
        context.mesh.finish()
    raise MismatchError(reason)


def _dealer(context: Context[Any]) -> str:
    """The only role that is no party."""
    (dealer,) = set(context.mesh.roles) - set(context.parties)
    return dealer
