"""One load on a cluster and on the floor: operations per second, latencies, CPU per operation."""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import zmq

from ..errors import CheckFailed, TryAgain
from ..units import format_size
from . import floor as floor_program
from .drive import Clock, drive, slot_in
from .loads import Load, Request, fill_requests, requests_of, whole

ANSWER_MS = 10_000

Tick = Callable[[int, float], None]


class Speed(msgspec.Struct, frozen=True):
    """What was measured of one server under one load."""

    per_second: float
    """Operations; those of a batch count one by one."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float
    """CPU of all server processes, in microseconds per operation."""
    generator_cpu: float
    """CPU of this process, in cores: near 1.0, it is this process that was measured."""


class Row(msgspec.Struct, frozen=True):
    """One load on both."""

    load: Load
    cluster: Speed
    floor: Speed

    @property
    def share(self) -> float:
        """How much of the floor's speed the cluster has."""
        return self.cluster.per_second / self.floor.per_second


class Times(msgspec.Struct, frozen=True):
    """How long is measured, in seconds."""

    warm_up: float
    cluster: float
    floor: float


def measure_both(
    endpoint: str, load: Load, pids: Sequence[int], times: Times, tick: Tick | None = None
) -> Row:
    """Put one load on the cluster, then on the floor.

    Raises:
        TryAgain: somebody did not answer.
        CheckFailed: a request was refused.
    """
    requests = requests_of(load)
    sizes = prepare(endpoint, load, requests)
    clock = Clock(times.warm_up, times.cluster, tick)
    cluster = measure(endpoint, load, requests, pids, clock)
    with started_floor(sizes) as (place, pid):
        clock = Clock(times.warm_up, times.floor, tick)
        return Row(load, cluster, measure(place, load, requests, [pid], clock))


def prepare(endpoint: str, load: Load, requests: Sequence[Request]) -> dict[str, int]:
    """Write every key once, and return how long replies are, by operation."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, ANSWER_MS)
        socket.connect(endpoint)
        for body in fill_requests(load):
            _ask(socket, endpoint, body)
        sizes: dict[str, int] = {}
        for request in requests[:10]:
            op = request.head[5 : 5 + (request.head[4] & 31)].decode()
            sizes.setdefault(op, len(_ask(socket, endpoint, whole(request, 0))))
    return sizes


@contextmanager
def started_floor(sizes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Start the floor; give its endpoint and its pid."""
    arguments = [f"{op}={size}" for op, size in sizes.items()]
    command = [sys.executable, "-P", str(Path(floor_program.__file__)), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None, "it was asked for"
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


def _ask(socket: "zmq.Socket[bytes]", endpoint: str, body: bytes) -> bytes:
    socket.send(body)
    try:
        reply = socket.recv()
    except zmq.Again:
        raise TryAgain(
            f"{endpoint} has not answered a request of {format_size(len(body))} "
            f"for {ANSWER_MS // 1_000} s",
            hint="a node hangs up on what is far beyond limits.request in cluster.yaml",
        ) from None
    slot_in(reply)
    return reply


def measure(
    endpoint: str, load: Load, requests: Sequence[Request], pids: Sequence[int], clock: Clock
) -> Speed:
    """Put one load on the servers with these pids, at one of them.

    Raises:
        TryAgain: somebody did not answer, or ended.
        CheckFailed: a request was refused.
    """
    try:
        servers = [psutil.Process(pid) for pid in pids]
        gc.collect()
        gc.disable()  # a pause here would count as the server's
        try:
            before, own, began = _cpu(servers), time.process_time(), time.perf_counter()
            drive(endpoint, load, requests, clock)
            spent, own = _cpu(servers) - before, time.process_time() - own
            seconds = time.perf_counter() - began
        finally:
            gc.enable()
    except psutil.Error as error:
        raise TryAgain(f"a node ended while it was measured: {error}") from error
    return speed_of(clock, load, spent, own / seconds)


def speed_of(clock: Clock, load: Load, cpu_seconds: float, generator_cpu: float) -> Speed:
    """Return what a clock has counted.

    Raises:
        CheckFailed: it is nothing.
    """
    latencies = sorted(clock.latencies)
    count = len(latencies)
    if count == 0:
        raise CheckFailed(f"{load.name}: nothing was answered in time; measure for longer")

    def at(percent: int) -> float:
        return round(latencies[min(count - 1, count * percent // 100)] * 1e3, 3)

    return Speed(
        per_second=round(count * load.batch / (clock.end - clock.begin), 1),
        p50_ms=at(50),
        p90_ms=at(90),
        p99_ms=at(99),
        max_ms=round(latencies[-1] * 1e3, 3),
        cpu_us=round(cpu_seconds * 1e6 / (clock.answered * load.batch), 1),
        generator_cpu=round(generator_cpu, 2),
    )


def _cpu(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)
