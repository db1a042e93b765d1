"""One computation on shares for each meeting of the roles."""

from typing import Any

import pytest

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.session import open_session
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.shk.job import ShkJob
from tests.threads import threads_of

JOB = ShkJob.of(
    parties=Party.named("a", "b"),
    columns=("x",),
    n_clusters=1,
    scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
    precision_bits=16,
)


def test_a_second_computation_on_one_mesh_is_refused_at_every_role() -> None:
    """Under the same keys it would draw the same masks, and open X - A and Y - A."""

    def part(role: Role, mesh: Mesh) -> Any:
        del role
        with crypten.joined(mesh) as channel:
            open_session(channel, JOB, Ledger([]))
            with pytest.raises(ProtocolError, match="was given before in this session") as caught:
                open_session(channel, JOB, Ledger([]))
            return str(caught.value)

    messages = threads_of(JOB, part).answers
    assert ['role "dealer"' in message for message in messages] == [True, True, False]
    assert all('for "correlated randomness"' in message for message in messages)


def test_a_second_entry_into_crypten_on_one_mesh_is_refused() -> None:
    def part(role: Role, mesh: Mesh) -> bool:
        with crypten.joined(mesh):
            pass
        if role.name == "dealer":  # it has no part in CrypTen's sharing of zero
            return True
        with pytest.raises(ProtocolError, match='for "zero-sharing from '), crypten.joined(mesh):
            pass
        return True

    assert threads_of(JOB, part).answers == [True] * 3
