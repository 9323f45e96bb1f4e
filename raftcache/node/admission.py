"""Who may talk to this node, where its peers are, and who asks for a place among them.

The peers and their endpoints are those of the configuration. A node that lags behind may know none
of today's; then it asks, and goes by what it is told until its log has come that far. A node that
was removed can't learn it from its log, as nobody sends it one: it asks too, when it has heard
nobody for a while, and keeps quiet from then on (failure C9).

With each frame, peers say where they listen. It is believed only of those who may take part but are
in no configuration that is known here: candidates and leaders of today, whom a node that lags must
be able to answer, or the two might never be a majority (thesis §4.1).
"""

from typing import TYPE_CHECKING

from ..errors import MalformedFrames
from ..protocol.joining import (
    JoinAnswer,
    JoinRequest,
    decode_join_frame,
    encode_join_frame,
    is_endpoint,
)
from ..raft.configuration import Configuration, Member, server_id_of
from ..raft.types import Index, Role, ServerId
from .outbox import Outgoing

if TYPE_CHECKING:
    from .server import Server

CALLERS_MAX = 16
"""How many nodes without a place that is known here are answered at a time."""
CALLER_MS = 5_000
"""How long a connection to one of them is kept after it was heard."""
ASK_MS = 500
"""How often to ask whether one is a member, while no leader is heard."""
SILENCES_BEFORE_ASKING = 3
"""How many election timeouts without a leader come before that."""


