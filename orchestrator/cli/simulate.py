"""`simulate`: worlds out of seeds, until one of them breaks a promise."""

import argparse
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_CHECK_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from .call import Call
from .console import PROGRAM, Console
from .options import number
from .verbs import Verb

if TYPE_CHECKING:
    from ..simulation.profile import Profile
    from ..simulation.run import Options, Outcome
    from ..simulation.series import Tally
    from ..simulation.shrink import Shrunk

SEED_MAX = 2**53
SEEDS_MAX = 100_000_000
MINUTES_MAX = 10_000
NODES_MAX = 9
MINUTES = 1
"""How long it goes on where nothing is said of it."""
PROGRESS_SECONDS = (1.0, 10.0)
"""Between two lines of progress: on a terminal, and elsewhere."""
SHRINK_SECONDS = 120.0
TAIL_LINES = 20
ENOUGH_SEEDS = 500
"""After so many seeds, a named point that was never reached is told."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=number(0, SEED_MAX), metavar="N", help="this one (first)")
    parser.add_argument("--seeds", type=number(1, SEEDS_MAX), metavar="N", help="so many")
    parser.add_argument(
        "--minutes", type=number(1, MINUTES_MAX), metavar="M", help="so long (1, without --seeds)"
    )
    parser.add_argument("--nodes", type=number(1, NODES_MAX), metavar="N", help="so many nodes")
    parser.add_argument("--profile", metavar="P", default="swarm", help="which worlds (swarm)")
    parser.add_argument("--with", dest="changes", metavar="JSON", help="fields of the world")
    parser.add_argument(
        "--salt", type=number(0, SEED_MAX), metavar="N", default=0, help="another course of events"
    )
    parser.add_argument("--trace", action="store_true", help="of one seed: print all that happens")
    parser.add_argument("--keep-going", action="store_true", help="past seeds that fail")
    parser.add_argument("--no-shrink", action="store_true", help="leave a failing seed as it is")


def _run(call: Call) -> int:
    options = _options(call)
    given = call.options
    if given.seed is not None and given.seeds is None and given.minutes is None:
        return _one(call, given.seed, options)
    if given.trace:
        raise UsageError("--trace is for one seed", hint="bin/cluster simulate --seed N --trace")
    return _many(call, options)


def _options(call: Call) -> "Options":
    import msgspec  # noqa: PLC0415 - its help page is quicker without

    from ..simulation.draw import PROFILES  # noqa: PLC0415 - likewise
    from ..simulation.run import Options  # noqa: PLC0415 - likewise

    given = call.options
    if given.profile not in PROFILES:
        raise UsageError(f"no profile '{given.profile[:40]}'", hint=f"one of {', '.join(PROFILES)}")
    changes: dict[str, Any] = {}
    try:
        if given.changes is not None:
            changes = msgspec.json.decode(given.changes.encode(), type=dict[str, Any])
        if changes.get("faults"):
            # Where less is promised than that, what is asked for may well lose all of it.
            changes.setdefault("durability", "fsync")
        if given.nodes is not None:
            changes["nodes"] = given.nodes
        options = Options(
            profile=given.profile, changes=changes, salt=given.salt, verbose=given.trace
        )
        _check_names(options.world(given.seed or 1))
    except msgspec.MsgspecError as error:
        raise UsageError(f"--with: {error}", hint="see docs/testing.md for the fields") from None
    return options


def _check_names(world: "Profile") -> None:
    from ..simulation.kinds import KINDS  # noqa: PLC0415 - as above
    from ..simulation.points import POINTS  # noqa: PLC0415 - likewise
    from ..simulation.workload import OPERATIONS  # noqa: PLC0415 - likewise

    for what, given, known in (
        ("fault", world.faults, KINDS),
        ("point", world.points, POINTS),
        ("operation", world.mix, OPERATIONS),
    ):
        for name in given:
            if name not in known:
                raise UsageError(f"no {what} '{name[:60]}'", hint=f"one of: {'; '.join(known)}")


def _one(call: Call, seed: int, options: "Options") -> int:
    from ..simulation.run import run_seed  # noqa: PLC0415 - as above

    console = call.console
    began = time.process_time()
    console.say(f"seed {seed}, profile {options.profile}: {world_in_words(options, seed)}")
    outcome = run_seed(seed, options)
    if options.verbose:
        for line in outcome.trace:
            console.say(line)
    console.say(
        f"{outcome.events:,} events, {outcome.operations:,} operations of clients, "
        f"{outcome.virtual_ms / 1_000:.1f} s of virtual time, "
        f"{time.process_time() - began:.2f} s of processor time, trace {outcome.trace_hash}"
    )
    _say_counts(console, "faults", outcome.faults)
    _say_counts(console, "points", outcome.points)
    found = None if outcome.ok else _tell_failure(call, outcome, options)
    console.say(console.paint("all promises were kept" if outcome.ok else "FAILED", "bold"))
    console.document(
        ok=outcome.ok,
        shrunk=found and as_json(found.outcome, found.options),
        **as_json(outcome, options),
    )
    return EXIT_OK if outcome.ok else EXIT_CHECK_FAILED


def _many(call: Call, options: "Options") -> int:
    from ..simulation.series import Lost, Tally, cores, run_series  # noqa: PLC0415 - as above

    given, console = call.options, call.console
    first = 1 if given.seed is None else given.seed
    end = first + (given.seeds if given.seeds is not None else SEEDS_MAX)
    minutes = given.minutes or (None if given.seeds is not None else MINUTES)
    until = f"{given.seeds:,} seeds" if given.seeds is not None else ""
    until += (" or " if until and minutes else "") + (f"{minutes} min" if minutes else "")
    console.say(
        f"seeds from {first}, profile {options.profile}, {until}, {min(cores(), end - first)} "
        f"workers{_changes_in_words(options)}"
    )
    tally, interrupted = Tally(), False
    progress = _Progress(console)
    series = run_series(first, end, options)
    shrunk = None
    try:
        for report in series:
            if report is not None:
                tally.add(report)
                if isinstance(report, Lost):
                    console.note(f"seed {report.seed}: {report.what}")
                elif report.failure is not None:
                    console.note(f"seed {report.seed}: {report.failure}")
            progress.tell(tally)
            if not tally.ok and not given.keep_going:
                break
            if minutes is not None and tally.seconds >= minutes * 60:
                break
    except KeyboardInterrupt:
        interrupted = True
    finally:
        series.close()
    progress.end()
    _say_tally(console, tally, options)
    if tally.failed and not interrupted:
        shrunk = _tell_failure(call, min(tally.failed, key=lambda one: one.seed), options)
    _say_verdict(console, tally, interrupted=interrupted)
    _document(console, tally, options, shrunk, interrupted=interrupted)
    if not tally.ok:
        return EXIT_CHECK_FAILED
    return EXIT_INTERRUPTED if interrupted else EXIT_OK


class _Progress:
    """A line now and then: rewritten on a terminal, and a new one elsewhere."""

    def __init__(self, console: Console) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._console = console
        self._next = PROGRESS_SECONDS[0]

    def tell(self, tally: "Tally") -> None:
        """Tell how far it is, if it is time."""
        if tally.seconds < self._next:
            return
        self._next = tally.seconds + PROGRESS_SECONDS[0 if self._on_terminal else 1]
        line = (
            f"{tally.seeds:>9,} seeds  {tally.seeds / tally.seconds:6.1f} seeds/s  "
            f"{tally.events:>13,} events  {tally.fault_count:>11,} faults injected  "
            f"{len(tally.failed) + len(tally.lost)} failed"
        )
        if self._on_terminal:
            sys.stderr.write(f"\r{line}")
            sys.stderr.flush()
        else:
            self._console.note(line)

    def end(self) -> None:
        """Go on below."""
        if self._on_terminal:
            sys.stderr.write("\n")


def world_in_words(options: "Options", seed: int) -> str:
    """Return what is special about a seed's world, and why it is that one."""
    import msgspec  # noqa: PLC0415 - as above

    from ..simulation.profile import CALM  # noqa: PLC0415 - likewise

    usual = msgspec.to_builtins(CALM)
    drawn = msgspec.to_builtins(options.world(seed))
    return "  ".join(
        f"{name}={_value_in_words(value)}" for name, value in drawn.items() if value != usual[name]
    )


