"""Every opened number lies under a mask word of its own."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.mpc import dealer
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Opening, Step
from tests.mpc.roles_in_threads import DEALER, Run, key_between, recorded, shares_of
from tests.mpc.steps import STEPS

KEY = key_between("party_0", DEALER, "correlated randomness")
VALUES = np.arange(36).reshape(3, 12) - 17
CHANGE = 0b101

MANY_WORDS = {"to_integers", "tournament", "divide_by_secret", "truncate"}
"""Steps that draw too many words to change each of them."""

StepOf = Callable[[Core, np.ndarray], Step[Any]]
Opened = list[tuple[np.ndarray, int]]


def stream_with(changed: int | None, drawn: list[int]) -> type[Prg]:
    """Streams of which one word is changed, at both roles that share it; ``drawn`` receives its new less its old value.

    With no word to change, ``drawn`` receives the length of the stream in words.
    """

    class Changed(Prg):
        def __init__(self, key: bytes) -> None:
            super().__init__(key)
            self._watched, self._filled = key == KEY, 0

        def fill(self, target: np.ndarray) -> None:
            super().fill(target)
            if not self._watched:
                return
            words = target.reshape(-1).view(np.uint64)
            if changed is None:
                drawn.append(words.size)
            elif self._filled <= changed < self._filled + words.size:
                before = int(words[changed - self._filled])
                words[changed - self._filled] ^= np.uint64(CHANGE)
                drawn.append((int(words[changed - self._filled]) - before) % 2**64)
            self._filled += words.size

    return Changed


def opened_by(step: StepOf, monkeypatch: pytest.MonkeyPatch, changed: int | None = None) -> tuple[Opened, list[int]]:
    """What the first party opens, and what happened to the stream."""
    drawn: list[int] = []
    monkeypatch.setattr(dealer, "Prg", stream_with(changed, drawn))
    monkeypatch.setattr("secrets.SystemRandom", lambda: random.Random(7))  # the same starting rows each time
    opened: Opened = []

    def body(core: Core) -> Any:
        share = shares_of(VALUES, core.parties, core.rank)
        return core.execute(recorded(step(core, share), opened if core.rank == 0 else []))

    Run(2, body)
    return opened, drawn


def first_change(before: Opened, after: Opened) -> tuple[int, dict[int, tuple[int, int]]] | None:
    """The first opening that differs, and each of its numbers that does, before and after."""
    for number, ((old, size), (new, _)) in enumerate(zip(before, after, strict=True)):
        pairs = zip(old.view(np.uint64).tolist(), new.view(np.uint64).tolist(), strict=True)
        values = {position: (was % 256**size, now % 256**size) for position, (was, now) in enumerate(pairs)}
        if changed := {position: (was, now) for position, (was, now) in values.items() if was != now}:
            return number, changed
    return None


def without_a_mask_of_their_own(step: StepOf, monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Opened numbers for which no word of a stream is a mask of this number and of no other one before it.

    One word of the stream is changed after the other, at the party and at the dealer. Where the first opening that
    changes does so in one number only, and by the change of the word, the word is a mask of this number: no earlier
    number depends on the word, and no other one of the same opening.
    """
    before, lengths = opened_by(step, monkeypatch)
    left = {(number, position) for number, (numbers, _) in enumerate(before) for position in range(numbers.size)}
    for word in range(sum(lengths) // 2):  # the party and the dealer both draw the stream
        after, (difference, again) = opened_by(step, monkeypatch, word)
        assert difference == again
        found = first_change(before, after)
        if found is None or len(found[1]) > 1:
            continue
        number, [(position, (was, now))] = found[0], found[1].items()
        numbers, size = before[number]
        is_mask = (
            was ^ now == CHANGE
            if numbers.dtype == np.uint64
            else (now - was) % 256**size in {sign * difference % 256**size for sign in (1, -1)}
        )
        if is_mask:
            left.discard((number, position))
    return left


@pytest.mark.parametrize("name", [name for name in STEPS if name not in MANY_WORDS])
def test_each_opened_number_has_a_mask_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_a_mask_of_their_own(STEPS[name], monkeypatch) == set()


def test_a_mask_that_is_used_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(core: Core, share: np.ndarray) -> Step[Any]:
        masks = core.provider.uniform(*share.shape)
        if core.takes_part:
            yield Opening(share + masks)
            yield Opening(2 * share + masks)

    assert without_a_mask_of_their_own(twice, monkeypatch) == {(1, position) for position in range(VALUES.size)}
