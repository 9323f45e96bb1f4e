"""How fast is a cluster: sets and gets per second, latency, CPU per operation, and the floor.

    python benchmarks/load.py tcp://127.0.0.1:7401,tcp://127.0.0.1:7402,tcp://127.0.0.1:7403
    python benchmarks/load.py --cluster          # starts a cluster of its own, and ends it

The floor is a plain pyzmq ROUTER under the very same load in the same run: what no server that
answers through pyzmq can beat on this machine. The generator shares the cores with the nodes, so
it must be cheap: one process, all sockets in one poller, requests encoded beforehand, and of a
reply only the bytes of ``ok`` and ``id`` are looked at.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import psutil
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from raftcache.client import Client

KEYS = 10_000
VALUE = bytes(range(256))
OK = b"\xa2ok\xc3"
ID = b"\xa2id\xa4"
"""The name ``id`` and the head of a text of four bytes: a slot's number, fixed in width."""
SILENCE_MS = 10_000
SETTLE_SECONDS = 0.2

Tails: TypeAlias = list[bytes]
"""What follows the id in each request, one per key."""


class Shape(NamedTuple):
    """A kind of load: ``sockets`` clients with ``window`` requests in flight each."""

    name: str
    op: str
    sockets: int
    window: int


SHAPES = (
    Shape("set, 1 REQ", "set", 1, 1),
    Shape("set, 64 REQ", "set", 64, 1),
    Shape("set, 4 DEALER x 256", "set", 4, 256),
    Shape("get, 64 REQ", "get", 64, 1),
)
FLOORS = tuple(Shape(f"floor, {s.name.split(', ')[1]}", "set", *s[2:]) for s in SHAPES[:3])


class Row(NamedTuple):
    """One line of the result."""

    load: str
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """CPU of all server processes, in microseconds per operation."""
    generator_cpu: float
    """CPU of this process, in cores: near 1.0, the generator is what was measured."""


class Clock:
    """Counts what is answered between the warm-up's end and the end."""

    def __init__(self, warm_up: float, seconds: float) -> None:
        self.begin = time.perf_counter() + warm_up
        self.end = self.begin + seconds
        self.latencies: list[float] = []
        self.answered = 0

    def note(self, sent: float, now: float) -> bool:
        """Count one answer; False: the time is over."""
        self.answered += 1
        if now >= self.end:
            return False
        if sent >= self.begin:
            self.latencies.append(now - sent)
        return True


def tails(op: str) -> Tails:
    """Encode everything behind the id, for each key."""
    encode = msgspec.msgpack.encode
    names = {"key": b"\xa3key", "value": b"\xa5value"}
    value = names["value"] + encode(VALUE) if op == "set" else b""
    return [names["key"] + encode(b"key-%012d" % number) + value for number in range(KEYS)]


def head(op: str) -> bytes:
    """Encode everything before the id's four bytes."""
    fields = 4 if op == "set" else 3
    return bytes([0x80 | fields]) + b"\xa2op" + msgspec.msgpack.encode(op) + ID


