"""The dealer, and what the parties ask of it.

CrypTen's trusted third party, with keys from the operating system where it draws seeds from a generator that every
forked party can rewind, with requests in JSON where it sends pickles, and with one message each way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from secure_kmeans.crypto.prg import KEY_BYTES, fresh_key
from secure_kmeans.mpc.crypten_adapter.communicator import bytes_of
from secure_kmeans.mpc.crypten_adapter.original import comm, ttp
from secure_kmeans.mpc.crypten_adapter.randomness import Stream, key_bytes, key_tensor


class Dealer(ttp.TTPServer):  # type: ignore[misc]
    """CrypTen's trusted third party: it expands every party's stream and sends the first one corrections.

    It sees shapes, never a share or an opened value.
    """

    def __init__(self) -> None:
        self.device = "cpu"
        self._channel = comm.get()
        self._send_keys()

    def _send_keys(self) -> None:
        keys = [fresh_key() for _ in range(self._channel.get_world_size())]
        for rank, key in enumerate(keys):
            torch.distributed.send(key_tensor(key), dst=rank, group=self._channel.ttp_group)
            self._channel.traffic.sent(KEY_BYTES)
        self.generators = [Stream(key) for key in keys]

    def serve(self) -> None:
        """Answer the first party's requests until it says that the run is over."""
        while (request := self._channel.recv_obj(0, self._channel.ttp_group)) != "terminate":
            function, arguments = request["function"], request["args"]
            if function not in ttp.TTP_FUNCTIONS or (function == "additive" and arguments[2] not in ("mul", "matmul")):
                raise RuntimeError("an unknown request")
            correction = getattr(self, function)(*arguments).contiguous()
            torch.distributed.send(correction, dst=0, group=self._channel.ttp_group)
            self._channel.traffic.sent(bytes_of(correction))


def request(client: Any, function: str, device: Any, *args: Any) -> torch.Tensor:
    """One request to the dealer and its answer, whose shape follows from the request."""
    channel = comm.get()
    channel.send_obj({"function": function, "args": args}, channel.get_ttp_rank(), channel.ttp_group)
    channel.traffic.waited()
    answer = torch.empty(_shape_of_answer(function, *args), dtype=torch.long)
    torch.distributed.recv(answer, src=channel.get_ttp_rank(), group=channel.ttp_group)
    return answer


def _shape_of_answer(function: str, size: torch.Size, other: torch.Size | None = None, op: str = "mul") -> torch.Size:
    if other is None:
        return size
    if function == "binary" or op == "mul":
        return torch.Size(np.broadcast_shapes(size, other))
    assert op == "matmul"
    return torch.Size((*np.broadcast_shapes(size[:-2], other[:-2]), size[-2], other[-1]))


def receive_key(client: Any) -> None:
    """The stream that this party shares with the dealer."""
    key = torch.empty(KEY_BYTES // 8, dtype=torch.long)
    channel = comm.get()
    torch.distributed.recv(key, src=channel.get_ttp_rank(), group=channel.ttp_group)
    client.generator = Stream(key_bytes(key))
