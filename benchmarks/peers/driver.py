"""Puts the load on one system: ``driver.py NAME TARGET WORK``, a process of its own.

It says ``begin`` when the warm-up is over and ``end`` when the time is, so that its parent can read
the servers' CPU in between, and then what it measured. Each of the drivers is the leanest that its
system's client allows: what it costs is told too, and where it takes a whole processor it is the
driver that was measured.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peers.work import KEYS, VALUE, Meter, Sample, Work, is_set, key

ETCD_CHANNELS = 8
PATIENCE_SECONDS = 30.0


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def ours_req(target: str, work: Work) -> Sample:
    """Ask through one REQ socket per caller, all in one poller."""
    from orchestrator.bench.drive import drive  # noqa: PLC0415 - each driver loads its own client
    from orchestrator.bench.loads import Load, requests_of  # noqa: PLC0415 - likewise
    from orchestrator.bench.measure import prepare  # noqa: PLC0415 - likewise

    load = Load(work.callers, mix=work.mix, batch=work.batch)
    requests = requests_of(load)
    prepare(target, load, requests)
    meter = Meter(work, say)
    drive(target, load, requests, meter)
    return meter.sample()


def ours_async(target: str, work: Work) -> Sample:
    """Ask through one AsyncClient, from a task per caller."""
    return asyncio.run(_ours_async(target, work))


async def _ours_async(target: str, work: Work) -> Sample:
    from raftcache.client import AsyncClient, Set  # noqa: PLC0415 - likewise

    async with AsyncClient(target, timeout=PATIENCE_SECONDS) as cache:
        for start in range(0, KEYS, 500):
            await cache.batch([Set(key(number), VALUE) for number in range(start, start + 500)])
        meter = Meter(work, say)
        numbers = iter(range(sys.maxsize))

        async def caller() -> None:
            while True:
                number = next(numbers)
                asked = time.perf_counter()
                if is_set(work, number):
                    await cache.set(key(number), VALUE)
                else:
                    await cache.get(key(number))
                if not meter.note(asked, time.perf_counter()):
                    return

        await asyncio.gather(*[caller() for _ in range(work.callers)])
        return meter.sample()


def etcd(target: str, work: Work) -> Sample:
    """Ask through gRPC, with futures, and messages encoded by hand: protobuf would cost more."""
    import grpc  # noqa: PLC0415 - likewise

    options = [("grpc.use_local_subchannel_pool", 1)]
    count = min(ETCD_CHANNELS, work.callers)
    channels = [grpc.insecure_channel(target, options=options) for _ in range(count)]
    puts = [channel.unary_unary("/etcdserverpb.KV/Put") for channel in channels]
    ranges = [channel.unary_unary("/etcdserverpb.KV/Range") for channel in channels]
    value = _field(2, VALUE)
    wanted = [_field(1, key(number)) for number in range(KEYS)]
    for start in range(0, KEYS, 100):
        for pending in [
            puts[number % count].future(wanted[number] + value)
            for number in range(start, start + 100)
        ]:
            pending.result(PATIENCE_SECONDS)
    meter, numbers = Meter(work, say), iter(range(sys.maxsize))
    done, failed = threading.Event(), []
    # gRPC answers on several threads, and the meter's last word must come before the sample.
    metering = threading.Lock()

    def ask(lane: int) -> None:
        number = next(numbers)
        asked, body = time.perf_counter(), wanted[number % KEYS]
        if is_set(work, number):
            call = puts[lane].future(body + value)
        else:
            call = ranges[lane].future(body)
        call.add_done_callback(lambda answered: took(lane, asked, answered))

    def took(lane: int, asked: float, answered: Any) -> None:
        if answered.exception() is not None:
            failed.append(answered.exception())
            done.set()
            return
        with metering:
            goes_on = meter.note(asked, time.perf_counter())
        if goes_on:
            ask(lane)
        else:
            done.set()

    for caller in range(work.callers):
        ask(caller % count)
    done.wait(work.seconds + work.warm_up + PATIENCE_SECONDS)
    if failed:
        raise RuntimeError(f"etcd refused a request: {failed[0]}")
    return meter.sample()


def _field(number: int, data: bytes) -> bytes:
    """Encode a field of bytes as protobuf does."""
    size, head = len(data), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + data


def redis(target: str, work: Work) -> Sample:
    """Let redis-benchmark, which is in C, ask."""
    command = ["redis-benchmark", "-p", target, "-c", str(work.callers), "-d", str(len(VALUE))]
    command += ["-r", str(KEYS), "-t", work.mix, "--csv", "-n"]
    probe = _redis_row([*command, str(2_000 * min(8, work.callers))])
    count = max(1_000, int(float(probe["rps"]) * work.seconds))
    say("begin")
    before, began = _children_seconds(), time.perf_counter()
    row = _redis_row([*command, str(count)])
    spent, span = _children_seconds() - before, time.perf_counter() - began
    say("end")
    return Sample(
        count / span,
        float(row["p50_latency_ms"]),
        float(row["p99_latency_ms"]),
        spent / count * 1e6,
        spent / span,
    )


def _redis_row(command: list[str]) -> dict[str, str]:
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    head, row = (line.replace('"', "").split(",") for line in output.strip().splitlines()[-2:])
    return dict(zip(head, row, strict=True))


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


DRIVERS: Final[dict[str, Callable[[str, Work], Sample]]] = {
    "ours_req": ours_req,
    "ours_async": ours_async,
    "etcd": etcd,
    "redis": redis,
}

if __name__ == "__main__":
    asked_of = msgspec.json.decode(sys.argv[3], type=Work)
    say(msgspec.json.encode(DRIVERS[sys.argv[1]](sys.argv[2], asked_of)).decode())
