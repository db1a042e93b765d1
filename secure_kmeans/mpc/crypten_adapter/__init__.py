"""The border to CrypTen: the only package that imports or patches it.

CrypTen 0.4.1 has the encrypted tensors, the Beaver products, the adder circuits, the trusted third party (here: the
dealer) and ``run_multiprocess``. Importing this package replaces what must not be used as it is published: randomness
(:mod:`.randomness`), the third party's keys and messages (:mod:`.third_party`), the way between the roles, with pickle
and endless waiting (:mod:`.communicator`), the start of a role (:mod:`.launching`). :mod:`.tensors` keeps the numbers
integers, so that CrypTen never truncates.
"""

from __future__ import annotations

import logging
import types
from typing import Any

from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.crypten_adapter.launching import channel, install_launching, joined, run_roles
from secure_kmeans.mpc.crypten_adapter.original import MPCTensor as Shared
from secure_kmeans.mpc.crypten_adapter.original import (
    arithmetic_primitives,
    binary_primitives,
    comm,
    context,
    crypten,
    ttp,
)
from secure_kmeans.mpc.crypten_adapter.randomness import (
    install_zero_sharing,
    kbit_element,
    ring_element,
    set_up_zero_sharing,
)
from secure_kmeans.mpc.crypten_adapter.tensors import (
    arithmetic,
    binary,
    bit_to_integer,
    bits_and,
    bits_xor_public,
    cat,
    divide_locally,
    from_public,
    install_tensors,
    is_bits,
    share,
    share_of,
    sign_bits,
    squares,
    stack,
    wrap,
)
from secure_kmeans.mpc.crypten_adapter.third_party import receive_key, request, serve_requests

__all__ = [
    "RoleCommunicator",
    "Shared",
    "arithmetic",
    "binary",
    "bit_to_integer",
    "bits_and",
    "bits_xor_public",
    "cat",
    "channel",
    "divide_locally",
    "from_public",
    "is_bits",
    "joined",
    "run_roles",
    "serve_requests",
    "share",
    "share_of",
    "sign_bits",
    "squares",
    "stack",
    "wrap",
]


def _plain(settings: Any) -> Any:
    """CrypTen's settings as plain attributes."""
    if hasattr(settings, "items"):
        return types.SimpleNamespace(**{key: _plain(value) for key, value in settings.items()})
    return settings


def _install() -> None:
    # CrypTen reads its settings at every attribute of a tensor; as plain attributes that takes 0.1 instead of 80 us.
    crypten.cfg.set_config(_plain(crypten.cfg.config))
    for section, settings in vars(crypten.cfg.config).items():
        object.__setattr__(crypten.cfg, section, settings)
    crypten.cfg.mpc.provider = "TTP"
    providers = getattr(crypten.mpc, "__SUPPORTED_PROVIDERS")
    del providers["TFP"], providers["HE"]  # the first, CrypTen's default, shows everything to the first party
    for module, name, ours in (
        (arithmetic_primitives, "generate_random_ring_element", ring_element),
        (binary_primitives, "generate_kbit_random_tensor", kbit_element),
        (ttp, "generate_random_ring_element", ring_element),
        (ttp, "generate_kbit_random_tensor", kbit_element),
    ):
        assert hasattr(module, name), "this is not the CrypTen that the patches are made for"
        setattr(module, name, ours)
    crypten._setup_prng = set_up_zero_sharing
    client = ttp.TTPClient._TTPClient__TTPClient
    client._setup_generators, client.ttp_request = receive_key, request
    comm.DistributedCommunicator = context.DistributedCommunicator = RoleCommunicator
    ttp.logging = context.logging = logging.getLogger("crypten")  # instead of the root logger, which is the user's
    install_launching()
    install_zero_sharing()
    install_tensors()


_install()
