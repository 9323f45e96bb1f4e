"""The named points: moments between two steps of a node at which a crash must not matter.

Chance finds them seldom, so in each run some are chosen and something is forced there: a crash, a
power cut, a pause, an isolation. Each names a *place* that processes report, and tells by what is
at stake there, and by the state of the process, whether this is the moment.
"""

from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from raftcache.node.values import Effects
from raftcache.protocol.peer import PeerFrame
from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    InstallSnapshotResponse,
    Message,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.types import Role
from raftcache.storage.segment import NEXT_NAME
from raftcache.storage.snapshot_receiver import INCOMING_PREFIX
from raftcache.storage.snapshots import NEXT_SNAPSHOT_NAME
from raftcache.storage.wal import Batch

from .calls import peer_frame
from .process import Process

When: TypeAlias = Callable[[Process, Any], bool]


class Point(NamedTuple):
    """A moment with a name."""

    name: str
    group: str
    """What it is about: some things happen only where others go wrong."""
    place: str
    when: When


def _leads(process: Process) -> bool:
    return process.is_open and process.server.raft.is_leader


def _candidate(process: Process) -> bool:
    return process.is_open and process.server.raft.state.role is Role.CANDIDATE


def _just_elected(process: Process) -> bool:
    """Tell whether it leads, and its first entry is not on its own disk."""
    state = process.server.raft.state
    return _leads(process) and state.persisted_index < state.term_start_index


# What is being written


def _vote(_process: Process, group: list[Batch]) -> bool:
    return any(batch.hard_state is not None and batch.hard_state.voted_for for batch in group)


def _vote_for_another(process: Process, group: list[Batch]) -> bool:
    return _vote(process, group) and not _candidate(process)


def _own_vote(process: Process, group: list[Batch]) -> bool:
    return _vote(process, group) and _candidate(process)


def _term_alone(_process: Process, group: list[Batch]) -> bool:
    return any(batch.hard_state and not batch.hard_state.voted_for for batch in group)


def _follower_entries(process: Process, group: list[Batch]) -> bool:
    return not _leads(process) and any(batch.entries for batch in group)


def _leader_entries(process: Process, group: list[Batch]) -> bool:
    return _leads(process) and any(batch.entries for batch in group)


def _first_entry(process: Process, group: list[Batch]) -> bool:
    return _leader_entries(process, group) and _just_elected(process)


def _group(_process: Process, group: list[Batch]) -> bool:
    return len(group) > 1


def _truncating(process: Process, _group: list[Batch]) -> bool:
    return process.writer.overwrites


def _base(_process: Process, group: list[Batch]) -> bool:
    return any(batch.base is not None for batch in group)


# What is in a frame


@lru_cache(maxsize=1)
def _frame(data: bytes) -> PeerFrame:
    return peer_frame(data)


def _message(kind: type[Message], test: Callable[[Any], bool] = lambda _: True) -> When:
    def when(_process: Process, data: bytes) -> bool:
        messages = _frame(data).messages
        return any(isinstance(message, kind) and test(message) for message in messages)

    return when


_vote_granted = _message(RequestVoteResponse, lambda one: one.vote_granted)
_pre_vote_granted = _message(PreVoteResponse, lambda one: one.vote_granted)
_entries = _message(AppendEntries, lambda one: bool(one.entries))
_ack = _message(AppendEntriesResponse, lambda one: one.success and one.match_index > 0)
_rejection = _message(AppendEntriesResponse, lambda one: not one.success)
_read_round = _message(AppendEntries, lambda one: one.read_round > 0)


def _commit_news(process: Process, data: bytes) -> bool:
    known = process.server.store.last_applied
    return _message(AppendEntries, lambda one: one.leader_commit > known)(process, data)


def _handed_on(_process: Process, data: bytes) -> bool:
    return bool(_frame(data).handed_on)


def _answers(_process: Process, data: bytes) -> bool:
    return bool(_frame(data).answers)


def _chunks(_process: Process, data: bytes) -> bool:
    return bool(_frame(data).chunks)


