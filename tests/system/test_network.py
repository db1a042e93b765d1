import ctypes
import functools
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from roles_apart import PARTIES, ROLES

from secure_kmeans.net.messages import Kind, pack_header
from secure_kmeans.protocols import read_job
from secure_kmeans.protocols.shk.job import ShkJob
from tests.system.apart import Apart

TLS_HANDSHAKE, TLS_CHANGE_CIPHER, TLS_DATA = 22, 20, 23
HELLOS = (1, 2)
CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
EVERY_PROTOCOL = 3

Overheard = tuple[Apart, dict[tuple[str, int, str, int], bytes], dict[str, list[bytes]]]
"""The roles, what travelled between them, and shares that parties kept meanwhile."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def machines(*names: str) -> Iterator[dict[str, str]]:
    """A network namespace for each name, all on one bridge in another namespace; each one's address."""
    own = f"sk{os.getpid() % 100000}"
    spaces = {name: f"{own}-{name}" for name in ("switch", *names)}
    addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, start=1)}
    with ExitStack() as stack:
        try:
            for space in spaces.values():
                ip("netns", "add", space)
                stack.callback(ip, "netns", "delete", space)
            _connect(spaces, addresses)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        yield addresses


def _connect(spaces: dict[str, str], addresses: dict[str, str]) -> None:
    switch = spaces["switch"]
    ip("-n", switch, "link", "add", "bridge", "type", "bridge")
    ip("-n", switch, "link", "set", "bridge", "up")
    for name, address in addresses.items():
        end = ("peer", "name", "wire", "netns", spaces[name])
        ip("-n", switch, "link", "add", name, "type", "veth", *end)
        ip("-n", switch, "link", "set", name, "master", "bridge", "up")
        ip("-n", spaces[name], "address", "add", f"{address}/24", "dev", "wire")
        for link in ("lo", "wire"):
            ip("-n", spaces[name], "link", "set", link, "up")


def enter(name: str) -> None:
    """Move this thread into a machine's network."""
    with Path(f"/run/netns/sk{os.getpid() % 100000}-{name}").open() as space:
        _setns(space.fileno())


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Wiretap:
    """Hears every frame on the bridge and puts the bytes of each TCP connection together again."""

    def __init__(self) -> None:
        self._ears: socket.socket
        listener = threading.Thread(target=self._open)
        listener.start()
        listener.join()
        self._frames: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _open(self) -> None:
        """In a thread of its own, which alone moves into the namespace."""
        enter("switch")
        self._ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        self._ears.setsockopt(socket.SOL_SOCKET, 33, 1 << 28)  # SO_RCVBUFFORCE: nothing may be missed
        self._ears.bind(("bridge", 0))
        everything = struct.pack("iHH8s", socket.if_nametoindex("bridge"), PACKET_MR_PROMISC, 0, b"")
        self._ears.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, everything)
        self._ears.settimeout(0.2)

    def _listen(self) -> None:
        while True:
            try:
                self._frames.append(self._ears.recv(1 << 17))
            except TimeoutError:
                if self._ended.is_set():
                    return

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._ears.close()

    def streams(self) -> dict[tuple[str, int, str, int], bytes]:
        """What was sent from one end to another, in order and complete."""
        pieces: dict[tuple[str, int, str, int], dict[int, bytes]] = {}
        starts: dict[tuple[str, int, str, int], int] = {}
        for frame in self._frames:
            if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
                continue
            packet = frame[14 : 14 + struct.unpack("!H", frame[16:18])[0]]
            tcp = packet[(packet[0] & 15) * 4 :]
            source, target, sequence = struct.unpack("!HHI", tcp[:8])
            ends = (socket.inet_ntoa(packet[12:16]), source, socket.inet_ntoa(packet[16:20]), target)
            if tcp[13] & 2:  # SYN
                starts[ends] = sequence + 1
            elif payload := tcp[(tcp[12] >> 4) * 4 :]:
                pieces.setdefault(ends, {})[(sequence - starts[ends]) % (1 << 32)] = payload
        return {ends: _in_order(parts) for ends, parts in pieces.items()}


