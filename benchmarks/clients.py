"""What clients cost the node that they are connected to: memory for each, idle and at work.

    benchmarks/run clients [--idle 5000] [--active 500] [--seconds 10]

All are REQ sockets at the leader of three nodes. The idle ones have asked once, and stay connected;
the active ones read 256 bytes each, again as soon as they are answered (reads, because a log that
grows would be counted as theirs). Resident memory is the leader's, before and after; the active
ones have it at its most. Beside it stands the floor: a bare ROUTER socket in a process of its own
that answers the same clients at once. What it takes, libzmq takes for each connection (two queues,
two buffers), and no option of it makes that less. Exit code 1: over 20 KiB each above the floor.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import psutil
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.throwaway import Throwaway
from raftcache.client import Client, Set

KIB_MAX = 20.0
CONNECT_AT_ONCE = 250
"""So many connections are awaited together: a crowd that comes at once is no idle one."""
ANSWER_MS = 60_000
SETTLE_SECONDS = 1.0
BATCH = 500
WARM_UP_BATCHES = 40
"""What every node holds in any case (the end of its log, its history) is there before."""

Socket: TypeAlias = zmq.Socket[bytes]


@contextmanager
def sockets_at(endpoint: str, count: int) -> Iterator[list[Socket]]:
    """Give so many REQ sockets, each connected and answered once."""
    context: zmq.Context[Socket] = zmq.Context(io_threads=1)
    context.set(zmq.MAX_SOCKETS, count + 10)
    sockets = []
    try:
        for first in range(0, count, CONNECT_AT_ONCE):
            group = [context.socket(zmq.REQ) for _ in range(min(CONNECT_AT_ONCE, count - first))]
            sockets += group
            for socket in group:
                socket.setsockopt(zmq.LINGER, 0)
                socket.connect(endpoint)
                socket.send(b'{"op": "ping"}')
            for socket in group:
                assert socket.poll(ANSWER_MS), "a client was not answered"
                socket.recv()
        yield sockets
    finally:
        context.destroy(linger=0)


def request(number: int) -> bytes:
    """Return the read of one client, always of the same key."""
    return b'{"op": "get", "key": "client/%d", "timeout_ms": 60000}' % number


def work(sockets: list[Socket], seconds: float, node: psutil.Process) -> tuple[int, int]:
    """Let all read, again and again; return how many were answered and the node's most memory."""
    poller = zmq.Poller()
    numbers = {socket: number for number, socket in enumerate(sockets)}
    for socket, number in numbers.items():
        poller.register(socket, zmq.POLLIN)
        socket.send(request(number))
    answered = most = 0
    deadline = time.monotonic() + seconds
    look_at = 0.0
    under_way = len(sockets)
    while under_way:
        now = time.monotonic()
        if now >= look_at:
            most = max(most, node.memory_info().rss)
            look_at = now + 0.1
        ready = poller.poll(ANSWER_MS)
        assert ready, "no answer came"
        for socket, _ in ready:
            reply = socket.recv()
            assert reply.startswith(b'{"ok":true'), reply
            answered += 1
            if now < deadline:
                socket.send(request(numbers[socket]))
            else:
                under_way -= 1
    return answered, most


def settled(node: psutil.Process) -> int:
    """Return a process's resident bytes, a moment later."""
    time.sleep(SETTLE_SECONDS)
    return int(node.memory_info().rss)


def weigh(endpoint: str, node: psutil.Process, given: argparse.Namespace) -> tuple[float, float]:
    """Return what an idle and an active client take of a process, in KiB."""
    before = settled(node)
    print(f"  alone: {before / 2**20:.1f} MiB")
    with sockets_at(endpoint, given.idle):
        crowded = settled(node)
        each_idle = (crowded - before) / given.idle / 1024
        print(f"  {given.idle:,} idle clients: {crowded / 2**20:.1f} MiB, {each_idle:.1f} KiB each")
        with sockets_at(endpoint, given.active) as sockets:
            answered, most = work(sockets, given.seconds, node)
        each_active = (most - crowded) / given.active / 1024
        print(
            f"  {given.active:,} active besides: {most / 2**20:.1f} MiB at the most, "
            f"{each_active:.1f} KiB each; {answered / given.seconds:,.0f} reads/s",
            flush=True,
        )
    return each_idle, each_active


def weigh_floor(given: argparse.Namespace) -> tuple[float, float]:
    """Weigh the clients of a bare ROUTER."""
    print("a bare ROUTER")
    command = [sys.executable, __file__, "--serve-floor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            endpoint = process.stdout.readline().strip()
            return weigh(endpoint, psutil.Process(process.pid), given)
        finally:
            process.kill()


def weigh_node(given: argparse.Namespace) -> tuple[float, float]:
    """Weigh the clients of a leader."""
    with Throwaway(3, clients=given.idle + given.active + 100) as cluster:
        cluster.up()
        view = cluster.cluster.wait("ready")
        leader = next(node for node in view.nodes if node.name == view.leader)
        assert leader.pid is not None, "a ready node has a process"
        with Client(leader.client, timeout=60) as client:
            for number in range(WARM_UP_BATCHES):
                client.batch([Set(f"client/{n}", f"{number:0256}") for n in range(BATCH)])
        print(f"a node: {view.leader}, which leads in term {view.term}")
        found = weigh(leader.client, psutil.Process(leader.pid), given)
        after = cluster.cluster.wait("ready")
        print(f"  then {after.leader} leads in term {after.term}")  # a crowd costs no leadership
        return found


def serve_floor() -> None:
    """Answer whatever comes as a node answers a read, until killed."""
    value = "0" * 256
    reply = (
        '{"ok":true,"id":null,"node":"n1","term":2,"leader":{"id":"n2","client":'
        f'"tcp://127.0.0.1:7402"}},"store_rev":7,"found":true,"value":"{value}","mod_rev":7,'
        '"create_rev":7,"key_version":1,"ttl_ms":null,"session":null}'
    ).encode()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        print(f"tcp://127.0.0.1:{port}", flush=True)
        while True:
            *envelope, _ = router.recv_multipart()
            router.send_multipart([*envelope, reply])


def main() -> int:
    """Measure, and compare with the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=5_000)
    parser.add_argument("--active", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--serve-floor", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve_floor:
        serve_floor()
    floor = weigh_floor(given)
    above = [node - bare for node, bare in zip(weigh_node(given), floor, strict=True)]
    print(
        f"above the floor: {above[0]:.1f} KiB for an idle client, {above[1]:.1f} for an active one"
    )
    return 0 if max(above) <= KIB_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
