#!/usr/bin/env python3
"""The gate behind `bin/test`: format, lint, types, floors, tests, and one verdict.

Without arguments everything runs. Arguments it does not know are passed on to pytest, and then
only pytest runs: whoever names a test wants its answer, not the linter's.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

STATIC = {
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "lint": ["ruff", "check", "--quiet", "."],
    "floors": ["lint-imports", "--no-cache"],
    "types": ["mypy"],
}
NOT_IN_QUICK = {"types"}
"""A cold mypy alone takes longer than `--quick` may."""

PYTEST_FOUND_NOTHING = 5


def main() -> int:
    """Run what was asked for; 0 when all of it passed."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # bin/start.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    options, for_pytest = parse(sys.argv[1:])
    os.chdir(ROOT)
    if options.bugs:
        return call([sys.executable, "-I", "-m", "orchestrator.bugs", *for_pytest]).wait()
    started = time.monotonic()
    if options.fix:
        fix()
    failed = [] if for_pytest else run_static(quick=options.quick)
    failed += run_pytest(options, for_pytest)
    seconds = time.monotonic() - started
    what = "the tests you named" if for_pytest else "quick" if options.quick else "everything"
    if failed:
        say(f"\nFAILED: {', '.join(failed)}  ({what}, {seconds:.0f} s)")
        return 1
    say(f"\nPASSED: {what}  ({seconds:.0f} s)")
    return 0


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split our options from pytest's."""
    parser = argparse.ArgumentParser(
        prog="bin/test",
        description="Run the whole gate: format, lint, types, floors, tests.",
        epilog="Anything else is passed on to pytest, which then runs alone:\n"
        "  bin/test tests/raft -k election",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--quick", action="store_true", help="no processes, no types, less searching; 30 s"
    )
    mode.add_argument("--full", action="store_true", help="ten times as many seeds and examples")
    mode.add_argument(
        "--bugs",
        action="store_true",
        help="plant bugs and see what finds them; an hour or two. `bin/test --bugs -- --help`",
    )
    parser.add_argument("--fix", action="store_true", help="format and mend what can be, first")
    options, for_pytest = parser.parse_known_args(arguments)
    return options, [argument for argument in for_pytest if argument != "--"]


def fix() -> None:
    """Let ruff mend what it can; what it can't, the lint step reports."""
    for arguments in (
        ["check", "--fix", "--quiet", "--exit-zero", "."],
        ["format", "--quiet", "."],
    ):
        call([str(BIN / "ruff"), *arguments]).wait()
    say("  mended what ruff can mend")


def run_static(*, quick: bool) -> list[str]:
    """Run the checks that start no test, side by side; return the names of those that failed."""
    steps = {name: step for name, step in STATIC.items() if not (quick and name in NOT_IN_QUICK)}
    started = time.monotonic()
    running = {
        name: call([str(BIN / step[0]), *step[1:]], stdout=subprocess.PIPE)
        for name, step in steps.items()
    }
    failed = []
    for name, process in running.items():
        output, _ = process.communicate()
        verdict = "ok" if process.returncode == 0 else "FAILED"
        say(f"  {name:8} {verdict:6}  {time.monotonic() - started:5.1f} s")
        if process.returncode != 0:
            failed.append(name)
            say("".join(f"    {line}\n" for line in output.splitlines()).rstrip("\n"))
            if name in {"format", "lint"}:
                say("    bin/test --fix mends much of this")
    return failed


def run_pytest(options: argparse.Namespace, for_pytest: list[str]) -> list[str]:
    """Run the tests, their progress shown as it comes."""
    arguments = for_pytest or ["-q"]
    if options.quick:
        arguments += ["-m", "not processes and not slow"]
    effort = "quick" if options.quick else "full" if options.full else "usual"
    environment = {"RAFTCACHE_TEST_EFFORT": effort, **os.environ}  # tests/effort.py
    tests = call([sys.executable, "-I", "-m", "pytest", *arguments], environment=environment)
    code = tests.wait()
    if code == PYTEST_FOUND_NOTHING:
        return ["tests (none was found)"]
    return [] if code == 0 else ["tests"]


def call(
    arguments: list[str], *, stdout: int | None = None, environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start one step."""
    stderr = subprocess.STDOUT if stdout is not None else None
    return subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        text=True,
        errors="replace",
    )


def say(text: str) -> None:
    """Tell the person who waits, in order with what the steps print."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\ninterrupted")
        sys.exit(130)
