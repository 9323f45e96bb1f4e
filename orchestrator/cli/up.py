"""`up`: start what is down, and say how to connect."""

import argparse
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from ..errors import EXIT_CHECK_FAILED, EXIT_OK
from ..logs import follow
from ..paths import Paths
from ..spec_values import NODES_MAX
from .call import Call
from .console import Console, printable
from .down import report_end
from .tables import gateway_as_json, print_nodes, view_as_json
from .verbs import Verb

if TYPE_CHECKING:
    from ..bringup import Brought, Plan

SLOW_MAX = 100
"""More, and an election takes a minute."""


def _nodes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= NODES_MAX:
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is not a number from 1 to {NODES_MAX}")
    return int(text)


def _slow(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= SLOW_MAX:
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is not a number from 1 to {SLOW_MAX}")
    return int(text)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=_nodes, metavar="N", help="so many, whatever the file says")
    parser.add_argument("--wipe", action="store_true", help="delete what is there and begin anew")
    parser.add_argument("--foreground", action="store_true", help="stay and show logs; Ctrl-C ends")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; do nothing")
    parser.add_argument(
        "--slow", type=_slow, metavar="K", default=1, help="make Raft K times slower"
    )


def _run(call: Call) -> int:
    from ..bringup import bring_up, make_plan  # noqa: PLC0415 - its help page is quicker without

    options, console = call.options, call.console
    paths = call.paths
    if options.dry_run:
        return _show_plan(console, make_plan(paths, nodes=options.nodes, look_only=True))
    if options.foreground:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
    brought = bring_up(
        paths, nodes=options.nodes, wipe=options.wipe, slow=options.slow, tell=console.note
    )
    _report(console, brought, paths)
    if options.foreground:
        return _stay(console, paths, [node.name for node in brought.view.nodes])
    return EXIT_OK


def _stay(console: Console, paths: Paths, names: list[str]) -> int:
    """Show logs until Ctrl-C, a closed terminal or a plain kill; then take the cluster down."""
    from ..teardown import take_down  # noqa: PLC0415 - as above

    try:
        console.note("showing logs; Ctrl-C takes the cluster down")
        for name, line in follow(paths, names):
            console.say(f"{name} | {printable(line.encode())}")
            sys.stdout.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        console.note("")
    ended = take_down(paths)
    report_end(console, ended)
    return EXIT_OK if ended.proof.holds else EXIT_CHECK_FAILED


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _show_plan(console: Console, plan: "Plan") -> int:
    state = plan.state
    for warning in plan.warnings:
        console.note(f"warning: {warning}")
    what = "a new cluster" if plan.first else "the cluster that is there"
    console.say(f"would start {what}, '{state.cluster}', of {len(state.nodes)} nodes:")
    rows = [
        [
            node.name,
            *(place.removeprefix("tcp://") for place in (node.client, node.peer, node.events)),
            "start" if node.name in plan.to_start else "runs already",
        ]
        for node in state.nodes
    ]
    console.table(["node", "clients", "peers", "events", "what"], rows, "lllll")
    if state.gateway:
        console.say(f"and in front of it, HTTP at http://{state.gateway}")
    console.document(
        cluster=state.cluster,
        first=plan.first,
        warnings=plan.warnings,
        nodes=[
            {
                "name": node.name,
                "client": node.client,
                "peer": node.peer,
                "events": node.events,
                "start": node.name in plan.to_start,
            }
            for node in state.nodes
        ],
        gateway=f"http://{state.gateway}" if state.gateway else None,
    )
    return EXIT_OK


def _report(console: Console, brought: "Brought", paths: Paths) -> None:
    view, log_folder = brought.view, paths.logs
    for warning in brought.plan.warnings:
        console.note(f"warning: {warning}")
    if brought.outdated:
        console.note(
            f"{', '.join(brought.outdated)} still run with the settings of before; "
            "bin/cluster restart --rolling   brings them the new ones"
        )
    up = "is up" if brought.started else "was up already"
    console.say(
        f"cluster {view.cluster} {up}: {view.leader} leads {len(view.nodes)} nodes in term "
        f"{view.term}  ({brought.seconds:.1f} s)"
    )
    console.say()
    print_nodes(console, view)
    endpoints = ",".join(node.client for node in view.nodes[:3])
    where = os.path.relpath(log_folder)
    console.say()
    console.say("try     bin/cluster set greeting hello && bin/cluster get greeting")
    console.say("python  from raftcache.client import Client")
    console.say(f'        cache = Client("{endpoints}")')
    console.say('        cache.set("greeting", "hello"); print(cache.get("greeting"))')
    if brought.gateway is not None:
        console.say(f"http    curl {brought.gateway.url}/api/v1/key/greeting")
    token = _node_token(brought, paths)
    if token:
        console.say(f"token   {token}   adds nodes over HTTP: docs/http.md")
    console.say(f"logs    {where if not where.startswith('..') else log_folder}")
    console.document(
        seconds=round(brought.seconds, 3),
        started=brought.started,
        outdated=brought.outdated,
        warnings=brought.plan.warnings,
        endpoints=[node.client for node in view.nodes],
        gateway=gateway_as_json(brought.gateway),
        token=token,
        logs=str(log_folder),
        **view_as_json(view),
    )


def _node_token(brought: "Brought", paths: Paths) -> str | None:
    """Return what adding and removing nodes over HTTP takes, if that is possible at all."""
    if brought.gateway is None or brought.plan.spec.node_routes != "token":
        return None
    from ..gateway import token_of  # noqa: PLC0415 - as above

    return token_of(paths)


UP = Verb(
    description=(
        "Start every node that is down; return when there is a leader and all nodes have\n"
        "caught up with it. The first `up` makes the cluster; later ones find all its data.\n"
        "After 30 s it gives up on a node that is not ready, names it, and leaves what runs."
    ),
    examples=(
        "  bin/cluster up                     as cluster.yaml says\n"
        "  bin/cluster up --nodes 5 --wipe    a new one of five, whatever was there\n"
        "  bin/cluster up --slow 10           elections slow enough to watch\n"
        "  bin/cluster up --dry-run --json    the plan, for a script"
    ),
    configure=_configure,
    run=_run,
)
