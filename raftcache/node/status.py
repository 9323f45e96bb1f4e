"""What a node tells of itself: ``status`` and ``members``. For people and for the orchestrator."""

from typing import TYPE_CHECKING, Any

from ..raft.types import Role
from .events import name_of, without_incarnations
from .faults import rules_in_force

if TYPE_CHECKING:
    from .server import Server


def status_fields(server: "Server") -> dict[str, Any]:
    """Return this node's own view; nothing in it is agreed with others."""
    state = server.raft.state
    return {
        "cluster": server.about.cluster,
        "cluster_id": server.about.cluster_id,
        "incarnation": server.about.incarnation,
        "role": state.role.value,
        "commit": state.commit_index,
        "applied": server.store.last_applied,
        "last_index": state.log.last_index,
        "snapshot_index": _snapshot_index(server),
        "caught_up": is_caught_up(server),
        "peers": _peers(server),
        "sizes": {
            "keys": server.store.key_count,
            "bytes": server.store.data_bytes,
            "wal_bytes": server.storage.size_bytes,
            "log_entries": len(state.log.entries),
        },
        "election": _election(server),
        "leader_contact_ms": _leader_contact_ms(server),
        "clients": server.client_count,
        "longest_turn_ms": round(server.longest_turn_ms, 1),
        "uptime_ms": server.now_ms - server.started_ms,
        "pid": server.about.pid,
        "build": server.about.build,
        "durability": server.about.durability,
        "alarms": _alarms(server),
        "faults": rules_in_force(server),
        "dropped": dict(sorted(server.dropped.items())),
    }


def members_fields(server: "Server") -> dict[str, Any]:
    """Return who takes part in Raft, by the latest configuration in this node's log."""
    configuration = server.raft.state.configuration
    return {
        "members": [
            {
                "id": member.node_id,
                "incarnation": member.incarnation,
                "peer": member.peer_endpoint,
                "client": member.client_endpoint,
                "role": "voter" if configuration.is_voter(member.server_id) else "learner",
            }
            for member in configuration.members
        ]
    }


def is_caught_up(server: "Server") -> bool:
    """Tell whether this node has applied what its leader had committed when last heard."""
    state = server.raft.state
    applied = server.store.last_applied
    if state.role is Role.LEADER:
        return state.term_start_index <= state.commit_index == applied
    return (
        state.leader_id is not None
        and state.leader_commit is not None
        and applied >= state.leader_commit > 0
        and state.log.term_at(state.leader_commit) == state.current_term
    )


def _alarms(server: "Server") -> list[str]:
    alarms = []
    if not server.storage.has_room:
        alarms.append("no_space: the disk is full")
    if needed := server.raft.state.needs_snapshot:
        alarms.append(
            f"snapshot_lost: no sound snapshot reaches entry {needed}, where the log begins; "
            f"votes and stores, and waits for the leader's"
        )
    return alarms


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