class Admission:
    """The peers of one node, and those who would like to be.

    Args:
        server: the node.
        told: the configuration that this node was told when it joined, and its place in the log.
    """

    def __init__(self, server: "Server", told: tuple[Index, Configuration]) -> None:
        self._server = server
        self._told = told
        self._callers: dict[ServerId, tuple[str, int]] = {}
        self._outgoing: list[Outgoing] = []
        self._asked_ms = 0
        self._seen: tuple[Index, Index, list[tuple[ServerId, str]]] | None = None
        self._peers: tuple[ServerId, ...] = ()
        self._homeless: dict[str, int] = {}
        own = self.member(server.server_id)
        server.outbox.reply_to = own.peer_endpoint if own is not None else ""
        self.removed_message = ""
        """Why this node is no member any more; "": it is one, as far as it knows."""

    @property
    def is_removed(self) -> bool:
        """Tell whether this node has learned that it is no member any more."""
        return bool(self.removed_message)

    @property
    def committed(self) -> tuple[Index, Configuration]:
        """The newest configuration that is committed, as far as this node knows."""
        state = self._server.raft.state
        known = [item for item in state.configurations if item[0] <= state.commit_index]
        return max([known[-1] if known else state.configurations[0], self._told], key=_place)

    def endpoints(self) -> dict[ServerId, str] | None:
        """Return where to connect to, by peer, if that has changed since the last call."""
        state = self._server.raft.state
        callers = [(caller, endpoint) for caller, (endpoint, _) in self._callers.items()]
        seen = (state.configurations[-1][0], self._told[0], callers)
        if seen == self._seen:
            return None
        self._seen = seen
        known: dict[ServerId, str] = {}
        if self._told[0] > state.configurations[-1][0]:
            known.update(_endpoints(self._told[1]))
        # Both configurations of a change that may yet be taken back.
        for _, configuration in state.configurations[-2:]:
            known.update(_endpoints(configuration))
        known.pop(self._server.server_id, None)
        self._peers = tuple(sorted(known))
        # What a configuration says goes before what a peer says of itself.
        return dict(sorted({**dict(callers), **known}.items()))

    def is_former(self, server_id: ServerId) -> bool:
        """Tell whether a server that takes part no more did so a change ago."""
        return server_id in self._peers

    def member(self, server_id: ServerId) -> Member | None:
        """Return what is known of a member, by the log or by what this node was told."""
        found = self._server.raft.state.configuration.member(server_id)
        return found or self._told[1].member(server_id)

    def on_frame(self, data: bytes) -> None:
        """Take in what a node without a place asks, or the answer to what this one has asked."""
        server = self._server
        try:
            frame = decode_join_frame(data)
        except MalformedFrames:
            server.dropped["malformed"] += 1
            return
        if frame.cluster_id != server.about.cluster_id:
            server.dropped["other_cluster"] += 1
        elif isinstance(frame, JoinAnswer):
            self._on_answer(frame)
        elif frame.incarnation:
            self._on_question(frame)
        else:
            self._homeless[frame.node_id] = server.now_ms
            server.membership.on_join(frame)

    def on_heard(self, source: ServerId, endpoint: str) -> None:
        """Remember for a while where to answer a peer that no configuration here names yet.

        Assumes that it may take part; so it is no member's former life, nor anybody removed.
        """
        server = self._server
        if not endpoint or source in self._peers or source == server.server_id:
            return
        if not is_endpoint(endpoint):
            server.dropped["malformed"] += 1
        elif source not in self._callers and len(self._callers) >= CALLERS_MAX:
            server.dropped["stranger"] += 1
        else:
            # Until it asks again at the latest: what was sent before the connection stood is lost.
            stay_ms = max(CALLER_MS, self._silence_ticks * server.tick_ms)
            self._callers[source] = (endpoint, server.now_ms + stay_ms)
            server.chores.are_due = True

    def answer(self, request: JoinRequest, verdict: str, message: str) -> None:
        """Answer a node that asks for its place, by a connection to where it says it listens."""
        server = self._server
        caller = server_id_of(request.node_id, 0)
        if caller not in self._callers and len(self._callers) >= CALLERS_MAX:
            server.dropped["stranger"] += 1
            return
        self._callers[caller] = (request.peer_endpoint, server.now_ms + CALLER_MS)
        index, configuration = self.committed
        incarnation = request.incarnation
        if verdict == "granted":
            incarnation = next(
                member.incarnation
                for member in configuration.members
                if (member.node_id, member.claim) == (request.node_id, request.claim)
            )
        answer = JoinAnswer(
            request.cluster_id,
            server.server_id,
            request.node_id,
            request.claim,
            incarnation,
            verdict,
            message,
            configuration,
            index,
        )
        self._outgoing.append(Outgoing(caller, encode_join_frame(answer), []))

    def take(self) -> list[Outgoing]:
        """Return the frames of this turn."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def on_tick(self) -> None:
        """Forget who went silent; find out whether this node is a member still."""
        server = self._server
        now_ms = server.now_ms
        for caller, (_, until_ms) in list(self._callers.items()):
            if until_ms <= now_ms:
                del self._callers[caller]
        for name, heard_ms in list(self._homeless.items()):
            if heard_ms + CALLER_MS <= now_ms:
                del self._homeless[name]
        state = server.raft.state
        index, configuration = self.committed
        if self.is_removed or state.role is Role.LEADER:
            return  # A leader that was removed sees to its successor first.
        if _has_lost(configuration, server.server_id):
            self._on_removed(f"by the configuration at entry {index}")
            return
        # A leader that joined while this node was away is heard, but where does it listen?
        is_nameless = state.leader_id is not None and self.member(state.leader_id) is None
        is_lost = is_nameless or state.leader_ticks >= self._silence_ticks
        if is_lost and now_ms >= self._asked_ms + ASK_MS:
            self._asked_ms = now_ms
            self._ask()

    def alarms(self) -> list[str]:
        """Say that this node was removed, or that too many came back without their state."""
        state = self._server.raft.state
        if self.is_removed:
            return [f"removed: {self.removed_message}"]
        if state.leader_id is not None:
            return []
        lost = lost_voters(state.configuration, self._homeless)
        voters = len(state.configuration.voters)
        return [data_is_gone(lost, voters)] if lost else []

    @property
    def _silence_ticks(self) -> int:
        return SILENCES_BEFORE_ASKING * self._server.raft.state.options.election_ticks_max

    def _ask(self) -> None:
        server = self._server
        own = self.member(server.server_id)
        if own is None:
            return
        question = JoinRequest(
            server.about.cluster_id,
            server.about.node_id,
            server.about.incarnation,
            own.claim,
            own.peer_endpoint,
            own.client_endpoint,
        )
        frame = encode_join_frame(question)
        for peer in self._peers:
            self._outgoing.append(Outgoing(peer, frame, []))

    def _on_question(self, request: JoinRequest) -> None:
        """Tell a node that hears no leader whether it is a member.

        Incarnations are given in rising order by committed configurations, and never twice: one
        that is not above the highest and no member has been removed, for good.
        """
        _, configuration = self.committed
        if _has_lost(configuration, server_id_of(request.node_id, request.incarnation)):
            self.answer(request, "removed", f"{self._server.about.node_id} knows")
        else:
            self.answer(request, "member", "")

    def _on_answer(self, answer: JoinAnswer) -> None:
        about = self._server.about
        if (answer.node_id, answer.incarnation) != (about.node_id, about.incarnation):
            self._server.dropped["other_target"] += 1
            return
        told = answer.configuration
        if told is not None and told.voters and answer.index > self._told[0]:
            self._told = (answer.index, told)
        if answer.verdict == "removed" and not self.is_removed:
            self._on_removed(answer.message)

    def _on_removed(self, how: str) -> None:
        server = self._server
        self.removed_message = (
            f"{server.server_id} is no member of the cluster any more ({how}): stop it; a node of "
            f"this name may be added again, with an empty directory"
        )
        server.raft.retire()
        server.desk.watches.close(self.removed_message)
        server.events.tell("member_removed", server.raft.current_term, id=server.about.node_id)


def lost_voters(configuration: Configuration, homeless: "dict[str, int] | set[str]") -> list[str]:
    """Return which voters' names came back without state, if they are too many to go on without.

    As long as the others are a majority, they can let these join anew; then it is none.
    """
    voters = {
        member.node_id
        for member in configuration.members
        if configuration.is_voter(member.server_id)
    }
    lost = sorted(voters & {*homeless})
    return lost if len(voters) - len(lost) <= len(voters) // 2 else []


def data_is_gone(lost: list[str], voters: int) -> str:
    """Return the sentence for a cluster that has lost its state."""
    return (
        f"data_is_gone: {', '.join(lost)} lost their state, too many of {voters} voters: the "
        f"data is gone, for nobody can tell what was committed. Put their directories back and "
        f"start them, or begin an empty cluster with `bin/cluster up --wipe`"
    )


def _has_lost(configuration: Configuration, server_id: ServerId) -> bool:
    """Tell whether this incarnation was a member before, and is none now."""
    if configuration.member(server_id) is not None:
        return False
    incarnation = int(server_id.rpartition("#")[2])
    return incarnation <= configuration.highest_incarnation()


def _endpoints(configuration: Configuration) -> dict[ServerId, str]:
    return {member.server_id: member.peer_endpoint for member in configuration.members}


def _place(item: tuple[Index, Configuration]) -> Index:
    return item[0]
