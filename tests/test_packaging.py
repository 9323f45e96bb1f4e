"""The wheel: the client alone with two dependencies, the rest with the extra."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIENT_NEEDS = ("zmq", "pyzmq.libs", "msgspec")

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network by the backend that is here."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and what the client needs; returns its Python.

    A wheel is an archive whose content belongs into site-packages, so that no pip is needed; the
    two dependencies are linked from the environment of the tests.
    """
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    here = Path(sysconfig.get_path("platlib"))
    for name in CLIENT_NEEDS:
        if (here / name).exists():
            (packages / name).symlink_to(here / name)
    return folder / "bin" / "python"


def run(python: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, "-I", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_client_is_imported_without_the_extra(fresh: Path, tmp_path: Path) -> None:
    """Who only uses a cache installs neither supervisord nor psutil nor PyYAML."""
    program = """
import importlib.util
from raftcache.client import Client
import raftcache
assert "site-packages" in raftcache.__file__, raftcache.__file__
for absent in ("aiohttp", "psutil", "yaml", "supervisor", "sortedcontainers"):
    assert importlib.util.find_spec(absent) is None, absent
with Client("tcp://127.0.0.1:9", timeout=0.1):
    print("ready")
"""
    done = run(fresh, "-c", program, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr


def test_the_wheel_holds_the_product_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        assert "raftcache = raftcache_orchestrator.cli:main" in archive.read(entry_points).decode()
        needs = re.findall(r"Requires-Dist: ([\w-]+)(.*)", archive.read(metadata).decode())

    top = {name.split("/")[0].split("-")[0] for name in names}
    assert top == {"raftcache", "raftcache_orchestrator"}
    own = [name for name in names if not name.startswith("raftcache_orchestrator/testing/")]
    assert not [name for name in own if "test" in name]
    assert not [name for name in names if "__pycache__" in name]
    assert {"raftcache/py.typed", "raftcache_orchestrator/py.typed"} <= {*names}
    assert [name for name, rest in needs if "extra" not in rest] == ["msgspec", "pyzmq"]


@pytest.fixture
def complete(fresh: Path) -> Iterator[Path]:
    """The same environment with what the extra needs, and with pytest."""
    (packages,) = (fresh.parent.parent / "lib").glob("python*/site-packages")
    extra = packages / "extra.pth"
    extra.write_text(sysconfig.get_path("platlib") + "\n")
    yield fresh
    extra.unlink()


def test_the_page_on_testing_runs_from_the_installed_wheel(complete: Path, tmp_path: Path) -> None:
    """Each program of docs/testing-your-service.md, in the file that its first line names."""
    page = (ROOT / "docs" / "testing-your-service.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", page, re.DOTALL)
    assert len(programs) == page.count("```python"), "each program names its file"
    for name, text in programs:
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")

    done = run(complete, "-m", "pytest", "-q", "-W", "error", str(tmp_path), cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_without_the_extra_the_plugin_says_what_to_install(fresh: Path, tmp_path: Path) -> None:
    program = """
import sys
sys.path.append(sys.argv[1])
sys.modules["yaml"] = None
import pytest
sys.exit(pytest.main(["-p", "raftcache_orchestrator.testing", "--fixtures"]))
"""
    done = run(fresh, "-c", program, sysconfig.get_path("platlib"), cwd=tmp_path)

    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "pip install 'raftcache[cluster]'" in done.stderr


def test_the_installed_command_line_starts_a_cluster(complete: Path, tmp_path: Path) -> None:
    """Under its other name, where nothing may say `orchestrator` any more."""
    (tmp_path / "cluster.yaml").write_text("base_port: auto\nnodes: 1\n")

    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return run(
            complete,
            "-c",
            "import sys; from raftcache_orchestrator.cli import main; sys.exit(main())",
            *arguments,
            cwd=tmp_path,
        )

    try:
        page = command("--help")
        assert page.stdout.startswith("usage: raftcache ")
        assert "bin/cluster" not in page.stdout
        up = command("up")
        assert up.returncode == 0, up.stderr
        assert "raftcache set greeting hello" in up.stdout
        assert command("set", "a", "b").returncode == 0
    finally:
        down = command("down")
    assert down.returncode == 0, (down.stdout, down.stderr)
