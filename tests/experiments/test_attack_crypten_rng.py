"""The attack on CrypTen's randomness: its pieces, its two ways, and the experiment in its smallest form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attack_crypten_rng as attack
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from secure_kmeans.crypto.prg import Prg
from tests.experiments.scripts import run_script

ROWS = 320
DEFAULT_SEED = 5489
TEN_THOUSANDTH = 4123659995
"""Of MT19937 under its default seed, as the C++ standard fixes it."""

own_words = np.random.default_rng(11)


def from_torch(seed: int) -> Callable[[int], np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    return lambda size: torch.randint(-(2**63), 2**63 - 1, (size,), generator=generator).numpy()


def view_under(
    draw: Callable[[int], np.ndarray], order: Literal["C", "F"] = "C", inherited: torch.Tensor | None = None
) -> tuple[attack.View, np.ndarray]:
    """What party 0 has where ``draw`` makes party 1's masks, and party 1's rows."""
    rows = own_words.integers(0, 1 << 24, (2 * ROWS, 2))
    share = own_words.integers(-(2**63), 2**63, rows.shape)
    masks = draw(rows.size).reshape(rows.shape, order=order)
    state = torch.get_rng_state() if inherited is None else inherited
    return attack.View(rows[:ROWS], share, rows - share - masks, order, state.numpy()), rows[ROWS:]


# ------------------------------------------------------------------------------------------------------ the pieces


def test_tempering_is_undone_for_a_word_tempered_by_hand() -> None:
    # 1 -> ^ 1 << 7 -> 0x81 -> ^ (0x81 << 15) & 0xEFC60000 -> 0x400081 -> ^ 0x400081 >> 18 -> 0x400091
    assert attack.untempered(np.array([0x400091], dtype=np.uint32)) == [1]


def test_tempering_is_undone_for_a_whole_state() -> None:
    generator = np.random.MT19937(3)
    generator.random_raw(1)  # NumPy begins one output before the end of a state
    outputs = generator.random_raw(624).astype(np.uint32)
    assert (attack.untempered(outputs) == generator.state["state"]["key"]).all()


def test_a_generator_goes_on_after_the_outputs_that_were_seen() -> None:
    generator = np.random.MT19937(4)
    generator.random_raw(1001)  # the 624 outputs need not be those of one state
    outputs = generator.random_raw(624).astype(np.uint32)
    assert (attack.generator_after(outputs).random_raw(3000) == generator.random_raw(3000)).all()


def test_torch_draws_two_outputs_of_the_standard_generator_for_a_number() -> None:
    reading = attack.READINGS[0]
    outputs = reading.outputs(from_torch(DEFAULT_SEED)(5000))
    assert outputs[-1] == TEN_THOUSANDTH
    followers = attack.generator_after(outputs[:624]).random_raw(10000 - 624)
    assert followers[-1] == TEN_THOUSANDTH


@pytest.mark.parametrize("reading", attack.READINGS)
def test_numbers_are_read_and_made_the_same_way(reading: attack.Reading) -> None:
    numbers = np.array([0, 1, -1, 2**63 - 1, -(2**63), 0x0123456789ABCDEF])
    outputs = reading.outputs(numbers)
    assert outputs.dtype == np.uint32
    assert (reading.numbers(outputs.astype(np.uint64)) == numbers).all()


def test_the_halves_of_a_number_by_hand() -> None:
    numbers = np.array([0x0000000700000009])
    halves = {(each.high_first, each.offset): list(each.outputs(numbers)) for each in attack.READINGS}
    top = 1 << 31
    assert halves == {
        (True, 0): [7, 9],
        (False, 0): [9, 7],
        (True, 1 << 63): [7 + top, 9],
        (False, 1 << 63): [9, 7 + top],
    }


def test_torch_takes_32_bits_of_a_seed() -> None:
    assert (from_torch(12345)(50) == from_torch(12345 + (7 << 32))(50)).all()


def test_a_view_is_read_as_it_was_saved(tmp_path: Path) -> None:
    view, _ = view_under(from_torch(1), "F")
    view.save(tmp_path / "view.npz")
    read = attack.View.load(tmp_path / "view.npz")
    assert all(np.array_equal(kept, vars(view)[name]) for name, kept in vars(read).items())


# ------------------------------------------------------------------------------------------------------ the attacks


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_under_masks_of_torch_are_recovered_whatever_the_seed(order: Literal["C", "F"]) -> None:
    view, true = view_under(from_torch(int(own_words.integers(2**63))), order)
    found = attack.from_outputs(view)
    assert found.foresees
    assert not found.guesses
    assert found.masks_checked == 2 * ROWS - 312
    assert (found.rows == true).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_under_masks_of_a_prg_are_not(order: Literal["C", "F"]) -> None:
    view, true = view_under(Prg(bytes(32)).ring, order)
    for found in (attack.from_outputs(view), attack.from_inheritance(view)):
        assert found.guesses
        assert not found.foresees
        assert not (found.rows == true).any()


def test_one_mask_that_is_out_of_line_is_noticed() -> None:
    draw = from_torch(5)

    def masks(size: int) -> np.ndarray:
        drawn = draw(size)
        drawn[400] += 1
        return drawn

    found = attack.from_outputs(view_under(masks)[0])
    assert found.masks_predicted == found.masks_checked - 1
    assert not found.foresees
    assert not found.guesses


def test_seeds_that_the_third_party_draws_are_drawn_again_from_what_was_inherited() -> None:
    inherited = torch.get_rng_state()
    third_party = torch.Generator()
    third_party.set_state(inherited)
    seeds = [torch.randint(-(2**63), 2**63 - 1, size=(), generator=third_party) for _ in range(2)]
    view, true = view_under(from_torch(int(seeds[1])), inherited=inherited)
    found = attack.from_inheritance(view)
    assert found.foresees
    assert found.masks_checked == 2 * ROWS
    assert (found.rows == true).all()


# --------------------------------------------------------------------------------------------------- the experiment


def test_every_row_is_computed_with_crypten_and_none_on_the_secure_core() -> None:
    figures = json.loads(run_script("attack_crypten_rng.py", "--rows", ROWS, "--json"))
    assert figures["as_expected"]
    recovered = {
        (target, key): (each["rows_recovered"], each["masks_predicted"] / each["masks_checked"])
        for target, held in figures["targets"].items()
        for key, each in held["attacks"].items()
    }
    all_of_it, nothing = (ROWS, 1.0), (0, 0.0)
    assert recovered == {
        ("crypten", "outputs"): all_of_it,
        ("crypten", "inheritance"): all_of_it,
        ("twister", "outputs"): all_of_it,
        ("twister", "inheritance"): nothing,
        ("secure", "outputs"): nothing,
        ("secure", "inheritance"): nothing,
    }
    taken = figures["targets"]["crypten"]["attacks"]["outputs"]
    assert taken["first_recovered"] == taken["first_true"]
    assert all(abs(each["bits_right"] - 0.5) < 0.02 for each in figures["targets"]["secure"]["attacks"].values())


def test_a_secure_core_that_is_not_secure_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = attack.Target("AES left out", attack.run_twister, frozenset())
    monkeypatch.setattr(attack, "TARGETS", {"secure": broken})
    ended = CliRunner().invoke(attack.main, ["--rows", str(ROWS)])
    assert ended.exit_code == 1
    assert f"{ROWS} of {ROWS} rows of party 1 recovered" in ended.stdout
    assert "Not what was expected" in ended.stdout


def test_too_few_rows_are_refused() -> None:
    ended = CliRunner().invoke(attack.main, ["--rows", "319"])
    assert ended.exit_code == 2
    assert "--rows" in ended.stderr