def _chunk_acks(_process: Process, data: bytes) -> bool:
    return bool(_frame(data).acks)


# What is done to a file


def _file(part: str) -> When:
    return lambda _process, path: part in path.rpartition("/")[2]


def _after(call: str, part: str) -> When:
    """Tell whether the last change to the disk was this one."""

    def when(process: Process, _detail: object) -> bool:
        last_call, _, path = process.last_change.partition(" ")
        return last_call == call and part in path.rpartition("/")[2]

    return when


def _starting(process: Process, _path: str) -> bool:
    return not process.is_open


def _running_segment(process: Process, path: str) -> bool:
    return process.is_open and path.endswith(".seg")


# What a turn has brought


def _leader_replies(process: Process, effects: Effects) -> bool:
    return _leads(process) and bool(effects.replies)


def _deposed_replies(process: Process, effects: Effects) -> bool:
    return not _leads(process) and bool(effects.replies)


def _won(process: Process, _effects: Effects) -> bool:
    return _just_elected(process)


def _stopping(process: Process, _effects: Effects) -> bool:
    return process.stopping


def _restoring(process: Process, _effects: Effects) -> bool:
    keeper = process.server.keeper
    return keeper is not None and keeper.is_restoring


def _leader(process: Process, _detail: object) -> bool:
    return _leads(process)


def _any(_process: Process, _detail: object) -> bool:
    return True


