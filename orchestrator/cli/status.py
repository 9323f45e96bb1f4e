"""`status`, `wait` and `ps`: how the cluster is."""

import argparse
import sys
import time
from contextlib import closing

import msgspec

from ..errors import EXIT_CHECK_FAILED, EXIT_OK, EXIT_UNAVAILABLE
from ..gateway import GatewayView, look
from ..paths import Paths
from ..probe import Prober
from ..processes import command_line, find_run, sample
from ..readiness import asks_for_replacement
from ..state import Change, ClusterState, load_existing
from ..units import format_size, parse_duration_ms
from ..view import ClusterView, endpoints, observe
from .call import Call
from .console import Console
from .tables import cache_in_short, gateway_as_json, print_nodes, view_as_json
from .verbs import Verb

_REFRESH_SECONDS = 0.5
_MEMBERS_SECONDS = 0.2


def seconds_of(text: str) -> float:
    """Read a duration from the command line, as argparse wants it."""
    try:
        return parse_duration_ms(text) / 1000
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _configure_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")


def _run_status(call: Call) -> int:
    paths = call.paths
    state = load_existing(paths)
    if not call.options.watch:
        with closing(Prober(endpoints(state))) as prober:
            return _look(call, paths, state, prober)
    while True:
        with closing(Prober(endpoints(state))) as prober:
            if sys.stdout.isatty():
                sys.stdout.write("\033[H\033[2J")
            _look(call, paths, state, prober)
        sys.stdout.flush()
        time.sleep(_REFRESH_SECONDS)
        state = load_existing(paths)  # nodes come and go


def _look(call: Call, paths: Paths, state: ClusterState, prober: Prober) -> int:
    view = observe(paths, state, prober)
    leader = [view.leader] if view.leader is not None else []
    asked = prober.ask(leader, {"op": "members"}, _MEMBERS_SECONDS)
    replies = [one.reply for one in asked.values() if one.reply and one.reply.get("ok")]
    joint = any(reply.get("joint") for reply in replies)
    if state.change is not None or joint:
        _say_change(call.console, state.change, joint=joint)
    more = _advice_on_members(paths, view)
    return _report(call.console, view, look(paths, state), state.change, joint=joint, more=more)


def _advice_on_members(paths: Paths, view: ClusterView) -> list[str]:
    """Return what helps nodes whose state is damaged or gone."""
    damaged = [
        node.name
        for node in view.nodes
        if not node.has_process and asks_for_replacement(paths, node.name)
    ]
    names = ",".join(damaged)
    advice = [f"{names} is damaged:  bin/cluster replace {names}"] if damaged else []
    for node in view.nodes:
        joining = (node.status or {}).get("joining") or {}
        if joining.get("message"):
            advice.append(f"{node.name} asks to join: {joining['message']}")
    return advice


def _say_change(console: Console, change: Change | None, *, joint: bool) -> None:
    words = "a change of the membership" if change is None else f"`{change.words}`"
    how = ", joint: the old and the new majority must both agree" if joint else ""
    console.say(f"{console.paint('under way', 'yellow')}: {words}{how}\n")


def _report(
    console: Console,
    view: ClusterView,
    gateway: GatewayView | None,
    change: Change | None,
    *,
    joint: bool,
    more: list[str],
) -> int:
    health = view.health
    if health == "ok" and gateway is not None and gateway.state != "ready":
        health = "degraded"
    print_nodes(console, view)
    console.say()
    console.say(_summary(console, view, health))
    if cache := cache_in_short(view):
        console.say(cache)
    for advice in [*_advice(view), *more]:
        console.say(f"  {advice}")
    if view.faults:
        for line in links_in_short(view):
            console.say(f"  {line}")
    if gateway is not None and view.supervisor_running:
        console.say(_gateway_line(console, gateway))
    for name, alarm in view.alarms:
        console.say(console.paint(f"  {name}: {alarm}", "red"))
    console.document(
        **{**view_as_json(view), "health": health},
        ok=health == "ok",
        gateway=gateway_as_json(gateway),
        change=None if change is None else msgspec.to_builtins(change),
        joint=joint,
    )
    codes = {"ok": EXIT_OK, "degraded": EXIT_CHECK_FAILED}
    return codes.get(health, EXIT_UNAVAILABLE)


def links_in_short(view: ClusterView) -> list[str]:
    """Return what is wrong with the links on purpose, in a few lines."""
    from ..link_words import describe_cuts  # noqa: PLC0415 - only where there are faults
    from ..links import picture_of, rules_from  # noqa: PLC0415 - likewise

    picture = picture_of({name: rules_from(rules) for name, rules in view.faults.items()})
    lines = describe_cuts(picture, [node.name for node in view.nodes])
    disturbed = len({frozenset(one.way) for one in picture.conditions})
    if disturbed:
        links = "link is" if disturbed == 1 else "links are"
        lines.append(f"{disturbed} {links} disturbed:  bin/cluster faults")
    return [*lines[:-1], f"{lines[-1]}:  bin/cluster heal"] if not disturbed else lines


def largest_circle(view: ClusterView) -> int:
    """Return the most nodes that any node can talk with both ways, itself included."""
    from ..links import circles, picture_of, rules_from  # noqa: PLC0415 - as above

    picture = picture_of({name: rules_from(rules) for name, rules in view.faults.items()})
    alive = [node.name for node in view.nodes if node.status is not None and node.voter]
    return max(map(len, circles(picture, alive).values()), default=0)


