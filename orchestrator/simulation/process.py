"""One life of a node: the shipped ``node/server.py`` and the shipped log, from open to death.

Turns are those of ``node/turns.py``, as they are where ``node/loop.py`` waits for sockets; what is
around them are lists and the scheduler here. A process may die at any *place* that it reports:
around each input, before and after each frame or reply leaves, around each write and sync, before
each change to a file. Whatever it had not handed over by then is gone.
"""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from raftcache.errors import DiskFailed, StateLost
from raftcache.node.joining import Joiner
from raftcache.node.opening import Opened, begin_home, open_home
from raftcache.node.outbox import Outgoing
from raftcache.node.ports import Driven
from raftcache.node.server import Server
from raftcache.node.stalls import LATE_ROUNDS_MAX, TickClock
from raftcache.node.turns import take_turn
from raftcache.node.values import Effects
from raftcache.protocol.joining import JoinAnswer
from raftcache.raft.types import ServerId
from raftcache.storage.memory import MemoryLog
from raftcache.storage.wal import Batch

from .clock import Clock
from .lodging import Lodging, SimulatedMemoryLog, new_joiner, new_server
from .outputs import Outputs
from .profile import Profile
from .worker import SimulatedWorker
from .world import World
from .writer import SimulatedWriter

PEER_FRAMES_PER_TURN = 200
REQUESTS_PER_TURN = 1_000
STOP_MS = 1_000
EXIT_STOPPED = 0
EXIT_DEFECT = 70
EXIT_DISK_FAILED = 74


class Killed(Exception):  # noqa: N818 - an event, not an error of anybody's
    """The process dies at this place."""