def _value_in_words(value: Any) -> str:
    if isinstance(value, list | tuple):
        kept = dict.fromkeys(str(one) for one in value)
        parts = [
            f"{one}*{count}" if (count := [str(v) for v in value].count(one)) > 1 else one
            for one in kept
        ]
        return ",".join(parts) or "none"
    return str(value)


def _changes_in_words(options: "Options") -> str:
    told = ", ".join(f"{name}={_value_in_words(it)}" for name, it in options.changes.items())
    return f", with {told}" if told else ""


def how_to_repeat(outcome: "Outcome", options: "Options") -> str:
    """Return the command that makes the same run again."""
    import msgspec  # noqa: PLC0415 - as above

    parts = [PROGRAM, "simulate", "--seed", str(outcome.seed)]
    if options.profile != "swarm":
        parts += ["--profile", options.profile]
    if options.changes:
        parts += ["--with", msgspec.json.encode(options.changes).decode()]
    if options.salt:
        parts += ["--salt", str(options.salt)]
    return shlex.join(parts)


def _tell_failure(call: Call, failed: "Outcome", options: "Options") -> "Shrunk | None":
    """Say what broke, how to see it again, and what little of it is needed."""
    _say_failure(call.console, failed, options)
    if call.options.no_shrink:
        return None
    from ..simulation.shrink import shrink  # noqa: PLC0415 - as above

    call.console.note("making it smaller; Ctrl-C ends that")
    deadline = time.monotonic() + SHRINK_SECONDS
    try:
        found = shrink(failed, options, go_on=lambda: time.monotonic() < deadline)
    except KeyboardInterrupt:
        call.console.note("it stays as it is")
        return None
    call.console.say()
    call.console.say(f"the smallest run that fails like this, found in {found.runs} runs:")
    call.console.say(f"  {world_in_words(found.options, failed.seed)}")
    strikes = ", ".join(f"{number} {kind}" for number, kind in found.outcome.strikes)
    call.console.say(f"  faults: {strikes or 'none'}")
    _say_failure(call.console, found.outcome, found.options)
    return found


