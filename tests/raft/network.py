"""Several cores, an in-memory network and in-memory disks, under virtual time.

Everything is a pure function of the seed. One *step* is one event: a delivery, a disk's word, a
tick. After each one, :class:`raftcache.raft.invariants.ClusterChecks` looks at all servers.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import msgspec

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import PersistMark, Raft, Ready
from raftcache.raft.invariants import ClusterChecks, check_step, snapshot
from raftcache.raft.messages import Message
from raftcache.raft.options import Options
from raftcache.raft.trace import TraceEvent, format_event
from raftcache.raft.types import Entry, EntryKind, HardState, Index, Role, ServerId

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


@dataclass
class Disk:
    """What one server's disk holds, and what it was handed but has not written yet."""

    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    queue: deque[tuple[HardState | None, list[Entry], PersistMark | None, list[Message]]] = field(
        default_factory=deque
    )

    def write(self, hard_state: HardState | None, entries: list[Entry]) -> None:
        """Make one unit durable: term and vote, and entries that replace what they overlap."""
        if hard_state is not None:
            self.hard_state = hard_state
        if entries:
            del self.entries[entries[0].index - 1 :]
            self.entries.extend(entries)


class Server:
    """One core with its disk; what it applied; which reads it released."""

    def __init__(self, server_id: ServerId, network: "Network", disk: Disk) -> None:
        self.server_id = server_id
        self.network = network
        self.disk = disk
        self.applied: list[Entry] = []
        self.reads: list[tuple[Index, object]] = []
        self.refused: list[object] = []
        self.raft = Raft(
            server_id,
            network.configuration,
            options=network.options,
            random=network.random,
            hard_state=disk.hard_state,
            entries=tuple(disk.entries),
            trace=network.on_trace,
        )

    def work(self, action: Callable[[Raft], object] | None = None) -> None:
        """Give the core one input and do what it asks for, in the order that it asks for."""
        before = snapshot(self.raft.state)
        if action is not None:
            action(self.raft)
        self._perform(self.raft.ready())
        check_step(before, self.raft.state)

    def persist_one(self) -> None:
        """Let the disk finish its oldest unit; only now may what depends on it leave."""
        hard_state, entries, mark, messages = self.disk.queue.popleft()
        self.disk.write(hard_state, entries)
        self.network.send(messages)
        if mark is not None:
            self.work(lambda raft: raft.advance(mark))

    def _perform(self, ready: Ready) -> None:
        if ready.mark is not None or (ready.after_persist and self.disk.queue):
            self.disk.queue.append(
                (ready.hard_state, ready.entries, ready.mark, ready.after_persist)
            )
        else:
            self.network.send(ready.after_persist)
        self.network.send(ready.messages)
        self.applied.extend(ready.committed)
        for index, contexts in ready.reads_released:
            assert index <= self.raft.state.commit_index
            self.reads.extend((index, context) for context in contexts)
        self.refused.extend(ready.reads_refused)


