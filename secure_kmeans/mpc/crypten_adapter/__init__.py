"""CrypTen, fenced in: the only package that imports or patches it.

CrypTen 0.4.1 brings the shared tensors, the Beaver products, the adder circuits, the trusted third party (here: the
dealer) and ``run_multiprocess``. What must not be used as it comes is replaced when this package is imported:
randomness (:mod:`.randomness`), the dealer's keys and messages (:mod:`.dealer`), the way between the roles, with pickle
and endless waiting (:mod:`.communicator`), truncation (:mod:`.tensors`).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.crypten_adapter.dealer import receive_key, request
from secure_kmeans.mpc.crypten_adapter.launching import connect, run_role, run_roles
from secure_kmeans.mpc.crypten_adapter.original import arithmetic, binary, comm, context, crypten, distributed, ttp
from secure_kmeans.mpc.crypten_adapter.randomness import kbit_element, ring_element, set_up_zero_sharing
from secure_kmeans.mpc.crypten_adapter.tensors import (
    Shared,
    bit_to_integer,
    bits_and,
    bits_xor_public,
    cat,
    channel,
    divide_locally,
    exchange,
    from_public,
    from_share,
    parties,
    share,
    sign_bits,
    squares,
    stack,
    unstack,
    with_share,
)

__all__ = [
    "Shared",
    "bit_to_integer",
    "bits_and",
    "bits_xor_public",
    "cat",
    "channel",
    "connect",
    "divide_locally",
    "exchange",
    "from_public",
    "from_share",
    "parties",
    "run_role",
    "run_roles",
    "share",
    "sign_bits",
    "squares",
    "stack",
    "unstack",
    "with_share",
]


def _plain(settings: Any) -> Any:
    """CrypTen's settings as plain attributes: it reads them in its hottest paths, 80 microseconds each."""
    if hasattr(settings, "items"):
        return types.SimpleNamespace(**{key: _plain(value) for key, value in settings.items()})
    return settings


@contextlib.contextmanager
def _overriding(changes: Mapping[str, Any]) -> Iterator[None]:
    """CrypTen's ``temp_override``, for plain settings: ``{"functions.exp_iterations": 8}`` holds while this lasts."""
    earlier = crypten.cfg.config
    crypten.cfg.config = copy.deepcopy(earlier)
    for path, value in changes.items():
        *sections, name = path.split(".")
        setattr(functools.reduce(getattr, sections, crypten.cfg.config), name, value)
    try:
        yield
    finally:
        crypten.cfg.config = earlier


def _install() -> None:
    crypten.cfg.set_config(_plain(crypten.cfg.config))
    crypten.cfg.temp_override = _overriding
    for module, name, ours in (
        (arithmetic, "generate_random_ring_element", ring_element),
        (binary, "generate_kbit_random_tensor", kbit_element),
        (ttp, "generate_random_ring_element", ring_element),
        (ttp, "generate_kbit_random_tensor", kbit_element),
    ):
        assert hasattr(module, name), "this is not the CrypTen that the patches are made for"
        setattr(module, name, ours)
    crypten._setup_prng = set_up_zero_sharing
    client = ttp.TTPClient._TTPClient__TTPClient
    client._setup_generators, client.ttp_request = receive_key, request
    for module in (comm, distributed, context):
        module.DistributedCommunicator = RoleCommunicator


_install()
