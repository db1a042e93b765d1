"""Keys of sizes that no job may have."""

import pytest

from secure_kmeans.crypto import paillier


@pytest.fixture(autouse=True)
def small_keys_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of 256 and 512 bits are quick to make, and not safe."""
    monkeypatch.setattr(paillier, "KEY_BITS", (256, 512, *paillier.KEY_BITS))
