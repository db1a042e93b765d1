from collections.abc import Iterator

import pytest

from tests.net.lines import forget_sockets


@pytest.fixture(autouse=True)
def _no_socket_stays_open() -> Iterator[None]:
    yield
    forget_sockets()