class Process:
    """A node process.

    Args:
        world: everything around it.
        lodging: its host, as it finds it.
        random: election timeouts, disk and loop delays.
        profile: how fast things are.

    Raises:
        StorageError: it can't start.
    """

    server: Server
    """There once :attr:`is_open`; before that the node asks to join."""
    writer: SimulatedWriter
    """Likewise, unless the node lives in memory."""

    def __init__(self, world: World, lodging: Lodging, random: Random, profile: Profile) -> None:
        self.lodging = lodging
        self.name = lodging.home.node_id
        self._mark = self.name.encode()
        self.alive = True
        self.is_open = False
        """True once recovery is over, or the node has joined, and there is a server."""
        self.exit_code: int | None = None
        self.endpoints: Mapping[str, str] = {}
        """Where this node is connected to, by peer, as its server has said last."""
        self.paused = False
        self.stopping = False
        self.doom: Callable[[str], bool] | None = None
        """Asked at each place, by its name, whether the process dies there."""
        self.power_goes = False
        """Its host loses its power when it dies at a place."""
        self.ticks = 0
        """How many ticks its server has counted."""
        self.heard: dict[str, int] = {}
        """At which of them a frame of each node came last."""
        self.requests_taken: set[bytes] = set()
        """What came from clients, as it came."""
        self.clock = Clock(world.scheduler, lodging.clock_rate)
        self._world = world
        self._watched = world.watched
        self._random = random
        self._profile = profile
        self.outputs = Outputs(self, world)
        self._tick_wakes = 0
        self._peer_frames: list[bytes] = []
        self._requests: list[tuple[int, list[bytes]]] = []
        self._gone: list[ServerId] = []
        self._disk_spoke = False
        self._turn_is_due = False
        self._on_hold: list[Callable[[], None]] = []
        self._stop_deadline_ms = 0
        self.storage: SimulatedWriter | MemoryLog | None = None
        self.last_change = ""
        """The last change to the disk, as ``call path``."""
        lodging.disk.before_change = self._before_change
        self.worker = SimulatedWorker(
            world.scheduler,
            random,
            profile,
            notify=self._on_disk,
            guarded=self.guarded,
            point=self.point,
        )
        self._ticks = TickClock(profile.tick_ms, self.now_ms())
        self._driven: Driven = self._first_driven()
        self._driven.start(self.now_ms())
        self._wake_at_tick()

    def _first_driven(self) -> Driven:
        errand = self.lodging.errand
        try:
            return self._open(open_home(self.lodging.home))
        except StateLost as lost:
            if errand is None:
                raise
            return new_joiner(
                self.lodging,
                errand._replace(why=str(lost)),
                self._profile,
                random=self._random,
                publish=self._publish,
            )

    def _open(self, opened: Opened) -> Server:
        """Go on, or begin, with what there is."""
        self.recovered = opened.recovered
        self._world.on_open(self, opened)
        wal = opened.wal
        storage: SimulatedWriter | MemoryLog
        if wal is None:
            storage = SimulatedMemoryLog(self._on_durable)
        else:
            storage = self.writer = SimulatedWriter(
                wal,
                self._world.scheduler,
                self._random,
                self._profile,
                notify=self._on_disk,
                guarded=self.guarded,
                on_durable=self._on_durable,
                point=self.point,
            )
        self.storage = storage
        self.server = new_server(
            self.lodging,
            opened,
            self._profile,
            storage=storage,
            runner=self.worker,
            random=self._random,
            publish=self._publish,
        )
        self.is_open = True
        return self.server

    def _on_durable(self, batches: list[Batch]) -> None:
        self._world.on_durable(self.name, batches)

    def _publish(self, kind: str, fields: dict[str, Any]) -> None:
        self._world.on_event(self.name, kind, fields)

    def now_ms(self) -> int:
        """Return what this node's own clock shows; it begins at 1,000."""
        return self.clock.now_ms()

    def on_peer_frame(self, frame: bytes) -> None:
        """Let a frame arrive on the peers' socket."""
        if self.alive:
            self._world.record.event(self._mark + frame)
            self._peer_frames.append(frame)
            self._wake()

    def on_client(self, socket: int, frames: list[bytes]) -> None:
        """Let a request arrive; a dead process never answers."""
        if self.alive:
            self._world.record.event(self._mark + frames[-1])
            self._requests.append((socket, frames))
            self.requests_taken.add(frames[-1])
            self._wake()

    def on_peer_gone(self, peer: ServerId) -> None:
        """Let the peer's host say that nobody listens at its port."""
        self.guarded(lambda: self._gone.append(peer))
        self._wake()

    def request_stop(self) -> None:
        """Do what SIGTERM does: hand over, answer everyone, exit."""
        self.stopping = True
        self._wake()

    def kill(self) -> None:
        """Die now, between two events."""
        self._exit(None, None)

    def pause(self) -> None:
        """Stop as SIGSTOP does: nothing runs, and what arrives lies there."""
        self.paused = True

    def resume(self) -> None:
        """Go on as SIGCONT does."""
        self.paused = False
        held, self._on_hold = self._on_hold, []
        for action in held:
            self.guarded(action)
        self._turn_is_due = False
        self._wake()

    def guarded(self, action: Callable[[], None]) -> None:
        """Run a step of this process, and let it die of what the step meets."""
        if not self.alive:
            return
        if self.paused:
            self._on_hold.append(action)
            return
        try:
            action()
        except Killed:
            self._exit(None, None)
        except DiskFailed:
            self._exit(EXIT_DISK_FAILED, None)
        except Exception as defect:  # noqa: BLE001 - as main does: the world decides what it means
            self._exit(EXIT_DEFECT, defect)

    def die(self, place: str) -> None:
        """Die in the middle of a step; for those who are told of places."""
        raise Killed(place)

    def point(self, name: str, detail: Any = None) -> None:
        """Report a place, by its name, and die there if somebody wants it."""
        if self.doom is not None and self.doom(name):
            raise Killed(name)
        if name in self._watched:
            self._world.on_place(self, name, detail)

    def _exit(self, code: int | None, defect: Exception | None) -> None:
        if self.alive:
            self.alive = False
            self.exit_code = code
            self._world.on_exit(self, defect)

    def _before_change(self, call: str, path: str) -> None:
        self.point(f"disk {call}", path)
        self.last_change = f"{call} {path}"

    def _on_disk(self) -> None:
        self._world.record.event(b"disk " + self._mark)
        self._disk_spoke = True
        self._wake()

    def _wake(self) -> None:
        if not self._turn_is_due and self.alive:
            self._turn_is_due = True
            delay_us = self._random.randint(*self._profile.turn_us)
            self._world.scheduler.after(delay_us, lambda: self.guarded(self._turn))

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait for the disk."""
        return 0 if self.storage is None else self.storage.queued_bytes

    def calm_down(self) -> None:
        """Let disk and worker hang no longer, nor be slow."""
        if isinstance(self.storage, SimulatedWriter):
            self.storage.calm_down()
        self.worker.go_on()

    def set_clock(self, *, rate: int | None = None, jump_ms: int = 0) -> None:
        """Let the clock run at another rate, or show more at once."""
        if rate is not None:
            self.clock.set_rate(rate)
        self.clock.jump(jump_ms)
        self._wake_at_tick()  # The wait that is under way was for the clock as it was.

    def _wake_at_tick(self) -> None:
        wait_ms = max(0, self._ticks.due_ms - self.now_ms())
        self._tick_wakes += 1
        number = self._tick_wakes

        def wake() -> None:
            if number == self._tick_wakes:
                self._wake()

        self._world.scheduler.after(self.clock.wait_us(wait_ms), lambda: self.guarded(wake))

    def _wake_after(self, due_ms: int | None) -> None:
        if due_ms is not None:
            wait_us = self.clock.wait_us(max(0, due_ms - self.now_ms()))
            self._world.scheduler.after(wait_us, lambda: self.guarded(self._wake))

    def _turn(self) -> None:
        """Take a turn through the code that ``node/loop.py`` takes its turns through."""
        self._turn_is_due = False
        server = self._driven
        server.now_ms = self.now_ms()
        self.point("turn")
        if self.stopping and self._stop_deadline_ms == 0:
            self._stop_deadline_ms = server.now_ms + STOP_MS
            server.begin_stop()
        take_turn(server, self._ticks, self)
        self._wake_after(server.due_ms)
        if self.is_open:
            self._world.on_turn(self)
        self._end_turn(server)

    # What a turn needs: ``raftcache.node.turns.Ports``

    def disk_has_spoken(self) -> bool:
        """Tell whether the disk or the worker has; a failure ends the process."""
        if not self._disk_spoke:
            return False
        self._disk_spoke = False
        if self.storage is not None and self.storage.failure is not None:
            raise self.storage.failure
        return True

    def deliver_results(self) -> None:
        """Hand out what the worker has done."""
        self.worker.deliver()
        self.point("disk heard")

    def peer_frames(self, *, is_late: bool) -> Iterator[bytes]:
        """Take what has arrived from peers; the process may die behind each."""
        most = PEER_FRAMES_PER_TURN * (LATE_ROUNDS_MAX if is_late else 1)
        frames, self._peer_frames = _split(self._peer_frames, most)
        for frame in frames:
            yield frame
            self.point("frame", frame)

    def requests(self) -> Iterator[tuple[int, list[bytes]]]:
        """Take what has arrived from clients; likewise."""
        requests, self._requests = _split(self._requests, REQUESTS_PER_TURN)
        for socket, request in requests:
            yield socket, request
            self.point("request", request)

    def begin_tick(self) -> None:
        """Count a tick."""
        self._world.record.event(b"tick " + self._mark)
        self.ticks += 1

    def gone(self, *, has_ticked: bool) -> list[ServerId]:
        """Take the peers that are known to be gone; after a tick the next one is waited for."""
        if has_ticked:
            self.point("tick")
            self._wake_at_tick()
        gone, self._gone = self._gone, []
        return gone

    def _end_turn(self, server: Driven) -> None:
        """Stop, or begin a life that was granted, or see that the next turn comes."""
        if isinstance(server, Joiner) and server.granted is not None and not self.stopping:
            self._move_in(server.granted)
        elif self.stopping and (server.may_stop or server.now_ms >= self._stop_deadline_ms):
            self.carry_out(server.finish_stop())
            if self.storage is not None:
                self.storage.close(clean=True)
            self._exit(EXIT_STOPPED, None)
        elif server.has_more or self._peer_frames or self._requests:
            self._wake()

    def _move_in(self, granted: JoinAnswer) -> None:
        """Begin the life that was granted, as ``main`` does."""
        self._driven = self._open(begin_home(self.lodging.home, granted))
        self._driven.start(self.now_ms())
        self._wake()

    def carry_out(self, effects: Effects) -> None:
        """Send and answer, one thing after the other; the process may die or stop between them."""
        self.point("turned", effects)
        if effects.endpoints is not None:
            self.endpoints = effects.endpoints
        self.outputs.take(effects)
        self.put_out()

    def put_out(self) -> None:
        """Hand everything to the sockets; whoever is stopped in between does the rest later."""
        while self.outputs.waiting:
            if self.paused:
                self._on_hold.append(self.put_out)
                return
            self.outputs.put_out_one()

    def on_not_sent(self, outgoing: Outgoing) -> None:
        """Let the server know that a frame did not go."""
        self._driven.on_not_sent(outgoing)


def _split(items: list[Any], count: int) -> tuple[list[Any], list[Any]]:
    return items[:count], items[count:]
