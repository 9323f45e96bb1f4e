"""What servers say, ask and take up, each by itself: rules that are broken long before they harm.

Rules: as in ``elections``, a check knows the paper and the facts (frames, disks, ticks), and
nothing of how the product counts.
"""

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from raftcache.node import watches
from raftcache.raft.configuration import Configuration
from raftcache.raft.messages import (
    AppendEntriesResponse,
    Message,
    PreVote,
    PreVoteResponse,
    ReadIndex,
    RequestVote,
    TimeoutNow,
)
from raftcache.raft.state import RaftState
from raftcache.raft.types import EntryKind, Index, Role, ServerId, Term
from raftcache.store.commands import COMMAND_VERSION, RaiseVersion, decode_commands

from .majorities import have_majority
from .writer import SimulatedWriter

if TYPE_CHECKING:
    from .process import Process

WATCH_COST = 10
"""What it costs a turn, at least, to tell a watch something."""
LIFE_BITS = 31
"""The lower bits of a question's number count, and those above tell the life of who asks."""
REPEATED_HEARTBEATS = 3
"""Within so many heartbeats a question without an answer is asked again."""
LATE_TICKS = 3
ROUNDED_MS = 1
"""Clocks show whole milliseconds."""


class _Seen(NamedTuple):
    """Who takes part, as far as a node knows."""

    process: "Process"
    configurations: tuple[tuple[Index, Configuration], ...]
    commit_index: Index
    leader_id: ServerId | None


def _seen_by(process: "Process") -> _Seen:
    state = process.server.raft.state
    known = tuple(state.configurations)
    return _Seen(process, known, state.commit_index, state.leader_id)


