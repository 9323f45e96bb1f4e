"""`logs` and `events`."""

import argparse
import json
from typing import Any

from ..errors import EXIT_OK
from ..logs import SUPERVISOR, follow, last_lines, log_path
from ..paths import Paths
from ..selectors import HELP, Candidates, resolve
from ..spec_values import GATEWAY
from ..state import ClusterState, load_existing
from .call import Call
from .console import SCHEMA, printable
from .status import seconds_of
from .verbs import Verb

_COLOURS = ("green", "yellow", "bold", "red", "dim")
_LISTEN_SECONDS = 2.0


def _configure_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "nodes",
        nargs="*",
        metavar="NODES",
        help=f"{HELP}; gateway; supervisord (default: nodes)",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("-n", type=int, default=20, metavar="N", help="so many lines each (20)")


def _run_logs(call: Call) -> int:
    paths = call.paths
    state = load_existing(paths)
    names = _chosen(call, paths, state)
    found = {name: last_lines(log_path(paths, name), call.options.n) for name in names}
    if call.console.as_json and not call.options.follow:
        call.console.document(
            logs=[
                {"node": name, "file": str(log_path(paths, name)), "lines": lines}
                for name, lines in found.items()
            ]
        )
        return EXIT_OK
    for name, lines in found.items():
        for line in lines:
            _print_line(call, names, name, line)
    if call.options.follow:
        for name, line in follow(paths, names):
            _print_line(call, names, name, line)
    return EXIT_OK


def _chosen(call: Call, paths: Paths, state: ClusterState) -> list[str]:
    texts: list[str] = call.options.nodes
    names = [node.name for node in state.nodes]
    if not texts:
        return names
    others = (SUPERVISOR, GATEWAY)
    plain = [text for text in texts if text not in others]
    chosen = [name for name in others if name in texts]
    if not plain:
        return chosen
    if all(name in names for text in plain for name in text.split(",")):
        # Names need nobody to be asked: logs are wanted most when nobody answers.
        candidates = Candidates(names, [], [], None, state.old_leader)
    else:
        from ..view import observe_once  # noqa: PLC0415 - only when roles are meant

        candidates = observe_once(paths, state).candidates(state)
    return [*chosen, *resolve(plain, candidates)]


def _print_line(call: Call, names: list[str], name: str, line: str) -> None:
    if call.console.as_json:
        print(json.dumps({"schema": SCHEMA, "node": name, "line": line}), flush=True)
        return
    colour = _COLOURS[names.index(name) % len(_COLOURS)]
    text = printable(line.encode())
    print(f"{call.console.paint(name, colour)} | {text}" if len(names) > 1 else text, flush=True)


def _configure_events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="until Ctrl-C")
    parser.add_argument(
        "--for",
        dest="duration",
        type=seconds_of,
        default=_LISTEN_SECONDS,
        metavar="2s",
        help="listen for so long (2s)",
    )
    parser.add_argument("--all", action="store_true", help="commits too; there are many")


def _run_events(call: Call) -> int:
    from ..events import listen  # noqa: PLC0415 - `logs` needs no sockets

    state = load_existing(call.paths)
    seconds = None if call.options.follow else call.options.duration
    call.console.note("listening" + ("; Ctrl-C ends" if seconds is None else f" for {seconds:g} s"))
    began: float | None = None
    for event in listen(state, seconds=seconds):
        if event.get("kind") == "commit" and not call.options.all:
            continue
        if call.console.as_json:
            print(json.dumps({"schema": SCHEMA, **event}, default=str), flush=True)
            continue
        now = float(event.get("t_ms", 0))
        began = now if began is None else began
        print(_event_line(now - began, event), flush=True)
    return EXIT_OK


def _event_line(since_ms: float, event: dict[str, Any]) -> str:
    known = ("t_ms", "node", "term", "kind")
    details = " ".join(f"{name}={value}" for name, value in event.items() if name not in known)
    place = f"{event.get('node')}@{event.get('term')}"
    return printable(f"{since_ms:9.1f} ms  {place:<8} {event.get('kind')}  {details}".encode())


LOGS = Verb(
    description="Print the last lines that nodes printed; -f goes on with what comes.",
    examples=(
        "  bin/cluster logs -f\n  bin/cluster logs leader -n 100\n  bin/cluster logs supervisord"
    ),
    configure=_configure_logs,
    run=_run_logs,
)
EVENTS = Verb(
    description=(
        "Print what the nodes publish: roles, votes, elections and their reasons, as they\n"
        "happen. There is no history: run it in one terminal and break things in another."
    ),
    examples="  bin/cluster events -f\n  bin/cluster events --for 10s --json",
    configure=_configure_events,
    run=_run_events,
)
