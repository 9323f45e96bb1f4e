"""`add`, `remove`, `replace`, `scale` and `transfer`: who takes part, and who leads."""

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import EXIT_OK
from ..selectors import HELP
from ..spec_values import NODES_MAX
from .call import Call
from .console import Console
from .options import number
from .status import seconds_of
from .tables import view_as_json
from .verbs import Verb

if TYPE_CHECKING:
    from ..membership import Outcome
    from ..paths import Paths
    from ..resize import Resized


def _configure_patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=seconds_of,
        default=60.0,
        metavar="60s",
        help="how long a new node may take to catch up",
    )


def _configure_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="", metavar="n4", help="default: the next that is free")
    parser.add_argument(
        "--peer-port",
        type=number(1024, 65_535),
        metavar="PORT",
        help="where its peers reach it (default: as cluster.yaml's base_port has it)",
    )
    _configure_patience(parser)


def _configure_remove(parser: argparse.ArgumentParser) -> None:
    _configure_nodes(parser)
    parser.add_argument(
        "--by-name", action="store_true", help="NODES are names only, not roles (for scripts)"
    )


def _configure_nodes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="+", metavar="NODES", help=HELP)


def _configure_replace(parser: argparse.ArgumentParser) -> None:
    _configure_nodes(parser)
    _configure_patience(parser)


def _configure_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("size", type=number(1, NODES_MAX), metavar="N", help="so many nodes")
    _configure_patience(parser)


def _configure_transfer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "nodes", nargs="*", metavar="NODES", help=f"to one of these (default: the best); {HELP}"
    )


def _run_add(call: Call) -> int:
    from ..resize import add  # noqa: PLC0415 - its help page is quicker without

    options = call.options
    return _change(
        call,
        lambda tell: add(
            call.paths,
            name=options.name,
            peer_port=options.peer_port,
            tell=tell,
            seconds=options.timeout,
        ),
    )


def _run_remove(call: Call) -> int:
    from ..resize import remove  # noqa: PLC0415 - as above

    options = call.options
    return _change(
        call,
        lambda tell: remove(call.paths, options.nodes, by_name=options.by_name, tell=tell),
    )


def _run_replace(call: Call) -> int:
    from ..resize import replace  # noqa: PLC0415 - as above

    options = call.options
    return _change(
        call,
        lambda tell: replace(call.paths, options.nodes, tell=tell, seconds=options.timeout),
    )


def _run_scale(call: Call) -> int:
    from ..resize import scale  # noqa: PLC0415 - as above

    options = call.options
    return _change(
        call, lambda tell: scale(call.paths, options.size, tell=tell, seconds=options.timeout)
    )


def _change(call: Call, change: "Callable[[Callable[[str], None]], Resized]") -> int:
    console = call.console
    began = time.monotonic()
    try:
        resized = change(console.note)
    except KeyboardInterrupt:
        console.note(f"\n{_under_way(call.paths)}")
        raise
    _report(console, resized, time.monotonic() - began)
    return EXIT_OK


def _under_way(paths: "Paths") -> str:
    """Say what a Ctrl-C has left."""
    from ..state import load  # noqa: PLC0415 - only then

    state = load(paths)
    if state is None or state.change is None:
        return "interrupted; nothing is left unfinished"
    return f"interrupted: `{state.change.words}` is under way, and the next command sees to it"


def _report(console: Console, resized: "Resized", seconds: float) -> None:
    view = resized.view
    if not resized.outcomes:
        console.say(f"nothing to do: the nodes are {', '.join(node.name for node in view.nodes)}")
    for outcome in resized.outcomes:
        _print_outcome(console, outcome)
    if resized.outcomes:
        console.say(
            f"\n{_did(resized)}: {_count(view.size)} now, {view.quorum} must agree; "
            f"{view.leader} leads term {view.term}  ({seconds:.1f} s)"
        )
    console.document(
        changes=[msgspec.to_builtins(outcome) for outcome in resized.outcomes],
        before=resized.before,
        seconds=round(seconds, 3),
        **view_as_json(view),
    )