def _in_order(parts: dict[int, bytes]) -> bytes:
    stream = bytearray()
    for position, payload in sorted(parts.items()):
        assert position <= len(stream), "the wiretap missed something"
        stream[position:] = payload if position + len(payload) > len(stream) else stream[position:]
    return bytes(stream)


def tls_records(stream: bytes) -> list[tuple[int, bytes]]:
    """Content type and content of every TLS record; the stream must be made of nothing else."""
    records = []
    position = 0
    while position < len(stream):
        kind, version, length = struct.unpack_from("!BHH", stream, position)
        assert kind in range(20, 24)
        assert version in (0x0301, 0x0303)
        assert length <= (1 << 14) + 256
        records.append((kind, stream[position + 5 : position + 5 + length]))
        position += 5 + length
    assert position == len(stream), "the last record is cut off"
    return records


def secrets(apart: Apart) -> dict[str, list[bytes]]:
    """Bytes that must not travel in the clear: rows, names of columns, frames."""
    job = read_job(apart.folder / "job.toml")
    assert isinstance(job, ShkJob)
    tables = [pd.read_csv(apart.folder / f"{party}.csv", dtype=str) for party in PARTIES]
    texts = np.concatenate([table.to_numpy().ravel() for table in tables])
    rows = np.concatenate([table.to_numpy(dtype=float) for table in tables])
    ring = np.rint(job.scaling.apply(rows) * 2.0**job.precision_bits).astype(np.int64)
    return {
        "a value as text": [text.encode() for text in texts if len(text) > 5],  # fewer digits come up by chance
        "a value": [value.tobytes() for value in rows.ravel()],
        "a value in fixed point": [value.tobytes() for value in ring.ravel() if abs(value) >= 1 << 16],
        "a column": [f'"{column}"'.encode() for column in job.columns] + [b"\xa4dose", b"\xa3age"],
        "a frame": [pack_header(kind, 0, 0)[:4] for kind in Kind],
    }


def kept_shares(folder: Path) -> list[bytes]:
    """Shares of centroids from a state's file, each element by itself."""
    file = max(folder.glob("*.state"), key=lambda file: file.stat().st_mtime_ns)
    state = msgspec.msgpack.decode(file.read_bytes()[32:])["state"]
    shares: bytes = msgspec.msgpack.decode(state)["centroids"]
    return [shares[position : position + 8] for position in range(0, len(shares), 8)]


@pytest.fixture
def overheard(apart: Apart) -> Callable[[], Overheard]:
    """Run the job with each role in a network namespace of its own, and listen to all traffic."""

    def run() -> Overheard:
        with machines(*ROLES) as addresses:
            apart.prepare(hosts=addresses)
            tap = Wiretap()
            try:
                for role in ROLES:
                    apart.start(role, before=functools.partial(_move, role))
                apart.wait_for("lab", "iterations 1 ")
                shares: dict[str, list[bytes]] = {}
                with suppress(ValueError, OSError):  # a state may be removed at this moment
                    shares = {party: kept_shares(apart.folder / "state/job" / party) for party in PARTIES}
                apart.wait_until_all_end_well()
            finally:
                tap.close()
                for process in apart.roles.values():
                    process.kill()  # a namespace goes when its last process does
        return apart, tap.streams(), shares

    return run


def _move(role: str) -> None:
    with Path(f"/run/netns/sk{os.getppid() % 100000}-{role}").open() as space:
        _setns(space.fileno())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces and listen to all traffic")
def test_all_that_travels_between_machines_is_tls(overheard: Callable[[], Overheard], calm: Apart) -> None:
    apart, streams, shares = overheard()
    assert apart.results() == calm.results()
    assert len(streams) == 12  # two lines for each of three pairs, both ways
    for stream in streams.values():
        kinds = [kind for kind, _ in tls_records(stream)]
        hello = tls_records(stream)[0]
        assert hello[0] == TLS_HANDSHAKE
        assert hello[1][0] in HELLOS
        assert set(kinds[1:]) <= {TLS_CHANGE_CIPHER, TLS_DATA}
    everything = b"|".join(streams.values())
    assert len(everything) > 200_000
    seen = secrets(apart) | {"a share": [share for own in shares.values() for share in own]}
    for what, values in seen.items():
        assert values, what
        assert not any(value in everything for value in values), what
