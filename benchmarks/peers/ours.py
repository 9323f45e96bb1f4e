"""Raft Cache: three nodes, through REQ sockets, and through its own asynchronous client."""

from orchestrator.throwaway import Throwaway

from .system import System


class Ours(System):
    """A cluster of three, one REQ socket per caller."""

    name = "raft cache"
    driver = "ours_req"
    durability = "fsync"

    def start(self) -> None:
        """Start a cluster in a temporary folder."""
        self._cluster = Throwaway(
            prefix="raftcache-bench-", shape=f"storage: {{durability: {self.durability}}}\n"
        )
        self._cluster.__enter__()
        self._cluster.up()
        view = self._cluster.cluster.wait("ready")
        leader = next(node for node in view.nodes if node.name == view.leader)
        self._target = leader.client
        self._pids = [node.pid for node in view.nodes if node.pid is not None]

    def pids(self) -> list[int]:
        """Return the nodes' processes."""
        return self._pids

    def target(self) -> str:
        """Return where the leader takes clients."""
        return self._target

    def stop(self) -> None:
        """Take the cluster down."""
        self._cluster.__exit__(None, None, None)


class OursMemory(Ours):
    """The same with nothing on disk."""

    durability = "memory"


class OursAsync(Ours):
    """The same cluster, asked through one AsyncClient that all callers share."""

    name = "raft cache, AsyncClient"
    driver = "ours_async"


class OursAsyncMemory(OursAsync):
    """The same with nothing on disk."""

    durability = "memory"
