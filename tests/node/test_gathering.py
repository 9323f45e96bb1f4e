"""When a loop takes what waits in its sockets, and in which order it hands out what a turn brings.

Behind a crowd that waits for a majority, requests gather; for a few there is no such wait.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import zmq

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node import loop as loops
from raftcache.node.loop import Loop, Sockets, Waker
from raftcache.node.outbox import Outgoing
from raftcache.node.requests import CROWD
from raftcache.node.values import ADMIN_SOCKET, CLIENT_SOCKET, Effects
from raftcache.node.worker import Worker
from raftcache.parent import ParentWatch
from raftcache.storage.memory import MemoryLog
from raftcache.transport.clients import ClientSocket
from raftcache.transport.options import Socket
from raftcache.transport.peers import PeerSockets
from raftcache.transport.publisher import Publisher

from .builders import elected

TURNS_MAX = 2_000
"""Each waits for a tick of 10 ms at most."""


@pytest.mark.parametrize("op", ["set", "get"])
def test_many_that_wait_for_a_majority_are_a_crowd(op: str) -> None:
    """Until they have their answers; a few are none, nor are many operations in one request."""
    cluster, leader, followers = elected()
    cluster.network.blocks = lambda _source, target, _data: target in followers
    fields: dict[str, Any] = {"value": b"v"} if op == "set" else {}

    crowded = []
    for number in range(CROWD):
        crowded.append(_is_crowded(cluster, leader))
        cluster.request(leader, op, key=b"%d" % number, timeout_ms=10_000, **fields)
        cluster.run_ms(1)
    assert crowded == [False] * CROWD
    assert _is_crowded(cluster, leader)

    cluster.network.blocks = lambda _source, _target, _data: False
    cluster.run_until(lambda: not _is_crowded(cluster, leader), within_ms=5_000)


def _is_crowded(cluster: SimulatedCluster, name: str) -> bool:
    return cluster.process(name).server.desk.is_crowded


class _Driven:
    """Notes what the loop brings, and says whether there is a crowd."""

    tick_ms = 10
    client_count = 0
    longest_turn_ms = 0.0
    now_ms = 0
    has_more = is_finished = False
    may_stop = True
    due_ms = None

    def __init__(self) -> None:
        self.is_crowded = False
        self.taken: list[tuple[int, bytes]] = []
        self.ticks = 0
        self.is_over: Callable[[], bool] = lambda: False
        self.stop: Callable[[], None] = lambda: None

    def on_client(self, socket: int, frames: list[bytes]) -> None:
        self.taken.append((socket, frames[-1]))

    def on_tick(self) -> None:
        self.ticks += 1

    def turn(self) -> Effects:
        if self.is_over():
            self.stop()
        return Effects([], [], [], is_crowded=self.is_crowded)

    def finish_stop(self) -> Effects:
        return Effects([], [], [], is_crowded=self.is_crowded)

    def __getattr__(self, name: str) -> Callable[..., None]:
        assert name.startswith(("on_", "start", "begin_stop")), name
        return lambda *_args: None


class _NoParent(ParentWatch):
    """Nobody whose end would be the tests' end."""

    def __init__(self) -> None:
        """Ask the kernel for nothing."""

    def check(self) -> None:
        """Find everything in order."""


class _Bench:
    """A loop with real sockets that drives a :class:`_Driven`, run until something is so."""

    def __init__(self, context: zmq.Context[Socket]) -> None:
        waker = Waker()
        self.driven = _Driven()
        self.worker = Worker(waker.wake)
        self.log = MemoryLog(waker.wake)
        names = count()

        def clients() -> ClientSocket:
            endpoint = f"inproc://gathering-{id(self)}-{next(names)}"
            return ClientSocket(context, endpoint, frame_bytes_max=1_000, connections_max=10)

        peers = PeerSockets(context, "tcp://127.0.0.1:*", frame_bytes_max=1_000, connections_max=10)
        publisher = Publisher(context, "tcp://127.0.0.1:*", connections_max=10)
        self.sockets = Sockets(peers, clients(), clients(), publisher)
        self.loop = Loop(
            self.driven,
            self.log,
            self.worker,
            parent=_NoParent(),
            waker=waker,
            sockets=self.sockets,
            detect_disconnects=False,
        )
        self.asking = {
            CLIENT_SOCKET: self._connected(context, self.sockets.clients),
            ADMIN_SOCKET: self._connected(context, self.sockets.admin),
        }

    @staticmethod
    def _connected(context: zmq.Context[Socket], to: ClientSocket) -> Socket:
        endpoint = to.router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        dealer: Socket = context.socket(zmq.DEALER)
        dealer.connect(endpoint.rstrip(b"\0").decode())
        return dealer

    def run_until(self, is_over: Callable[[], bool]) -> None:
        left = iter(range(TURNS_MAX))
        self.driven.is_over = lambda: is_over() or next(left, None) is None
        self.driven.stop = lambda: setattr(self.loop, "stop_requested", True)
        self.loop.stop_requested = False
        self.loop.run()
        assert is_over(), "it never came"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Bench]:
    """Return a loop in which requests gather for as long as there is a crowd."""
    monkeypatch.setattr(loops, "GATHER_MS", 10**15)
    context: zmq.Context[Socket] = zmq.Context()
    made = _Bench(context)
    yield made
    made.worker.close()
    context.destroy(linger=0)


def test_requests_stay_in_their_socket_while_there_is_a_crowd(bench: _Bench) -> None:
    """Those of administrators do not, and those of clients come when the crowd has gone."""
    driven, asking = bench.driven, bench.asking
    driven.is_crowded = True
    bench.run_until(lambda: driven.ticks >= 1)
    asking[CLIENT_SOCKET].send(b"one")
    asking[CLIENT_SOCKET].send(b"two")
    asking[ADMIN_SOCKET].send(b"status")
    ticks = driven.ticks
    bench.run_until(lambda: driven.ticks >= ticks + 10)
    assert driven.taken == [(ADMIN_SOCKET, b"status")]

    driven.is_crowded = False
    bench.run_until(lambda: len(driven.taken) >= 3)
    assert driven.taken[1:] == [(CLIENT_SOCKET, b"one"), (CLIENT_SOCKET, b"two")]


def test_they_gather_for_a_moment_only(bench: _Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the crowd stays: its disk, or its majority, may be away."""
    driven = bench.driven
    driven.is_crowded = True
    monkeypatch.setattr(loops, "GATHER_MS", 3)
    for number in range(20):
        bench.asking[CLIENT_SOCKET].send(b"%d" % number)
        bench.run_until(lambda: bool(driven.taken) and driven.taken[-1][1] == b"%d" % number)  # noqa: B023 - called at once

    assert [body for _, body in driven.taken] == [b"%d" % number for number in range(20)]


def test_the_log_begins_behind_the_entries_for_the_peers_and_before_the_replies(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peers' disks are what a majority waits for; nobody's reply waits for a send (§10.2.1)."""
    order: list[str] = []
    sockets = bench.sockets

    def send(peer: str, _frame: bytes) -> bool:
        order.append(peer)
        return True

    monkeypatch.setattr(sockets.peers, "send", send)
    monkeypatch.setattr(sockets.clients, "send", lambda *_reply: order.append("client"))
    monkeypatch.setattr(bench.log, "begin", lambda: order.append("log"))
    frames = [Outgoing("n2#1", b"entries", []), Outgoing("n3#1", b"entries", [])]

    bench.loop.carry_out(Effects([(CLIENT_SOCKET, [b"client"], b"done")], frames, []))

    assert order == ["n2#1", "n3#1", "log", "client"]
