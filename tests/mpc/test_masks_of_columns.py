"""What is opened of columns that parties hold: every number under a mask of its own, labels in shares that say no more.

A party holds its columns in the clear, and they are its share of every distance. A share that were sent as it is would
show them. So the shares of the labels, too, have to be fresh ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc import argmin, dealer
from secure_kmeans.mpc.columns import Columns, labels_in_the_clear, moved_more
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import wrap
from secure_kmeans.mpc.rounds import Step
from tests.mpc.roles_in_threads import Run
from tests.mpc.test_masks import opened_by, stream_with, without_a_mask_of_their_own

K, N, BITS = 3, 5, 12
ROWS = np.random.default_rng(1).integers(0, 20, (N, 3))
CENTROIDS = np.random.default_rng(2).integers(0, 20, (2, 2 * K, 3))  # of two iterations, two starts side by side
LABEL_WORDS = K - 1
"""Planes of all clusters but the last; the labels of both starts fit a word."""


def own(core: Core, values: np.ndarray) -> np.ndarray:
    """A party's own columns of known values: the last party holds two; the dealer none."""
    edges = [*range(core.parties), 3] if core.parties > 1 else [0, 3]
    mine = slice(edges[core.rank], edges[core.rank + 1]) if core.takes_part else slice(0, 0)
    return np.ascontiguousarray(values[..., mine])


def two_iterations(core: Core, _: np.ndarray) -> Step[Any]:
    """Label, open the labels, label by the next centroids, open the labels, then the stop bit of these two."""
    rows = Columns(core, np.ascontiguousarray(own(core, ROWS).T))
    first, second = (np.ascontiguousarray(own(core, each.reshape(2, K, 3))) for each in CENTROIDS)
    labels = []
    for C in (first, second):
        H = yield from rows.label(C, BITS)
        labels.append((yield from labels_in_the_clear(core, H, N)))
    limit = wrap(core.public(np.array([5], dtype=np.int64)))
    return (yield from moved_more(core, first, second, limit, np.array([True, True]))), labels


def test_every_opened_number_but_the_labels_has_a_mask_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = opened_by(two_iterations, monkeypatch)
    shapes = [(numbers.size, size) for numbers, size in opened]
    assert shapes[0] == ((K - 1) * 2 * N, 2), "the first opening is of masked differences, in the bytes of 12 bits"
    revealed = [number for number, (numbers, _) in enumerate(opened) if is_labels(numbers)]
    assert len(revealed) == 2
    expected = {(number, word) for number in revealed for word in range(LABEL_WORDS)}
    assert without_a_mask_of_their_own(two_iterations, monkeypatch) == expected


def planes_of_labels(C: np.ndarray) -> list[int]:
    """Words of [row belongs to j], both starts, for all clusters but the last."""
    distances = ((ROWS[None, None] - C[:, :, None]) ** 2).sum(axis=3)  # (r, k, n)
    labels = distances.argmin(axis=1).reshape(-1)
    return [sum(1 << bit for bit in np.flatnonzero(labels == number).tolist()) for number in range(K - 1)]


def is_labels(numbers: np.ndarray) -> bool:
    """Whether an opening is the labels of an iteration; bits of no row are ignored."""
    if numbers.size != LABEL_WORDS or numbers.dtype != np.uint64:
        return False
    words = [int(word) & (1 << 2 * N) - 1 for word in numbers]
    return words in [planes_of_labels(each.reshape(2, K, 3)) for each in CENTROIDS]


def test_opened_labels_hold_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits of a word that belong to no row are the same for other rows, masks and numbers of parties."""
    found = []
    for changed in (None, 0, 7):
        opened, _ = opened_by(two_iterations, monkeypatch, changed)
        found.append([numbers.tolist() for numbers, _ in opened if is_labels(numbers)])
    assert found[0] == found[1] == found[2]
    unused = {int(word) >> 2 * N for labels in found[0] for word in labels}
    assert unused <= {0, (1 << 64 - 2 * N) - 1}


def sent_by_the_first(k: int, monkeypatch: pytest.MonkeyPatch, changed: int | None = None) -> tuple[list[Any], int]:
    """What the first of three parties sends to the second, and the length of its stream in words."""
    drawn: list[int] = []
    monkeypatch.setattr(dealer, "Prg", stream_with(changed, drawn))
    rows = np.arange(3)[None, :]
    centroids = (3 * np.arange(k) % 7)[None, :, None]

    def body(core: Core) -> Any:
        mine = Columns(core, np.ascontiguousarray(rows * (core.rank == 0)))
        C = np.ascontiguousarray(centroids * (core.rank == 0))
        H = core.execute(mine.label(C, BITS))
        return core.execute(labels_in_the_clear(core, H, 3))

    run = Run(3, body)
    expected = ((rows.T - centroids[0].T) ** 2).argmin(axis=1).tolist()
    assert run.returned[0].tolist() == run.returned[1].tolist() == [expected]
    return run.sent["party_0", "party_1"], sum(drawn) // 2


@pytest.mark.parametrize("k", [2, 3, 6])
def test_the_shares_in_which_labels_are_opened_are_fresh(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some word of the party's stream changes one word of its share of the labels, and nothing that it sends before.

    The labels themselves do not change. So the party's share is uniform to those who do not know its stream.
    """
    before, words = sent_by_the_first(k, monkeypatch)
    left = set(range(k - 1))
    for word in range(words - 1, -1, -1):
        after, _ = sent_by_the_first(k, monkeypatch, word)
        if all((one == other).all() for one, other in zip(before[:-1], after[:-1], strict=True)):
            changed = before[-1].view(np.uint64) != after[-1].view(np.uint64)
            if changed.sum() == 1:
                left.discard(int(changed.argmax()))
        if not left:
            return
    raise AssertionError(f"these words of a share have no randomness of their own: {left}")


def test_so_are_those_of_a_tournament(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many clusters a share of the number itself is sent, in two bytes: the last words that are drawn cover it."""
    k = 11
    assert not argmin.compares_all_pairs(k, 3, BITS)
    before, words = sent_by_the_first(k, monkeypatch)
    assert before[-1].nbytes == 2 * 3
    left = set(range(3))
    for word in range(words - 1, words - 1 - 3 * 12, -1):  # shares of 12 products of 3 rows
        after, _ = sent_by_the_first(k, monkeypatch, word)
        assert all((one == other).all() for one, other in zip(before[:-1], after[:-1], strict=True))
        changed = before[-1].view(np.uint16) != after[-1].view(np.uint16)
        assert changed.sum() <= 1
        left -= set(np.flatnonzero(changed).tolist())
    assert left == set()
