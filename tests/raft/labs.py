"""What the lab scenarios share: agreement, and servers that leave and return."""

from collections.abc import Iterator

from raftcache.raft.messages import AppendEntries, InstallSnapshot
from raftcache.raft.options import Options
from raftcache.raft.types import ServerId

from .network import Network

OPTIONS = Options(heartbeat_ticks=3, election_ticks_min=10, election_ticks_max=20)
TIMEOUT = OPTIONS.election_ticks_max


def cluster(count: int, *, seed: int = 1, options: Options = OPTIONS) -> Network:
    return Network(count, seed=seed, options=options)


def connected(network: Network) -> list[ServerId]:
    """Return the running servers that are not cut off from everybody."""
    return [
        name
        for name in network.servers
        if any(
            (name, other) not in network.cut and (other, name) not in network.cut
            for other in network.servers
            if other != name
        )
    ]


def one_leader(network: Network) -> ServerId:
    """Run until exactly one of the connected servers leads in the newest term; return it."""
    network.run_until(
        lambda: any(network.servers[name].raft.is_leader for name in connected(network)),
        ticks_max=10 * TIMEOUT,
    )
    network.tick(TIMEOUT)
    leaders = [name for name in connected(network) if network.servers[name].raft.is_leader]
    assert len(leaders) == 1
    return leaders[0]


def agree(network: Network, data: bytes, *, on: int) -> None:
    """Propose until ``data`` is applied by ``on`` servers; leaders may change meanwhile."""

    def applied() -> int:
        return sum(data in network.data_applied(name) for name in network.servers)

    for _ in range(10):
        leader = network.leader()
        if leader is not None and leader in connected(network):
            server = network.servers[leader]
            if server.raft.accepts_proposals:
                network.propose(leader, data)
        for _ in range(2 * TIMEOUT):
            if applied() >= on:
                return
            network.tick()
    raise AssertionError(f"{data!r} was applied by {applied()} servers of {on}")


def cut_off(network: Network, *names: ServerId) -> None:
    for name in names:
        network.isolate(name)


def reconnect(network: Network, *names: ServerId) -> None:
    """Mend the links of these servers, among themselves and with all who are connected."""
    network.cut = {(one, other) for one, other in network.cut if not {one, other} & set(names)}


def others(network: Network, *names: ServerId) -> list[ServerId]:
    return [name for name in network.configuration.voters if name not in names]


def entries_sent(network: Network) -> Iterator[AppendEntries]:
    return (
        message
        for message in network.sent
        if isinstance(message, AppendEntries) and message.entries
    )


class Compacting(Network):
    """Each server takes a snapshot of its own once it has applied ``EVERY`` more entries.

    The log keeps a tail of ``KEPT`` before it, as a node's does: who gets what is committed with
    the next tick needs no snapshot.
    """

    EVERY, KEPT = 10, 2

    def settle(self) -> None:
        """Let everything come to rest, then let those compact whose turn it is."""
        super().settle()
        for _name, server in sorted(self.servers.items()):
            state = server.raft.state
            if state.last_applied - state.log.base_index >= self.EVERY:
                server.take_snapshot(keep=self.KEPT)
        self.check()


def snapshots_sent(network: Network) -> int:
    """Count the snapshots that left, whether they arrived or not."""
    return sum(isinstance(message, InstallSnapshot) for message in network.sent)


def assert_compacted(network: Network) -> None:
    """Check that no running server's log has grown past what two snapshots are apart."""
    for name, server in network.servers.items():
        entries = len(server.raft.state.log.entries)
        assert entries < 2 * Compacting.EVERY, f"{name} keeps {entries} entries"
