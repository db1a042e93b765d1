import pytest

from tests.system.roles_apart import Apart, draw_nothing, import_all


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A job whose roles are started one by one; none outlives the test."""
    import_all()
    draw_nothing(monkeypatch.setattr)
    with Apart(tmp_path) as roles:
        yield roles


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The same job, run without any trouble."""
    import_all()
    with pytest.MonkeyPatch.context() as patch, Apart(tmp_path_factory.mktemp("calm")) as roles:
        draw_nothing(patch.setattr)
        roles.prepare()
        roles.start_all()
        roles.wait_until_all_end_well()
        return roles