def _say_failure(console: Console, outcome: "Outcome", options: "Options") -> None:
    console.say()
    for line in outcome.trace[-TAIL_LINES:]:
        console.say(f"  {line}"[:200])
    console.say(f"seed {outcome.seed} breaks this: {console.paint(str(outcome.failure), 'red')}")
    console.say(f"  {how_to_repeat(outcome, options)}")
    console.say(f"  {how_to_repeat(outcome, options)} --trace")


def _say_counts(console: Console, what: str, counts: "dict[str, int]") -> None:
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    console.say(f"{what}: {told or 'none'}")


def _say_tally(console: Console, tally: "Tally", options: "Options") -> None:
    from ..simulation.points import POINTS  # noqa: PLC0415 - as above

    _say_counts(console, "faults", tally.faults)
    if tally.points:
        console.say(f"points, {len(tally.points)} of {len(POINTS)}:")
        for name, count in sorted(tally.points.items(), key=lambda item: -item[1]):
            console.say(f"  {count:>9,}  {name}")
    missing = sorted(set(POINTS) - set(tally.points))
    if missing and tally.seeds >= ENOUGH_SEEDS and options.profile == "swarm":
        console.say(f"never reached: {'; '.join(missing)}")


def _say_verdict(console: Console, tally: "Tally", *, interrupted: bool) -> None:
    rate = tally.seeds / tally.seconds if tally.seconds else 0.0
    console.say(
        f"{'interrupted: ' if interrupted else ''}{tally.seeds:,} seeds in {tally.seconds:.0f} s "
        f"({rate * 3_600:,.0f} an hour), {tally.events:,} events, {tally.operations:,} operations "
        f"of clients, {tally.fault_count:,} faults injected"
    )
    failed = sorted([one.seed for one in tally.failed] + [lost.seed for lost in tally.lost])
    verdict = f"FAILED: {len(failed)}, seeds {', '.join(map(str, failed[:10]))}"
    console.say(console.paint("all promises were kept" if tally.ok else verdict, "bold"))


def _document(
    console: Console,
    tally: "Tally",
    options: "Options",
    shrunk: "Shrunk | None",
    *,
    interrupted: bool,
) -> None:
    console.document(
        ok=tally.ok,
        interrupted=interrupted,
        profile=options.profile,
        changes=options.changes,
        seeds=tally.seeds,
        seconds=round(tally.seconds, 3),
        events=tally.events,
        operations=tally.operations,
        faults=dict(sorted(tally.faults.items())),
        points=dict(sorted(tally.points.items())),
        counts=dict(sorted(tally.counts.items())),
        failed=[as_json(outcome, options) for outcome in tally.failed],
        lost=[{"seed": lost.seed, "what": lost.what} for lost in tally.lost],
        shrunk=shrunk and as_json(shrunk.outcome, shrunk.options),
    )


def as_json(outcome: "Outcome", options: "Options") -> dict[str, Any]:
    """Return an outcome for a document."""
    import msgspec  # noqa: PLC0415 - as above

    fields: dict[str, Any] = msgspec.to_builtins(outcome)
    return {**fields, "repeat": how_to_repeat(outcome, options)}


SIMULATE = Verb(
    description=(
        "Run whole clusters under virtual time, in this process and its workers: the shipped\n"
        "server, log and store over simulated disks, network and clocks. Each seed draws a world\n"
        "of its own, and what goes wrong in it; clients write down what they are told. Checked\n"
        "are Raft's invariants at every step, that what was acknowledged is on disk, progress\n"
        "once a majority is healed, equal states, and that the history is linearizable.\n"
        "A seed that fails is told with the command that repeats it, and made smaller.\n"
        "Worlds: swarm (anything), wild, busy (snapshots come and go), sessions, watch (with\n"
        "such clients), narrow (small bounds), full (small caches), moves (members, leaders),\n"
        "points (named moments only), process, link, office, disk, directory, member, cluster\n"
        "(one group of faults), calm. See docs/testing.md.\n"
        "Exit codes: 0 all promises were kept; 1 one was broken; 64 usage; 130 interrupted."
    ),
    examples=(
        "  bin/cluster simulate                       a minute of it, on all cores\n"
        "  bin/cluster simulate --seeds 2000\n"
        "  bin/cluster simulate --minutes 60 --profile busy --nodes 5\n"
        "  bin/cluster simulate --seed 83             one seed, with its world\n"
        "  bin/cluster simulate --seed 83 --trace     and every message of it\n"
        '  bin/cluster simulate --seeds 100 --with \'{"faults": ["kill"], "loss": 100}\''
    ),
    configure=_configure,
    run=_run,
)
