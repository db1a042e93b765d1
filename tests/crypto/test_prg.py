import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.crypto.prg import KEY_BYTES, Prg


def test_known_answer_of_aes_256_in_counter_mode() -> None:
    # AES-256 of the blocks 0 and 1 under the key of zeros: the counter mode's first 32 bytes.
    encryptor = Cipher(algorithms.AES(bytes(32)), modes.ECB()).encryptor()
    blocks = encryptor.update(bytes(16) + bytes(15) + b"\x01")
    assert blocks.hex().startswith("dc95c078a2408989ad48a21492842087")  # FIPS-197 style vector of the zero block
    assert Prg(bytes(32)).ring(4).tobytes() == blocks


def test_same_key_same_stream_and_nothing_twice() -> None:
    key = os.urandom(KEY_BYTES)
    left, right = Prg(key), Prg(key)
    first, second = left.ring(1000), left.ring(1000)
    assert (right.ring(2000) == np.concatenate([first, second])).all()
    assert not np.intersect1d(first, second).size


def test_a_stream_goes_on_over_its_block_size() -> None:
    key = os.urandom(KEY_BYTES)
    size = (1 << 20) // 8 + 3  # a little more than one block of the generator
    in_parts = Prg(key)
    parts = [in_parts.ring(part) for part in (1, size - 1, size)]
    assert (Prg(key).ring(2 * size) == np.concatenate(parts)).all()


@given(st.integers(1, 63), st.integers(0, 300))
def test_bits_stay_below_their_width(width: int, size: int) -> None:
    values = Prg(bytes(range(32))).bits(size, width)
    assert values.shape == (size,)
    assert ((values >= 0) & (values < 2**width)).all()


def test_every_bit_of_a_ring_element_is_fair() -> None:
    words = Prg(bytes(range(32))).ring(100_000).view(np.uint8)
    ones = np.unpackbits(words).reshape(-1, 64).mean(axis=0)
    # 100,000 fair coins: a mean is off by more than 5 standard deviations once in 1.7 million.
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / np.sqrt(100_000)


def test_refuses_a_short_key_and_a_wrong_width() -> None:
    with pytest.raises(ValueError, match=f"a key has {KEY_BYTES} bytes, this one has 16"):
        Prg(bytes(16))
    for width in (0, 64):
        with pytest.raises(ValueError, match="must be from 1 to 63"):
            Prg(bytes(32)).bits(1, width)


def test_its_repr_hides_the_key() -> None:
    assert repr(Prg(bytes(range(32)))) == "Prg(key hidden)"
