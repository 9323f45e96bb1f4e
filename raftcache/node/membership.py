"""Changes of the membership by this node as leader: what administrators ask for, and what is due.

Three things lead to a change: an operation such as ``member_add``, a node without state that asks
to join, and a learner that has caught up. One change goes on at a time; each is an entry of the
log, or two (thesis §4.3), so that another leader goes on with it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..protocol.joining import JoinRequest
from ..raft.configuration import Configuration, Member
from ..raft.membership import ChangeRefused
from ..raft.quorum import has_quorum
from ..raft.types import ServerId, Term
from . import plans
from .answers import NOT_APPLIED, UNKNOWN
from .pending import Pending
from .plans import Newcomer, PlanRefused
from .status import members_fields

if TYPE_CHECKING:
    from .server import Server

MEMBER_OPS = frozenset({"member_add", "member_remove", "member_replace", "member_change"})
"""The operations that are answered here, by the leader."""
PENDING_MAX = 100
"""How many of them may wait; they come from people and their tools."""


class _Waiting(NamedTuple):
    """An operation whose change is in the log."""

    pending: Pending
    changed: bool
    term: Term


class Membership:
    """The leader's part in changes of the membership."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._waiting: list[_Waiting] = []
        self._not_yet: list[Pending] = []
        """Asked of a leader that has not committed an entry of its term."""
        self._joins: list[JoinRequest] = []
        """Whose place is being written to the log."""

    @property
    def has_work(self) -> bool:
        """Tell whether :meth:`on_turn` may have somebody to answer."""
        return bool(self._waiting or self._joins)

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody waits."""
        return not self._waiting and not self._not_yet

    def take(self, pending: Pending) -> None:
        """Begin a change that is asked for, or refuse it.

        Assumes that this node leads.
        """
        server = self._server
        state = server.raft.state
        if len(self._waiting) + len(self._not_yet) >= PENDING_MAX:
            server.desk.refuse_overloaded(pending)
            return
        if state.commit_index < state.term_start_index:
            self._not_yet.append(pending)
            return
        if state.configuration.is_joint:
            self._refuse(pending, "a change of voters is under way")
            return
        try:
            target = _target(state.configuration, pending)
        except PlanRefused as refused:
            server.answers.refuse(pending, "bad_request", str(refused))
            return
        if target is not None:
            try:
                self._change(target)
            except ChangeRefused as refused:
                self._refuse(pending, refused.reason)
                return
        self._waiting.append(_Waiting(pending, target is not None, state.current_term))

    def on_join(self, request: JoinRequest) -> None:
        """Give a node without state its place, if it has one; else tell it why not."""
        server = self._server
        if not server.raft.is_leader:
            # Who leads hears of it too, and has more to say.
            known = server.raft.state.leader_id is not None
            message = "" if known else "no leader is known"
            server.admission.answer(request, "wait", message)
            return
        verdict, message = "wait", self._obstacle(request)
        if not message:
            _, committed = server.admission.committed
            newest = plans.newest_of(committed, request.node_id)
            if newest is not None and newest.claim == request.claim:
                verdict = "granted"
            else:
                message = self._begin_join(request)
        server.admission.answer(request, verdict, message)

    def on_tick(self) -> None:
        """Carry out the oldest plan whose learners have caught up; let deadlines pass."""
        server = self._server
        self._expire(server.now_ms)
        raft = server.raft
        if not raft.is_leader:
            return
        not_yet, self._not_yet = self._not_yet, []
        for pending in not_yet:
            self.take(pending)
        if raft.change_in_progress or not raft.accepts_proposals:
            return
        configuration = raft.state.configuration
        number = plans.next_promotion(configuration)
        learners = plans.learners_of(configuration, number)
        if number and all(raft.is_caught_up(learner.server_id) for learner in learners):
            try:
                self._change(plans.promotion(configuration, number))
            except ChangeRefused:
                return  # For a moment: the next tick tries again.
            promoted = [learner.node_id for learner in learners]
            server.events.tell("member_promoted", raft.current_term, ids=promoted)

    def on_turn(self) -> None:
        """Answer those whose change is complete."""
        raft = self._server.raft
        if raft.change_in_progress:
            return
        if self._joins and raft.is_leader:
            joins, self._joins = self._joins, []
            for request in joins:
                self.on_join(request)
        # A leader that has removed itself leads no more; within its term nobody changes its log.
        for one in [one for one in self._waiting if one.term == raft.current_term]:
            self._waiting.remove(one)
            fields = {"changed": one.changed, **members_fields(self._server)}
            self._server.answers.result(one.pending, fields)

    def on_leadership_lost(self) -> None:
        """Tell those whose change is in the log that nobody knows; let the others go elsewhere."""
        self._joins = []
        waiting, self._waiting = self._waiting, []
        for pending, changed, _ in waiting:
            self._give_up(pending, "does not lead any more", changed=changed)
        not_yet, self._not_yet = self._not_yet, []
        for pending in not_yet:
            self._server.desk.take(pending)

    def close(self) -> None:
        """Answer everyone before the node goes."""
        for pending, changed, _ in self._waiting:
            self._give_up(pending, "is stopping", changed=changed)
        for pending in self._not_yet:
            self._refuse(pending, "it is stopping", code="no_leader")
        self._waiting, self._not_yet = [], []

    def _change(self, target: Configuration) -> None:
        """Begin a change, unless it would leave the cluster without a majority that answers.

        Raises:
            ChangeRefused: not now.
        """
        raft = self._server.raft
        state = raft.state
        if target.voters != state.configuration.voters:

            def answers(voter: ServerId) -> bool:
                if voter == state.server_id:
                    return True
                progress = state.progress.get(voter)
                timeout = state.options.election_ticks_max
                # Until it has matched something, a new leader only hopes that it is there.
                return (
                    progress is not None
                    and progress.match_index > 0
                    and progress.ticks_since_contact < timeout
                )

            if not has_quorum(target, answers):
                silent = [voter for voter in target.voters if not answers(voter)]
                raise ChangeRefused(
                    f"{', '.join(silent)} of the voters that would be left can't be heard: "
                    f"without a majority of them nothing could be written"
                )
        index = raft.change_configuration(target)
        self._server.events.tell(
            "member_change",
            raft.current_term,
            index=index,
            voters=list(target.voters),
            learners=list(target.learners),
        )

    def _obstacle(self, request: JoinRequest) -> str:
        """Say why a node can't be given a place at all; "" if it can."""
        server = self._server
        name = request.node_id
        _, committed = server.admission.committed
        newest = plans.newest_of(committed, name)
        if newest is None:
            return f"the cluster has no member {name}: add it with `bin/cluster add`"
        if newest.peer_endpoint != request.peer_endpoint:
            return (
                f"{name} is a member at {newest.peer_endpoint}, not at {request.peer_endpoint}: "
                f"start it there, or replace it"
            )
        if newest.claim != request.claim and self._is_alive(newest):
            return f"{newest.server_id} was heard a moment ago: two nodes can't share a name"
        return ""

    def _is_alive(self, member: Member) -> bool:
        """Tell whether a member was heard so lately that no other may take its place."""
        state = self._server.raft.state
        if member.server_id == state.server_id:
            return True
        if plans.is_free(state.configuration, member):
            return False
        progress = state.progress.get(member.server_id)
        patience = 2 * state.options.election_ticks_max
        return progress is not None and progress.ticks_since_contact < patience

    def _begin_join(self, request: JoinRequest) -> str:
        """Propose the configuration that has a place for a node; return why not, or that it is."""
        raft = self._server.raft
        if raft.change_in_progress:
            return "a change of members is under way"
        target = plans.grant(raft.state.configuration, request)
        if target is not None:
            try:
                self._change(target)
            except ChangeRefused as refused:
                return refused.reason
            self._joins.append(request)
        return "its place is being written to the log"

    def _refuse(self, pending: Pending, reason: str, *, code: str = "conflict") -> None:
        node = self._server.about.node_id
        message = f"{node} can't change the members now: {reason}"
        self._server.answers.refuse(pending, code, message)

    def _give_up(self, pending: Pending, why: str, *, changed: bool) -> None:
        self._server.answers.refuse(
            pending,
            "timeout",
            f"{self._server.about.node_id} {why}: ask `members`, and repeat what is not so yet",
            applied=UNKNOWN if changed else NOT_APPLIED,
        )

    def _expire(self, now_ms: int) -> None:
        for one in [one for one in self._waiting if one.pending.deadline_ms <= now_ms]:
            self._waiting.remove(one)
            self._give_up(one.pending, "has no majority for it in time", changed=one.changed)
        for pending in [pending for pending in self._not_yet if pending.deadline_ms <= now_ms]:
            self._not_yet.remove(pending)
            self._refuse(pending, "no majority answers", code="no_leader")


