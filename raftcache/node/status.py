"""What a node tells of itself: ``status`` and ``members``. For people and for the orchestrator."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..raft.configuration import Configuration, Member
from ..raft.types import Entry, Role
from .events import name_of, without_incarnations
from .faults import rules_in_force

if TYPE_CHECKING:
    from .server import Server

LOOKED_AT_MAX = 1_000
"""At how many entries of the log one request for the status looks."""
ENTRY_BYTES = 150
"""About what an entry takes in memory besides its data."""


def status_fields(server: "Server") -> dict[str, Any]:
    """Return this node's own view; nothing in it is agreed with others."""
    state = server.raft.state
    return {
        "cluster": server.about.cluster,
        "cluster_id": server.about.cluster_id,
        "incarnation": server.about.incarnation,
        "role": "removed" if server.admission.is_removed else state.role.value,
        "commit": state.commit_index,
        "applied": server.store.last_applied,
        "last_index": state.log.last_index,
        "snapshot_index": _snapshot_index(server),
        "caught_up": server.keeping_up.has_caught_up,
        "peers": _peers(server),
        "sizes": {
            "keys": server.store.key_count,
            "bytes": server.store.data_bytes,
            "bytes_max": server.limits.cache_bytes,
            "sessions": server.store.session_count,
            "wal_bytes": server.storage.size_bytes,
            "log_entries": len(state.log.entries),
            "log_bytes": _log_bytes(state.log.entries),
        },
        "counts": _counts(server),
        "election": _election(server),
        "leader_contact_ms": _leader_contact_ms(server),
        "clients": server.client_count,
        "watches": len(server.desk.watches),
        "longest_turn_ms": round(server.longest_turn_ms, 1),
        "uptime_ms": server.now_ms - server.started_ms,
        "pid": server.about.pid,
        "build": server.about.build,
        "durability": server.about.durability,
        "alarms": _alarms(server),
        "faults": rules_in_force(server),
        "dropped": dict(sorted(server.dropped.items())),
    }


def _log_bytes(entries: Sequence[Entry]) -> int:
    """Return about how much memory the log takes, by some of its entries."""
    step = 1 + len(entries) // LOOKED_AT_MAX
    drawn = entries[::step]
    return step * sum([ENTRY_BYTES + len(entry.data) for entry in drawn])


def _counts(server: "Server") -> dict[str, int]:
    """Return what has become of keys here since the process began."""
    uses = server.store.uses
    return {
        "hits": uses.hits,
        "misses": uses.misses,
        "expiries": uses.expired,
        "evictions": uses.evicted,
    }


def members_fields(server: "Server") -> dict[str, Any]:
    """Return who takes part in Raft, by the latest configuration in this node's log."""
    state = server.raft.state
    index, configuration = state.configurations[-1]
    return {
        "members": [_member(server, configuration, member) for member in configuration.members],
        "joint": configuration.is_joint,
        "changing": server.raft.change_in_progress,
        "configuration_index": index,
        "incarnation_mark": configuration.highest_incarnation(),
    }


def _member(server: "Server", configuration: Configuration, member: Member) -> dict[str, Any]:
    """Return what is known of a member; how far it is, only the leader knows."""
    raft, server_id = server.raft, member.server_id
    learns = server_id in configuration.learners
    progress = raft.state.progress.get(server_id)
    caught_up = match_index = None
    if server_id == raft.state.server_id and raft.is_leader:
        caught_up, match_index = True, raft.state.persisted_index
    elif progress is not None:
        caught_up, match_index = raft.is_caught_up(server_id), progress.match_index
    return {
        "id": member.node_id,
        "incarnation": member.incarnation,
        "peer": member.peer_endpoint,
        "client": member.client_endpoint,
        "role": "learner" if learns else "voter",
        "joins": learns and bool(member.change),
        "leaves": _leaves(configuration, member),
        "joined": bool(member.claim) or not learns,
        "caught_up": caught_up,
        "match": match_index,
    }


def _leaves(configuration: Configuration, member: Member) -> bool:
    """Tell whether a voter goes, now or when its successors have caught up."""
    server_id = member.server_id
    if configuration.is_joint:
        return server_id not in (*configuration.voters, *configuration.learners)
    return bool(member.change) and server_id in configuration.voters


def _alarms(server: "Server") -> list[str]:
    alarms = server.admission.alarms()
    if not server.storage.has_room:
        alarms.append("no_space: the disk is full, or file descriptors have run out")
    alarms += server.disk.alarms()
    if needed := server.raft.state.needs_snapshot:
        alarms.append(
            f"snapshot_lost: no sound snapshot reaches entry {needed}, where the log begins; "
            f"votes and stores, and waits for the leader's"
        )
    return alarms + server.upkeep.digests.alarms


def _snapshot_index(server: "Server") -> int:
    """Return the index of the newest snapshot on disk; 0 while there is none."""
    newest = server.keeper.snapshots.newest if server.keeper is not None else None
    return newest.meta.last_included_index if newest is not None else 0


def _leader_contact_ms(server: "Server") -> int:
    state = server.raft.state
    return 0 if state.role is Role.LEADER else state.leader_ticks * server.tick_ms


def _peers(server: "Server") -> list[dict[str, Any]]:
    state = server.raft.state
    return [
        {
            "id": name_of(peer),
            "match": progress.match_index,
            "next": progress.next_index,
            "state": progress.state.value,
            "lag": state.log.last_index - progress.match_index,
            "contact_ms": progress.ticks_since_contact * server.tick_ms,
        }
        for peer, progress in sorted(state.progress.items())
    ]


def _election(server: "Server") -> dict[str, Any] | None:
    """Return how this node came into office; None when it does not lead."""
    state = server.raft.state
    if state.role is not Role.LEADER:
        return None
    return {
        "term": state.current_term,
        "reason": without_incarnations(state.election_reason),
        "votes": sorted(name_of(voter) for voter, granted in state.votes.items() if granted),
        "started_ms": server.election_started_ms,
        "won_ms": server.election_won_ms,
    }
