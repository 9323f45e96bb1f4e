"""`partition`, `isolate`, `link`, `heal` and `faults`: what is wrong between the nodes."""

import argparse
import re
import sys
import time
from typing import Any

from raftcache.protocol.faults import BANDWIDTH_MAX, DELAY_MS_MAX, FaultRule, kind_named

from .. import network
from ..errors import EXIT_OK, UsageError
from ..link_words import describe_conditions, describe_cuts, describe_groups
from ..links import Picture, as_json
from ..network import Change, Healed, Struck
from ..selectors import HELP
from ..undo import Undoing
from ..units import parse_size_bytes
from .call import Call
from .console import Console
from .process import document_failover, who_leads
from .status import seconds_of
from .verbs import Verb


def _configure_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="duration", type=seconds_of, metavar="5s", help="and undo it after so long"
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait for who leads afterwards"
    )


def _configure_partition(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("groups", nargs="+", metavar="'GROUP|GROUP'", help=f"each group is {HELP}")
    _configure_common(parser)


def _run_partition(call: Call) -> int:
    seen = network.look(call.paths, "partition")
    change = network.plan_partition(seen.view, seen.state, call.options.groups)
    return _strike(call, "partition", change)


def _configure_isolate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="+", metavar="NODES", help=HELP)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--in", dest="only_in", action="store_true", help="they hear nobody")
    only.add_argument("--out", dest="only_out", action="store_true", help="nobody hears them")
    _configure_common(parser)


def _run_isolate(call: Call) -> int:
    options = call.options
    seen = network.look(call.paths, "isolate")
    change = network.plan_isolation(
        seen.view,
        seen.state,
        options.nodes,
        inward=not options.only_out,
        outward=not options.only_in,
    )
    return _strike(call, "isolate", change)


def _configure_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ends", nargs="*", metavar="NODES NODES", help=f"its two ends: {HELP}")
    parser.add_argument("--drop", type=chance_of, metavar="0.1", help="lose so many; 1: cut it")
    parser.add_argument("--delay", type=_delay, metavar="20ms", help="let them come so late")
    parser.add_argument("--jitter", type=_delay, metavar="5ms", help="give or take so much")
    parser.add_argument("--duplicate", type=chance_of, metavar="0.1", help="send so many twice")
    parser.add_argument("--reorder", type=chance_of, metavar="0.1", help="let so many be overtaken")
    parser.add_argument("--bandwidth", type=_bandwidth, metavar="1MiB", help="so much a second")
    parser.add_argument(
        "--type", dest="types", type=_kinds, metavar="KIND,...", help="only such messages"
    )
    parser.add_argument(
        "--one-way", action="store_true", help="only what the first sends to the second"
    )
    _configure_common(parser)


def _run_link(call: Call) -> int:
    options = call.options
    rule = _rule_of(options)
    if not options.ends and rule.does_nothing:
        return _run_faults(call)
    if len(options.ends) != 2:
        raise UsageError(
            f"a link has two ends; {len(options.ends)} named here",
            hint="bin/cluster link n1 n2 --drop 0.1\nbin/cluster link leader followers --delay 9ms",
        )
    if rule.does_nothing:
        raise UsageError(
            "what shall be wrong with it? --drop, --delay, --jitter, --duplicate, --reorder or\n"
            "--bandwidth; `heal` makes it whole again",
            hint=f"bin/cluster link {' '.join(options.ends)} --drop 0.1",
        )
    seen = network.look(call.paths, "link")
    first, second = options.ends
    change = network.plan_link(
        seen.view, seen.state, ([first], [second]), rule, one_way=options.one_way
    )
    return _strike(call, "link", change)


def _rule_of(options: argparse.Namespace) -> FaultRule:
    return FaultRule(
        peer="",
        direction="out",
        types=options.types or (),
        drop=options.drop or 0.0,
        delay_ms=options.delay or 0.0,
        jitter_ms=options.jitter or 0.0,
        duplicate=options.duplicate or 0.0,
        reorder=options.reorder or 0.0,
        bandwidth=options.bandwidth,
    )


