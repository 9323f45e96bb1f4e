#!/usr/bin/env python3
"""Make the project's own environment: `.venv`, with what pyproject.toml asks for.

Started by `bin/cluster` and `bin/test` when their stamp is missing or older than its sources.
Standard library only, and any Python from 3.11 on. The rules:

- A marker is the first thing written into `.venv`, so that one that is somebody else's is known
  by its absence and never touched.
- The stamp is the last thing written. Without it the environment is half made, and made again.
- One at a time: the lock is on this very file, so that nothing is left lying about.
- Whatever goes wrong ends in one sentence and the command that helps.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
MARKER = VENV / ".raftcache-venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "bin" / "constraints.txt"
LOG = VENV / "pip.log"
PIP_THAT_CAN_SERVE_ANOTHER_PYTHON = (22, 3)
NO_NETWORK = (
    r"NewConnectionError|name resolution|ConnectTimeout|Max retries|No matching distribution"
)

EXIT_UNAVAILABLE = 69
EXIT_TRY_AGAIN = 75
EXIT_CONFIGURATION = 78


def main() -> None:
    """Bring `.venv` up to date for ``run`` (a cluster) or ``dev`` (the tests as well)."""
    kind, command = sys.argv[1], sys.argv[2]
    with Path(__file__).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another first run is at work on .venv; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            bring_up_to_date(kind, command)
        except KeyboardInterrupt:
            say("\ninterrupted; the next run begins again")
            sys.exit(130)
        except OSError as error:
            fail(command, f"could not make .venv: {error}", "df -h . && ls -ld .", EXIT_TRY_AGAIN)


def bring_up_to_date(kind: str, command: str) -> None:
    """Install what is missing, or only renew the stamp when nothing is."""
    requirements = wanted(kind)
    digest = fingerprint(requirements)
    refuse_what_is_not_ours(command)
    usable = is_whole()
    if usable and stamped(kind) == [str(ROOT), digest]:
        stamp(kind).touch()  # only the age of a source had changed
        return

    started = time.monotonic()
    purpose = "run a cluster" if kind == "run" else "run the tests"
    say(f"Raft Cache: setting up .venv to {purpose} (only this once)")
    if not usable:
        make_venv(command)
    # What is installed over a stamp is not what the stamp says: it goes first.
    stamp(kind).unlink(missing_ok=True)
    install(requirements, command)
    for which in ("run", "dev") if kind == "dev" else ("run",):
        stamp(which).write_text(f"{ROOT}\n{fingerprint(wanted(which))}\n")
    say(f"  ready after {time.monotonic() - started:.0f} s\n")


def wanted(kind: str) -> list[str]:
    """Return the requirements that pyproject.toml states."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)
    project = declared["project"]
    found = list(project["dependencies"]) + list(project["optional-dependencies"]["cluster"])
    if kind == "dev":
        found += declared["dependency-groups"]["dev"]
    return [str(requirement) for requirement in found]


