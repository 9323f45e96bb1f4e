"""A client that does nothing wrong while others do: what they must not be able to harm."""

from typing import Any

import zmq

from .nodes import ANSWER_MS, Nodes, Reply

KEY, VALUE = "bystander", "unharmed"


class Bystander:
    """One node of a cluster that is about to be ill-treated, and what it was like before."""

    def __init__(self, nodes: Nodes, *, role: str = "leader") -> None:
        self.nodes = nodes
        self._pids = {node.name: node.pid for node in nodes}
        leader = nodes.leader()
        self.name = leader if role == "leader" else nodes.followers()[0]
        self._good("set", key=KEY, value=VALUE)
        self._count = int(self._good("incr", key="bystander/count")["value"])

    @property
    def endpoint(self) -> str:
        """Where the node takes clients."""
        return self.nodes[self.name].client_endpoint

    @property
    def peer_endpoint(self) -> str:
        """Where the node takes other nodes."""
        return str(self.nodes[self.name].values["peer_endpoint"])

    @property
    def admin_endpoint(self) -> str:
        """Where the node takes administrators."""
        return str(self.nodes[self.name].values["admin_endpoint"])

    def address(self, endpoint: str | None = None) -> tuple[str, int]:
        """Return host and port, for a plain TCP connection."""
        host, _, port = (endpoint or self.endpoint).removeprefix("tcp://").rpartition(":")
        return host, int(port)

    def dealer(self, kind: int = zmq.DEALER) -> "zmq.Socket[bytes]":
        """Return a connected socket that sends frames as they are given."""
        return self.nodes.dealer(self.endpoint, kind)

    def send(self, *frames: bytes) -> bytes:
        """Send frames over a connection of their own; return the last frame of the answer."""
        with self.dealer() as dealer:
            dealer.send_multipart(frames)
            assert dealer.poll(ANSWER_MS), "no reply"
            return dealer.recv_multipart()[-1]

    def assert_answers(self) -> None:
        """Check that the node serves others right now."""
        assert self._good("get", key=KEY)["value"] == VALUE.encode()

    def is_answered(self) -> bool:
        """Tell whether the node serves others; a read that came during an election may fail."""
        reply = self.nodes.ask(self.name, "get", key=KEY)
        assert reply is not None, f"{self.name} does not answer\n{self.nodes.logs()}"
        return bool(reply["ok"] and reply["value"] == VALUE.encode())

    def assert_unharmed(self) -> None:
        """Check that the same processes live and answer, and hold what they held."""
        self.nodes.wait_ready()
        assert {node.name: node.pid for node in self.nodes if node.is_running()} == self._pids
        for node in self.nodes:
            status = self.nodes.status(node.name, timeout_ms=ANSWER_MS)
            assert status is not None
            assert status["pid"] == node.pid
        self.assert_answers()
        assert int(self._good("incr", key="bystander/count")["value"]) == self._count + 1
        self.nodes.assert_equal_hashes()
        self.nodes.assert_no_defects()

    def _good(self, op: str, **fields: Any) -> Reply:
        return self.nodes.done(self.name, op, **fields)