def _strike(call: Call, verb: str, change: Change) -> int:
    """Do it; with ``--for``, also undo it, however this command ends."""
    wait, seconds = not call.options.no_wait, call.options.duration
    console = call.console
    if seconds is None:
        struck = network.carry_out(call.paths, change, verb, wait=wait)
        _report(console, struck, undone=False)
        _document(console, struck)
        return EXIT_OK
    with Undoing() as undoing:
        undoing.register(lambda: _report_healed(console, network.undo(call.paths, change, verb)))
        struck = network.carry_out(call.paths, change, verb, wait=wait)
        _report(console, struck, undone=True)
        sys.stdout.flush()
        time.sleep(seconds)
    _document(console, struck, for_s=seconds)
    return EXIT_OK


def _report(console: Console, struck: Struck, *, undone: bool) -> None:
    failover = struck.failover
    led = failover.old_leader
    if struck.groups:
        lines = [describe_groups(struck.groups, struck.everybody)]
        lines += describe_conditions(struck.picture)
    else:
        lines = _in_force(struck.picture, struck.everybody)
    for line in lines:
        console.say(line)
    if led is not None and led in failover.nodes:
        console.say(f"  {led} led term {failover.old_term}")
    for name, state in struck.unreached.items():
        console.say(f"  {name} is {state}: its peers cut it off, as far as it is cut off")
    if failover.has_quorum:
        for line in who_leads(console, failover, "heal"):
            console.say(f"  {line}")
        lonely = [name for name in failover.nodes if name in struck.circles]
        if lonely:
            have = "has" if len(lonely) == 1 else "have"
            console.say(f"  {', '.join(lonely)} {have} no quorum: writes and reads there wait")
    else:
        quorum = console.paint("no quorum", "red")
        console.say(
            f"  {quorum}: writes will wait (no {failover.quorum} of the {failover.size} nodes "
            "are in touch)"
        )
    if not undone:
        console.say("  bin/cluster heal   makes all links whole")


def _document(console: Console, struck: Struck, **more: Any) -> None:
    document_failover(
        console, struck.failover, **as_json(struck.picture), unreached=struck.unreached, **more
    )


def _configure_heal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nodes", nargs="*", metavar="NODES", help=f"only the links of: {HELP}")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until all have caught up"
    )


def _run_heal(call: Call) -> int:
    healed = network.heal(call.paths, call.options.nodes, wait=not call.options.no_wait)
    _report_healed(call.console, healed)
    call.console.document(
        mended=as_json(healed.mended),
        **as_json(healed.left),
        leader=healed.view.leader,
        term=healed.view.term,
        ready=healed.ready,
        seconds=round(healed.seconds, 3),
    )
    return EXIT_OK


def _report_healed(console: Console, healed: Healed) -> None:
    if not healed.mended:
        console.say("nothing to do: no such fault is in force")
        return
    everybody = [node.name for node in healed.view.nodes]
    if healed.left:
        console.say("healed; still in force:")
        for line in _in_force(healed.left, everybody):
            console.say(f"  {line}")
    else:
        console.say("healed: all links are whole")
    for name, state in healed.unreached.items():
        if state == "paused":
            console.say(f"  {name} is paused and may hold faults still: resume it, and heal again")
    leader, term = healed.view.leader, healed.view.term
    if leader is None:
        console.say("  nobody leads yet:  bin/cluster wait --for leader")
    elif healed.ready:
        console.say(
            f"  {leader} leads term {term}, and all have caught up  ({healed.seconds:.1f} s)"
        )
    else:
        console.say(f"  {leader} leads term {term}; not all have caught up:  bin/cluster status")


