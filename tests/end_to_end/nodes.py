"""Node processes, started by hand: killed, paused, stopped and asked by the tests.

Rules: every wait is for a condition, with a bound that only a defect reaches; a process that is
started here is ended here, by its own handle.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import zmq

from orchestrator.ports import find_base
from raftcache.raft.configuration import Member, bootstrap_configuration, server_id_of
from raftcache.storage.directory import bootstrap
from raftcache.storage.identity import Durability, Identity

from .link import Link

T = TypeVar("T")
Reply = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 60.0
"""How long a condition may take before it is a defect; far above what anything here needs."""
ANSWER_MS = int(BOUND_S * 1_000)
POLL_S = 0.005
HOST = "127.0.0.1"
_WITHOUT_LEADER = {"no_leader", "not_leader", "timeout"}
SEGMENT_BYTES = 2 * 1024 * 1024


def wait_until(condition: Callable[[], T | None], what: str, seconds: float = BOUND_S) -> T:
    """Return what ``condition`` returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(POLL_S)


class Node:
    """One node: its settings, and its process while it has one."""

    def __init__(self, name: str, settings: Path, values: dict[str, Any]) -> None:
        self.name = name
        self.settings = settings
        self.values = values
        self.process: subprocess.Popen[bytes] | None = None
        self.log = settings.with_suffix(".log")

    @property
    def client_endpoint(self) -> str:
        """Where it takes clients."""
        return str(self.values["client_endpoint"])

    @property
    def directory(self) -> Path:
        """Its data directory."""
        return Path(self.values["directory"])

    @property
    def pid(self) -> int:
        """The process's pid; assumes that it has one."""
        assert self.process is not None, f"{self.name} has no process"
        return self.process.pid

    def is_running(self) -> bool:
        """Tell whether its process lives (a paused one does)."""
        return self.process is not None and self.process.poll() is None

    def start(self, command: Iterable[str] = ("-m", "raftcache.node")) -> None:
        """Start the process; it is not ready yet."""
        assert not self.is_running(), f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, str(self.settings)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and see it gone."""
        if self.is_running():
            self.send(signal.SIGKILL)
        self.exit_code()

    def pause(self) -> None:
        """SIGSTOP: alive, connected and silent."""
        self.send(signal.SIGSTOP)
        pid = self.pid
        wait_until(lambda: _process_state(pid) == b"T", f"{self.name} is stopped")

    def resume(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def copy(self, settings: Path) -> "Node":
        """Return the same node once more, to be started with another settings file."""
        return Node(self.name, settings, self.values)

    def exit_code(self) -> int:
        """Wait for the end of the process."""
        assert self.process is not None
        return self.process.wait(BOUND_S)

    def log_text(self) -> str:
        """Return all that it has said so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Nodes:
    """A cluster of processes in a folder. Leaving its ``with`` block kills what still runs."""

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        *,
        durability: Durability = "fsync",
        limits: dict[str, int] | None = None,
        linked: bool = False,
    ) -> None:
        self.folder = folder
        self.cluster_id = random.randbytes(16).hex()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._last_id = 0
        numbers = range(1, count + 1)
        base = find_base(
            HOST,
            [band + number for band in (0, 100, 200) for number in numbers],
            start=random.randrange(1000),
        )
        assert base is not None, "this host has no free ports"
        self.links: dict[str, Link] = {}
        """What the nodes' peers connect to, when it is not the nodes themselves."""
        if linked:
            self.links = {f"n{number}": Link(HOST, base + 100 + number) for number in numbers}
            for link in self.links.values():
                link.start()
        members = tuple(
            Member(
                server_id_of(f"n{number}", 1),
                f"n{number}",
                1,
                self.links[f"n{number}"].endpoint
                if linked
                else f"tcp://{HOST}:{base + 100 + number}",
                f"tcp://{HOST}:{base + number}",
            )
            for number in numbers
        )
        self.by_name: dict[str, Node] = {}
        for number, member in zip(numbers, members, strict=True):
            values = {
                "format": 1,
                "cluster": "end-to-end",
                "cluster_id": self.cluster_id,
                "node_id": member.node_id,
                "incarnation": 1,
                "directory": str(folder / "nodes" / member.node_id),
                "client_endpoint": member.client_endpoint,
                "peer_endpoint": f"tcp://{HOST}:{base + 100 + number}",
                "events_endpoint": f"tcp://{HOST}:{base + 200 + number}",
                "admin_endpoint": f"ipc://{folder}/{member.node_id}.admin",
                "storage": {"durability": durability, "segment_bytes": SEGMENT_BYTES},
                "limits": limits or {},
            }
            settings = folder / f"{member.node_id}.json"
            node = self.by_name[member.node_id] = Node(member.node_id, settings, values)
            write_settings(node)
            identity = Identity(
                cluster_id=self.cluster_id,
                node_id=member.node_id,
                incarnation=1,
                configuration=bootstrap_configuration(members),
                durability=durability,
            )
            bootstrap(str(node.directory), identity, segment_bytes=SEGMENT_BYTES)

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what still runs."""
        try:
            for node in self:
                if node.is_running():
                    node.send(signal.SIGKILL)
            for node in self:
                if node.process is not None:
                    node.exit_code()
        finally:
            for link in self.links.values():
                link.close()
            self._context.destroy(linger=0)

    def __iter__(self) -> Any:
        """Yield the nodes, by name."""
        return iter(self.by_name.values())

    def __getitem__(self, name: str) -> Node:
        """Return a node by its name."""
        return self.by_name[name]

    @property
    def endpoints(self) -> list[str]:
        """Where the nodes take clients."""
        return [node.client_endpoint for node in self]

    def start(self) -> None:
        """Start every node that has no process, and wait until all work."""
        for node in self:
            if not node.is_running():
                node.start()
        self.wait_ready()

    def wait_ready(self) -> str:
        """Wait until one node leads and every node has caught up; return who leads."""

        def condition() -> str | None:
            found = [self.status(node.name) for node in self]
            if not all(status and status["caught_up"] for status in found):
                return None
            leaders = {status["leader"]["id"] for status in found if status and status["leader"]}
            return leaders.pop() if len(leaders) == 1 else None

        try:
            return wait_until(condition, "a leader, and all nodes caught up")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def leader(self, *, but: str = "") -> str:
        """Wait for a node that leads; with ``but``, for another one than that."""

        def condition() -> str | None:
            found = [
                (status["term"], node.name)
                for node in self
                if node.name != but
                and node.is_running()
                and (status := self.status(node.name))
                and status["role"] == "leader"
            ]
            return max(found)[1] if found else None

        return wait_until(condition, f"a leader other than {but or 'none'}")

    def followers(self) -> list[str]:
        """Return all but the leader."""
        leader = self.leader()
        return [node.name for node in self if node.name != leader]

    def status(self, name: str, timeout_ms: int = 500) -> Reply | None:
        """Return a node's status, or None when it does not answer."""
        reply = self.ask(name, "status", wait_ms=timeout_ms)
        return reply if reply and reply["ok"] else None

    def done(self, name: str, op: str, **fields: Any) -> Reply:
        """Have something done; what was refused for want of a leader is asked for once more.

        A busy host may hold an election at any moment.
        """

        def condition() -> Reply | None:
            reply = self.ask(name, op, **fields)
            assert reply is not None, f"{name} does not answer\n{self.logs()}"
            if not reply["ok"] and reply["error"] in _WITHOUT_LEADER and reply["applied"] == "no":
                return None
            return reply

        reply = wait_until(condition, f"{name} has an answer to {op}")
        assert reply["ok"], reply
        return reply

    def ask(self, name: str, op: str, *, wait_ms: int = ANSWER_MS, **fields: Any) -> Reply | None:
        """Ask one node over a connection of its own; None when nothing comes back in time."""
        endpoint = self[name].client_endpoint
        return self.ask_at(endpoint, op, wait_ms=wait_ms, **fields)

    def ask_at(
        self, endpoint: str, op: str, *, wait_ms: int = ANSWER_MS, **fields: Any
    ) -> Reply | None:
        """As :meth:`ask`, at any endpoint, such as an administration's."""
        self._last_id += 1
        request = {"op": op, "id": self._last_id, **fields}
        with self.dealer(endpoint) as dealer:
            dealer.send_multipart([b"", msgspec.msgpack.encode(request)])
            if not dealer.poll(wait_ms):
                return None
            _, frame = dealer.recv_multipart()
        reply = msgspec.msgpack.decode(frame)
        assert isinstance(reply, dict)
        assert reply["id"] == request["id"]
        return reply

    def dealer(self, endpoint: str, kind: int = zmq.DEALER) -> "zmq.Socket[bytes]":
        """Return a connected socket; a ``with`` block closes it."""
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        return socket

    def assert_equal_hashes(self) -> None:
        """Check that all nodes hold the same state at the same index."""
        first, *others = [node.name for node in self]
        # A connection that is cut, as when the node has too many, loses the question unheard.
        reply = wait_until(lambda: self.ask(first, "hash", wait_ms=6_000), f"{first} answers")
        assert reply["ok"], reply
        for name in others:
            same = self.ask(name, "hash", at=reply["at"])
            assert same is not None
            assert same["ok"], same
            assert (same["at"], same["digest"]) == (reply["at"], reply["digest"]), name

    def assert_no_defects(self) -> None:
        """Check that no node has logged an exception."""
        for node in self:
            assert "Traceback" not in node.log_text(), self.logs()

    def logs(self) -> str:
        """Return the end of every node's log, for the message of a failure."""
        return "\n".join(f"--- {node.name}\n{node.log_text()[-3000:]}" for node in self)


def write_settings(node: Node, **changes: Any) -> None:
    """Write a node's settings file, with some of the values changed."""
    node.settings.write_bytes(msgspec.json.encode({**node.values, **changes}))


def _process_state(pid: int) -> bytes:
    """Return the letter that Linux gives to what a process does."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()[0]
