"""A cluster's data as one file: saved while it works, and what a new cluster begins with.

Rules: a save holds all that was acknowledged before it was asked for. A restore makes a new
cluster, with an identity of its own: what the file was taken from and what comes of it are two
clusters, which never mix. A restore that was interrupted can't be started, only repeated.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from raftcache.errors import RaftCacheError
from raftcache.storage.export import export, read_export
from raftcache.storage.files import OS_FILES
from raftcache.storage.snapshots import SnapshotFailed, SnapshotReader, StoredSnapshot
from raftcache.store.restore import Restorer
from raftcache.store.slices import Header, decode_slice

from .bootstrap import bootstrap_nodes
from .bringup import file_of, fresh_state, wipe_data
from .errors import BadConfiguration, CheckFailed, NoQuorum, TryAgain, UsageError
from .paths import Paths
from .probe import Prober, Reply
from .spec import read_spec
from .state import ClusterState, load, load_existing, locked, save
from .teardown import delete_data
from .view import ClusterView, endpoints, observe_once, require_running

SAVE_SECONDS = 60.0
TRIES_MAX = 3
"""How often a node is asked: a snapshot that was under way already may be older than the question,
and one that is a moment old may be gone again."""


class Contents(msgspec.Struct, frozen=True):
    """What a saved file holds."""

    cluster_id: str
    """Of the cluster that it was taken from."""
    index: int
    revision: int
    keys: int
    size_bytes: int


class Saved(msgspec.Struct, frozen=True):
    """What a save did."""

    node: str
    contents: Contents
    seconds: float


class Restored(msgspec.Struct, frozen=True):
    """What a restore did."""

    state: ClusterState
    contents: Contents
    warnings: list[str]
    seconds: float


def save_snapshot(
    paths: Paths,
    target: Path,
    *,
    node: str | None = None,
    force: bool = False,
    seconds: float = SAVE_SECONDS,
) -> Saved:
    """Have the leader take a snapshot now, and copy it to a file, whole or not at all.

    With ``node`` it is that one's instead, as far as it has applied what was agreed upon: what is
    left to do when the majority is lost for good.

    Raises:
        UsageError: the file exists, or its folder doesn't, or there is no such node.
        NoCluster, NoQuorum: there is nobody who could say what is agreed upon.
        TryAgain: the leader lost its office, or took too long.
        CheckFailed: the disk refused.
    """
    began = time.monotonic()
    _refuse_target(target, force=force)
    state = load_existing(paths)
    view = observe_once(paths, state)
    require_running(view)
    if node is None:
        node, revision = _agreed(state, view, seconds)
    elif node not in {one.name for one in view.nodes if one.has_process}:
        raise UsageError(f"'{node}' is not a node that runs", hint="bin/cluster status")
    else:
        revision = 0
    reader = _take(paths, node, revision, seconds)
    try:
        stored = _export(reader, target, force=force)
        contents = _contents(reader, stored)
    except (RaftCacheError, OSError) as error:
        raise CheckFailed(f"nothing was saved: {error}") from error
    finally:
        reader.close()
    return Saved(node, contents, time.monotonic() - began)


def restore_snapshot(
    paths: Paths,
    source: Path,
    *,
    nodes: int | None = None,
    wipe: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Make a new cluster that begins with what a saved file holds; `up` starts it.

    All of the file is checked before anything is deleted or made.

    Raises:
        BadConfiguration: the file is not there or damaged, or there is a cluster already.
    """
    began = time.monotonic()
    reading = read_spec(file_of(paths))
    reader, contents = _open(source)
    try:
        paths.make()
        with locked(paths, "snapshot restore"):
            _make_room(paths, source, wipe=wipe, tell=tell)
            paths.make()
            state = fresh_state(paths, reading.spec, nodes or reading.spec.nodes)
            state.restoring = str(source)
            save(paths, state)
            bootstrap_nodes(paths, state, reading.spec, reader)
            state.restoring = ""
            state.bootstrapped = True
            save(paths, state)
    finally:
        reader.close()
    return Restored(state, contents, reading.warnings, time.monotonic() - began)


def _refuse_target(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file")
    if target.exists() and not force:
        raise UsageError(
            f"{target} exists already, and may be the only copy of something",
            hint="--force replaces it",
        )
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target.parent}: there is no such folder")


