"""The protocol "faulty mean": as "mean", but for one fault of one role, which the environment names."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from secure_kmeans.job.ledger import ALL, Disclosure, Entry, When
from secure_kmeans.protocols.base import Context
from tests.protocols.toy.mean import ADDER, Above, MeanJob, MeanProtocol, MeanResult, Means

FAULT: Final = "TOY_FAULT"
"""The environment's variable: role, fault, and the iteration where it happens."""


class FaultyJob(MeanJob):
    """The job of "faulty mean"."""

    protocol: Literal["faulty mean"] = "faulty mean"  # type: ignore[assignment]


class FaultyProtocol(MeanProtocol):
    """One role does not do what it should."""

    name = "faulty mean"
    Job = FaultyJob

    def run(self, context: Context[Any]) -> MeanResult | None:
        """Take part."""
        self._die_where_told(context, 0)
        if _fault(context) == "record":
            context.ledger.record(Disclosure("a secret", ALL, When.END))
        result = super().run(context)
        if result is not None and _fault(context) == "entry":
            return result.model_copy(update={"ledger": [*result.ledger, Entry(what="a secret", to=ALL)]})
        if result is not None and _fault(context) == "differ":
            return result.model_copy(update={"common": Means(means=[0.0])})
        if result is not None and _fault(context) == "own differs":
            return result.model_copy(update={"own": Above(above=[])})
        return result

    def add(self, context: Context[Any], iteration: int, masked: Sequence[np.ndarray]) -> np.ndarray:
        """The total of a column, if this process lives so long: all parties have kept the state before it."""
        self._die_where_told(context, iteration)
        return super().add(context, iteration, masked)

    def send_masked(self, context: Context[Any], iteration: int, masked: np.ndarray) -> None:
        """Send the masked sum of a column, or something else."""
        self._die_where_told(context, iteration)
        match _fault(context, iteration):
            case "shape":
                context.send(ADDER, np.zeros(2, np.int64))
            case "type":
                context.send(ADDER, np.zeros(1, np.float64))
            case "object":
                context.mesh.post_object(ADDER, [int(masked[0])])
            case "raise":
                raise ValueError("a private value")
            case _:
                context.send(ADDER, masked)

    def _die_where_told(self, context: Context[Any], iteration: int) -> None:
        if _fault(context, iteration) == "die":
            os.kill(os.getpid(), signal.SIGKILL)


def _fault(context: Context[Any], iteration: int | None = None) -> str:
    """The fault of this role, in this iteration."""
    role, _, rest = os.environ.get(FAULT, "").partition(":")
    fault, _, when = rest.partition(":")
    return fault if role == context.role.name and (iteration is None or str(iteration) == when) else ""


FAULTY_PROTOCOL: Final = FaultyProtocol()
