"""The loop of a node process: the only file that waits, and the only one that reads a clock.

Each turn takes all that is there, within bounds, before it acts: what came in together becomes one
log entry, one write, one message per peer. A plain poll over the sockets; the disk has a thread of
its own, which wakes the loop through a pipe.
"""

import contextlib
import math
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ..parent import ParentWatch
from ..raft.types import ServerId
from ..transport.clients import ClientSocket
from ..transport.crowd import ConnectionLimit
from ..transport.disconnects import DisconnectWatch
from ..transport.peers import PeerSockets
from ..transport.publisher import Publisher
from ..transport.waiting import Source, Waiter
from .ports import Disk, Driven
from .server import SLOW_TURN_MS
from .stalls import LATE_ROUNDS_MAX, Collector, TickClock, keep_what_was_restored
from .turns import take_turn
from .values import ADMIN_SOCKET, CLIENT_SOCKET, Effects
from .worker import Worker

REQUESTS_PER_TURN = 1_000
"""How many requests one turn takes from a socket, so that peers and ticks get their turn too."""
PEER_FRAMES_PER_TURN = 200
GATHER_MS = 3
"""How long requests may be left in their socket to gather, behind a crowd of others."""
BACKLOG_MS = 1
"""How soon to look again whether a client reads its replies at last."""
STOP_MS = 1_000
"""How long a stopping leader waits for its successor."""

_encode = msgspec.msgpack.Encoder().encode


def monotonic_ms() -> int:
    """Return milliseconds of a clock that only goes forward and that all processes share."""
    return time.monotonic_ns() // 1_000_000


class Waker:
    """A pipe that ends the loop's waiting, from a thread or a signal handler."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        os.set_blocking(self.write_fd, False)

    def wake(self) -> None:
        """End the wait; a full pipe means that it ends anyway."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.write_fd, b"\0")

    def clear(self) -> None:
        """Forget all wakes so far. Call it when the wait has told of some, before looking why."""
        os.read(self.read_fd, 4096)


class EventPublisher:
    """Gives each event its time and node, and publishes it."""

    def __init__(self, publisher: Publisher, node_id: str) -> None:
        self._publisher = publisher
        self._node_id = node_id

    def __call__(self, kind: str, fields: dict[str, object]) -> None:
        """Publish one event; the time is CLOCK_MONOTONIC, comparable between processes."""
        if kind == "snapshot_installed":
            keep_what_was_restored()
        event = {"t_ms": monotonic_ms(), "node": self._node_id, "kind": kind, **fields}
        self._publisher.publish(_encode(event))


class Sockets(NamedTuple):
    """All that a node listens and speaks on."""

    peers: PeerSockets
    clients: ClientSocket
    admin: ClientSocket
    publisher: Publisher

    def connection_limits(self) -> list[ConnectionLimit]:
        """Return what keeps each of them from being crowded."""
        return [socket.connections for socket in self]


