from collections.abc import Iterator
from pathlib import Path

import pytest
from roles_apart import draw_nothing, import_all

from tests.system.apart import Apart


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    """A job whose roles are started one by one; none outlives the test."""
    import_all()
    draw_nothing(monkeypatch.setattr)
    with Apart(tmp_path) as roles:
        yield roles


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    """The same job after an undisturbed run."""
    import_all()
    with pytest.MonkeyPatch.context() as patch, Apart(tmp_path_factory.mktemp("calm")) as roles:
        draw_nothing(patch.setattr)
        roles.prepare()
        roles.start_all()
        roles.wait_until_all_end_well()
        return roles
