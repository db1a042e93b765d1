"""The dealer of engine "crypten", which answers requests, and the requests of the first party.

This is CrypTen's trusted third party with three changes. Its keys never travel; CrypTen sends seeds from a generator
that every forked party can rewind. Requests are plain values instead of pickles. A request and its answer are one
message each.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from secure_kmeans.errors import ProtocolError
from secure_kmeans.mpc.crypten_adapter.original import comm, ttp
from secure_kmeans.mpc.crypten_adapter.randomness import Stream

_PURPOSE: Final = "stream of the dealer and a party"
TERMINATE: Final = "terminate"
"""Sent to the dealer instead of a request when the first party needs nothing more."""


class AnsweringDealer(ttp.TTPServer):  # type: ignore[misc]
    """CrypTen's trusted third party: it expands every party's stream and sends the first party corrections.

    It learns shapes, never a share or an opened value.
    """

    def __init__(self) -> None:
        self.device = "cpu"
        self._channel = comm.get()
        self.generators = [Stream(self._channel.key(rank, _PURPOSE)) for rank in range(self._channel.get_world_size())]

    def serve(self) -> None:
        """Answer the first party's requests until it sends :data:`TERMINATE`."""
        while (request := self._channel.recv_obj(0)) != TERMINATE:
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


def serve_requests() -> None:
    """The dealer's part in a run of engine "crypten": answer the first party until its run ends."""
    AnsweringDealer().serve()


def request(client: Any, function: str, device: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    """One request to the dealer and its answer, in the place of ``TTPClient.ttp_request``. Rounds: 1.

    Raises
    ------
    ProtocolError
        Where the dealer answers nobody.
    """
    channel = comm.get()
    if not channel.dealer_answers:
        raise ProtocolError("CrypTen asked the dealer for something, but this run's dealer answers nobody")
    channel.send_obj({"function": function, "args": args, "kwargs": kwargs}, channel.get_ttp_rank())
    answer = torch.empty(_shape_of_answer(function, *args, **kwargs), dtype=torch.long)
    received: torch.Tensor = channel.recv(answer, channel.get_ttp_rank())
    return received


def _shape_of_answer(function: str, size: Any, other: Any = None, op: str = "mul") -> torch.Size:
    """What both sides know of an answer: the shape of the square, product or conversion of such operands."""
    if other is None or function not in ("additive", "binary"):
        return torch.Size(size)
    left, right = torch.Size(size), torch.Size(other)
    if function == "binary" or op == "mul":
        return torch.Size(np.broadcast_shapes(left, right))
    if op == "matmul" and min(len(left), len(right)) >= 2:
        return torch.Size((*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1]))
    raise ValueError(op)


def receive_key(client: Any) -> None:
    """The stream that this party shares with the dealer, in the place of ``TTPClient._setup_generators``."""
    channel = comm.get()
    client.generator = Stream(channel.key(channel.get_ttp_rank(), _PURPOSE))