class Loop:
    """Moves messages between the sockets, the disk and the server until it is told to stop.

    ``detect_disconnects``: a leader whose process is gone is noticed by its connection's end.
    """

    def __init__(
        self,
        server: Driven,
        writer: Disk,
        worker: Worker,
        *,
        parent: ParentWatch,
        waker: Waker,
        sockets: Sockets,
        detect_disconnects: bool,
    ) -> None:
        self._server = server
        self._writer = writer
        self._worker = worker
        self._parent = parent
        self._waker = waker
        self._peers = sockets.peers
        self._connection_limits = sockets.connection_limits()
        self._clients, self._admin = sockets.clients, sockets.admin
        self._request_sockets = ((CLIENT_SOCKET, self._clients), (ADMIN_SOCKET, self._admin))
        self._waiter = Waiter()
        for socket in (sockets.peers, sockets.clients, sockets.admin):
            self._waiter.register(socket.router)
        self._waiter.register(waker.read_fd)
        self._disconnects: DisconnectWatch | None = None
        if detect_disconnects:
            self._disconnects = sockets.peers.watch_disconnects(self._waiter)
        self._ready: set[Source] = set()
        self._is_crowded = self._gathers = False
        self._taken_ms = 0
        self._ticks = TickClock(server.tick_ms, 0)
        self._collector = Collector(0)
        self._persisted = writer.persisted
        self.stop_requested = False

    def run(self) -> None:
        """Work until :attr:`stop_requested`, then hand over and answer all that waits.

        It also ends when what it drives is finished.

        Raises:
            DiskFailed: a write failed; the process must end without another word.
        """
        now_ms = monotonic_ms()
        self._ticks = TickClock(self._server.tick_ms, now_ms)
        self._collector = Collector(now_ms)
        self._server.start(now_ms)
        while not self.stop_requested and not self._server.is_finished:
            self._turn()
        if self.stop_requested:
            self._stop()

    def _turn(self) -> None:
        server = self._server
        self._ready = self._wait()
        began_ns, cpu_began_ns = time.monotonic_ns(), time.thread_time_ns()
        server.now_ms = began_ns // 1_000_000
        take_turn(server, self._ticks, self)
        turn_ms = (time.monotonic_ns() - began_ns) / 1e6
        if turn_ms > server.longest_turn_ms or turn_ms >= SLOW_TURN_MS:
            server.on_long_turn(turn_ms, (time.thread_time_ns() - cpu_began_ns) / 1e6)

    # What a turn needs: ``turns.Ports``

    def disk_has_spoken(self) -> bool:
        """Tell whether a thread woke the loop, or would have if that had been wanted.

        Raises:
            DiskFailed: since it could not write.
        """
        has_woken = self._waker.read_fd in self._ready
        if has_woken:
            self._waker.clear()
        persisted, self._persisted = self._persisted, self._writer.persisted
        if not has_woken and persisted == self._persisted:
            return False
        if self._writer.failure is not None:
            raise self._writer.failure
        return True

    def deliver_results(self) -> None:
        """Hand out what the worker has done."""
        self._worker.deliver()

    def peer_frames(self, *, is_late: bool) -> Iterator[bytes]:
        """Take what waits in the peers' socket, and what a fault has held back until now."""
        if self._peers.router in self._ready:
            for _ in range(LATE_ROUNDS_MAX if is_late else 1):
                frames = self._peers.receive(PEER_FRAMES_PER_TURN)
                yield from frames
                if not frames:
                    break
        faults = self._peers.faults
        if faults is not None and faults.active:
            yield from self._peers.release(faults)

    def requests(self) -> Iterator[tuple[int, list[bytes]]]:
        """Take what waits in the clients' socket and in the administration's."""
        for number, socket in self._request_sockets:
            if socket.router in self._ready:
                if number == CLIENT_SOCKET:
                    self._taken_ms = self._server.now_ms
                for frames in socket.receive(REQUESTS_PER_TURN):
                    yield number, frames

    def begin_tick(self) -> None:
        """See that the parent lives, that no socket is crowded, who has gone, and to garbage."""
        self._parent.check()
        self._collector.on_tick(self._server.now_ms, idle=not self._ready)
        for limit in self._connection_limits:
            limit.enforce()
        for number, socket in self._request_sockets:
            for client in socket.take_gone():
                self._server.on_client_gone(number, client)
        self._server.client_count = self._clients.connections.count

    def gone(self, *, has_ticked: bool) -> list[ServerId]:
        """Take the peers at whose ports nobody listens any more."""
        if self._disconnects is None:
            return []
        found = self._disconnects.ask_again() if has_ticked else []
        if self._disconnects.is_concerned(self._ready):
            found += self._disconnects.take_gone()
        faults = self._peers.faults
        if faults is None or not found:
            return found
        # Behind a real cut, no host would answer.
        return [peer for peer in found if not faults.is_cut(peer)]

    def carry_out(self, effects: Effects) -> None:
        """Hand everything to the sockets."""
        self._writer.wanted = effects.wants_disk
        self._is_crowded = effects.is_crowded
        if effects.endpoints is not None:
            self._peers.follow(effects.endpoints)
        for outgoing in effects.peer_frames:
            if not self._peers.send(outgoing.peer, outgoing.frame):
                self._server.on_not_sent(outgoing)
        # Not sooner: the log's thread would have the interpreter between two sends, and the peers,
        # whose disks a majority waits for, would begin later. This node's own is seldom the last.
        self._writer.begin()
        for chunk in effects.bulk:
            self._peers.send_bulk(chunk.peer, chunk.frame)
        clients, admin = self._clients, self._admin
        if clients.backlogs or admin.backlogs:
            clients.flush()
            admin.flush()
        for number, envelope, reply in effects.replies:
            socket = clients if number == CLIENT_SOCKET else admin
            socket.send(envelope, reply)

    def _wait(self) -> set[Source]:
        server = self._server
        gather_ms = self._gather() if self._is_crowded or self._gathers else 0
        left = self._left_over()
        # The disk may have spoken before it knew that somebody waits for that.
        has_missed_disk = self._writer.wanted and self._writer.persisted != self._persisted
        if left or server.has_more or has_missed_disk:
            timeout_ms = 0
        else:
            due_ms, early_ms = self._ticks.due_ms, server.due_ms
            if early_ms is not None:
                due_ms = min(due_ms, early_ms)
            timeout_ms = max(0, due_ms - monotonic_ms())
            if gather_ms:
                timeout_ms = min(timeout_ms, gather_ms)
            if self._clients.backlogs or self._admin.backlogs:
                timeout_ms = min(timeout_ms, BACKLOG_MS)
            faults = self._peers.faults
            if faults is not None and faults.active:
                due_in_ms = max(0.0, faults.next_due_ms - monotonic_ms())
                timeout_ms = math.ceil(min(timeout_ms, due_in_ms))
        found = self._waiter.poll(timeout_ms)
        return found.union(left) if left else found

    def _gather(self) -> int:
        """Leave clients' requests in their socket while a crowd of others waits for a majority.

        One by one they would go into small entries, each of which takes turns and wake-ups of every
        node. So they gather until the crowd has its answers, but no longer than :data:`GATHER_MS`.

        Returns:
            For how many milliseconds yet.
        """
        left_ms = 0
        if self._is_crowded:
            left_ms = max(0, self._taken_ms + GATHER_MS - monotonic_ms())
        if self._gathers != (left_ms > 0):
            self._gathers = left_ms > 0
            change = self._waiter.pause if self._gathers else self._waiter.resume
            change(self._clients.router)
        return left_ms

    def _left_over(self) -> list[Source]:
        """Return the sockets that have something of which no wait will tell."""
        left: list[Source] = []
        if self._clients.may_have_more and not self._gathers and self._clients.has_more():
            left.append(self._clients.router)
        if self._admin.may_have_more and self._admin.has_more():
            left.append(self._admin.router)
        if self._peers.has_more:
            left.append(self._peers.router)
        return left

    def _stop(self) -> None:
        """Hand the leadership over before going, so that nobody has to notice a silence."""
        server = self._server
        deadline_ms = monotonic_ms() + STOP_MS
        server.now_ms = monotonic_ms()
        server.begin_stop()
        while not server.may_stop and monotonic_ms() < deadline_ms:
            self._turn()
        self.carry_out(server.finish_stop())