def _gateway_line(console: Console, gateway: GatewayView) -> str:
    if gateway.state == "ready":
        return f"HTTP at {gateway.url}"
    advice = "bin/cluster up" if gateway.state == "down" else "bin/cluster logs gateway"
    state = console.paint(gateway.state, "red")
    return f"HTTP at {gateway.url}: the gateway is {state}:  {advice}"


def _summary(console: Console, view: ClusterView, health: str) -> str:
    ready = sum(node.state == "ready" for node in view.nodes)
    if health == "ok":
        words = console.paint("ok", "green")
        return f"{words}: {view.leader} leads in term {view.term}, all {ready} nodes are ready"
    if health == "degraded":
        words = console.paint("degraded", "yellow")
        return (
            f"{words}: {view.leader} leads in term {view.term}, {ready} of {len(view.nodes)} nodes "
            "are ready"
        )
    if health == "down":
        return f"{console.paint('down', 'red')}: no node is running"
    if view.answering >= view.quorum:
        if view.faults and largest_circle(view) < view.quorum:
            return (
                f"{console.paint('no quorum', 'red')}: no {view.quorum} of the "
                f"{len(view.nodes)} nodes are in touch; writes will wait"
            )
        return f"{console.paint('no leader', 'red')}: an election is under way"
    return (
        f"{console.paint('no quorum', 'red')}: {view.answering} of {view.size} nodes answer, "
        f"{view.quorum} must agree; writes will wait"
    )


def _advice(view: ClusterView) -> list[str]:
    def named(*states: str) -> str:
        return ", ".join(node.name for node in view.nodes if node.state in states)

    advice = []
    if not view.supervisor_running:
        return ["supervisord is not running:  bin/cluster up"]
    if names := named("killed", "stopped", "down"):
        advice.append(f"{names} down:  bin/cluster start")
    if names := named("paused"):
        advice.append(f"{names} paused:  bin/cluster resume")
    if names := named("crashed"):
        advice.append(f"{names} crashed:  bin/cluster logs {names.split(',')[0]}")
    if names := named("silent"):
        advice.append(f"{names} does not answer:  bin/cluster logs {names.split(',')[0]}")
    if names := named("removed"):
        one = names.replace(", ", ",")
        advice.append(f"{names} removed, and still running:  bin/cluster remove {one}   ends that")
    without_state = {name for name, alarm in view.alarms if alarm.startswith("snapshot_lost:")}
    if len(without_state) == len(view.nodes):
        advice.append("no node has its state any more:  bin/cluster snapshot restore FILE --wipe")
    return advice


def _configure_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="condition",
        choices=["leader", "ready", "caught-up"],
        default="ready",
        help="leader: somebody leads; ready (default): and every node has caught up; "
        "caught-up: and every node that runs has",
    )
    parser.add_argument(
        "--timeout", type=seconds_of, default=30.0, metavar="30s", help="how long at most"
    )


def _run_wait(call: Call) -> int:
    from ..cluster import Cluster  # noqa: PLC0415 - `status` is quicker without it

    began = time.monotonic()
    view = Cluster(call.paths).wait(call.options.condition, seconds=call.options.timeout)
    seconds = time.monotonic() - began
    call.console.say(
        f"{call.options.condition}: {view.leader} leads in term {view.term}  ({seconds:.1f} s)"
    )
    call.console.document(seconds=round(seconds, 3), **view_as_json(view))
    return EXIT_OK


def _configure_ps(_parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def _run_ps(call: Call) -> int:
    state = load_existing(call.paths)
    found = find_run(state.run_id) if state.run_id else []
    rows, documents = [], []
    for process in found:
        seen = sample(process.pid)
        if seen is None:
            continue
        command = command_line(process.pid)
        what = _name_of(command)
        how = "paused" if seen.paused else "running"
        rows.append([str(process.pid), what, how, format_size(seen.resident_bytes)])
        documents.append(
            {
                "pid": process.pid,
                "name": what,
                "state": how,
                "memory_bytes": seen.resident_bytes,
                "command": command,
            }
        )
    if rows:
        call.console.table(["pid", "what", "state", "memory"], rows, "rllr")
    else:
        call.console.note("no process of this cluster is running:  bin/cluster up")
    call.console.document(run_id=state.run_id, processes=documents)
    return EXIT_OK if rows else EXIT_UNAVAILABLE


def _name_of(command: str) -> str:
    if "supervisor.supervisord" in command:
        return "supervisord"
    last = command.rpartition(" ")[2]
    return last.removesuffix(".json") if last.endswith(".json") else command[:40]


STATUS = Verb(
    description=(
        "Ask every node how it is, beside what the system says of its process. Exit code 0:\n"
        "all is well; 1: it works, but something is off; 69: no leader, or nothing runs."
    ),
    examples=(
        "  bin/cluster status\n"
        "  bin/cluster status --watch\n"
        "  bin/cluster status --json | jq -r .leader"
    ),
    configure=_configure_status,
    run=_run_status,
)
WAIT = Verb(
    description="Wait until the cluster is as asked; exit code 75 if it is not in time.",
    examples=(
        "  bin/cluster wait --for leader\n"
        "  bin/cluster start n2 && bin/cluster wait --for caught-up --timeout 10s"
    ),
    configure=_configure_wait,
    run=_run_wait,
)
PS = Verb(
    description="List every process that carries this run's id: supervisord and the nodes.",
    examples="  bin/cluster ps\n  bin/cluster ps --json",
    configure=_configure_ps,
    run=_run_ps,
)