def _configure_faults(_parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def _run_faults(call: Call) -> int:
    seen = network.look(call.paths, "faults")
    console = call.console
    lines = _in_force(seen.picture, [node.name for node in seen.view.nodes])
    for line in lines or ["none: all links are whole"]:
        console.say(line)
    for name, state in seen.unreached.items():
        console.say(f"  {name} is {state}, and tells nothing")
    if lines:
        told = ", ".join(f"{count:,} {what}" for what, count in seen.frames.items() if count)
        console.say(f"  frames since the nodes began: {told or 'none harmed'}")
        console.say("  bin/cluster heal   makes all links whole")
    console.document(**as_json(seen.picture), frames=seen.frames, unreached=seen.unreached)
    return EXIT_OK


def _in_force(picture: Picture, everybody: list[str]) -> list[str]:
    return [*describe_cuts(picture, everybody), *describe_conditions(picture)]


def chance_of(text: str) -> float:
    """Read a chance from 0 to 1, or in percent, as argparse wants it."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}) ?(%?)", text, re.ASCII)
    chance = float(found[1]) / (100 if found[2] else 1) if found else 2.0
    if chance > 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no chance; use 0 to 1, or 10%")
    return chance


def _delay(text: str) -> float:
    milliseconds = seconds_of(text) * 1_000
    if milliseconds > DELAY_MS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; use up to 1m")
    return milliseconds


def _bandwidth(text: str) -> int:
    try:
        size = parse_size_bytes(text.removesuffix("/s"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 1 <= size <= BANDWIDTH_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; use 1B to 900GiB a second")
    return size


def _kinds(text: str) -> tuple[str, ...]:
    try:
        return tuple(kind_named(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


PARTITION = Verb(
    description=(
        "Cut all links between groups of nodes, instead of whatever was cut before. A node in no\n"
        "group keeps its links: 'n1|n3' leaves n2 as a bridge. Says who leads then, as `kill`."
    ),
    examples=(
        "  bin/cluster partition 'leader|followers'\n"
        "  bin/cluster partition 'n1,n2|n3,n4|n5' --for 10s\n"
        "  bin/cluster partition 'n1|n3'             n2 alone is in touch with both\n"
        "  bin/cluster partition leader followers    without quotes"
    ),
    configure=_configure_partition,
    run=_run_partition,
)
ISOLATE = Verb(
    description=(
        "Cut nodes off from all others, also from each other; their processes go on, and clients\n"
        "reach them. --in: they hear nobody; --out: nobody hears them."
    ),
    examples=(
        "  bin/cluster isolate leader --for 3s\n"
        "  bin/cluster isolate leader --in     it sends, and hears no answer\n"
        "  bin/cluster isolate one-follower --out"
    ),
    configure=_configure_isolate,
    run=_run_isolate,
)
LINK = Verb(
    description=(
        "Let the links between nodes lose, delay, double, reorder or slow down what is sent over\n"
        "them, both ways unless --one-way. Again for the same link, it replaces what was; without\n"
        "arguments it lists all faults. KIND is a message such as AppendEntries or RequestVote;\n"
        "a wrong one is answered with all there are."
    ),
    examples=(
        "  bin/cluster link n1 n2 --drop 0.1\n"
        "  bin/cluster link leader followers --delay 20ms --jitter 5ms --for 30s\n"
        "  bin/cluster link all all --drop 5% --duplicate 5% --reorder 5%\n"
        "  bin/cluster link n1 n2 --one-way --drop 1 --type AppendEntries"
    ),
    configure=_configure_link,
    run=_run_link,
)
HEAL = Verb(
    description="Make all links whole, or only those of some nodes; see that all catch up.",
    examples="  bin/cluster heal\n  bin/cluster heal old-leader",
    configure=_configure_heal,
    run=_run_heal,
)
FAULTS = Verb(
    description="List what is wrong with the links on purpose, and what it did so far.",
    examples="  bin/cluster faults\n  bin/cluster faults --json",
    configure=_configure_faults,
    run=_run_faults,
)
