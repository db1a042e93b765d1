from collections.abc import Iterator

import pytest

from tests.net.lines import forget_sockets
from tests.net.peers import Watching


@pytest.fixture(autouse=True)
def _no_socket_stays_open() -> Iterator[None]:
    yield
    forget_sockets()


@pytest.fixture
def watching() -> Iterator[Watching]:
    made = Watching()
    yield made
    made.end()
