"""A whole cluster in one process and one thread, under virtual time; a function of its seed.

Every node runs the shipped server and the shipped log over a disk of its own. The verbs are those
of a real cluster: start, kill, stop, pause, resume, cut, heal; time passes only in ``run_ms`` and
``run_until``.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from raftcache.node.opening import Opened
from raftcache.node.values import ADMIN_SOCKET, CLIENT_SOCKET
from raftcache.protocol.joining import is_join_frame
from raftcache.protocol.peer import decode_peer_frame
from raftcache.raft.configuration import bootstrap_configuration
from raftcache.storage.wal import Batch

from .calls import Call, call_number, decode_reply, describe_frame, request_frames
from .checks import Checks, DurableLog
from .detection import Detection
from .host import (
    CLUSTER_ID,
    SimulatedHost,
    first_host,
    member_at,
    name_at,
    newest_snapshot_in_memory,
)
from .network import Network
from .process import Killed, Process
from .profile import CALM, Profile
from .record import Record
from .scheduler import Scheduler

FRESH_READS = ("get", "range")
"""What tells of all that was done before it was asked, unless it is asked to be ``local``."""
NOTICE_US = 5_000
"""How long a connection to a dead process still takes what is sent."""


class SimulatedCluster:
    """The verbs of a cluster, under virtual time.

    Args:
        seed: decides everything that is left to chance.
        profile: how the world behaves.
        capacity_bytes: the size of each disk; None: no bound.
        verbose: keep a line for each message.
    """

    def __init__(
        self,
        seed: int | str,
        profile: Profile = CALM,
        *,
        capacity_bytes: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.seed = seed
        self.profile = profile
        self.scheduler = Scheduler()
        self.random = Random(f"{seed}/world")
        self.record = Record(self.scheduler, verbose=verbose)
        self.network = Network(
            self.scheduler, f"{seed}/network", profile, self.record, self._deliver_to_peer
        )
        self._detection = Detection(self)
        self.calls: dict[int, Call] = {}
        self.told: Counter[tuple[str, str]] = Counter()
        """How many events of each kind each node has published."""
        self.members_changed = False
        self.peace_us = 0
        """When the last trouble was over, all clocks and links were in order, and nobody paused."""
        """True once somebody asked for a change of the members, or lost a state."""
        self.bulk_bytes: Counter[tuple[str, str]] = Counter()
        """How many bytes of snapshots each node has sent, by source and target."""
        self.on_defect: Callable[[str, Exception], None] | None = None
        """Told of a node that ended by a defect; None: the run ends with that defect."""
        self.on_gone: Callable[[str], None] | None = None
        """Told of every node whose process is gone."""
        self.watched: dict[str, list[Callable[[Process, Any], None]]] = {}
        """Who looks at processes that come to a place, by the place's name."""
        members = tuple(member_at(number) for number in range(1, profile.nodes + 1))
        configuration = bootstrap_configuration(members)
        self.checks = Checks(configuration)
        self.hosts: dict[str, SimulatedHost] = {}
        self._retired: set[str] = set()
        for number, member in enumerate(members):
            host = first_host(member, number, profile, configuration, capacity_bytes)
            self.hosts[member.node_id] = host
            self.checks.durable[member.node_id] = DurableLog(host.newest_snapshot)

    @property
    def names(self) -> list[str]:
        """All nodes' names, sorted; without those that were taken away."""
        return sorted(self.hosts.keys() - self._retired)

    @property
    def running(self) -> list[Process]:
        """The processes that are alive, paused ones included, and have a place in the cluster."""
        return [process for process in self.alive if process.is_open]

    @property
    def alive(self) -> list[Process]:
        """The processes that are alive, those included that ask to join."""
        processes = (self.hosts[name].process for name in self.names)
        return [process for process in processes if process is not None and process.alive]

    def process(self, name: str) -> Process:
        """Return a node's process, which must be alive."""
        process = self.hosts[name].process
        assert process is not None, f"{name} was never started"
        assert process.alive, f"{name} is dead"
        return process

    # Verbs

    def up(self) -> "SimulatedCluster":
        """Start every node that does not run."""
        running = {process.name for process in self.alive}
        for name in self.names:
            if name not in running:
                self.start(name)
        return self

    def start(self, name: str) -> Process:
        """Start a node with what its disk has.

        Raises:
            StorageError: its directory can't be used.
            Killed: it died of what was watched for.
        """
        host = self.hosts[name]
        assert host.process is None or not host.process.alive, f"{name} runs already"
        host.lives += 1
        try:
            process = Process(
                self,
                host.lodging(CLUSTER_ID, self.profile.segment_bytes),
                Random(f"{self.seed}/{name}/{host.lives}"),
                self.profile,
            )
        except Killed:
            host.disk.kill_process()
            self.note(f"{name} died while it started")
            raise
        host.process = process
        return process

    def kill(self, name: str, *, power: bool = False) -> None:
        """Kill a node's process; ``power``: its host goes down too, and forgets its cache."""
        self.process(name).kill()
        if power:
            self.cut_power(name)

    def cut_power(self, name: str) -> None:
        """Let a host whose process is gone lose its power; a part of the unsynced survives."""
        host = self.hosts[name]
        assert host.process is None or not host.process.alive, f"{name} runs"
        host.disk.crash(Random(f"{self.seed}/{name}/{host.lives}/cut"))
        host.boot_id = f"after life {host.lives}"
        self.note(f"{name} lost power")

    def stop(self, name: str) -> None:
        """Send SIGTERM."""
        self.note(f"{name} is told to stop")
        self.process(name).request_stop()

    def pause(self, name: str) -> None:
        """Send SIGSTOP."""
        self.note(f"{name} is paused")
        self.process(name).pause()

    def resume(self, name: str) -> None:
        """Send SIGCONT."""
        self.note(f"{name} goes on")
        self.process(name).resume()

    def isolate(self, name: str) -> None:
        """Cut a node off from all others; its clients still reach it."""
        self.note(f"{name} is cut off")
        self.network.isolate(name, self.names)

    def heal(self) -> None:
        """Mend all links."""
        self.note("all links are mended")
        self.network.heal()

    # Clients

    def request(
        self, node: str, op: str, *, json: bool = False, admin: bool = False, **fields: Any
    ) -> Call:
        """Send a request to a node, over a connection of its own."""
        number = len(self.calls) + 1
        frames = request_frames(number, {"op": op, **fields}, json=json)
        call = self.send(node, frames, socket=ADMIN_SOCKET if admin else CLIENT_SOCKET)
        call.timeout_ms = fields.get("timeout_ms", fields.get("wait_ms", call.timeout_ms))
        call.is_fresh_read = op in FRESH_READS and fields.get("read") != "local"
        return call

    def send(self, node: str, frames: list[bytes], *, socket: int = CLIENT_SOCKET) -> Call:
        """Send any frames to a node; the first is the routing id."""
        number = len(self.calls) + 1
        call = Call(number, node, socket, frames, self.scheduler.now_us)
        self.calls[number] = call

        def arrive() -> None:
            host = self.hosts[node]
            if host.process is not None and host.process.alive:
                call.life = host.lives
                call.floor_rev = self.checks.newest_rev
                host.process.on_client(socket, frames)

        self.scheduler.after(self.random.randint(*self.profile.delay_us), arrive)
        return call

    def ask(self, node: str, op: str, *, within_ms: int = 10_000, **fields: Any) -> dict[str, Any]:
        """Send a request and let time pass until its answer; return that."""
        call = self.request(node, op, **fields)
        self.run_until(lambda: call.done, within_ms=within_ms)
        return call.reply

    # Time

    def run_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        self.scheduler.run_us(duration_ms * 1_000)

    def run_until(self, condition: Callable[[], bool], *, within_ms: int = 10_000) -> int:
        """Let time pass until ``condition`` holds; return how many milliseconds it took."""
        begun_ms = self.scheduler.now_ms
        while not condition():
            waited_ms = self.scheduler.now_ms - begun_ms
            assert waited_ms <= within_ms, self.explain(f"not within {within_ms} ms")
            assert self.scheduler.step(), self.explain("nothing happens any more")
        return self.scheduler.now_ms - begun_ms

    def leader(self) -> str | None:
        """Return who leads in the latest term that has a leader; None: nobody does."""
        leaders = [
            (process.server.raft.current_term, process.name)
            for process in self.running
            if process.server.raft.is_leader
        ]
        return max(leaders)[1] if leaders else None

    def elect(self, *, within_ms: int = 10_000) -> str:
        """Let time pass until someone leads and all running nodes have applied all; return who."""
        self.run_until(lambda: self.leader() is not None and self.is_settled(), within_ms=within_ms)
        leader = self.leader()
        assert leader is not None
        return leader

    def is_settled(self) -> bool:
        """Tell whether the leader and all running nodes have the same log, applied to its end."""
        leader = self.leader()
        if leader is None:
            return False
        state = self.process(leader).server.raft.state
        return state.commit_index == state.log.last_index >= state.term_start_index and all(
            process.server.store.last_applied == state.commit_index
            and process.server.raft.current_term == state.current_term
            and process.server.raft.state.leader_id == state.server_id
            for process in self.running
        )

    # What happened

    def note(self, line: str) -> None:
        """Keep a line for those who have to understand a failure."""
        self.record.note(line)

    def explain(self, what: str) -> str:
        """Return a failure's message: the seed, the world, and what happened last."""
        return "\n".join([f"seed {self.seed}: {what}", repr(self.profile), *self.record.lines])

    def silent_calls(self) -> list[Call]:
        """Return the requests that never got an answer."""
        return [call for call in self.calls.values() if not call.done]

    def digests(self) -> dict[str, int]:
        """Return the digest of each running node's state."""
        return {process.name: process.server.store.digest() for process in self.running}

    # Called by processes

    def on_place(self, process: Process, place: str, detail: Any) -> None:
        """Let those who watch a place look; they may let the process die there."""
        if place in self.watched:
            for look in self.watched[place]:
                look(process, detail)

    def on_open(self, process: Process, opened: Opened) -> None:
        """Check what a process has found, or that it begins with nothing."""
        name, recovered = process.name, opened.recovered
        snapshots = self.hosts[name].newest_snapshot
        if opened.wal is None:
            snapshots = partial(newest_snapshot_in_memory, opened)
        self.checks.on_start(name, recovered, snapshots)
        self.note(
            f"{name}#{opened.incarnation} starts: base={recovered.base} "
            f"+{len(recovered.entries)} {recovered.hard_state}"
        )

    def on_event(self, name: str, kind: str, fields: dict[str, Any]) -> None:
        """Count a published event, and keep it as a line."""
        self.told[name, kind] += 1
        self.note(f"{name} {kind} " + " ".join(f"{key}={value}" for key, value in fields.items()))

    def on_durable(self, name: str, batches: list[Batch]) -> None:
        """Note what a node's disk has now."""
        self.checks.durable[name].add(batches)

    def send_to_peer(self, name: str, peer: str, frame: bytes) -> bool:
        """Carry a frame to where its sender is connected for this peer.

        False when that is nowhere, or the process there is known to be gone.
        """
        if not is_join_frame(frame):
            self.checks.on_frame(self.process(name), frame)
        target = name_at(self.hosts, self.process(name).endpoints.get(peer))
        if target is None:
            return False
        host = self.hosts[target]
        alive = host.process is not None and host.process.alive
        if not alive and self.scheduler.now_us - host.died_us >= NOTICE_US:
            return False
        self.network.send(name, target, frame)
        return True

    def send_bulk(self, name: str, peer: str, frame: bytes) -> None:
        """Carry a piece of a snapshot to another node; nobody is told what becomes of it."""
        target = name_at(self.hosts, self.process(name).endpoints.get(peer))
        process = self.hosts[target].process if target is not None else None
        if target is not None and process is not None and process.alive:
            chunks = decode_peer_frame(frame).chunks
            self.bulk_bytes[name, target] += sum(len(chunk.data) for chunk in chunks)
            self.network.send(name, target, frame, bulk=True)

    def send_to_client(self, name: str, socket: int, envelope: list[bytes], reply: bytes) -> None:
        """Carry a reply to the client whose routing id is in the envelope."""
        call = self.calls[call_number(envelope)]
        assert (call.node, call.socket) == (name, socket), "a reply leaves where the request came"
        assert envelope == call.frames[: len(envelope)], "the envelope comes back as it was"
        decoded = decode_reply(reply)
        self.checks.on_reply(self.process(name), decoded, call)

        def arrive() -> None:
            call.replies.append(decoded)
            assert len(call.replies) == 1, self.explain(f"a request got two answers: {call}")
            call.answered_us = self.scheduler.now_us
            self.record.event(reply)
            if call.on_answer is not None:
                call.on_answer(call)

        self.scheduler.after(self.random.randint(*self.profile.delay_us), arrive)

    def on_turn(self, process: Process) -> None:
        """Check what must hold."""
        self.checks.on_turn(process, lambda: self.running)

    def on_exit(self, process: Process, defect: Exception | None) -> None:
        """Free what the process held; a defect ends the run unless somebody expects it."""
        host = self.hosts[process.name]
        host.last_exit = process.exit_code
        host.died_us = self.scheduler.now_us
        self.checks.on_death(process)
        host.disk.kill_process()
        self.note(f"{process.name} is gone: exit {process.exit_code}")
        if process.power_goes and process.exit_code is None:
            self.cut_power(process.name)
        self._detection.on_exit(process)
        if defect is None:
            if self.on_gone is not None:
                self.on_gone(process.name)
            return
        if self.on_defect is None:
            what = str(defect) if isinstance(defect, AssertionError) else repr(defect)
            raise AssertionError(self.explain(f"{process.name}: {what}")) from defect
        self.on_defect(process.name, defect)

    def _deliver_to_peer(self, source: str, target: str, data: bytes) -> None:
        process = self.hosts[target].process
        if self.record.verbose:
            self.record.message(f"{source} -> {target}  {describe_frame(data)}")
        if process is not None:
            process.heard[source] = process.ticks
            process.on_peer_frame(data)

    def retire(self, name: str) -> None:
        """Take a host out of the world, with its process if there is one."""
        process = self.hosts[name].process
        if process is not None and process.alive:
            self.kill(name)
        self._retired.add(name)
        self.note(f"{name} is taken away")
