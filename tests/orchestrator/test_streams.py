"""The command line when a stream leads nowhere, and when Ctrl-C comes at a bad moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
BROKEN_PIPE = 141


def run(words: str, redirections: str = "", **settings: object) -> "subprocess.Popen[str]":
    script = f'"{sys.executable}" -m orchestrator.cli {words} {redirections}'
    # The launcher's -I does not heed it either.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return] # settings are Popen's
        ["sh", "-c", script], cwd=ROOT, env=environment, text=True, **settings
    )


@pytest.mark.parametrize("words", ["--help", "up --help", "check", "check --json"])
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_reader_that_left_gets_no_complaint(words: str, *, both: bool) -> None:
    """`bin/cluster … | head -1`: the exit code that a shell gives to SIGPIPE, and silence."""
    read_end, write_end = os.pipe()
    os.close(read_end)

    process = run(words, stdout=write_end, stderr=write_end if both else subprocess.PIPE)
    os.close(write_end)
    _, err = process.communicate(timeout=60)

    assert process.returncode == BROKEN_PIPE
    assert not err


SWALLOWED = """
import signal, sys, time, weakref
import orchestrator.cli, orchestrator.cli.run

class Lock: pass

def verb(_arguments):
    lock = Lock()
    watch = weakref.ref(lock, lambda _: signal.raise_signal(signal.SIGINT))
    del lock
    time.sleep(60)
    return 0

orchestrator.cli.run.run = verb
sys.exit(orchestrator.cli.main([]))
"""


def test_a_ctrl_c_that_falls_into_a_callback_is_not_lost() -> None:
    """Each import has such callbacks; Python complained there, and the verb went on."""
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\n")


def test_an_error_nobody_reads_is_a_broken_pipe_too() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    process = run("frobnicate", stdout=write_end, stderr=write_end)
    os.close(write_end)

    assert process.wait(timeout=60) == BROKEN_PIPE


def test_output_that_cant_be_written_is_said_and_no_success() -> None:
    """A script that keeps the output in a file on a full disk must hear of it."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    process = run("check", ">/dev/full", stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 74
    assert err == "the output could not be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_disturb_nothing(closed: str) -> None:
    """As daemons leave them; a socket that got their number would get our words."""
    assert run("check", closed, stdout=subprocess.DEVNULL).wait(timeout=60) == 0
    assert run("frobnicate", closed, stderr=subprocess.DEVNULL).wait(timeout=60) == 64


def test_a_value_is_not_read_from_where_nothing_can_come() -> None:
    """A script whose standard input is closed by mistake would store an empty value."""
    process = run("set greeting -", "<&-", stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 64
    assert "standard input, which is closed; nothing was written" in err


SAYS = """
import sys
import orchestrator.cli, orchestrator.cli.run

orchestrator.cli.run.run = lambda _arguments: print("k\u00fcrbis") or 0
sys.exit(orchestrator.cli.main([]))
"""


@pytest.mark.parametrize(
    ("encoding", "told"), [("ascii", b"k\\xfcrbis\n"), ("utf-8", "k\u00fcrbis\n".encode())]
)
def test_a_letter_that_the_terminal_lacks_is_spelt_out(encoding: str, told: bytes) -> None:
    """`keys` under an old locale was a defect of ours, with exit code 70."""
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, told, b"")