def _print_outcome(console: Console, outcome: "Outcome") -> None:
    members = {member.id: member for member in outcome.members}
    rows = []
    for name in [*outcome.added, *outcome.removed, *outcome.replaced]:
        life = outcome.former.get(name)
        was = "-" if life is None or name in outcome.added else f"voter, life {life}"
        member = members.get(name)
        now = f"(bold)voter, life {member.incarnation}" if member is not None else "(dim)gone"
        place = member.client.removeprefix("tcp://") if member is not None else "-"
        rows.append([name, was, now, place])
    console.table(["node", "was", "is", "clients"], rows, "llll")
    for name, path in sorted(outcome.kept.items()):
        shown = os.path.relpath(path)
        console.say(f"{name}'s old directory is kept aside; delete it when you like:")
        console.say(f"  {shown if not shown.startswith('..') else path}")


def _did(resized: "Resized") -> str:
    words = []
    for did, names in (
        ("added", [name for one in resized.outcomes for name in one.added]),
        ("removed", [name for one in resized.outcomes for name in one.removed]),
        ("replaced", [name for one in resized.outcomes for name in one.replaced]),
    ):
        if names:
            words.append(f"{did} {', '.join(names)}")
    return "; ".join(words)


def _count(size: int) -> str:
    return "1 node votes" if size == 1 else f"{size} nodes vote"


def _run_transfer(call: Call) -> int:
    from ..resize import transfer  # noqa: PLC0415 - as above

    console = call.console
    moved = transfer(call.paths, call.options.nodes, tell=console.note)
    if not moved.changed and moved.term == moved.old_term:
        console.say(f"nothing to do: {moved.leader} leads term {moved.term} already")
    else:
        leader = console.paint(moved.leader, "bold")
        console.say(
            f"{moved.old_leader} led term {moved.old_term}; {leader} leads term {moved.term}, "
            f"{moved.after_ms:.0f} ms later"
        )
    document: dict[str, Any] = msgspec.to_builtins(moved)
    console.document(**document, changed=moved.changed)
    return EXIT_OK


ADD = Verb(
    description=(
        "Add a node, with the next free name and ports. It learns first, without a vote;\n"
        "once it has caught up it votes, and `add` returns. The cluster works on meanwhile.\n"
        "If it can't start, it is taken back. Killed midway, the next command goes on."
    ),
    examples=(
        "  bin/cluster add\n"
        "  bin/cluster add --timeout 10m     where there is much to learn\n"
        "  bin/cluster scale 5               several at once"
    ),
    configure=_configure_add,
    run=_run_add,
)
REMOVE = Verb(
    description=(
        "Remove nodes for good: the others agree to do without them, all in one step, then\n"
        "their processes end. A leader among them hands over first. Their directories are\n"
        "kept aside, under .cluster/nodes. Refused where the rest would have no quorum."
    ),
    examples="  bin/cluster remove n4\n  bin/cluster remove down     what is down, if the rest can",
    configure=_configure_remove,
    run=_run_remove,
)
REPLACE = Verb(
    description=(
        "Give nodes a new life: for one whose directory is damaged or lost. Its directory is\n"
        "set aside, it starts with an empty one, learns from the others, and takes its old\n"
        "place in one step. Several go one after the other. A majority must be up besides."
    ),
    examples="  bin/cluster replace n2\n  bin/cluster replace down --timeout 10m",
    configure=_configure_replace,
    run=_run_replace,
)
SCALE = Verb(
    description=(
        "Add or remove nodes until there are N, in one step: newcomers learn first, and get\n"
        "their votes together. Those that are down go first, then the highest names; a leader\n"
        "among them hands over. Remembered over `down` and `up`, whatever cluster.yaml says."
    ),
    examples="  bin/cluster scale 5\n  bin/cluster scale 3\n  bin/cluster scale 1",
    configure=_configure_scale,
    run=_run_scale,
)
TRANSFER = Verb(
    description=(
        "Have the leader hand over, to a node or to the one that is furthest along: it takes\n"
        "a few milliseconds, and no write fails. Says who led, who leads, and how long it took."
    ),
    examples="  bin/cluster transfer\n  bin/cluster transfer n1\n  bin/cluster transfer old-leader",
    configure=_configure_transfer,
    run=_run_transfer,
)
