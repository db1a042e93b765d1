"""CrypTen's start and end in a role's process, and all roles by its ``run_multiprocess``."""

import hashlib
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import original
from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.watch import Traffic

ROLES = ("north", "south", "dealer")
REPOSITORY = Path(__file__).resolve().parents[2]


def mesh_of(me: str, session: bytes = b"") -> Mesh:
    """Keys, but no lines."""
    told: list[tuple[str, Any]] = []

    def key(peer: str, purpose: str) -> bytes:
        return hashlib.sha256(repr((sorted([me, peer]), purpose, session)).encode()).digest()

    def post_object(peer: str, value: Any) -> int:
        told.append((peer, value))
        return 1

    lines = {"post_object": post_object, "flush": lambda: None, "told": told}
    return cast("Mesh", types.SimpleNamespace(me=me, roles=ROLES, key=key, traffic=Traffic(), **lines))


def told(mesh: Mesh) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = cast("Any", mesh).told
    return found


def assert_nothing_is_left() -> None:
    assert not original.comm.is_initialized()
    assert RoleCommunicator.in_this_thread.mesh is None
    assert not RoleCommunicator.in_this_thread.dealer_answers
    for name in ("prev", "next"):
        with pytest.raises(RuntimeError, match="not initialized"):
            original.crypten.generators[name][torch.device("cpu")]
    with pytest.raises(RuntimeError, match="not initialized"):
        crypten.channel()
    with pytest.raises(RuntimeError, match="not initialized"):
        original.ttp.TTPClient.get()


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_crypten_is_initialised_for_as_long_as_the_context_lasts(rank: int) -> None:
    threads = torch.get_num_threads()
    mesh = mesh_of(ROLES[rank])
    with crypten.joined(mesh) as channel:
        assert crypten.channel() is channel
        assert (channel.rank, channel.world_size, channel.mesh, channel.links) == (rank, 2, mesh, mesh)
        assert torch.get_num_threads() == 1
        shared = crypten.share(torch.tensor([5]) if rank == 0 else None, 0, (1,))
        assert tuple(shared.shape) == (1,)
    assert torch.get_num_threads() == threads
    assert_nothing_is_left()
    assert told(mesh) == []


def test_crypten_is_uninitialised_where_the_body_raises() -> None:
    mesh = mesh_of("north")
    with pytest.raises(ValueError, match="of its own"), crypten.joined(mesh, dealer_answers=True):
        raise ValueError("of its own")
    assert_nothing_is_left()
    assert told(mesh) == []  # the caller, who opened the mesh, tells the others


@pytest.mark.parametrize(("me", "messages"), [("north", [("dealer", "terminate")]), ("south", []), ("dealer", [])])
def test_the_first_party_tells_a_dealer_that_answers_to_stop(me: str, messages: list[tuple[str, str]]) -> None:
    mesh = mesh_of(me)
    with crypten.joined(mesh, dealer_answers=True):
        pass
    assert told(mesh) == messages


def test_no_key_of_an_earlier_run_is_used_again() -> None:
    drawn = []
    for session in (b"one", b"one", b"two"):
        with crypten.joined(mesh_of("north", session)):
            zero = crypten.share_of(crypten.share(torch.zeros(2, dtype=torch.long), 0, (2,)))
            mask = original.ttp.TTPClient.get().generator.ring(2)
        drawn.append((zero.tolist(), mask.tolist()))
    assert drawn[0] == drawn[1]  # made from the keys of the mesh alone
    assert drawn[0][0] != drawn[2][0]
    assert drawn[0][1] != drawn[2][1]


def test_one_run_at_a_time() -> None:
    with crypten.joined(mesh_of("north")), pytest.raises(AssertionError), crypten.joined(mesh_of("south")):
        pass


def test_every_role_is_called_with_its_rank_in_a_process_of_its_own(tmp_path: Path) -> None:
    def role(rank: int) -> None:
        assert torch.get_num_threads() == 1
        assert not original.comm.is_initialized()
        (tmp_path / str(rank)).write_text(str(os.getpid()))

    assert crypten.run_roles(3, role)
    processes = {int(path.name): int(path.read_text()) for path in tmp_path.iterdir()}
    assert processes.keys() == {0, 1, 2, 3}
    assert len({*processes.values(), os.getpid()}) == 5


def ends_by_raising() -> None:
    raise ValueError("a reason of its own")


def ends_at_once() -> None:
    os._exit(3)


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("end", [ends_by_raising, ends_at_once])
def test_a_role_that_fails_is_reported(failing: int, end: Callable[[], None], tmp_path: Path) -> None:
    def role(rank: int) -> None:
        (tmp_path / str(rank)).touch()
        if rank == failing:
            end()

    assert not crypten.run_roles(2, role)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}
    assert crypten.run_roles(2, lambda rank: None)  # and the next run is not affected


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_start_method_that_the_user_chose_does_not_matter(method: str, tmp_path: Path) -> None:
    """Python 3.14 starts processes by ``forkserver``, and macOS by ``spawn``."""
    program = f"""
import multiprocessing
from pathlib import Path
multiprocessing.set_start_method({method!r})
from secure_kmeans.mpc import crypten_adapter as crypten
folder = Path({str(tmp_path)!r})
assert crypten.run_roles(2, lambda rank: (folder / str(rank)).touch())
assert multiprocessing.get_start_method() == {method!r}
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}
