"""Who leads, as this node has last acted on it: what a change of term, role or leader brings."""

from typing import TYPE_CHECKING

from ..raft.types import Role, ServerId

if TYPE_CHECKING:
    from .server import Server


class Office:
    """Watches one server's role, and lets the others know of a change."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._role = Role.FOLLOWER
        self._term = server.raft.current_term
        self._leader: ServerId | None = None
        self._was_ready = False

    def look(self) -> None:
        """Act on what this turn has brought; call it behind Raft's work."""
        server, state = self._server, self._server.raft.state
        role, term, leader = state.role, state.current_term, state.leader_id
        if (role, term, leader) == (self._role, self._term, self._leader):
            if not self._was_ready and server.keeping_up.has_caught_up:
                self._was_ready = True
                server.events.tell("ready", term)
            return
        led, before = self._role is Role.LEADER, self._leader
        same_office = led and role is Role.LEADER and term == self._term
        if role in (Role.PRE_CANDIDATE, Role.CANDIDATE) and role is not self._role:
            if self._role in (Role.FOLLOWER, Role.LEADER):
                server.election_started_ms = server.now_ms
        elif role is Role.LEADER and not same_office:
            if self._role is Role.FOLLOWER:
                server.election_started_ms = server.now_ms
            server.election_won_ms = server.now_ms
        self._role, self._term, self._leader = role, term, leader
        server.chores.are_due = True
        server.refresh_header()
        if led and not same_office:
            server.desk.on_leadership_lost()
            server.membership.on_leadership_lost()
        if leader != before:
            server.events.on_leader(term, leader, before)
        if leader is not None:
            # It may be the same as before, elected anew: what it had taken on may be lost.
            server.desk.on_leader(leader)
