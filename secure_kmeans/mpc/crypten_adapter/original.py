"""CrypTen as it is published, imported without its ONNX importer, which needs internals that torch has moved."""

from __future__ import annotations

import sys
import types
from typing import Any

from secure_kmeans.mpc.installation import check_crypten


def _refuse(*_: object, **__: object) -> None:
    raise NotImplementedError("the ONNX importer is left out")


_stub: Any = types.ModuleType("crypten.nn.onnx_converter")
_stub.from_onnx = _stub.from_pytorch = _stub.from_tensorflow = _refuse
_stub.TF_AND_TF2ONNX = False
sys.modules.setdefault("crypten.nn.onnx_converter", _stub)
check_crypten()

import crypten  # noqa: E402
import crypten.communicator as comm  # noqa: E402
import crypten.mpc.context as context  # noqa: E402
import crypten.mpc.primitives.arithmetic as arithmetic_primitives  # noqa: E402
import crypten.mpc.primitives.beaver as beaver  # noqa: E402
import crypten.mpc.primitives.binary as binary_primitives  # noqa: E402
import crypten.mpc.provider.ttp_provider as ttp  # noqa: E402
from crypten.cryptensor import AutogradContext, CrypTensor  # noqa: E402
from crypten.encoder import FixedPointEncoder  # noqa: E402
from crypten.mpc import MPCTensor  # noqa: E402
from crypten.mpc.ptype import ptype as Ptype  # noqa: E402

__all__ = [
    "AutogradContext",
    "CrypTensor",
    "FixedPointEncoder",
    "MPCTensor",
    "Ptype",
    "arithmetic_primitives",
    "beaver",
    "binary_primitives",
    "comm",
    "context",
    "crypten",
    "ttp",
]
