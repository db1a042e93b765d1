import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from secure_kmeans.net.channel import Channel
from secure_kmeans.net.handshake import hello_of
from secure_kmeans.net.identity import Identity, load_identity, new_identity
from secure_kmeans.net.messages import Refusal
from secure_kmeans.net.tls import LostError, RejectedError, TlsLine
from secure_kmeans.protocols import read_job
from tests.system.apart import Apart

MORE_MEMORY_KB = 150_000
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def connect(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=5)
    line.settimeout(0.5)
    return line


def throw_everything(apart: Apart, at: str, stranger: Identity, idle: int) -> list[socket.socket]:
    """Send garbage, a lot of it, half a handshake and a wrong certificate, and open idle connections."""
    port, expected = apart.ports[at], load_identity(apart.folder / at).fingerprint
    lines = [connect(port) for _ in range(4)]
    for line, garbage in zip(lines, (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), CLIENT_HELLO), strict=False):
        line.sendall(garbage)
    with suppress(OSError):
        for _ in range(256):
            lines[3].sendall(bytes(1 << 16))  # 16 MB, unless the role closes the connection
    with suppress(LostError, RejectedError):
        TlsLine(connect(port), stranger, {expected}, server=False).shake_hands(time.monotonic() + 1)
    return [*lines, *(connect(port) for _ in range(idle))]


def call_as(role: str, port: int, of: str, folder: Path) -> object:
    """The answer of the role ``of`` to a second process with the certificate of ``role``."""
    job = read_job(folder / "job.toml")
    deadline = time.monotonic() + 10
    tls = TlsLine(connect(port), load_identity(folder / role), {job.role(of).fingerprint or ""}, server=False)
    tls.shake_hands(deadline)
    channel = Channel(tls, of)
    channel.send_message(hello_of(job, role, "data", bytes(32)), deadline)
    answer = channel.receive_message(deadline)
    tls.close()
    return answer


def test_strangers_cost_little_and_change_nothing(apart: Apart, calm: Apart) -> None:
    apart.prepare()
    stranger = new_identity(apart.folder / "stranger")
    apart.start("lab")
    apart.wait_for("lab", "listening")
    thrown = throw_everything(apart, "lab", stranger, idle=10)
    apart.start("clinic")
    apart.wait_for("lab", "clinic is connected")
    answer = call_as("clinic", apart.ports["lab"], "lab", apart.folder)
    assert isinstance(answer, Refusal)
    assert "connected already" in answer.reason
    apart.start("dealer")
    apart.wait_for("dealer", "listening")
    for role in ("dealer", "lab", "dealer"):
        with suppress(ConnectionError):  # a role that is done accepts no more connections
            thrown += throw_everything(apart, role, stranger, idle=300)
    apart.wait_until_all_end_well()
    for line in thrown:
        line.close()

    assert apart.results() == calm.results()
    refusals = [line for line in apart.roles["lab"].output.splitlines() if "refused a connection" in line]
    assert any('a second connection under the name of "clinic"' in line for line in refusals)
    assert any(f"it showed a certificate with the fingerprint {stranger.fingerprint}" in line for line in refusals)
    assert 3 <= len(refusals) <= 21, "many refusals are logged together"
    for name, process in apart.roles.items():
        assert process.peak_kb < calm.roles[name].peak_kb + MORE_MEMORY_KB
        assert "Traceback" not in process.output