class Network:
    """The servers, and the messages between them."""

    def __init__(
        self,
        count: int = 3,
        *,
        seed: int = 1,
        options: Options | None = None,
        servers: dict[ServerId, Disk] | None = None,
    ) -> None:
        self.random = Random(seed)
        self.options = options or Options()
        names = sorted(servers) if servers else [f"n{k}" for k in range(1, count + 1)]
        self.configuration = Configuration(voters=tuple(names))
        self.lines: list[str] = []
        self.checks = ClusterChecks()
        self.cut: set[tuple[ServerId, ServerId]] = set()
        self.in_flight: list[bytes] = []
        self.filter: Callable[[Message], bool] = lambda _: True
        self.sent: list[Message] = []
        disks = servers or {name: Disk() for name in names}
        self.servers: dict[ServerId, Server] = {
            name: Server(name, self, disks[name]) for name in names
        }
        self.dead: dict[ServerId, Disk] = {}

    def on_trace(self, event: TraceEvent) -> None:
        """Keep the line; tests and people read it."""
        self.lines.append(format_event(event))

    def send(self, messages: list[Message]) -> None:
        """Take messages in; each is encoded and decoded, as on the wire."""
        for message in messages:
            self.sent.append(message)
            if (message.source, message.target) not in self.cut and self.filter(message):
                self.in_flight.append(_encoder.encode(message))

    def deliver(self, position: int = 0) -> None:
        """Deliver one message, the oldest unless said otherwise."""
        message = _decoder.decode(self.in_flight.pop(position))
        server = self.servers.get(message.target)
        if server is not None and (message.source, message.target) not in self.cut:
            server.work(lambda raft: raft.step(message))
            self.check()

    def settle(self) -> None:
        """Let all disks and messages come to rest, in order, without time passing."""
        while self.in_flight or any(server.disk.queue for server in self.servers.values()):
            for name in sorted(self.servers):
                while self.servers[name].disk.queue:
                    self.servers[name].persist_one()
            if self.in_flight:
                self.deliver()
        self.check()

    def tick(self, count: int = 1) -> None:
        """Let ticks pass at all servers, everything settling after each."""
        for _ in range(count):
            for name in sorted(self.servers):
                self.servers[name].work(lambda raft: raft.tick())
            self.settle()

    def run_until(self, condition: Callable[[], bool], *, ticks_max: int = 1000) -> int:
        """Tick until ``condition`` holds; return how many ticks it took."""
        for count in range(ticks_max):
            if condition():
                return count
            self.tick()
        raise AssertionError("not within the given ticks:\n" + "\n".join(self.lines[-40:]))

    def leader(self) -> ServerId | None:
        """Return the leader of the latest term, or None."""
        leaders = [
            (server.raft.current_term, name)
            for name, server in self.servers.items()
            if server.raft.is_leader
        ]
        return max(leaders)[1] if leaders else None

    def elect(self) -> ServerId:
        """Run until there is a leader whose no-op is committed everywhere; return it."""

        def is_settled() -> bool:
            leader = self.leader()
            if leader is None:
                return False
            commit = self.servers[leader].raft.state.commit_index
            return commit >= self.servers[leader].raft.state.term_start_index > 0 and all(
                server.raft.state.commit_index == commit for server in self.servers.values()
            )

        self.run_until(is_settled)
        leader = self.leader()
        assert leader is not None
        return leader

    def propose(self, name: ServerId, data: bytes) -> Index:
        """Propose at a server that leads."""
        indexes: list[Index] = []
        self.servers[name].work(lambda raft: indexes.append(raft.propose(data)))
        return indexes[0]

    def crash(self, name: ServerId, *, units_kept: int = 0) -> None:
        """Kill a server; its disk finishes ``units_kept`` more units, and loses the rest."""
        server = self.servers.pop(name)
        for _ in range(min(units_kept, len(server.disk.queue))):
            hard_state, entries, _mark, _messages = server.disk.queue.popleft()
            server.disk.write(hard_state, entries)
        server.disk.queue.clear()
        self.dead[name] = server.disk

    def restart(self, name: ServerId) -> None:
        """Start a dead server with what its disk has."""
        disk = self.dead.pop(name)
        self.servers[name] = Server(name, self, disk)

    def isolate(self, name: ServerId) -> None:
        """Cut all links of a server, both ways."""
        for other in self.configuration.voters:
            if other != name:
                self.cut |= {(name, other), (other, name)}

    def heal(self) -> None:
        """Mend all links."""
        self.cut.clear()

    def check(self) -> None:
        """Check the invariants of Figure 3 over all servers."""
        self.checks.check([self.servers[name].raft.state for name in sorted(self.servers)])

    def data_applied(self, name: ServerId) -> list[bytes]:
        """Return the commands that a server has applied, in order."""
        kind = EntryKind.COMMANDS
        return [entry.data for entry in self.servers[name].applied if entry.kind is kind]

    def roles(self) -> dict[ServerId, Role]:
        """Return what each server is."""
        return {name: server.raft.state.role for name, server in self.servers.items()}
