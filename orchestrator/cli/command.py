"""`run` and `env`: other people's programs against a cluster."""

import argparse
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_OK, NoCluster, UsageError
from ..spec_values import NODES_MAX
from .call import Call
from .console import Console
from .options import number
from .verbs import Verb

if TYPE_CHECKING:
    from ..chaos.faults import Fault
    from ..chaos.scenario import Scenario
    from ..throwaway import Throwaway

ENDPOINTS = "RAFTCACHE_ENDPOINTS"
EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE, EXIT_SIGNALLED = 127, 126, 128
_ENDING_SECONDS = 5.0
_TURN_SECONDS = 0.05


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=number(1, NODES_MAX), metavar="N", help="so many nodes (3)")
    parser.add_argument(
        "--chaos", metavar="FILE|NAME", help="fire this scenario's steps meanwhile; see `chaos`"
    )
    parser.add_argument("command", nargs="*", metavar="CMD", help="after --, with its arguments")


def _run_run(call: Call) -> int:
    from ..throwaway import NODES, Throwaway  # noqa: PLC0415 - its help page is quicker without

    options, console = call.options, call.console
    command: list[str] = options.command
    if not command:
        raise UsageError("which command?", hint="bin/cluster run -- CMD ARGUMENTS")
    found = lookup(console, command[0])
    if found:
        return found
    scenario = _scenario(call)
    size = scenario.nodes if scenario else options.nodes or NODES
    shape = scenario.shape if scenario else ""
    began = time.monotonic()
    with Throwaway(size, prefix="raftcache-run-", shape=shape) as site:
        site.up()
        endpoints = ",".join(site.endpoints.values())
        console.note(f"{size} nodes are up for {shlex.join(command)[:60]}")
        code = _perform(console, site, command, endpoints, scenario)
    console.note(f"it ended with {code}; the cluster is gone, nothing is left")
    console.document(
        ok=code == EXIT_OK,
        command=command,
        exit_code=code,
        endpoints=endpoints.split(","),
        seconds=round(time.monotonic() - began, 3),
    )
    return code


def lookup(console: Console, program: str) -> int:
    """Say before anything is started that there is no such program; 0 if there is."""
    if shutil.which(program) is not None:
        return 0
    if os.path.sep in program and os.path.exists(program):  # noqa: PTH110 - as the shell would look
        code, what = EXIT_NOT_EXECUTABLE, "can't be executed"
    else:
        code, what = EXIT_NOT_FOUND, "there is no such command"
    console.error("command", f"{program}: {what}", "", code)
    return code


def _scenario(call: Call) -> "Scenario | None":
    if call.options.chaos is None:
        return None
    from ..chaos.grammar import read_scenario  # noqa: PLC0415 - as above
    from ..chaos.scenario import find  # noqa: PLC0415 - likewise

    return read_scenario(find(call.options.chaos), nodes=call.options.nodes)


def _perform(
    console: Console,
    site: "Throwaway",
    command: list[str],
    endpoints: str,
    scenario: "Scenario | None",
) -> int:
    """Run the command to its end, whatever that is; return what a shell would."""
    child, held_back = start_command(console, command, {ENDPOINTS: endpoints})
    try:
        held_back.let_go()
        if scenario is not None:
            _disturb(console, site, child, scenario)
        code = child.wait()
    except KeyboardInterrupt:
        code = end_command(child)
    except BaseException:
        end_command(child)
        raise
    return code if code >= 0 else EXIT_SIGNALLED - code


class HeldBackSignals:
    """Those that would interrupt this process, from now until they are let go.

    One that struck while a command is started could leave it running, and nobody to end it.
    """

    def __init__(self) -> None:
        self._came: dict[int, FrameType | None] = {}
        self._handlers: dict[int, Any] = {}
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(signum)
            if callable(handler):  # What is ignored stays so.
                self._handlers[signum] = handler
                signal.signal(signum, self._note)

    def let_go(self) -> None:
        """Hear them again, and what came meanwhile now."""
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        for signum, frame in self._came.items():
            self._handlers[signum](signum, frame)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._came[signum] = frame