def _target(present: Configuration, pending: Pending) -> Configuration | None:
    """Return what an operation leads to; None: it is so already.

    Raises:
        PlanRefused: it makes no sense.
    """
    request = pending.request
    arguments = request.arguments
    if request.op == "member_change":
        add = [Newcomer(one.id, one.peer, one.client) for one in arguments.get("add", ())]
        return plans.change(present, add, _incarnations(present, arguments.get("remove", ())))
    name = request.id
    if not isinstance(name, str):
        raise PlanRefused(f"`id` names the member that `{request.op}` is about, as in n4")
    gone = _incarnations(present, [name])
    if "incarnation" in arguments:
        wanted = arguments["incarnation"]
        gone = [one for one in gone if one.endswith(f"#{wanted}")]
    if request.op == "member_remove":
        return plans.change(present, [], gone)
    if request.op == "member_add":
        newcomer = Newcomer(name, arguments["peer"], arguments["client"])
        return plans.change(present, [newcomer], [], promote=not arguments["learner"])
    return _replacement(present, name, gone, arguments)


def _replacement(
    present: Configuration, name: str, gone: Sequence[ServerId], arguments: dict[str, Any]
) -> Configuration | None:
    """Return what begins to put a newcomer in the place of a member."""
    newcomer = Newcomer(arguments.get("to", name), arguments["peer"], arguments["client"])
    if not gone and plans.newest_of(present, newcomer.node_id) is None:
        raise PlanRefused(f"there is no member {name} to replace: add {newcomer.node_id} instead")
    voters = [one for one in gone if one in present.voters]
    # The successor of a voter may be there already, as a learner: it is not replaced again.
    return plans.change(present, [newcomer], voters or gone)


def _incarnations(present: Configuration, names: Sequence[str]) -> list[ServerId]:
    return [member.server_id for member in present.members if member.node_id in names]
