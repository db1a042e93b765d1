"""Pseudo-random streams from operating-system entropy.

Every share, mask and zero-sharing of a run is drawn from one of these streams. A stream is
AES-256 in counter mode (NIST SP 800-38A) under a key of its own; the two roles that hold the same
key draw the same numbers without a message. AES is OpenSSL's, by way of ``cryptography``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES: Final = 32
_BLOCK: Final = memoryview(bytes(1 << 17))


class Prg:
    """One stream. Nothing of it is ever drawn twice: the counter only goes up.

    Parameters
    ----------
    key : bytes
        :data:`KEY_BYTES` bytes that no other stream uses.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, this one has {len(key)}")
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def __repr__(self) -> str:
        return "Prg(key hidden)"

    def fill(self, target: np.ndarray) -> None:
        """Overwrite a contiguous array with uniform bits."""
        if not target.size:
            return
        out = target.data.cast("B")
        if target.nbytes <= _BLOCK.nbytes:
            self._stream.update_into(_BLOCK[: target.nbytes], out)
            return
        for start in range(0, len(out), len(_BLOCK)):
            part = out[start : start + len(_BLOCK)]
            self._stream.update_into(_BLOCK[: len(part)], part)

    def ring(self, size: int) -> np.ndarray:
        """``size`` uniform elements of Z/2^64, as int64."""
        out = np.empty(size, dtype=np.int64)
        self.fill(out)
        return out

    def bits(self, size: int, width: int) -> np.ndarray:
        """``size`` uniform integers of ``width`` bits, 1 to 63, as int64."""
        if not 1 <= width <= 63:
            raise ValueError(f"width={width} must be from 1 to 63")
        return self.ring(size) & np.int64((1 << width) - 1)
