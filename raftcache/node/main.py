"""A node process: settings, directory, sockets, then the loop, until a signal or a failure.

Exit codes: 0 stopped; 65 its state is another than most nodes'; 70 a defect, or the parent is
gone; 74 the disk failed; 78 the settings, the directory or the log can't be used by this release,
so that starting again would change nothing.
"""

import logging
import os
import resource
import signal
import sys
from random import SystemRandom
from types import FrameType

import zmq

from .. import __version__
from ..errors import DiskFailed, StateLost, StorageError
from ..parent import ParentWatch
from ..protocol.joining import JoinAnswer
from ..protocol.limits import FRAME_BYTES_MAX, Limits
from ..storage.files import OS_FILES, kernel_boot_id
from ..storage.memory import MemoryLog
from ..storage.writer import WalWriter
from ..store.commands import UnknownCommands
from ..store.machine import StateDiverged
from ..store.slices import UnknownContents
from ..transport.clients import ClientSocket
from ..transport.faults import LinkFaults
from ..transport.options import Socket, libzmq_objection
from ..transport.peers import PeerSockets
from ..transport.publisher import Publisher
from .durable import durable_of
from .joining import Errand, Joiner
from .loop import EventPublisher, Loop, Sockets, Waker
from .memory import memory_returner
from .opening import Home, Opened, begin_home, open_home
from .server import Server
from .settings import Settings, SettingsError, options_of, read_settings, tick_ms_of
from .stalls import take_over_collection
from .values import About, Durable
from .worker import Worker

EXIT_DIVERGED = 65
EXIT_DEFECT = 70
EXIT_DISK_FAILED = 74
EXIT_REFUSED = 78

OWN_FILE_DESCRIPTORS = 250
"""What a node opens besides its clients' connections: those that follow, and its own files."""
PEER_CONNECTIONS_MAX = 60
"""Twice what the largest cluster needs, for a node that is back before its old self is gone."""
EVENT_CONNECTIONS_MAX = 50
ADMIN_CONNECTIONS_MAX = 50
CROWD_FILE_DESCRIPTORS = 1_000
"""For connections that came and were not cut yet, where this user may have so many."""
PEER_FRAME_BYTES_MAX = 64 * 1024 * 1024
"""A frame may hold a full window of entries; a longer one is a stranger's."""

_log = logging.getLogger("raftcache.node")


