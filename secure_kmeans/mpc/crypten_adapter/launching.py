"""A role's life in CrypTen: several on this machine by ``run_multiprocess``, or this process alone."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from typing import Final

import torch

from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.crypten_adapter.dealer import Dealer
from secure_kmeans.mpc.crypten_adapter.gloo import GlooLinks
from secure_kmeans.mpc.crypten_adapter.original import comm, context, crypten
from secure_kmeans.net.mesh import Mesh

_LAUNCH: Final = context._launch

Guard = Callable[[int, Callable[[], None]], None]
"""Given a role's rank, the dealer's being the last, and all that the role does in CrypTen. It meets the other roles,
calls :func:`connect`, and then that."""


def connect(mesh: Mesh, rendezvous: str | None = None) -> None:
    """Let CrypTen in this process talk over a mesh.

    Parameters
    ----------
    mesh : Mesh
    rendezvous : str, optional
        Of Gloo, which then carries everything but keys; see :class:`~secure_kmeans.mpc.crypten_adapter.gloo.GlooLinks`.
    """
    RoleCommunicator.connection = mesh, mesh if rendezvous is None else GlooLinks(mesh, rendezvous)


def run_roles(parties: int, part: Callable[[int], None], guard: Guard, *, dealer_walks: bool = True) -> bool:
    """Run all roles on this machine by ``crypten.mpc.run_multiprocess``; return whether all ended well.

    Parameters
    ----------
    parties : int
        How many; one process each, and one more for the dealer.
    part : callable
        Given its rank, called in each party's process, and in the dealer's with the last rank.
    guard : Guard
        Called in each role's process around its whole life.
    dealer_walks : bool
        Whether the dealer takes ``part``; else it is CrypTen's, which answers requests.
    """

    def launch(func: Callable[[], None], rank: int, *args: object) -> None:
        torch.set_num_threads(1)
        guard(rank, lambda: _LAUNCH(func, rank, *args))

    _prepare((lambda: part(parties)) if dealer_walks else None)
    context._launch = launch
    try:
        return context.run_multiprocess(parties)(lambda: part(comm.get().get_rank()))() is not None
    finally:
        context._launch = _LAUNCH


def run_role(mesh: Mesh, part: Callable[[int], None], *, dealer_walks: bool = True) -> None:
    """This process's role, after :func:`connect`; as :func:`run_roles`."""
    torch.set_num_threads(1)
    rank = mesh.roles.index(mesh.me)
    parties = len(mesh.roles) - 1
    _prepare((lambda: part(parties)) if dealer_walks else None)
    life = crypten.mpc.provider.TTPServer if rank == parties else lambda: part(rank)
    _LAUNCH(life, rank, parties, "", queue.SimpleQueue(), (), {})


def _prepare(dealer: Callable[[], None] | None) -> None:
    """CrypTen's third party becomes ``dealer``, which it then never asks for anything, or ours that answers."""
    logging.getLogger("root").setLevel(logging.ERROR)  # CrypTen tells the root logger of every request
    crypten.cfg.mpc.provider = "TTP"
    RoleCommunicator.dealer_answers = dealer is None
    crypten.mpc.provider.TTPServer = dealer or (lambda: Dealer().serve())
