"""Real processes for tests of what parties compute together."""

import json
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.session import Session


def run_parties(number: int, body: Callable[[Session], Any], *, precision_bits: int = 24) -> list[Any]:
    """What ``body`` returns at each party, by way of JSON; an AssertionError with its traceback where it raises."""
    names = [f"party_{rank}" for rank in range(number)]
    with tempfile.TemporaryDirectory() as folder:

        def party(rank: int) -> None:
            try:
                answer = {"returned": body(Session(names, rank, precision_bits))}
            except Exception:
                answer = {"raised": traceback.format_exc()}
            (Path(folder) / names[rank]).write_text(json.dumps(answer))
            assert "returned" in answer

        crypten.run_roles(number, party, timeout=60)
        files = [Path(folder) / name for name in names]
        answers = [
            json.loads(file.read_text()) if file.exists() else {"raised": "ended without a word"} for file in files
        ]
    # The party that raised for a reason of its own comes before those that only lost it.
    raised = sorted((answer["raised"] for answer in answers if "raised" in answer), key=lambda text: "gloo" in text)
    assert not raised, raised[0]
    return [answer["returned"] for answer in answers]
