"""`bin/cluster` and `bin/test` on machines that are not as they should be."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)
TOOLS = ("sh", "uname", "readlink", "cat")

pytestmark = pytest.mark.processes


class Machine:
    """A copy of the launchers with one small dependency, and a PATH of our choosing."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.path = folder / "path"
        self.wheels = folder / "wheels"
        for made in (self.project / "orchestrator" / "cli", self.path, self.wheels):
            made.mkdir(parents=True)
        shutil.copytree(ROOT / "bin", self.project / "bin", ignore=shutil.ignore_patterns("__*"))
        (self.project / "bin" / "constraints.txt").write_text("tiny==1.0\n")
        (self.project / "pyproject.toml").write_text(
            textwrap.dedent("""
                [project]
                dependencies = ["tiny>=1"]
                [project.optional-dependencies]
                cluster = []
                [dependency-groups]
                dev = []
            """)
        )
        (self.project / "orchestrator" / "__init__.py").touch()
        (self.project / "orchestrator" / "cli" / "__init__.py").touch()
        (self.project / "orchestrator" / "cli" / "__main__.py").write_text(
            "import sys, tiny\nprint('started', *sys.argv[1:])\n"
        )
        make_wheel(self.wheels)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.path / tool).symlink_to(found)

    def add_python(self, name: str = "python3", script: str | None = None) -> None:
        """Put a Python on the PATH: the real one, or a script in its place."""
        if script is None:
            script = f'exec "{BASE_PYTHON}" "$@"'
        (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.path / name).chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment in which pip sees our wheels and nothing else."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        kept.pop("RAFTCACHE_PYTHON", None)
        return {
            **kept,
            "PATH": str(self.path),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            **more,
        }

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        """Start `bin/cluster`."""
        return subprocess.Popen(
            [self.project / "bin" / "cluster", *arguments],
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Run `bin/cluster`; return its exit code and what it said."""
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def make_wheel(folder: Path) -> None:
    """Make a package that pip can install without any network."""
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_run_sets_up_and_later_ones_only_start(machine: Machine) -> None:
    """Later runs touch neither network nor bootstrap: both would fail here."""
    machine.add_python()

    code, out, err = machine.run("up", "a b")
    assert (code, out) == (0, "started up a b\n"), err
    assert "setting up .venv to run a cluster (only this once)" in err
    assert "installing tiny" in err

    shutil.rmtree(machine.wheels)
    (machine.path / "python3").unlink()
    assert machine.run("status") == (0, "started status\n", "")


def test_it_starts_from_any_folder_and_through_a_link(machine: Machine, tmp_path: Path) -> None:
    machine.add_python()
    machine.run()
    link = tmp_path / "elsewhere"
    link.symlink_to(machine.project / "bin" / "cluster")

    done = subprocess.run(
        [link, "ps"],
        env=machine.environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "started ps\n"


def test_modules_where_you_stand_are_not_taken_for_ours(machine: Machine, tmp_path: Path) -> None:
    machine.add_python()
    (tmp_path / "tiny.py").write_text("raise SystemExit('the wrong module')\n")

    process = subprocess.run(
        [machine.project / "bin" / "cluster", "ps"],
        env=machine.environment(PYTHONPATH=str(tmp_path), PYTHONHOME=""),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.stdout == "started ps\n"


def test_a_python_that_is_only_a_shim_is_passed_over(machine: Machine) -> None:
    """Pyenv's shims are found on the PATH and start nothing: candidates are run."""
    machine.add_python("python3", "echo 'pyenv: version not found' >&2; exit 127")
    machine.add_python("python3.13", "exit 1")
    machine.add_python("python3.11")

    code, out, err = machine.run("up")

    assert (code, out) == (0, "started up\n"), err


def test_no_python_at_all_is_one_sentence_and_a_command(machine: Machine) -> None:
    code, out, err = machine.run("up")

    assert (code, out) == (69, "")
    assert err.splitlines()[0] == (
        "bin/cluster: this needs Python 3.11 or newer (no Python found on the PATH)."
    )
    assert err.splitlines()[1].startswith("  Get one:  ")


def test_a_python_that_is_too_old_is_named_with_its_version(machine: Machine) -> None:
    machine.add_python("python3", "echo 3.9.2; exit 1")
    machine.add_python("apt-get", "exit 1")

    code, _, err = machine.run("up")

    assert code == 69
    assert "(python3 is 3.9.2)" in err
    assert "sudo apt-get install python3 python3-venv" in err


def test_an_environment_of_somebody_else_is_left_alone(machine: Machine) -> None:
    machine.add_python()
    foreign = machine.project / ".venv" / "bin"
    foreign.mkdir(parents=True)
    (foreign / "python").write_text("#!/bin/sh\n")

    code, out, err = machine.run("up")

    assert (code, out) == (78, "")
    assert "bin/cluster: .venv is there already and is not ours" in err
    assert "What helps:  mv " in err
    assert (foreign / "python").read_text() == "#!/bin/sh\n"


def test_without_a_network_the_first_run_says_so(machine: Machine) -> None:
    machine.add_python()

    code, out, err = machine.run(
        "up", PIP_NO_INDEX="0", PIP_FIND_LINKS="", PIP_INDEX_URL="http://127.0.0.1:9/"
    )

    assert (code, out) == (75, "")
    assert "the first run needs the network, later ones do not" in err
    assert "Traceback" not in err
    # And once there is one, it goes on.
    assert machine.run("up")[:2] == (0, "started up\n")


def test_a_set_up_that_was_interrupted_is_made_anew(machine: Machine) -> None:
    machine.add_python()
    machine.run("up")
    (machine.project / ".venv" / ".raftcache-run").unlink()
    (machine.project / ".venv" / "half").touch()

    code, out, _ = machine.run("up")

    assert (code, out) == (0, "started up\n")
    assert not (machine.project / ".venv" / "half").exists()


def test_a_moved_folder_is_set_up_anew(machine: Machine) -> None:
    """Scripts in an environment hold absolute paths: a moved one is half broken."""
    machine.add_python()
    machine.run("up")
    moved = machine.project.with_name("moved here")
    machine.project.rename(moved)
    machine.project = moved

    code, out, err = machine.run("up")

    assert (code, out) == (0, "started up\n")
    assert "setting up .venv" in err


def test_a_python_that_was_removed_meanwhile_is_replaced(machine: Machine) -> None:
    machine.add_python()
    machine.run("up")
    python = machine.project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")

    assert machine.run("up")[:2] == (0, "started up\n")


def test_two_first_runs_at_once_take_turns(machine: Machine) -> None:
    machine.add_python()

    runs = [machine.start("up") for _ in range(3)]
    told = [run.communicate(timeout=120) for run in runs]

    assert [run.returncode for run in runs] == [0, 0, 0], told
    assert sum("setting up .venv" in err for _, err in told) == 1


def test_a_source_that_only_looks_newer_costs_no_installation(machine: Machine) -> None:
    """A fresh checkout touches every file; what they say is what counts."""
    machine.add_python()
    machine.run("up")
    later = (machine.project / ".venv" / ".raftcache-run").stat().st_mtime + 10
    os.utime(machine.project / "pyproject.toml", (later, later))

    assert machine.run("up") == (0, "started up\n", "")


def test_another_pin_is_installed_into_what_is_there(machine: Machine) -> None:
    machine.add_python()
    machine.run("up")
    constraints = machine.project / "bin" / "constraints.txt"
    constraints.write_text("tiny==1.0\n# another line\n")
    later = (machine.project / ".venv" / ".raftcache-run").stat().st_mtime + 10
    os.utime(constraints, (later, later))

    code, out, err = machine.run("up")

    assert (code, out) == (0, "started up\n")
    assert "installing tiny" in err
    assert "an environment with" not in err


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The bootstrap as a module, with its environment elsewhere."""
    found = importlib.util.spec_from_file_location(
        "bootstrap_under_test", ROOT / "bin/bootstrap.py"
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    venv = tmp_path / ".venv"
    for name, path in {
        "VENV": venv,
        "MARKER": venv / "marker",
        "PYTHON": venv / "bin" / "python",
        "LOG": venv / "log",
    }.items():
        monkeypatch.setattr(module, name, path)
    return module


def failing(words: str) -> object:
    def call(arguments: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(arguments, 1, stdout=words)

    return call


def test_a_python_without_the_venv_module_is_told_apart(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "call", failing("x\npython3: No module named venv\n"))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: name == "apt-get")

    with pytest.raises(SystemExit) as ended:
        bootstrap.make_venv("bin/cluster")

    assert ended.value.code == 69
    told = capsys.readouterr().err
    assert "cannot make environments: python3: No module named venv" in told
    assert "What helps:  sudo apt-get install python3-venv python3-pip" in told


@pytest.mark.parametrize("words", ["No module named pip", "pip 20.0.1 from somewhere"])
def test_a_python_without_a_usable_pip_and_ensurepip_is_told_apart(
    words: str,
    bootstrap: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bootstrap, "call", failing(words))

    with pytest.raises(SystemExit) as ended:
        bootstrap.pip("bin/cluster")

    assert ended.value.code == 69
    assert "has neither pip nor ensurepip" in capsys.readouterr().err


@pytest.mark.parametrize(("before", "expected"), [("", -signal.SIGINT), ("trap '' INT\n", 0)])
def test_a_ctrl_c_before_the_program_is_there_ends_it_without_a_word(
    machine: Machine, before: str, expected: int
) -> None:
    """And where SIGINT is ignored, as under `nohup`, it stays so."""
    machine.add_python()
    assert machine.run()[0] == 0  # the environment is there
    (machine.project / "orchestrator" / "cli" / "__main__.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('started')\n"
    )
    script = f'{before}exec "{machine.project}/bin/cluster"'

    done = subprocess.run(
        ["sh", "-c", script],
        env=machine.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (expected, "")
    assert done.stdout == ("" if expected else "started\n")
