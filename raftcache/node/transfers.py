"""``leader_transfer``: the leadership goes to another voter, and who asked is told how it ended.

Rules: what can't end well is refused before anything happens; proposals wait for one election
timeout at most (``raft/transfer.py``); the answer comes when another leads, or when this node leads
on and takes proposals again. Then nothing has changed, unless the target was told to campaign: that
word may be lost, or late, so what comes of it is unknown.
"""

from typing import TYPE_CHECKING

from ..raft import transfer
from ..raft.progress import ProgressState
from ..raft.types import ServerId, Term
from .answers import UNKNOWN
from .events import name_of
from .pending import Pending

if TYPE_CHECKING:
    from .server import Server

LAG_ENTRIES_MAX = 1_000
"""A target that lacks more could not be brought up to date within an election timeout."""


class Transfers:
    """Takes the requests; one transfer is under way at a time."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._waiting: tuple[Pending, ServerId, Term] | None = None

    def take(self, pending: Pending) -> None:
        """Begin a transfer, or say why not. Assumes that this node leads."""
        if not self._server.raft.accepts_proposals or self._waiting is not None:
            self._refuse(pending, "a transfer is under way already")
        else:
            self._begin(pending, pending.request.arguments.get("to"))

    @property
    def has_work(self) -> bool:
        """Tell whether a transfer is under way, so that :meth:`look` is to be called."""
        return self._waiting is not None

    def look(self) -> None:
        """Answer if the transfer has ended; call it behind Raft's work."""
        if self._waiting is None:
            return
        server = self._server
        pending, target, term = self._waiting
        state = server.raft.state
        if state.current_term > term and state.leader_id is not None:
            self._waiting = None
            fields = {"to": name_of(target), "leader_id": name_of(state.leader_id)}
            if state.leader_id == target:
                server.answers.result(pending, fields)
            else:
                message = (
                    f"{name_of(state.leader_id)} leads term {state.current_term} instead of "
                    f"{name_of(target)}"
                )
                server.answers.refuse(pending, "conflict", message, applied="yes")
        elif state.current_term == term and server.raft.accepts_proposals:
            self._give_back(pending, name_of(target))
        elif server.now_ms >= pending.deadline_ms:
            self.give_up("nobody leads yet: look at `status`")

    def give_up(self, why: str) -> None:
        """Answer, for want of a better, that nobody knows how it will end."""
        if self._waiting is not None:
            pending, _, _ = self._waiting
            self._waiting = None
            self._server.answers.refuse(pending, "timeout", why, applied=UNKNOWN)

    def _give_back(self, pending: Pending, target: str) -> None:
        """Answer that this node leads on; the word to campaign may be under way still."""
        self._waiting = None
        server = self._server
        late = f"{target} did not take over within an election timeout: {server.about.node_id}"
        if server.raft.state.transfer_sent:
            message = f"{late} leads on, and {target} may have been told to take over all the same"
            server.answers.refuse(pending, "timeout", message, applied=UNKNOWN)
        else:
            self._refuse(pending, f"{late} leads on, and nothing has changed")

    def _begin(self, pending: Pending, wanted: object) -> None:
        server = self._server
        state = server.raft.state
        target = transfer.best_target(state)
        if wanted is not None:
            known = [one for one in state.configuration.members if one.node_id == wanted]
            target = known[-1].server_id if known else None
            if target is None or target == server.server_id:
                what = "leads already" if known else "is no member of this cluster"
                server.answers.refuse(pending, "bad_request", f"`to`: {wanted!r} {what}")
                return
        objection = "no other voter is connected and caught up"
        if target is not None:
            objection = self._objection(target)
        if target is None or objection:
            self._refuse(pending, f"{objection}: nothing has changed, try again later")
            return
        server.raft.transfer_leadership(target)
        self._waiting = (pending, target, state.current_term)

    def _objection(self, target: ServerId) -> str:
        """Say why this member could not take over now; empty: it may."""
        state, name = self._server.raft.state, name_of(target)
        if not state.configuration.is_voter(target) or target not in state.progress:
            return f"{name} is no voter, and only voters lead"
        progress = state.progress[target]
        if progress.ticks_since_contact >= state.options.election_ticks_min:
            silent_ms = progress.ticks_since_contact * self._server.tick_ms
            return f"{name} has not answered for {silent_ms} ms"
        if not progress.fit_to_lead:
            return f"the disk of {name} is slow or full"
        lag = state.log.last_index - progress.match_index
        is_sent_snapshot = progress.needs_snapshot or progress.state is ProgressState.SNAPSHOT
        if is_sent_snapshot or lag > LAG_ENTRIES_MAX:
            return f"{name} lacks the last {lag} entries of the log"
        return ""

    def _refuse(self, pending: Pending, message: str) -> None:
        self._server.answers.refuse(pending, "conflict", message)
