"""Changes of the membership, as values: from one configuration to the next. Pure functions.

A newcomer is a learner first. Members that turn from learner to voter together, and the voters that
leave with them, carry one number (``Member.change``): the plan outlives leader and process in the
log, and the leader carries it out in one joint change once all its learners have caught up (thesis
§4.2.1, §4.3). What is asked for twice is done once: a command that was killed can be repeated.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from ..protocol.joining import JoinRequest, is_endpoint, is_node_name
from ..raft.configuration import Configuration, Member, server_id_of
from ..raft.types import ServerId

_replace = msgspec.structs.replace


class Newcomer(NamedTuple):
    """A member that is asked for."""

    node_id: str
    peer_endpoint: str
    client_endpoint: str


class PlanRefused(Exception):  # noqa: N818 - as `Refused`: no error of ours
    """The change makes no sense; the message says why, for whoever asked."""


def change(
    present: Configuration,
    add: Sequence[Newcomer],
    remove: Collection[ServerId],
    *,
    promote: bool = True,
) -> Configuration | None:
    """Return the configuration that begins a change: newcomers learn, and who is removed leaves.

    Voters leave at once if nobody has to catch up before, else together with the promotion.

    Args:
        present: the configuration to change; not joint.
        add: who is to be a member.
        remove: which incarnations are to go.
        promote: whether newcomers are to vote once they have caught up.

    Returns:
        None: all of it is so, or on its way, already.

    Raises:
        PlanRefused: see the class.
    """
    for newcomer in add:
        _check(newcomer)
    names = [newcomer.node_id for newcomer in add]
    if len({*names}) < len(names):
        raise PlanRefused("a member is to be added twice: name each once")
    draft = _Draft(present)
    for gone in sorted(remove):
        if gone in present.learners:
            draft.drop(gone)
    for newcomer in add:
        draft.seat(newcomer, remove, promote=promote)
    leaving = [voter for voter in present.voters if voter in remove]
    draft.leave_with_learners(leaving)
    target = draft.finish()
    # The mark alone says nothing new: the members' own incarnations say it too.
    same = _replace(present, incarnation_mark=present.highest_incarnation())
    return None if target == same else target


def grant(present: Configuration, request: JoinRequest) -> Configuration | None:
    """Return the configuration in which the process that asks has a place.

    An incarnation serves one process's state only. A member that lost its state gets a new
    incarnation beside the former one, which leaves when the new one has caught up.

    Assumes that :func:`newest_of` has found a member for it.

    Returns:
        None: it has its place already.
    """
    newest = newest_of(present, request.node_id)
    assert newest is not None, "the caller looked for it"
    if newest.claim == request.claim:
        return None
    draft = _Draft(present)
    if is_free(present, newest):
        draft.put(_replace(newest, claim=request.claim))
    else:
        draft.succeed(newest, request.claim)
    return draft.finish()


def newest_of(configuration: Configuration, node_id: str) -> Member | None:
    """Return the newest incarnation that a name has; None: nobody has the name."""
    found = [member for member in configuration.members if member.node_id == node_id]
    return max(found, key=lambda member: member.incarnation, default=None)


def is_free(configuration: Configuration, member: Member) -> bool:
    """Tell whether no process has ever lived under this incarnation."""
    return not member.claim and member.server_id in configuration.learners


def next_promotion(configuration: Configuration) -> int:
    """Return the number of the oldest planned change; 0: there is none."""
    return min((member.change for member in _learners(configuration) if member.change), default=0)


def learners_of(configuration: Configuration, number: int) -> list[Member]:
    """Return the learners that a planned change waits for."""
    return [member for member in _learners(configuration) if member.change == number]


def promotion(present: Configuration, number: int) -> Configuration:
    """Return the configuration that a planned change leads to."""
    draft = _Draft(present)
    for member in present.members:
        if member.change == number:
            if member.server_id in present.learners:
                draft.promote(member)
            else:
                draft.drop(member.server_id)
    return draft.finish()


class _Draft:
    """A configuration in the making."""

    def __init__(self, present: Configuration) -> None:
        self._present = present
        self._members = {member.server_id: member for member in present.members}
        self._voters = {*present.voters}
        self._learners = {*present.learners}
        self._mark = present.highest_incarnation()
        self._waiting: set[ServerId] = set()
        """Learners that this change waits for."""

    def put(self, member: Member) -> None:
        self._members[member.server_id] = member

    def drop(self, server_id: ServerId) -> None:
        self._voters.discard(server_id)
        self._learners.discard(server_id)
        self._members.pop(server_id, None)

    def promote(self, member: Member) -> None:
        self.put(_replace(member, change=0))
        self._learners.discard(member.server_id)
        self._voters.add(member.server_id)

    def seat(self, newcomer: Newcomer, removed: Collection[ServerId], *, promote: bool) -> None:
        """Let a newcomer be a member, unless it is one under this name already."""
        for _, member in sorted(self._members.items()):
            if member.server_id in removed:
                continue
            if member.node_id != newcomer.node_id:
                _refuse_shared_endpoint(member, newcomer)
                continue
            if _endpoints(member) != newcomer[1:]:
                raise PlanRefused(
                    f"{member.node_id} is a member at {member.peer_endpoint} (clients: "
                    f"{member.client_endpoint}): replace it, or choose another name"
                )
            if promote and member.server_id in self._learners:
                self._waiting.add(member.server_id)
            return
        added = self._learner(*newcomer)
        if promote:
            self._waiting.add(added.server_id)

    def leave_with_learners(self, leaving: list[ServerId]) -> None:
        """Let voters go, now or together with the promotion of those that must catch up."""
        if not self._waiting:
            for server_id in leaving:
                self.drop(server_id)
            return
        numbers = {self._members[learner].change for learner in self._waiting}
        number = numbers.pop() if len(numbers) == 1 else 0
        if not number:
            # A newcomer's incarnation is new, and so is its number as that of a plan.
            if self._mark == self._present.highest_incarnation():
                self._mark += 1
            number = self._mark
        for server_id in [*self._waiting, *leaving]:
            self.put(_replace(self._members[server_id], change=number))

    def succeed(self, former: Member, claim: str) -> None:
        """Give a name its next incarnation, for a process that lost the state of the former."""
        added = self._learner(former.node_id, *_endpoints(former), claim=claim)
        if former.server_id in self._learners:
            self.put(_replace(added, change=former.change))
            self.drop(former.server_id)
        else:
            self.put(_replace(added, change=former.change or added.incarnation))
            self.put(_replace(former, change=former.change or added.incarnation))

    def finish(self) -> Configuration:
        """Return it, in order, without plans that wait for nobody."""
        waited_for = {self._members[learner].change for learner in self._learners}
        for member in list(self._members.values()):
            if member.change not in waited_for:
                self.put(_replace(member, change=0))
        staying = [voter for voter in self._voters if not self._members[voter].change]
        if not staying and not any(waited_for):
            raise PlanRefused("nobody would vote any more: `bin/cluster down` ends a cluster")
        return _replace(
            self._present,
            voters=tuple(sorted(self._voters)),
            learners=tuple(sorted(self._learners)),
            members=tuple(sorted(self._members.values(), key=lambda member: member.server_id)),
            incarnation_mark=self._mark,
        )

    def _learner(self, node_id: str, peer: str, client: str, claim: str = "") -> Member:
        self._mark += 1
        added = Member(server_id_of(node_id, self._mark), node_id, self._mark, peer, client, claim)
        self.put(added)
        self._learners.add(added.server_id)
        return added


def _learners(configuration: Configuration) -> list[Member]:
    return [
        member for member in configuration.members if member.server_id in configuration.learners
    ]


def _endpoints(member: Member) -> tuple[str, str]:
    return member.peer_endpoint, member.client_endpoint


def _check(newcomer: Newcomer) -> None:
    if not is_node_name(newcomer.node_id):
        raise PlanRefused(
            f"{newcomer.node_id[:40]!r} is no name of a node: letters, digits and `_.-`, 64 at most"
        )
    for endpoint in newcomer[1:]:
        if not is_endpoint(endpoint):
            raise PlanRefused(f"{endpoint[:80]!r} is no endpoint: as in tcp://127.0.0.1:7501")


def _refuse_shared_endpoint(member: Member, newcomer: Newcomer) -> None:
    shared = {*_endpoints(member)} & {*newcomer[1:]}
    if shared:
        raise PlanRefused(
            f"{min(shared)} is where {member.node_id} listens: {newcomer.node_id} needs its own"
        )