def run(endpoint: str, shape: Shape, clock: Clock) -> None:
    """Put this load on one endpoint until the clock says stop."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    kind = zmq.REQ if shape.window == 1 else zmq.DEALER
    sockets = [context.socket(kind) for _ in range(shape.sockets)]
    try:
        for each in sockets:
            each.setsockopt(zmq.LINGER, 0)
            each.setsockopt(zmq.SNDHWM, 2 * shape.window)
            each.connect(endpoint)
        _drive(sockets, shape, clock)
    finally:
        for each in sockets:
            each.close(0)
        context.term()


def _drive(sockets: "Sequence[zmq.Socket[bytes]]", shape: Shape, clock: Clock) -> None:
    delimiter = [b""] if shape.window > 1 else []
    begin, bodies = head(shape.op), tails(shape.op)
    slots = [b"%04d" % slot for slot in range(shape.window)]
    sent = {each: [0.0] * shape.window for each in sockets}
    key = 0

    def send(each: "zmq.Socket[bytes]", slot: int, now: float) -> None:
        nonlocal key
        key = (key + 7_919) % KEYS  # a prime: every key comes, and neighbours are far apart
        sent[each][slot] = now
        each.send_multipart([*delimiter, begin + slots[slot] + bodies[key]])

    poller = zmq.Poller()
    for each in sockets:
        poller.register(each, zmq.POLLIN)
        for slot in range(shape.window):
            send(each, slot, time.perf_counter())
    while True:
        ready = poller.poll(SILENCE_MS)
        if not ready:
            raise SystemExit(f"{shape.name}: no answer for {SILENCE_MS / 1_000:.0f} s")
        for each, _ in ready:
            for frame in _drain(each, shape.window):
                now = time.perf_counter()
                slot = _check(frame) if shape.window > 1 else _check(frame) * 0
                if not clock.note(sent[each][slot], now):
                    return
                send(each, slot, now)


def _drain(each: "zmq.Socket[bytes]", most: int) -> Iterator[bytes]:
    """Yield what has arrived; a REQ has one reply, a DEALER perhaps many."""
    if most == 1:
        yield each.recv()
        return
    for _ in range(most):
        try:
            yield each.recv_multipart(zmq.NOBLOCK)[-1]
        except zmq.Again:
            return


def _check(frame: bytes) -> int:
    """Make sure that a reply is ``ok``; return the slot that its id names."""
    at = frame.find(ID)
    if OK not in frame or at < 0:
        raise SystemExit(f"refused: {msgspec.msgpack.decode(frame)}")
    return int(frame[at + 4 : at + 8])


def measure(
    endpoint: str, shape: Shape, pids: Sequence[int], *, warm_up: float, seconds: float
) -> Row:
    """Run one load and make a line of it."""
    servers = [psutil.Process(pid) for pid in pids]
    clock = Clock(warm_up, seconds)
    gc.collect()
    gc.disable()
    before, own = _cpu(servers), time.process_time()
    began = time.perf_counter()
    run(endpoint, shape, clock)
    spent, own = _cpu(servers) - before, time.process_time() - own
    whole = time.perf_counter() - began
    gc.enable()
    latencies = sorted(clock.latencies)
    count = len(latencies)
    if count == 0:
        raise SystemExit(f"{shape.name}: nothing was answered in {seconds} s")
    return Row(
        load=shape.name,
        per_second=round(count / seconds),
        p50_ms=round(latencies[count // 2] * 1e3, 3),
        p99_ms=round(latencies[count * 99 // 100] * 1e3, 3),
        cpu_us=round(spent * 1e6 / clock.answered, 1),  # both with the warm-up
        generator_cpu=round(own / whole, 2),
    )


def _cpu(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def echo() -> None:
    """Be the floor: answer every request at once with a reply of the usual size."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind("tcp://127.0.0.1:*")
    print(router.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
    rest = msgspec.msgpack.encode({"node": "n1", "term": 1, "store_rev": 1, "mod_rev": 1})[1:]
    while True:
        *envelope, body = router.recv_multipart()
        at = body.find(ID)
        reply = b"\x86" + OK + body[at : at + 8] + rest
        router.send_multipart([*envelope, reply])


@contextmanager
def floor() -> Iterator[tuple[str, int]]:
    """Start the echo; give its endpoint and its pid."""
    command = [sys.executable, __file__, "--echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


def find_leader(endpoints: str) -> tuple[str, list[int], dict[str, Any]]:
    """Return the leader's endpoint, the pids of all nodes, and what there is to say of them."""
    with Client(endpoints, timeout=10) as client:
        statuses = [client.status(member.client) for member in client.members()]
        leaders = [status["leader"]["client"] for status in statuses if status["role"] == "leader"]
    if len(leaders) != 1:
        raise SystemExit(f"one leader is needed: {[status['role'] for status in statuses]}")
    about = {"nodes": len(statuses), "durability": statuses[0].get("durability")}
    return leaders[0], [status["pid"] for status in statuses], about


def fill(endpoint: str) -> None:
    """Write every key once, so that each get finds one."""
    with Client(endpoint, timeout=30) as client:
        from raftcache.client import Set  # noqa: PLC0415 - used here only

        for first in range(0, KEYS, 500):
            client.batch([Set(b"key-%012d" % n, VALUE) for n in range(first, first + 500)])


def show(rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{about['nodes']} nodes, durability {about['durability']}, value {len(VALUE)} B,")
    print(f"{KEYS:,} keys of 16 B, {about['seconds']} s each after {about['warm_up']} s\n")
    print(f"{'load':<24}{'ops/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'CPU us/op':>11}{'gen.':>7}")
    for row in rows:
        print(
            f"{row.load:<24}{row.per_second:>10,.0f}{row.p50_ms:>10.2f}{row.p99_ms:>10.2f}"
            f"{row.cpu_us:>11.1f}{row.generator_cpu:>7.2f}"
        )
    print("\nCPU: of all server processes. gen.: cores that this load generator took.")


def benchmark(endpoints: str, options: argparse.Namespace) -> int:
    """Measure a running cluster and the floor."""
    leader, pids, about = find_leader(endpoints)
    about |= {"seconds": options.seconds, "warm_up": options.warm_up}
    times = {"warm_up": options.warm_up, "seconds": options.seconds}
    chosen: Callable[[Shape], bool] = lambda shape: options.only in shape.name  # noqa: E731 - short
    rows = []
    fill(leader)
    for shape in filter(chosen, SHAPES):
        time.sleep(SETTLE_SECONDS)
        rows.append(measure(leader, shape, pids, **times))
    with floor() as (endpoint, pid):
        rows.extend(measure(endpoint, shape, [pid], **times) for shape in filter(chosen, FLOORS))
    if options.json:
        print(json.dumps({"schema": 1, **about, "rows": [row._asdict() for row in rows]}))
    else:
        show(rows, about)
    return 0


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("endpoints", nargs="?", help="client addresses, with commas")
    parser.add_argument("--cluster", action="store_true", help="start a throwaway cluster")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each load (5)")
    parser.add_argument("--warm-up", type=float, default=1.0, help="before each, not counted (1)")
    parser.add_argument("--only", default="", help="loads whose name holds this text")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        echo()
    if options.cluster:
        from orchestrator.throwaway import Throwaway  # noqa: PLC0415 - else not needed

        with Throwaway(prefix="raftcache-load-") as cluster:
            cluster.up()
            return benchmark(",".join(cluster.endpoints.values()), options)
    if not options.endpoints:
        parser.error("give the endpoints of a cluster, or --cluster")
    return benchmark(options.endpoints, options)


if __name__ == "__main__":
    sys.exit(main())