def start_command(
    console: Console, command: list[str], environment: dict[str, str]
) -> "tuple[subprocess.Popen[bytes], HeldBackSignals]":
    """Start a command; signals are to be let go where they lead to its end."""
    held_back = HeldBackSignals()
    try:
        child = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            # Its output is the result, unless that is to be a document.
            stdout=sys.stderr if console.as_json else None,
        )
    except BaseException:
        held_back.let_go()
        raise
    return child, held_back


def end_command(child: "subprocess.Popen[bytes]") -> int:
    """End the command: a Ctrl-C of the terminal it has heard itself; others it hears now."""
    if child.poll() is None:
        child.terminate()
    try:
        return child.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _disturb(
    console: Console,
    site: "Throwaway",
    child: "subprocess.Popen[bytes]",
    scenario: "Scenario",
) -> None:
    """Fire the scenario's steps while the command runs, and undo them all."""
    from ..chaos.account import describe, healed_of  # noqa: PLC0415 - as above
    from ..chaos.faults import Faults, drive  # noqa: PLC0415 - likewise
    from ..chaos.timeline import chance_of_targets, plan  # noqa: PLC0415 - likewise
    from ..undo import Undoing  # noqa: PLC0415 - likewise

    began_ms = time.monotonic() * 1_000

    def tell(fault: "Fault") -> None:
        now_s = time.monotonic() - began_ms / 1_000
        if fault.undone_ms is not None and fault.words:
            console.note(f"{now_s:7.2f} s  healed: {healed_of(fault)}")
        elif fault.undone_ms is not None:
            console.note(f"{now_s:7.2f} s  {', '.join(fault.targets)} again")
        elif not fault.skipped:
            console.note(f"{now_s:7.2f} s  {describe(fault)}")

    seed = scenario.seed if scenario.seed is not None else secrets.randbelow(1_000_000)
    console.note(f"{scenario.name}, seed {seed}")
    faults = Faults(site.cluster, chance_of_targets(seed), tell)
    with Undoing() as undoing:
        undoing.register(faults.undo_all)
        drive(
            faults,
            plan(scenario, seed),
            began_ms=began_ms,
            end_ms=scenario.duration_ms,
            go_on=lambda _now_ms: child.poll() is None,
        )


def _configure_env(_parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def _run_env(call: Call) -> int:
    from ..state import load_existing  # noqa: PLC0415 - its help page is quicker without
    from ..supervisor import Supervisor  # noqa: PLC0415 - likewise

    state = load_existing(call.paths)
    if not Supervisor(call.paths).is_running():
        raise NoCluster("the cluster is not running", hint="bin/cluster up   starts it")
    endpoints = [node.client for node in state.nodes]
    call.console.say(f"export {ENDPOINTS}={shlex.quote(','.join(endpoints))}")
    call.console.document(environment={ENDPOINTS: ",".join(endpoints)}, endpoints=endpoints)
    return EXIT_OK


RUN = Verb(
    description=(
        "Start a cluster of its own on free ports, run a command with its endpoints in\n"
        "RAFTCACHE_ENDPOINTS (separated by commas), and take all of it down again, however the\n"
        "command ends. The exit code is the command's. With --chaos, a scenario's steps fire\n"
        "meanwhile (its load does not run: the command is the load)."
    ),
    examples=(
        "  bin/cluster run -- pytest tests/\n"
        "  bin/cluster run --nodes 5 -- ./my-service --check\n"
        "  bin/cluster run --chaos leader-killed-over-and-over -- ./my-service\n"
        "  bin/cluster run -- sh -c 'echo $RAFTCACHE_ENDPOINTS'"
    ),
    configure=_configure_run,
    run=_run_run,
)
ENV = Verb(
    description=(
        "Print what `run` would set, for the cluster that runs: a line for a shell to take in."
    ),
    examples='  eval "$(bin/cluster env)"\n  bin/cluster env --json',
    configure=_configure_env,
    run=_run_env,
)