class Words:
    """Watches all servers of one run."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[ServerId, Term], int] = defaultdict(int)
        """The newest round of reads that a follower has acknowledged in a term."""
        self._told_in_turn: Counter[str] = Counter()
        """How many watches each node has told something, since its last turn."""
        self._ordered: set[tuple[ServerId, Term]] = set()
        """Who was told to campaign, and in which term."""
        self._lives: dict[tuple[ServerId, int], Process] = {}
        """Whose questions have numbers like that."""
        self._questions: dict[str, tuple[Process, Term, ServerId | None, int]] = {}
        """Who has a question for whom, and at which of its ticks it was asked."""
        self._early: dict[str, tuple[Process, bool, set[tuple[ServerId, Term]]]] = {}
        """Who asks around early now, and because of which leaders it has."""
        self._ticks: dict[str, tuple[Process, deque[tuple[int, int]]]] = {}
        """The last ticks that were counted, and when."""
        self._removed: dict[str, tuple[Process, int]] = {}
        """Who knows that it was removed, and since which of its ticks."""
        self._changes: dict[str, tuple[Process, Term, Index]] = {}
        """The last change of the members that each has begun as a leader."""
        self._seen: dict[str, _Seen] = {}
        """What each knew after its last turn of which everything has left."""
        self._contacts: dict[str, dict[ServerId, int]] = {}
        """For how long each leader had not heard the others, after its last turn."""
        self._looked: dict[str, tuple[Process, Index]] = {}
        self._times: dict[str, tuple[Process, Term, Index, int, int]] = {}
        """Who leads, in which term and configuration, since which of its ticks, and what time it
        was."""

    def on_message(self, source: "Process", message: Message) -> None:
        """Check a message that leaves."""
        state = source.server.raft.state
        match message:
            case AppendEntriesResponse():
                about = message.source, message.term
                self._rounds[about] = max(self._rounds[about], message.read_round)
            case TimeoutNow():
                self._ordered.add((message.target, message.term))
                voters = (*state.configuration.voters, *state.configuration.voters_outgoing)
                assert message.target in voters, (
                    f"only who has a vote is told to campaign: {message} (thesis §3.10)"
                )
            case RequestVote() | PreVote():
                self._on_stand(source, message)
            case PreVoteResponse():
                self._on_answer(source, message)
            case _:
                self._on_question(source, message)

    def _on_stand(self, source: "Process", message: RequestVote | PreVote) -> None:
        if isinstance(message, RequestVote) and message.leadership_transfer:
            assert (message.source, message.term - 1) in self._ordered, (
                f"who campaigns by order was ordered so in the term before: {message} (§5.1)"
            )
        life, ticks = self._removed.get(source.name, (None, 0))
        assert life is not source or source.ticks == ticks, (
            f"who knows that it was removed does not stand for election: {message} (thesis §4.2.3)"
        )

    def _on_answer(self, source: "Process", message: PreVoteResponse) -> None:
        """Check that nobody is answered who was removed, before this turn and after it (§6).

        A vote itself may have waited for the disk for long (seed 525 of ``member``).
        """
        before = self._seen.get(source.name)
        if before is not None and before.process is source:
            heard = any(_takes_part(seen, message.target) for seen in (before, _seen_by(source)))
            assert heard, f"nobody listens to who was removed: {message} (thesis §4.2.3)"

    def _on_question(self, source: "Process", message: Message) -> None:
        if not isinstance(message, ReadIndex):
            return
        life = message.source, message.number >> LIFE_BITS
        assert self._lives.setdefault(life, source) is source, (
            f"two lives of a server never ask under the same number: {message}"
        )
        asked = self._questions.get(source.name)
        if asked is not None and asked[0] is source:
            self._questions[source.name] = (*asked[:3], source.ticks)

    def on_reply(self, source: "Process", reply: dict[str, Any]) -> None:
        """Check an answer that leaves."""
        self._told_in_turn[source.name] += bool(reply.get("events"))
        told = self._told_in_turn[source.name]
        assert told <= 1 + watches.TURN_COST_MAX // WATCH_COST, f"{told} are told in one turn"

    def on_turn(self, process: "Process") -> None:
        """Check a node after its turn."""
        self._told_in_turn[process.name] = 0
        waiting = len(process.server.desk.watches)
        assert waiting <= watches.WATCHES_MAX, f"{waiting} watches wait at {process.name}"
        state = process.server.raft.state
        if process.server.admission.is_removed:
            known = self._removed.get(process.name)
            if known is None or known[0] is not process:
                self._removed[process.name] = (process, process.ticks)
        if not process.outputs.waiting:
            self._seen[process.name] = _seen_by(process)
        self._check_ticks(process)
        self._check_question(process, state)
        self._check_early(process, state)
        self._check_credit(process, state)
        if state.role is Role.LEADER:
            self._check_rounds(state)
            self._check_changes(process, state)
            self._check_version(process, state)
            self._check_time(process, state)

    def _check_ticks(self, process: "Process") -> None:
        """Check that time which a node has slept through is not counted tick by tick."""
        life, counted = self._ticks.get(process.name, (None, deque()))
        if life is not process:
            counted = deque(maxlen=3)
            self._ticks[process.name] = (process, counted)
        if counted and counted[-1][0] == process.ticks:
            return
        now_ms = process.now_ms()
        counted.append((process.ticks, now_ms))
        if len(counted) < LATE_TICKS:
            return
        (first, begun_ms), (last, _) = counted[0], counted[-1]
        least_ms = (last - first - 1) * process.server.tick_ms - ROUNDED_MS
        assert now_ms - begun_ms >= least_ms, (
            f"{process.name} counts {last - first} ticks in {now_ms - begun_ms} ms"
        )

    def _check_question(self, process: "Process", state: RaftState) -> None:
        """Check that what may be lost is asked again (thesis §6.4)."""
        # Who knows that it was removed asks nobody any more; the reads that wait have their time.
        removed = process.server.admission.is_removed
        waits = bool(state.questions.asked) and state.role is Role.FOLLOWER and not removed
        if not waits or state.leader_id is None or state.hard_state != state.persisted_hard_state:
            self._questions.pop(process.name, None)
            return
        about = process, state.current_term, state.leader_id
        known = self._questions.get(process.name)
        if known is None or known[:3] != about:
            known = self._questions[process.name] = (*about, process.ticks)
        patience = REPEATED_HEARTBEATS * state.options.heartbeat_ticks
        assert process.ticks - known[3] <= patience or process.outputs.waiting, (
            f"{process.name} has a question for {state.leader_id}, and does not repeat it"
        )

    def _check_early(self, process: "Process", state: RaftState) -> None:
        """Check that nobody asks around twice because of one leader that died."""
        life, before, known = self._early.get(process.name, (None, False, set()))
        if life is not process:
            before, known = False, set()
        now, cause = state.early.under_way, state.early.last
        if cause is None:
            known.clear()  # It has let another go first, and may have another try.
        if now and not before and cause is not None:
            assert cause not in known, (
                f"{process.name} asks around once because {cause[0]} is gone, in term {cause[1]}"
            )
            known.add(cause)
        self._early[process.name] = (process, now, known)

    def _check_credit(self, process: "Process", state: RaftState) -> None:
        """Check that nothing is taken for durable that a write on its way will replace (A10)."""
        storage = process.storage
        if isinstance(storage, SimulatedWriter):
            first = storage.first_on_its_way
            in_snapshot = state.persisted_index <= state.log.base_index
            assert not first or in_snapshot or state.persisted_index < first, (
                f"{process.name} takes entry {state.persisted_index} for durable, and is about to "
                f"write from {first} on"
            )

    def _check_rounds(self, state: RaftState) -> None:
        """Check that a round of reads is confirmed by those who have confirmed it (§8)."""
        for peer, progress in state.progress.items():
            assert progress.read_round <= self._rounds[peer, state.current_term], (
                f"{peer} has acknowledged no round {progress.read_round} of reads (thesis §6.4)"
            )

    def _check_changes(self, process: "Process", state: RaftState) -> None:
        """Check that a leader begins one change at a time, and none before it knows what counts."""
        first = max(state.commit_index, state.term_start_index)
        own = [index for index, _ in state.configurations if index > first]
        assert len(own) <= 1, f"one change of the members at a time: {own} (thesis §4.1)"
        assert not own or state.commit_index >= state.term_start_index, (
            f"no change of the members, {own}, before an entry of the leader's term is committed"
        )
        if own and self._changes.get(process.name) != (process, state.current_term, own[-1]):
            self._changes[process.name] = (process, state.current_term, own[-1])
            _check_target(process, state)
            _check_places(state, self._contacts.get(process.name, {}))
        contacts = {peer: one.ticks_since_contact for peer, one in state.progress.items()}
        self._contacts[process.name] = contacts

    def _check_version(self, process: "Process", state: RaftState) -> None:
        """Check that a version is raised once every member can have said that it reads it."""
        log = state.log
        life, looked = self._looked.get(process.name, (None, 0))
        first = 1 + max(log.base_index, state.term_start_index, looked if life is process else 0)
        self._looked[process.name] = (process, log.last_index)
        if process.server.store.command_version >= COMMAND_VERSION:
            return
        for index in range(first, log.last_index + 1):
            entry = log.entry(index)
            if entry.kind is not EntryKind.COMMANDS:
                continue
            if any(isinstance(one, RaiseVersion) for one in decode_commands(entry.data)):
                # Who joins behind that entry, perhaps in the same turn, reads it or stops.
                members = process.server.raft.configuration_at(index).everyone()
                names = {one.partition("#")[0] for one in members}
                silent = sorted(names - {process.name, *process.heard})
                assert not silent, f"{process.name} raises the version, and never heard {silent}"

    def _check_time(self, process: "Process", state: RaftState) -> None:
        """Check that cluster time stands still where nobody answers."""
        now_ms = process.server.upkeep.time.now_ms
        about = process, state.current_term, state.configurations[-1][0]
        *known, since, before_ms = self._times.get(process.name, (None, 0, 0, 0, 0))
        if tuple(known) != about:
            since = process.ticks
        self._times[process.name] = (*about, since, now_ms)
        oldest = process.ticks - state.options.election_ticks_min - LATE_TICKS
        if now_ms == before_ms or since > oldest:
            return  # Whoever has just been elected was heard.

        def answers(voter: ServerId) -> bool:
            name = voter.partition("#")[0]
            return name == process.name or process.heard.get(name, 0) >= oldest

        assert have_majority(state.configuration, answers), (
            f"{process.name} lets time pass, to {now_ms} ms, and no majority answers"
        )


def _check_target(process: "Process", state: RaftState) -> None:
    """Check that those who are to have the votes answer, the most of them at least."""
    target = state.configurations[-1][1]
    if len(state.configurations) < 2 or target.voters == state.configurations[-2][1].voters:
        return
    oldest = process.ticks - state.options.election_ticks_max - LATE_TICKS
    names = [voter.partition("#")[0] for voter in target.voters]
    heard = [name for name in names if name == process.name or process.heard.get(name, 0) >= oldest]
    assert 2 * len(heard) > len(names), (
        f"{process.name} gives the votes to {names}, of whom only {heard} answer"
    )


def _takes_part(seen: _Seen, server_id: ServerId) -> bool:
    """Tell whether a server is a member, or may be one by now, for somebody who saw just this."""
    if server_id == seen.leader_id:
        return True
    for index, configuration in reversed(seen.configurations):
        members = {one.server_id for one in configuration.members}
        if server_id in members | {*configuration.everyone()}:
            return True
        if index <= seen.commit_index:
            known = [int(one.rpartition("#")[2]) for one in members]
            newest = max(configuration.incarnation_mark, *known, 0)
            return int(server_id.rpartition("#")[2]) > newest or not configuration.voters
    return True


def _check_places(state: RaftState, contacts: dict[ServerId, int]) -> None:
    """Check that nobody takes the place of a member that was heard a moment ago (failure C9)."""
    if len(state.configurations) < 2:
        return
    (_, before), (_, now) = state.configurations[-2:]
    former = {one.server_id: one for one in before.members}
    patience = 2 * state.options.election_ticks_max - LATE_TICKS
    for member in now.members:
        same = [one for one in former.values() if one.node_id == member.node_id]
        if member.server_id in former or not same or not member.claim:
            continue  # Who bears no claim was put there by an operator, who knows.
        last = max(same, key=lambda one: one.incarnation)
        silent = max(
            contacts.get(last.server_id, patience),
            state.progress[last.server_id].ticks_since_contact
            if last.server_id in state.progress
            else patience,
        )
        free = not last.claim and last.server_id in before.learners
        assert free or silent >= patience, (
            f"{member.server_id} takes the place of {last.server_id}, heard {silent} ticks ago"
        )