def main(arguments: list[str], parent: ParentWatch) -> int:
    """Run a node with the settings in the file that is named; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m raftcache.node SETTINGS.json\n")
        return EXIT_REFUSED
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    if not __debug__:
        _log.error("python -O removes the assertions that keep data safe: start without it")
        return EXIT_REFUSED
    if objection := libzmq_objection():
        _log.error("%s", objection)
        return EXIT_REFUSED
    try:
        return _run(read_settings(arguments[0]), parent)
    except DiskFailed as error:
        _log.error("%s", error)
        return EXIT_DISK_FAILED
    except (SettingsError, StorageError, UnknownCommands, UnknownContents) as error:
        _log.error("%s", error)
        return EXIT_REFUSED
    except Exception:  # noqa: BLE001 - the last line of defence: told in the log, then the end
        _log.exception("a defect in Raft Cache ends this node")
        return EXIT_DEFECT


def _run(settings: Settings, parent: ParentWatch) -> int:
    _raise_file_limit(settings.limits.clients)
    home = Home(
        files=OS_FILES,
        directory=settings.directory,
        cluster_id=settings.cluster_id,
        node_id=settings.node_id,
        incarnation=None if settings.join else settings.incarnation,
        durability=settings.storage.durability,
        segment_bytes=settings.storage.segment_bytes,
        boot_id=kernel_boot_id(),
    )
    opened: Opened | StateLost
    try:
        opened = open_home(home)
    except StateLost as lost:
        if settings.join is None or not settings.join.peers:
            raise
        opened = lost
    context: zmq.Context[Socket] = zmq.Context()
    try:
        return _serve(settings, home, opened, context, parent)
    except StateDiverged as error:
        name = settings.node_id
        _log.error(
            "ALARM: the state of %s went astray: %s. To go on would be to give wrong answers:  "
            "bin/cluster replace %s  puts a new %s with the others' state in its place",
            *(name, error, name, name),
        )
        return EXIT_DIVERGED
    except zmq.ZMQError as error:
        raise SettingsError(f"{settings.node_id}: {error}") from error
    finally:
        context.destroy(linger=0)


def _serve(
    settings: Settings,
    home: Home,
    opened: Opened | StateLost,
    context: zmq.Context[Socket],
    parent: ParentWatch,
) -> int:
    sockets = _listen(settings, context)
    waker = Waker()
    worker = Worker(waker.wake)
    _log.info("%s listens at %s", settings.node_id, settings.client_endpoint)
    if isinstance(opened, StateLost):
        _log.warning("%s", opened)
        granted = _join(settings, str(opened), sockets, waker, worker, parent)
        if granted is None:
            _log.info("%s stopped before it had joined", settings.node_id)
            return 0
        opened = begin_home(home, granted)
    for note in opened.recovered.notes:
        _log.warning("%s", note)
    writer = _writer(opened, waker)
    server = Server(
        about=_about(settings, opened.incarnation),
        durable=_durable(settings, opened, worker),
        options=options_of(settings.raft),
        tick_ms=tick_ms_of(settings.raft),
        limits=_limits(settings),
        storage=writer,
        random=SystemRandom(),
        publish=EventPublisher(sockets.publisher, settings.node_id),
    )
    if settings.chaos.enabled:
        sockets.peers.faults = server.faults = LinkFaults(SystemRandom(), lambda: server.now_ms)
    loop = Loop(
        server,
        writer,
        worker,
        parent=parent,
        waker=waker,
        sockets=sockets,
        detect_disconnects=settings.raft.detect_disconnects,
    )
    _stop_on_signal(loop, waker)
    take_over_collection()
    loop.run()
    worker.close()
    writer.close(clean=True)
    _log.info("%s stopped", settings.node_id)
    return 0


def _listen(settings: Settings, context: zmq.Context[Socket]) -> Sockets:
    return Sockets(
        PeerSockets(
            context,
            settings.peer_endpoint,
            frame_bytes_max=PEER_FRAME_BYTES_MAX,
            connections_max=PEER_CONNECTIONS_MAX,
        ),
        ClientSocket(
            context,
            settings.client_endpoint,
            frame_bytes_max=FRAME_BYTES_MAX,
            connections_max=settings.limits.clients,
        ),
        ClientSocket(
            context,
            settings.admin_endpoint,
            frame_bytes_max=FRAME_BYTES_MAX,
            connections_max=ADMIN_CONNECTIONS_MAX,
        ),
        Publisher(context, settings.events_endpoint, connections_max=EVENT_CONNECTIONS_MAX),
    )


def _join(
    settings: Settings,
    why: str,
    sockets: Sockets,
    waker: Waker,
    worker: Worker,
    parent: ParentWatch,
) -> JoinAnswer | None:
    """Ask for a place until there is one; None: the node was told to stop."""
    assert settings.join is not None, "the caller asked"
    joiner = Joiner(
        about=_about(settings, 0),
        errand=Errand(why, settings.join.peers, settings.peer_endpoint, settings.client_endpoint),
        tick_ms=tick_ms_of(settings.raft),
        limits=_limits(settings),
        random=SystemRandom(),
        publish=EventPublisher(sockets.publisher, settings.node_id),
    )
    idle = MemoryLog(_nothing)
    loop = Loop(
        joiner,
        idle,
        worker,
        parent=parent,
        waker=waker,
        sockets=sockets,
        detect_disconnects=False,
    )
    _stop_on_signal(loop, waker)
    loop.run()
    return None if loop.stop_requested else joiner.granted


def _writer(opened: Opened, waker: Waker) -> WalWriter | MemoryLog:
    if opened.wal is not None:
        return WalWriter(opened.wal, waker.wake)
    return MemoryLog(lambda: OS_FILES.close(opened.lock))


def _about(settings: Settings, incarnation: int) -> About:
    return About(
        cluster=settings.cluster,
        cluster_id=settings.cluster_id,
        node_id=settings.node_id,
        incarnation=incarnation,
        durability=settings.storage.durability,
        build=__version__,
        pid=os.getpid(),
    )


def _limits(settings: Settings) -> Limits:
    limits, cache = settings.limits, settings.cache
    return Limits(limits.value_bytes, limits.request_bytes, cache.max_bytes, cache.eviction)


def _durable(settings: Settings, opened: Opened, worker: Worker) -> Durable:
    return durable_of(
        opened.recovered,
        files=opened.files,
        directory=opened.directory,
        runner=worker,
        log_bytes=settings.storage.snapshot_wal_bytes,
        # In memory each one costs as much as on disk: the newest will do.
        kept=settings.storage.snapshots_kept if opened.wal is not None else 1,
        give_back=memory_returner(),
    )


def _nothing() -> None:
    """Free nothing."""


def _stop_on_signal(loop: Loop, waker: Waker) -> None:
    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        loop.stop_requested = True
        waker.wake()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)


def _raise_file_limit(clients: int) -> None:
    needed = clients + OWN_FILE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SettingsError(
            f"limits.clients: {clients} needs {needed} file descriptors, but this user may have "
            f"{hard}: lower limits.clients, or raise the limit with `ulimit -Hn`"
        )
    wanted = needed + CROWD_FILE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
