"""`logs`: what the nodes printed."""

import argparse
import json

from ..errors import EXIT_OK
from ..logs import SUPERVISOR, follow, last_lines, log_path
from ..paths import Paths
from ..selectors import HELP, Candidates, resolve
from ..spec_values import GATEWAY
from ..state import ClusterState, load_existing
from .call import Call
from .console import SCHEMA, printable
from .verbs import Verb

_COLOURS = ("green", "yellow", "bold", "red", "dim")


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


LOGS = Verb(
    description="Print the last lines that nodes printed; -f goes on with what comes.",
    examples=(
        "  bin/cluster logs -f\n  bin/cluster logs leader -n 100\n  bin/cluster logs supervisord"
    ),
    configure=_configure_logs,
    run=_run_logs,
)
