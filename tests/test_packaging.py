"""What pip installs: the wheel, its dependencies, the locks, and the request for CrypTen."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from secure_kmeans.errors import MissingPackageError
from secure_kmeans.mpc.installation import COMMAND, check_crypten
from secure_kmeans.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.txt", "requirements-dev.txt")
PINS = (*LOCKS, "requirements-torch.txt", "requirements-crypten.txt")
OF_CRYPTEN = {"omegaconf", "pyyaml"}
OF_PYDANTIC = {"pydantic-core"}  # pydantic pins it


def requirements(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in found}


def entries(name: str) -> list[str]:
    """The requirements in a file, each with its hashes on one line."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def pinned(*names: str) -> dict[str, str]:
    found = requirements([line.split("--hash")[0] for name in names for line in entries(name)])
    return {name: str(each.specifier).removeprefix("==") for name, each in found.items()}


class TestDependencies:
    def test_they_are_what_the_package_imports_and_what_crypten_needs(self) -> None:
        imported = set(imports(ROOT / "secure_kmeans")) - set(sys.stdlib_module_names) - {"secure_kmeans", "crypten"}
        by_import = packages_distributions()
        needed = {canonicalize_name(by_import[name][0]) for name in imported}
        assert set(requirements(PROJECT["project"]["dependencies"])) == needed - OF_PYDANTIC | OF_CRYPTEN

    def test_the_pins_lie_in_the_ranges(self) -> None:
        ranges = requirements([*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]])
        pins = pinned(*PINS)
        assert {name for name, each in ranges.items() if not each.specifier.contains(pins[name])} == set()

    @pytest.mark.parametrize("name", [*LOCKS, "requirements-crypten.txt"])
    def test_every_locked_package_has_a_hash(self, name: str) -> None:
        assert [line for line in entries(name) if not re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
        assert entries(name)

    def test_both_locks_agree(self) -> None:
        run, develop = (pinned(name) for name in LOCKS)
        both = run.keys() & develop.keys()
        assert both
        assert {name: run[name] for name in both} == {name: develop[name] for name in both}

    @pytest.mark.parametrize("name", PINS)
    def test_no_pin_says_where_to_download(self, name: str) -> None:
        assert "://" not in (ROOT / name).read_text(encoding="utf-8")


def imports(folder: Path) -> Iterator[str]:
    """The first names of all absolute imports in a folder."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (each.name.partition(".")[0] for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("secure_kmeans", "data"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    return next(folder.glob("*.whl"))


def pip(command: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", command, "--quiet", "--no-index", "--no-deps", *arguments], check=True)


class TestWheel:
    def test_it_holds_the_package_its_types_and_the_mall_customers(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
            customers = archive.read("secure_kmeans/app/mall_customers.csv")
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / "secure_kmeans").rglob("*.py")}
        assert names == modules | {"secure_kmeans/py.typed", "secure_kmeans/app/mall_customers.csv"}
        assert customers == (ROOT / "data" / "mall_customers.csv").read_bytes()

    def test_it_names_its_dependencies_but_not_crypten(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            metadata = archive.read(f"secure_kmeans-{VERSION}.dist-info/METADATA").decode()
        named = requirements(re.findall(r"^Requires-Dist: (.*)$", metadata, flags=re.MULTILINE))
        assert named == requirements(PROJECT["project"]["dependencies"])
        assert "crypten" not in named

    def test_its_command_works_in_any_folder(self, wheel: Path, tmp_path: Path) -> None:
        site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
        elsewhere.mkdir()
        pip("install", "--no-compile", "--target", str(site), str(wheel))
        environment = os.environ | {"PYTHONPATH": str(site)}

        def output(*command: str) -> str:
            return subprocess.run(
                command, cwd=elsewhere, env=environment, check=True, capture_output=True, text=True
            ).stdout

        assert output(str(site / "bin" / "secure-kmeans"), "--version").split() == ["secure_kmeans", VERSION]
        show = "import secure_kmeans.app.demo as demo; print(demo.__file__)"
        assert Path(output(sys.executable, "-c", show).strip()).is_relative_to(site)


def without_crypten(function: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Call a function of the command line in a process that finds no CrypTen."""
    code = f"import sys; sys.modules['crypten'] = None; from secure_kmeans.app import cli; cli.{function}()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)


class TestWithoutCrypten:
    def test_the_check_names_the_command_that_installs_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        check_crypten()
        monkeypatch.setitem(sys.modules, "crypten", None)
        with pytest.raises(MissingPackageError) as caught:
            check_crypten()
        assert str(caught.value) == (
            "CrypTen is not installed, and pip does not bring it by itself; run: pip install --no-deps crypten==0.4.1"
        )

    def test_the_command_brings_the_release_that_the_tests_run_with(self) -> None:
        assert COMMAND.split()[-1] == f"crypten=={pinned('requirements-crypten.txt')['crypten']}"

    def test_an_encrypted_run_ends_with_one_line_before_anything_is_started(self, tmp_path: Path) -> None:
        ended = without_crypten("launch", cwd=tmp_path)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].endswith(f"run: {COMMAND}")
        assert "Traceback" not in ended.stderr
        assert not list(tmp_path.rglob("report.json"))

    def test_a_protocol_that_takes_nothing_from_it_runs(self, tmp_path: Path) -> None:
        ended = without_crypten("launch", "--protocol", "smo07", "--mode", "aggregate", cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert list(tmp_path.rglob("report.json"))

    def test_a_run_in_the_clear_needs_none(self, tmp_path: Path) -> None:
        ended = without_crypten("launch_in_the_clear", cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