def _agreed(state: ClusterState, view: ClusterView, seconds: float) -> tuple[str, int]:
    """Return the leader, and a revision that holds all acknowledged writes, by asking for it."""
    leader = view.leader
    if leader is None:
        running = next((node.name for node in view.nodes if node.has_process), "n1")
        raise NoQuorum(
            "there is no leader, so nobody can say what is agreed upon",
            hint="bin/cluster start   brings back what is down\n"
            f"bin/cluster snapshot save FILE --from {running}   takes what that one has, if the "
            "others are lost",
        )
    query = {"op": "get", "key": b"\0", "forward": False, "timeout_ms": 5_000}
    with closing(Prober(endpoints(state))) as prober:
        reply = prober.ask([leader], query, min(seconds, 5.0))[leader].reply
    return leader, int(_ok(leader, reply)["store_rev"])


def _take(paths: Paths, node: str, revision: int, seconds: float) -> SnapshotReader:
    """Have a snapshot taken that is at least as new as ``revision``; return it, open."""
    deadline = time.monotonic() + seconds
    place = f"ipc://{paths.admin_socket(node)}"
    with closing(Prober({node: place})) as prober:
        for _ in range(TRIES_MAX):
            left = deadline - time.monotonic()
            reply = prober.ask([node], {"op": "snapshot"}, left)[node].reply
            taken = _ok(node, reply)
            if taken["snapshot_rev"] < revision:
                continue
            try:
                return SnapshotReader(OS_FILES, taken["path"], cluster_id=None)
            except SnapshotFailed:
                continue  # newer ones have taken its place meanwhile
            except RaftCacheError as error:
                raise CheckFailed(f"{node}'s snapshot can't be read: {error}") from error
    raise TryAgain(f"{node} took {TRIES_MAX} snapshots, and none could be copied")


def _ok(node: str, reply: Reply | None) -> Reply:
    if reply is None:
        raise TryAgain(f"{node} did not answer in time; nothing was saved")
    if not reply.get("ok"):
        raise TryAgain(f"{node} can't at the moment: {reply.get('message', 'no reason given')}")
    return reply


def _export(reader: SnapshotReader, target: Path, *, force: bool) -> StoredSnapshot:
    if not force:
        return export(reader, str(target.absolute()))
    beside = target.absolute().with_name(f"{target.name}.{os.getpid()}")
    stored = export(reader, str(beside))
    beside.replace(target)
    OS_FILES.sync_directory(str(target.absolute().parent))
    return stored


def _open(source: Path) -> tuple[SnapshotReader, Contents]:
    """Open a saved file, once all that is in it has been restored on trial."""
    if not source.is_file():
        raise BadConfiguration(f"{source}: there is no such file")
    reader = None
    try:
        reader = read_export(str(source.absolute()))
        restorer = Restorer()
        for piece in reader.slices():
            restorer.feed(piece)
        restorer.finish()
        stored = StoredSnapshot(reader.meta, reader.path, reader.size_bytes, reader.check)
        return reader, _contents(reader, stored)
    except RaftCacheError as error:
        if reader is not None:
            reader.close()
        raise BadConfiguration(f"nothing was restored or deleted: {error}") from error


def _contents(reader: SnapshotReader, stored: StoredSnapshot) -> Contents:
    header = decode_slice(next(reader.slices()), 0)
    assert isinstance(header, Header), "the first slice is the header"
    return Contents(
        cluster_id=reader.cluster_id,
        index=stored.meta.last_included_index,
        revision=header.store_rev,
        keys=header.key_count,
        size_bytes=stored.size_bytes,
    )


def _make_room(paths: Paths, source: Path, *, wipe: bool, tell: Callable[[str], None]) -> None:
    """See to it that there is no cluster here, or refuse."""
    if wipe:
        wipe_data(paths, tell)
        return
    state = load(paths)
    if state is None:
        return
    if not state.restoring:
        raise BadConfiguration(
            f"there is a cluster here already, '{state.cluster}' of {len(state.nodes)} nodes; "
            "a restore makes a new one",
            hint=f"bin/cluster snapshot restore {source} --wipe   deletes all its data first",
        )
    tell("an earlier restore was interrupted: it is begun anew")
    delete_data(paths)