def fingerprint(requirements: list[str]) -> str:
    """Return a digest of all that decides what is installed."""
    parts = [*requirements, CONSTRAINTS.read_text()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def python_version(parts: int) -> str:
    """Return the running Python's version, to so many numbers."""
    return ".".join(str(number) for number in sys.version_info[:parts])


def stamp(kind: str) -> Path:
    """Return the file that says that the environment is whole for this kind."""
    return VENV / f".raftcache-{kind}"


def stamped(kind: str) -> list[str]:
    """Return the stamp's lines: the folder it was made in, and what for."""
    try:
        return stamp(kind).read_text().split("\n")[:2]
    except OSError:
        return []


def refuse_what_is_not_ours(command: str) -> None:
    """Leave alone a `.venv` that carries no marker of ours."""
    if not os.path.lexists(VENV) or MARKER.is_file():
        return
    if VENV.is_dir() and not VENV.is_symlink() and not any(VENV.iterdir()):
        return  # we were killed between making the folder and marking it
    fail(
        command,
        ".venv is there already and is not ours, so it is left as it is",
        f"mv {VENV} {VENV}-mine",
        EXIT_CONFIGURATION,
    )


def is_whole() -> bool:
    """Tell whether the environment can be built upon: complete, here, and its Python alive."""
    if not any(stamped(kind)[:1] == [str(ROOT)] for kind in ("run", "dev")):
        return False
    return call([str(PYTHON), "-I", "-c", ""]).returncode == 0


def make_venv(command: str) -> None:
    """Make an empty environment, marked as ours from its first moment."""
    if VENV.is_dir():
        shutil.rmtree(VENV)
    VENV.mkdir()
    MARKER.write_text("Made by bin/cluster or bin/test, which may delete it.\n")
    say(f"  1/2 an environment with Python {python_version(3)}")
    made = call([sys.executable, "-I", "-m", "venv", "--without-pip", str(VENV)])
    if made.returncode != 0:
        LOG.write_text(made.stdout)
        fail(
            command,
            f"this Python ({sys.executable}) cannot make environments: {last_line(made.stdout)}",
            packages_command("venv"),
            EXIT_UNAVAILABLE,
        )
    site_packages = next((VENV / "lib").glob("python*/site-packages"))
    (site_packages / "raftcache-project.pth").write_text(f"{ROOT}\n")


def install(requirements: list[str], command: str) -> None:
    """Install into the environment, with the pins of constraints.txt."""
    names = ", ".join(re.split(r"[^A-Za-z0-9_.-]", item, maxsplit=1)[0] for item in requirements)
    say(f"  2/2 installing {names}")
    arguments = [*pip(command), "install", "--no-input", "--progress-bar", "off"]
    arguments += ["--disable-pip-version-check", "--prefer-binary", "-c", str(CONSTRAINTS)]
    arguments += ["--retries", "1", "--timeout", "20"]
    done = call([*arguments, *requirements], show=sys.stderr.isatty())
    LOG.write_text(done.stdout)
    if done.returncode == 0:
        return
    if re.search(NO_NETWORK, done.stdout):
        fail(
            command,
            "the packages could not be fetched; the first run needs the network, later ones do not",
            f"{command}   once you are online, or PIP_INDEX_URL=... {command}   behind a mirror",
            EXIT_TRY_AGAIN,
        )
    fail(command, f"pip failed: {last_line(done.stdout)}", f"cat {LOG}", EXIT_TRY_AGAIN)


def pip(command: str) -> list[str]:
    """Return the pip to use: the outer one if it can, since making an inner one takes seconds."""
    outer = [sys.executable, "-I", "-m", "pip"]
    found = re.match(r"pip (\d+)\.(\d+)", call([*outer, "--version"]).stdout)
    if found and (int(found[1]), int(found[2])) >= PIP_THAT_CAN_SERVE_ANOTHER_PYTHON:
        return [*outer, "--python", str(PYTHON)]
    if call([str(PYTHON), "-I", "-m", "ensurepip", "--default-pip"]).returncode != 0:
        fail(
            command,
            f"this Python ({sys.executable}) has neither pip nor ensurepip",
            packages_command("pip"),
            EXIT_UNAVAILABLE,
        )
    return [str(PYTHON), "-I", "-m", "pip"]


def packages_command(missing: str) -> str:
    """Return what installs the missing module here."""
    if shutil.which("apt-get"):
        return "sudo apt-get install python3-venv python3-pip"
    if shutil.which("dnf"):
        return "sudo dnf install python3-pip"
    return f"use a Python with {missing}:  RAFTCACHE_PYTHON=/path/to/python3 bin/cluster"


def call(arguments: list[str], *, show: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, its output kept, without settings that would mislead pip.

    With ``show``, its latest line is shown while it runs.
    """
    misleading = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_PYTHON"}
    environment = {name: value for name, value in os.environ.items() if name not in misleading}
    lines = []
    try:
        with subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            for line in process.stdout:
                lines.append(line)
                if show and not line.startswith("WARNING"):
                    sys.stderr.write(f"\r\033[K      {line.strip()[:70]}")
                    sys.stderr.flush()
    except OSError as error:  # a Python that is gone: as good as one that fails
        return subprocess.CompletedProcess(arguments, 127, stdout=str(error))
    finally:
        if show:
            sys.stderr.write("\r\033[K")
    return subprocess.CompletedProcess(arguments, process.returncode, stdout="".join(lines))


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(command: str, sentence: str, cure: str, code: int) -> NoReturn:
    """End with one sentence and what helps."""
    say(f"{command}: {sentence}.\n  What helps:  {cure}")
    sys.exit(code)


if __name__ == "__main__":
    main()
