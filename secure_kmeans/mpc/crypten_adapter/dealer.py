"""The dealer, and what the parties ask of it.

CrypTen's trusted third party, with keys that never travel where it sends seeds from a generator that every forked party
can rewind, with requests of plain values where it sends pickles, and with one message each way.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from secure_kmeans.errors import ProtocolError
from secure_kmeans.mpc.crypten_adapter.original import comm, ttp
from secure_kmeans.mpc.crypten_adapter.randomness import Stream

_PURPOSE: Final = "stream of the dealer and a party"
_PRODUCTS: Final = ("matmul", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")


class Dealer(ttp.TTPServer):  # type: ignore[misc]
    """CrypTen's trusted third party: it expands every party's stream and sends the first one corrections.

    It sees shapes, never a share or an opened value.
    """

    def __init__(self) -> None:
        self.device = "cpu"
        self._channel = comm.get()
        self.generators = [Stream(self._channel.key(rank, _PURPOSE)) for rank in range(self._channel.get_world_size())]

    def serve(self) -> None:
        """Answer the first party's requests until it says that the run is over."""
        while (request := self._channel.recv_obj(0)) != "terminate":
            self._channel.send(self._answer(request), 0)

    def _answer(self, request: Any) -> torch.Tensor:
        try:
            function, arguments, options = request["function"], request["args"], request["kwargs"]
            if function not in ttp.TTP_FUNCTIONS:
                raise ValueError(function)
            _shape_of_answer(function, *arguments, **options)
            correction: torch.Tensor = getattr(self, function)(*arguments, **options).contiguous()
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError):
            raise ProtocolError("the first party asked the dealer for something unknown") from None
        return correction


def request(client: Any, function: str, device: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    """One request to the dealer and its answer, whose shape follows from the request."""
    channel = comm.get()
    if not channel.dealer_answers:
        raise ProtocolError("CrypTen asked the dealer for something, but this run's dealer answers nobody")
    channel.send_obj({"function": function, "args": args, "kwargs": kwargs}, channel.get_ttp_rank())
    answer = torch.empty(_shape_of_answer(function, *args, **kwargs), dtype=torch.long)
    return channel.recv(answer, channel.get_ttp_rank()).to(device)


def _shape_of_answer(function: str, size: Any, other: Any = None, op: str = "mul", *args: Any, **kwargs: Any) -> Any:
    if other is None or function not in ("additive", "binary"):
        return torch.Size(size)
    left, right = torch.Size(size), torch.Size(other)
    if function == "binary" or op == "mul":
        return torch.Size(np.broadcast_shapes(left, right))
    if op == "matmul" and min(len(left), len(right)) >= 2:
        return torch.Size((*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1]))
    if op not in _PRODUCTS:
        raise ValueError(op)
    empty = (torch.empty(shape, device="meta") for shape in (left, right))
    return getattr(torch, op)(*empty, *args, **kwargs).shape


def receive_key(client: Any) -> None:
    """The stream that this party shares with the dealer."""
    channel = comm.get()
    client.generator = Stream(channel.key(channel.get_ttp_rank(), _PURPOSE))
