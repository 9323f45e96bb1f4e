"""`bench`: how fast the cluster is, beside what would be possible here."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import EXIT_OK, NoCluster
from ..units import format_size, parse_size_bytes
from .call import Call
from .console import Console
from .options import number
from .verbs import Verb

if TYPE_CHECKING:
    from ..bench.loads import Load
    from ..bench.measure import Row
    from ..bench.profiling import Profile
    from ..bench.suite import Site
    from ..paths import Paths

IN_FLIGHT_MAX = 100_000
_GENERATOR_BUSY = 0.9
_HEAD = (
    f"{'load':<23}{'ops/s':>9}{'p50':>7}{'p90':>7}{'p99':>7}{'max':>7}{'CPU':>6}{'floor':>8} of it"
)


def _value(text: str) -> int:
    try:
        size = int(text) if text.isascii() and text.isdigit() else parse_size_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 1 <= size <= 16 * 1024 * 1024:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; use 1B to 16MiB")
    return size


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=number(1, 5_000), metavar="N", help="connections (64)")
    parser.add_argument(
        "--in-flight", type=number(1, 10_000), metavar="N", help="requests of each at a time (1)"
    )
    parser.add_argument(
        "--batch", type=number(1, 1_000), metavar="N", help="operations in a request (1)"
    )
    parser.add_argument("--mix", choices=("set", "get", "90/10"), help="90/10: nine gets to a set")
    parser.add_argument("--value", type=_value, metavar="SIZE", help="of values (256B)")
    parser.add_argument(
        "--seconds", type=number(1, 3_600), metavar="S", help="for each load; half for the floor"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        nargs="?",
        const=Path("raftcache-profile.svg"),
        metavar="FILE",
        help="of one load: where the leader's time goes, and its flame graph (py-spy)",
    )


def _run(call: Call) -> int:
    from ..bench.loads import Load  # noqa: PLC0415 - likewise
    from ..bench.measure import Times  # noqa: PLC0415 - its help page is quicker without
    from ..bench.profiling import Profile  # noqa: PLC0415 - likewise
    from ..bench.suite import PROFILE_TIMES, SUITE_TIMES, run_suite, site  # noqa: PLC0415 - likewise

    options, console = call.options, call.console
    loads = _loads(options)
    times = SUITE_TIMES
    if options.profile is not None:
        loads = loads if len(loads) == 1 else [Load(clients=64)]
        times = PROFILE_TIMES
    if options.seconds:
        times = Times(warm_up=0.5, cluster=options.seconds, floor=options.seconds / 2)
    profile: Profile | None = None
    with site(_paths(call)) as where:
        if where.own:
            console.note("no cluster runs here: one of its own is measured, and gone afterwards")
        progress = _Progress(console, len(loads))
        if options.profile is not None:
            profile = Profile(where.leader_pid, times.cluster - 1, options.profile)
            progress.profile = profile
        rows: list[Row] = []
        for row in run_suite(where, loads, times, begins=progress.begins, tick=progress.tick):
            progress.clear()
            if not rows:
                _introduce(console, where, loads)
            _show(console, row)
            rows.append(row)
        progress.clear()
        shares = {} if profile is None else profile.finish()
    _explain(console, rows)
    if shares:
        _show_shares(console, shares, options.profile)
    looked: dict[str, Any] = {"profile": shares, "picture": str(options.profile)} if shares else {}
    console.document(
        nodes=len(where.pids),
        durability=where.durability,
        seconds=times.cluster,
        loads=[_as_json(row) for row in rows],
        **looked,
    )
    return EXIT_OK


def _paths(call: Call) -> "Paths | None":
    try:
        return call.paths
    except NoCluster:
        return None


def _loads(options: argparse.Namespace) -> "list[Load]":
    """Return the loads that are asked for: one, or the usual row."""
    from ..bench.loads import Load  # noqa: PLC0415 - as above
    from ..bench.suite import SUITE  # noqa: PLC0415 - as above
    from ..errors import UsageError  # noqa: PLC0415 - as above

    if not any((options.clients, options.in_flight, options.batch, options.mix)):
        if options.value is None:
            return list(SUITE)
        return [msgspec.structs.replace(load, value_bytes=options.value) for load in SUITE]
    clients, in_flight = options.clients or 64, options.in_flight or 1
    if clients * in_flight > IN_FLIGHT_MAX:
        raise UsageError(
            f"{clients} clients with {in_flight} requests each are {clients * in_flight:,} at a "
            f"time; at most {IN_FLIGHT_MAX:,}"
        )
    return [
        Load(
            clients=clients,
            in_flight=in_flight,
            batch=options.batch or 1,
            mix=options.mix or "set",
            value_bytes=options.value or 256,
        )
    ]


class _Progress:
    """One line on a terminal that says what is being measured; nothing elsewhere."""

    def __init__(self, console: Console, count: int) -> None:
        self._shows = sys.stderr.isatty() and not console.as_json
        self._count = count
        self._number = 0
        self._batch = 1
        self._name = ""
        self.profile: Profile | None = None

    def begins(self, load: "Load") -> None:
        self._number += 1
        self._name, self._batch = load.name, load.batch
        self._write("")

    def tick(self, answered: int, seconds: float) -> None:
        if self.profile is not None:
            self.profile.begin()  # Not before the load is there.
        self._write(f": {answered * self._batch / seconds:,.0f} ops/s")

    def clear(self) -> None:
        if self._shows:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _write(self, rest: str) -> None:
        if self._shows:
            sys.stderr.write(f"\r\033[K{self._number}/{self._count}  {self._name}{rest}")
            sys.stderr.flush()


def _introduce(console: Console, where: "Site", loads: "list[Load]") -> None:
    sizes = sorted({load.value_bytes for load in loads})
    console.say(
        f"{len(where.pids)} nodes, durability {where.durability}, "
        f"values of {' and '.join(format_size(size) for size in sizes)}; times in ms"
    )
    console.say()
    console.say(_HEAD)


def _show(console: Console, row: "Row") -> None:
    speed = row.cluster
    times = "".join(
        f"{_short(each):>7}" for each in (speed.p50_ms, speed.p90_ms, speed.p99_ms, speed.max_ms)
    )
    console.say(
        f"{row.load.name:<23}{_many(speed.per_second):>9}{times}{_short(speed.cpu_us):>6}"
        f"{_many(row.floor.per_second):>8}{row.share:>5.0%}{'*' if _is_limited(row) else ''}"
    )


def _short(number: float) -> str:
    return (
        f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 1_000 else f"{number:.0f}"
    )


def _many(count: float) -> str:
    return f"{count:,.0f}" if count < 1_000_000 else f"{count / 1e6:.2f}M"


def _is_limited(row: "Row") -> bool:
    return row.cluster.generator_cpu > _GENERATOR_BUSY


def _explain(console: Console, rows: "list[Row]") -> None:
    console.say()
    console.say(
        "load: operation, connections x requests of each under way. CPU: microseconds of all"
    )
    console.say(
        "nodes per operation. floor: a plain ROUTER that only answers, under the same load."
    )
    if any(_is_limited(row) for row in rows):
        console.say("*: this program had no processor to spare; the cluster could do more.")


def _show_shares(console: Console, shares: Mapping[str, float], picture: Path) -> None:
    console.say()
    console.say("the leader's loop, share of its time:")
    for kind, share in shares.items():
        bar = "#" * round(share * 50)
        console.say(f"  {kind:<8}{share:>6.1%}  {bar}")
    console.say(f"its flame graph: {picture}")


def _as_json(row: "Row") -> dict[str, object]:
    return {
        "name": row.load.name,
        **msgspec.structs.asdict(row.load),
        "cluster": msgspec.structs.asdict(row.cluster),
        "floor": msgspec.structs.asdict(row.floor),
        "share_of_floor": round(row.share, 3),
    }


BENCH = Verb(
    description=(
        "Measure operations per second, latencies and the nodes' CPU time, and beside them the\n"
        "floor: a server that only answers, under the same load, in the same run. Without\n"
        "options a row of loads, in under a minute. It measures the cluster that runs here, and\n"
        "deletes what it wrote (keys that begin with `bench:`); if none runs, one of its own."
    ),
    examples=(
        "  bin/cluster bench\n"
        "  bin/cluster bench --clients 4 --in-flight 256 --mix 90/10 --value 1KiB\n"
        "  bin/cluster bench --batch 100 --seconds 10 --json\n"
        "  bin/cluster bench --profile                       where the leader's time goes"
    ),
    configure=_configure,
    run=_run,
)
