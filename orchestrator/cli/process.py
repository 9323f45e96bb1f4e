"""`kill`, `stop`, `pause`, `resume`, `start` and `restart`."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from .. import actions
from ..errors import EXIT_OK
from ..failover import Failover
from ..selectors import HELP
from ..undo import Undoing
from ..view import ClusterView
from .call import Call
from .console import Console
from .status import seconds_of
from .tables import view_as_json
from .verbs import Verb


def _nodes_required(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="+", metavar="NODES", help=HELP)


def _configure_blow(parser: argparse.ArgumentParser) -> None:
    _nodes_required(parser)
    parser.add_argument(
        "--for", dest="duration", type=seconds_of, metavar="5s", help="and undo it after so long"
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait for who leads afterwards"
    )


def _run_kill(call: Call) -> int:
    return _strike(call, "killed", actions.kill, _start_again)


def _run_stop(call: Call) -> int:
    return _strike(call, "stopped", actions.stop, _start_again)


def _run_pause(call: Call) -> int:
    return _strike(call, "paused", actions.pause, _resume_again)


def _strike(
    call: Call,
    did: str,
    strike: Callable[..., Failover],
    undo: Callable[[Call, list[str]], dict[str, Any]],
) -> int:
    """Do it; with ``--for``, also undo it, however this command ends."""
    wait, seconds = not call.options.no_wait, call.options.duration
    if seconds is None:
        failover = strike(call.paths, call.options.nodes, wait=wait)
        _report(call.console, did, failover)
        document_failover(call.console, failover)
        return EXIT_OK
    # Whom it will hit must be known before it falls, for a Ctrl-C may come at any moment.
    names = actions.choose(call.paths, call.options.nodes)
    undone: dict[str, Any] = {}
    with Undoing() as undoing:
        undoing.register(lambda: undone.update(undo(call, names)))
        failover = strike(call.paths, names, wait=wait)
        _report(call.console, did, failover)
        sys.stdout.flush()
        time.sleep(seconds)
    document_failover(call.console, failover, for_s=seconds, **undone)
    return EXIT_OK


def _start_again(call: Call, names: list[str]) -> dict[str, Any]:
    began = time.monotonic()
    started, view = actions.start(call.paths, names)
    seconds = time.monotonic() - began
    _say_started(call.console, "started", started, view, seconds)
    return {"started": started, "seconds": round(seconds, 3), "view": view_as_json(view)}


def _resume_again(call: Call, names: list[str]) -> dict[str, Any]:
    resumed = actions.resume(call.paths, names)
    call.console.say(f"resumed {', '.join(resumed)}" if resumed else "none of these was paused")
    return {"resumed": resumed}


def _report(console: Console, did: str, failover: Failover) -> None:
    led = failover.old_leader
    lost = [
        f"{name} (led term {failover.old_term})" if name == led else name for name in failover.nodes
    ]
    console.say(f"{did} {', '.join(lost)}")
    back = "resume" if did == "paused" else "start"
    for line in who_leads(console, failover, back):
        console.say(f"  {line}")


def who_leads(console: Console, failover: Failover, back: str) -> list[str]:
    """Return what became of the leadership, a line or two; ``back`` is the verb that mends it."""
    if not failover.has_quorum:
        up = f"{failover.alive} of {failover.size} nodes up"
        lines = [f"  bin/cluster {back}   brings them back"]
        if failover.up < failover.alive:
            talk = f"at most {failover.up} of them hear each other"
            up += f", {'none of which hears another' if failover.up == 1 else talk}"
            lines.append("  bin/cluster heal   makes all links whole")
        up += f", {failover.quorum} must agree"
        return [f"{console.paint('no quorum', 'red')}: writes will wait ({up})", *lines]
    if not failover.changed and failover.leader is not None:
        return [f"{failover.leader} still leads term {failover.term}"]
    if failover.leader is None:
        seconds = failover.waited_seconds
        words = f"no new leader within {seconds:g} s:  bin/cluster wait --for leader"
        return [words] if seconds else []
    leader = console.paint(failover.leader, "bold")
    votes = " and ".join(failover.votes) if failover.votes else "its peers"
    when = "" if failover.after_ms is None else f", {failover.after_ms:.0f} ms after the blow"
    why = f"  ({failover.reason})" if failover.reason else ""
    return [f"{leader} leads term {failover.term}, by the votes of {votes}{when}{why}"]


def document_failover(console: Console, failover: Failover, **more: Any) -> None:
    """Print the same as JSON."""
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(failover).items()
        if name not in {"up", "alive", "size", "at_ms"}
    }
    console.document(
        **fields,
        changed=failover.changed,
        has_quorum=failover.has_quorum,
        nodes_up=failover.alive,
        nodes_total=failover.size,
        **more,
    )


def _configure_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="*", default=["paused"], metavar="NODES", help=HELP)


def _run_resume(call: Call) -> int:
    resumed = actions.resume(call.paths, call.options.nodes)
    call.console.say(f"resumed {', '.join(resumed)}" if resumed else "none of these was paused")
    call.console.document(nodes=resumed)
    return EXIT_OK


def _configure_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="*", default=["down"], metavar="NODES", help=HELP)


def _run_start(call: Call) -> int:
    return _start(call, call.options.nodes)


def _start(call: Call, nodes: list[str]) -> int:
    began = time.monotonic()
    started, view = actions.start(call.paths, nodes)
    seconds = time.monotonic() - began
    _report_started(call.console, "started", started, view, seconds)
    return EXIT_OK


def _configure_restart(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="*", default=["all"], metavar="NODES", help=HELP)
    parser.add_argument(
        "--rolling", action="store_true", help="one at a time, the leader last; it never stops"
    )


def _run_restart(call: Call) -> int:
    began = time.monotonic()
    names, view = actions.restart(call.paths, call.options.nodes, rolling=call.options.rolling)
    _report_started(call.console, "restarted", names, view, time.monotonic() - began)
    return EXIT_OK


def _report_started(
    console: Console, did: str, names: list[str], view: ClusterView, seconds: float
) -> None:
    _say_started(console, did, names, view, seconds)
    console.document(nodes=names, seconds=round(seconds, 3), view=view_as_json(view))


def _say_started(
    console: Console, did: str, names: list[str], view: ClusterView, seconds: float
) -> None:
    if not names:
        console.say("nothing to do: none of these is down")
        return
    caught = "has" if len(names) == 1 else "have"
    console.say(
        f"{did} {', '.join(names)}: {caught} caught up with {view.leader}, which leads term "
        f"{view.term}  ({seconds:.1f} s)"
    )


KILL = Verb(
    description=(
        "SIGKILL nodes, as the kernel or a power cut would. They stay down until `start`.\n"
        "If the leader is among them, wait up to 2 s (longer after `up --slow`) and say who leads\n"
        "now, in which term, by whose votes, and how many milliseconds after the blow."
    ),
    examples=(
        "  bin/cluster kill leader\n"
        "  bin/cluster kill leader --for 5s      and start it again, however this ends\n"
        "  bin/cluster kill minority             what a cluster must survive\n"
        "  bin/cluster kill n1,n3 --no-wait"
    ),
    configure=_configure_blow,
    run=_run_kill,
)
STOP = Verb(
    description="End nodes in order: a leader hands over first. They stay down until `start`.",
    examples="  bin/cluster stop leader\n  bin/cluster stop one-follower --for 10s",
    configure=_configure_blow,
    run=_run_stop,
)
PAUSE = Verb(
    description=(
        "SIGSTOP nodes: alive, connected and silent, as on a machine that swaps. Only a\n"
        "timeout finds out, so this takes longer than a kill. `resume` lets them go on."
    ),
    examples="  bin/cluster pause leader\n  bin/cluster pause leader --for 3s",
    configure=_configure_blow,
    run=_run_pause,
)
RESUME = Verb(
    description="SIGCONT nodes; without a name, all that are paused.",
    examples="  bin/cluster resume\n  bin/cluster resume old-leader",
    configure=_configure_resume,
    run=_run_resume,
)
START = Verb(
    description="Start nodes (without a name, all that are down); wait until they caught up.",
    examples="  bin/cluster start\n  bin/cluster start n2",
    configure=_configure_start,
    run=_run_start,
)
RESTART = Verb(
    description="Stop nodes in order and start them again; without a name, all.",
    examples="  bin/cluster restart n2\n  bin/cluster restart --rolling    without an interruption",
    configure=_configure_restart,
    run=_run_restart,
)