_TABLE: Final[dict[str, tuple[tuple[str, str, When], ...]]] = {
    # Failures A1 and A2.
    "votes": (
        ("before a vote for another is written", "write", _vote_for_another),
        ("between a vote's write and its sync", "sync", _vote_for_another),
        ("between a vote's sync and its answer", "synced", _vote_for_another),
        ("before the answer with a vote leaves", "send", _vote_granted),
        ("after the answer with a vote has left", "sent", _vote_granted),
        ("before a candidate's own vote is synced", "sync", _own_vote),
        ("between a candidate's own vote and its requests", "synced", _own_vote),
        ("between two of a candidate's requests", "sent", _message(RequestVote)),
        ("before a new term without a vote is synced", "sync", _term_alone),
        ("after a pre-vote was granted", "sent", _pre_vote_granted),
        ("a vote has arrived and is not yet counted", "frame", _vote_granted),
    ),
    "offices": (
        ("an election is won and nobody knows", "turned", _won),
        ("before a leader's first entry is written", "write", _first_entry),
        ("between a leader's first entry and its commit", "synced", _first_entry),
    ),
    # Failures A4, A5, A10, A11 and E7.
    "entries": (
        ("before a follower writes entries", "write", _follower_entries),
        ("between a follower's write and its sync", "sync", _follower_entries),
        ("between a follower's sync and its acknowledgement", "synced", _follower_entries),
        ("before an acknowledgement leaves", "send", _ack),
        ("after an acknowledgement has left", "sent", _ack),
        ("before a leader writes its own entries", "write", _leader_entries),
        ("between a leader's write and its sync", "sync", _leader_entries),
        ("after a leader's sync", "synced", _leader_entries),
        ("between a leader's entries to one follower and the next", "sent", _entries),
        ("before a group of batches is synced", "sync", _group),
        ("a commit is known and not applied", "frame", _commit_news),
    ),
    # Failures A5 and A10.
    "overwriting": (
        ("before an entry is overwritten", "write", _truncating),
        ("between overwriting an entry and the sync", "sync", _truncating),
        ("after an entry was overwritten", "synced", _truncating),
        ("after a rejection has left", "sent", _rejection),
    ),
    # Failures B1 and B6.
    "answers": (
        ("between a leader's decision and its replies", "turned", _leader_replies),
        ("between a follower's decision and its replies", "turned", _deposed_replies),
        ("between two replies", "replied", _any),
        ("a leader has asked a majority about a read", "sent", _read_round),
        ("a request is handed on", "sent", _handed_on),
        ("before a handed-on request's answer leaves", "send", _answers),
        ("a handed-on request's answer has arrived", "frame", _answers),
    ),
    # Failures C13 to C15.
    "handing over": (
        ("before the order to campaign leaves", "send", _message(TimeoutNow)),
        ("after the order to campaign has left", "sent", _message(TimeoutNow)),
        ("the order to campaign has arrived", "frame", _message(TimeoutNow)),
    ),
    "stopping": (("while a node stops", "turned", _stopping),),
    # Failures D4, E1 and E8.
    "files": (
        ("before the next segment is made", "disk create", _file(NEXT_NAME)),
        ("before a segment is renamed", "disk rename", _file(NEXT_NAME)),
        (
            "between a segment's rename and its directory's sync",
            "disk sync_directory",
            _after("rename", NEXT_NAME),
        ),
        (
            "between a segment's publication and the old one's seal",
            "disk write",
            _after("sync_directory", ""),
        ),
        ("before a segment is freed", "disk remove", _running_segment),
        (
            "between a segment's removal and its directory's sync",
            "disk sync_directory",
            _after("remove", ".seg"),
        ),
        ("while the log is read back", "disk write", _starting),
        ("between reading the log back and its sync", "disk sync", _starting),
        ("while the directory is put right at a start", "disk sync_directory", _starting),
    ),
    # Failures D1 to D9.
    "snapshots": (
        ("before a snapshot's file is made", "disk create", _file(NEXT_SNAPSHOT_NAME)),
        ("in the middle of a snapshot's file", "disk write", _file(NEXT_SNAPSHOT_NAME)),
        ("before a snapshot is synced", "disk sync", _file(NEXT_SNAPSHOT_NAME)),
        ("before a snapshot is renamed", "disk rename", _file(NEXT_SNAPSHOT_NAME)),
        (
            "between a snapshot's rename and its directory's sync",
            "disk sync_directory",
            _after("rename", NEXT_SNAPSHOT_NAME),
        ),
        ("between a snapshot and the news of it", "job done", _after("sync_directory", "")),
        ("before an old snapshot is removed", "disk remove", _file("snapshot-0")),
    ),
    # Failures D2 to D9.
    "installing": (
        ("a chunk of a snapshot has left", "send bulk", _chunks),
        ("a chunk of a snapshot has arrived", "frame", _chunks),
        ("a chunk's acknowledgement has left", "sent", _chunk_acks),
        ("before a received snapshot is synced", "disk sync", _file(INCOMING_PREFIX)),
        ("before a received snapshot is renamed", "disk rename", _file(INCOMING_PREFIX)),
        (
            "between a received snapshot's rename and its directory's sync",
            "disk sync_directory",
            _after("rename", INCOMING_PREFIX),
        ),
        ("while a snapshot is put in force", "turned", _restoring),
        ("before the log restarts behind a snapshot", "write", _base),
        ("between the log's restart and its sync", "sync", _base),
        ("between the log's restart and the acknowledgement", "synced", _base),
        ("before a snapshot is acknowledged", "send", _message(InstallSnapshotResponse)),
    ),
    "time": (
        ("after a leader's tick", "tick", _leader),
        ("the disk was heard and nothing done about it", "disk heard", _any),
        ("a request was taken in", "request", _any),
    ),
}

POINTS: Final[MappingProxyType[str, Point]] = MappingProxyType(
    {
        name: Point(name, group, place, when)
        for group, rows in _TABLE.items()
        for name, place, when in rows
    }
)
"""Every named point, by its name."""

NEEDS: Final[MappingProxyType[str, tuple[tuple[str, ...], dict[str, Any]]]] = MappingProxyType(
    {
        "overwriting": (("isolate", "scatter", "isolate"), {"nodes": 3}),
        "handing over": (("transfer", "transfer", "stop"), {"nodes": 3}),
        "stopping": (("stop",), {}),
        "snapshots": (("snapshot",), {"snapshot_log_bytes": 700}),
        "installing": (
            ("away", "away"),
            {"nodes": 3, "snapshot_log_bytes": 300, "tail_bytes": 0, "held_bytes": 0},
        ),
    }
)
"""What must go wrong, or be so, for the points of a group to be reached at all."""
