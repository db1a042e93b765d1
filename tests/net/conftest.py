import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.net.gathering import Gather, Gathering, Log
from tests.net.lines import Clock, close_sockets
from tests.net.peers import Watching


@pytest.fixture(autouse=True)
def _no_socket_stays_open() -> Iterator[None]:
    yield
    close_sockets()


@pytest.fixture
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the module that the tests' module names as ``CLOCKED``."""
    clock = Clock()
    monkeypatch.setattr(request.module.CLOCKED, "time", clock)
    return clock


@pytest.fixture
def watching() -> Iterator[Watching]:
    made = Watching()
    yield made
    made.end()


@pytest.fixture
def gather() -> Iterator[Gather]:
    made: list[Gathering] = []

    def make(*arguments: Any, **values: Any) -> Gathering:
        made.append(Gathering(*arguments, **values))
        return made[-1]

    yield make
    for gathering in made:
        gathering.end()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.INFO, logger="secure_kmeans.net")
    return lambda: [record.getMessage() for record in caplog.records]
