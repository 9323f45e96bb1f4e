"""Several cores, an in-memory network and in-memory disks, under virtual time.

Everything is a pure function of the seed. One *step* is one event: a delivery, a disk's word, a
tick. After each one, :class:`raftcache.raft.invariants.ClusterChecks` looks at what it changed.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

import msgspec

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import Raft
from raftcache.raft.invariants import ClusterChecks
from raftcache.raft.membership import may_take_part
from raftcache.raft.messages import InstallSnapshot, Message, RequestVote, RequestVoteResponse
from raftcache.raft.options import Options
from raftcache.raft.quorum import has_quorum
from raftcache.raft.trace import TraceEvent, format_event
from raftcache.raft.types import EntryKind, HardState, Index, Role, ServerId

from .disk import Disk, Stored
from .server import Server

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


class Packet(NamedTuple):
    """A message on the wire."""

    source: ServerId
    target: ServerId
    data: bytes


class Network:
    """The servers, and the messages between them."""

    def __init__(
        self,
        count: int = 3,
        *,
        seed: int = 1,
        options: Options | None = None,
        servers: dict[ServerId, Disk] | None = None,
        random: Random | None = None,
    ) -> None:
        self.random = random or Random(seed)
        self.options = options or Options()
        names = sorted(servers) if servers else [f"n{k}" for k in range(1, count + 1)]
        self.configuration = Configuration(voters=tuple(names))
        self.events: list[TraceEvent] = []
        self.checks = ClusterChecks()
        self.reads_released = 0
        self.committed_at_read: dict[object, Index] = {}
        self.cut: set[tuple[ServerId, ServerId]] = set()
        self.in_flight: list[Packet] = []
        self.filter: Callable[[Message], bool] = lambda _: True
        self.sent: list[Message] = []
        disks = servers or {name: Disk() for name in names}
        self.servers: dict[ServerId, Server] = {
            name: Server(name, self, disks[name]) for name in names
        }
        self.dead: dict[ServerId, Disk] = {}
        self.gone: dict[ServerId, Disk] = {}
        self.drops_strangers = False
        self.snapshots: dict[Index, Stored] = {}
        """All that were ever taken: at one index all servers' are the same."""

    def on_trace(self, event: TraceEvent) -> None:
        """Keep what the cores tell; tests and people read it."""
        self.events.append(event)

    def send(self, messages: list[Message]) -> None:
        """Take messages in; each is encoded and decoded, as on the wire."""
        for message in messages:
            self._check_promise(message)
            self.sent.append(message)
            if (message.source, message.target) not in self.cut and self.filter(message):
                self.in_flight.append(
                    Packet(message.source, message.target, _encoder.encode(message))
                )

    def _check_promise(self, message: Message) -> None:
        """What promises durability leaves only when the disk has it (Figure 2)."""
        hard_state = self.disk(message.source).hard_state
        if isinstance(message, RequestVoteResponse) and message.vote_granted:
            voted = HardState(message.term, message.target)
            assert hard_state == voted or hard_state.current_term > message.term, (
                "a vote leaves when it is on the disk"
            )
        if isinstance(message, RequestVote):
            assert hard_state.current_term >= message.term, (
                "a candidate asks when its own vote is on the disk"
            )

    def disk(self, name: ServerId) -> Disk:
        """Return a server's disk, whether it runs or not."""
        if name in self.servers:
            return self.servers[name].disk
        return self.dead[name] if name in self.dead else self.gone[name]

    def deliver(self, position: int = 0, *, at_once: int = 1) -> ServerId | None:
        """Deliver one message, the oldest unless said otherwise; return who took it.

        ``at_once``: so many messages to the same server may be taken in one turn.
        """
        packet = self.in_flight.pop(position)
        server = self.servers.get(packet.target)
        if server is None or (packet.source, packet.target) in self.cut:
            return None
        turn = [packet.data]
        while len(turn) < at_once and position < len(self.in_flight):
            following = self.in_flight[position]
            if following.target != packet.target:
                break
            del self.in_flight[position]
            if (following.source, following.target) not in self.cut:
                turn.append(following.data)
        messages = [_decoder.decode(data) for data in turn]
        step = _step_if_known if self.drops_strangers else _step
        server.work(*[partial(step, message=message) for message in messages])
        server.arrived += [one for one in messages if isinstance(one, InstallSnapshot)]
        return packet.target

    def settle(self) -> None:
        """Let all disks and messages come to rest, in order, without time passing."""
        while self.in_flight or any(
            server.disk.queue or server.arrived for server in self.servers.values()
        ):
            for _name, server in sorted(self.servers.items()):
                while server.disk.queue:
                    server.persist_one()
                if server.arrived:
                    server.install_arrived()
            if self.in_flight:
                self.deliver()
        self.check()

    def tick(self, count: int = 1) -> None:
        """Let ticks pass at all servers, everything settling after each."""
        for _ in range(count):
            for _name, server in sorted(self.servers.items()):
                server.work(lambda raft: raft.tick())
                server.send_snapshots()
            self.settle()

    def run_until(self, condition: Callable[[], bool], *, ticks_max: int = 1000) -> int:
        """Tick until ``condition`` holds; return how many ticks it took."""
        for count in range(ticks_max):
            if condition():
                return count
            self.tick()
        raise AssertionError(
            "not within the given ticks:\n" + "\n".join(map(format_event, self.events[-40:]))
        )

    def leader(self) -> ServerId | None:
        """Return the leader of the latest term, or None."""
        leaders = [
            (server.raft.current_term, name)
            for name, server in self.servers.items()
            if server.raft.is_leader
        ]
        return max(leaders)[1] if leaders else None

    def run_until_leader(self, *, ticks_max: int = 1000) -> int:
        """Tick until somebody leads; return how many ticks it took."""
        return self.run_until(lambda: self.leader() is not None, ticks_max=ticks_max)

    def elect(self) -> ServerId:
        """Run until there is a leader whose no-op is applied everywhere; return it."""

        def is_settled() -> bool:
            leader = self.leader()
            if leader is None:
                return False
            raft = self.servers[leader].raft
            members = raft.state.configuration
            commit = raft.state.commit_index
            return commit >= raft.state.term_start_index > 0 and all(
                server.raft.state.last_applied == commit
                for name, server in self.servers.items()
                if members.takes_part(name)
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

    def join(self, name: ServerId) -> None:
        """Start a server with an empty disk; it knows of nobody, and waits for a leader."""
        self.servers[name] = Server(name, self, Disk(began_with=Configuration(voters=())))

    def change(self, name: ServerId, target: Configuration) -> Index:
        """Begin a configuration change at a server that leads."""
        indexes: list[Index] = []
        self.servers[name].work(lambda raft: indexes.append(raft.change_configuration(target)))
        return indexes[0]

    def crash(self, name: ServerId, *, units_kept: int = 0) -> None:
        """Kill a server; its disk finishes ``units_kept`` more units, and loses the rest."""
        server = self.servers.pop(name)
        for _ in range(min(units_kept, len(server.disk.queue))):
            server.disk.write_one()
        server.disk.queue.clear()
        self.dead[name] = server.disk

    def restart(self, name: ServerId) -> None:
        """Start a dead server with what its disk has."""
        disk = self.dead.pop(name)
        disk.recover()
        self.servers[name] = Server(name, self, disk)

    def retire(self, name: ServerId) -> None:
        """Switch a server off for good; what its disk has still counts for those who rely on it."""
        if name in self.servers:
            self.crash(name)
        self.gone[name] = self.dead.pop(name)

    def isolate(self, name: ServerId) -> None:
        """Cut all links of a server, both ways."""
        for other in sorted({*self.servers, *self.dead}):
            if other != name:
                self.cut |= {(name, other), (other, name)}

    def heal(self) -> None:
        """Mend all links."""
        self.cut.clear()

    def check(self) -> None:
        """Check the invariants of Figure 3 over all servers and all they hold."""
        self.checks.check([self.servers[name].raft.state for name in sorted(self.servers)])
        self.check_promises_kept()

    def check_committed_is_durable(self, leader: Raft, in_force: Configuration) -> None:
        """What a leader commits is on a majority's disks, dead servers' included (§5.3, §6)."""
        index = leader.state.commit_index
        entry = leader.state.log.entry(index)
        assert has_quorum(
            in_force, lambda name: self.disk(name).whole()[index - 1 : index] == [entry]
        ), "what is committed is on a majority of disks"

    def check_promises_kept(self) -> None:
        """Check that the disks hold what leaders count on (Figure 2, thesis §3.8)."""
        for server in self.servers.values():
            state = server.raft.state
            for peer, progress in state.progress.items():
                disk, count = self.disk(peer), progress.match_index
                if disk.hard_state.current_term <= state.current_term:
                    assert disk.whole()[:count] == server.whole_log()[:count], (
                        "what a leader counts as stored is on that disk"
                    )

    def data_applied(self, name: ServerId) -> list[bytes]:
        """Return the commands that a server has applied, in order."""
        kind = EntryKind.COMMANDS
        return [entry.data for entry in self.servers[name].applied if entry.kind is kind]

    def roles(self) -> dict[ServerId, Role]:
        """Return what each server is."""
        return {name: server.raft.state.role for name, server in self.servers.items()}


def _step(raft: Raft, message: Message) -> None:
    raft.step(message)


def _step_if_known(raft: Raft, message: Message) -> None:
    """Take a message in as a node does: not from servers that can't be members."""
    if may_take_part(raft.state, message.source):
        raft.step(message)
