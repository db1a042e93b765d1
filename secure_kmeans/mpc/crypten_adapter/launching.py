"""CrypTen in this process (:func:`joined`), and all roles of a run on this machine (:func:`run_roles`)."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.crypten_adapter.original import comm, context, crypten, ttp
from secure_kmeans.mpc.crypten_adapter.third_party import TERMINATE
from secure_kmeans.net.mesh import Mesh


@contextlib.contextmanager
def joined(mesh: Mesh, *, dealer_answers: bool = False) -> Iterator[RoleCommunicator]:
    """Initialise CrypTen over a mesh for as long as the context lasts.

    Parameters
    ----------
    mesh : Mesh
        The caller opens it before and closes it afterwards.
    dealer_answers : bool
        Whether the dealer is CrypTen's and calls :func:`~secure_kmeans.mpc.crypten_adapter.serve_requests` inside of
        this context. When the first party's context ends without an exception it tells that dealer to stop.

    Yields
    ------
    RoleCommunicator
    """
    assert not comm.is_initialized(), "a thread takes part in one run at a time"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    here = RoleCommunicator.in_this_thread
    here.mesh, here.dealer_answers = mesh, dealer_answers
    try:
        crypten.init()
        yield channel()
        if dealer_answers and channel().rank == 0:
            channel().send_obj(TERMINATE, channel().get_ttp_rank())
    finally:
        crypten.uninit()
        ttp.TTPClient.uninit()
        here.mesh, here.dealer_answers = None, False
        torch.set_num_threads(threads)


def channel() -> RoleCommunicator:
    """This role's communicator, inside of :func:`joined`."""
    found: RoleCommunicator = comm.get()
    return found


def run_roles(parties: int, role: Callable[[int], None]) -> bool:
    """Run all roles on this machine by ``crypten.mpc.run_multiprocess``.

    Parameters
    ----------
    parties : int
    role : callable
        Called with its rank in a process of its own, forked from this one: once for each party, and with the rank
        ``parties`` for the dealer. It meets the other roles, does its part inside of :func:`joined`, and ends.

    Returns
    -------
    bool
        Whether every role returned. A traceback of one that raised is on its standard error.
    """
    earlier = crypten.mpc.provider.TTPServer
    crypten.mpc.provider.TTPServer = role  # what run_multiprocess runs in the dealer's process
    try:
        return context.run_multiprocess(parties)(role)() is not None
    finally:
        crypten.mpc.provider.TTPServer = earlier


def _launch(
    role: Callable[[int], None],
    rank: int,
    world_size: int,
    rendezvous_file: str,
    queue: Any,
    func_args: Sequence[object],
    func_kwargs: dict[str, object],
) -> None:
    """What ``run_multiprocess`` calls in each process."""
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    role(rank)
    queue.put((rank, None))


def install_launching() -> None:
    """Make ``run_multiprocess`` call :func:`_launch`, and fork: CrypTen starts a process with a local function.

    Forking has to be asked for on macOS, from Python 3.14 on elsewhere, and where the user has chosen otherwise.
    """
    context._launch = _launch
    context.multiprocessing = multiprocessing.get_context("fork")
