"""All roles on this machine, by CrypTen's ``run_multiprocess``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import torch

from secure_kmeans.mpc.crypten_adapter.dealer import Dealer
from secure_kmeans.mpc.crypten_adapter.original import comm, context, crypten, distributed

_INITIALISE: Final = torch.distributed.init_process_group
_LAUNCH: Final = context._launch

Guard = Callable[[int, Callable[[], None]], None]
"""Given a role's rank, the dealer's being the last, and all that the role does: it has to call that."""


def _unguarded(rank: int, life: Callable[[], None]) -> None:
    del rank
    life()


def run_roles(parties: int, party: Callable[[int], None], *, timeout: float, guard: Guard = _unguarded) -> bool:
    """Run all roles on this machine by ``crypten.mpc.run_multiprocess``; return whether all ended well.

    Parameters
    ----------
    parties : int
        How many; one process each, and one more for the dealer.
    party : callable
        Given its rank, called in each party's process once all roles are connected.
    timeout : float
        Seconds after which a collective that nobody answers fails.
    guard : callable, optional
        Called in each role's process around its whole life, from before it connects to its end.
    """

    def initialise(*args: Any, **kwargs: Any) -> None:
        torch.set_num_threads(1)
        _INITIALISE(*args, **kwargs | {"timeout": timedelta(seconds=timeout)})

    def launch(func: Any, rank: int, *args: Any) -> None:
        guard(rank, lambda: _LAUNCH(func, rank, *args))

    logging.getLogger().setLevel(logging.ERROR)  # CrypTen tells the root logger of every request
    crypten.cfg.mpc.provider = "TTP"
    distributed.dist.init_process_group = initialise
    context._launch = launch
    crypten.mpc.provider.TTPServer = lambda: Dealer().serve()
    return context.run_multiprocess(parties)(lambda: party(comm.get().get_rank()))() is not None
