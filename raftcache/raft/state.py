"""The State box of Figure 2, field for field, and what this implementation adds to it.

Only ``roles`` writes ``role``, ``current_term``, ``voted_for`` and ``leader_id``. The concern
modules (``election``, ``replication``, ``membership``, ``read_index``, ``transfer``) change the
rest, each its own.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from .configuration import Configuration
from .log import Log
from .messages import Message
from .options import Options
from .progress import Progress
from .trace import Trace, TraceEvent
from .types import HardState, Index, Role, ServerId, Term


@dataclass(slots=True)
class EarlyElection:
    """What a server does because its leader's process is known to be gone (``detection``).

    Volatile, and of one term: cleared with each change of term, and when the leader is heard.

    Attributes:
        leader_id: the leader of the current term that is gone; None: none is known to be.
        under_way: the present pre-candidacy began so; who still hears the leader is asked again.
        waiting: a campaign is wanted, once ``pause_ticks`` are over.
        pause_ticks: somebody else, who may well win, was told that it would get this vote.
        last: leader and term of the latest such campaign; there is one for each at most.
    """

    leader_id: ServerId | None = None
    under_way: bool = False
    waiting: bool = False
    pause_ticks: int = 0
    last: tuple[ServerId, Term] | None = None

    def clear(self) -> None:
        """Forget all but ``last``."""
        self.leader_id = None
        self.under_way = self.waiting = False
        self.pause_ticks = 0


@dataclass(slots=True)
class Vanguard:
    """Whom a leader sends its entries first (``vanguard``). Begun anew with each office.

    Attributes:
        peers: who is sent entries at once; None: everybody is.
        ticks: ticks since they were chosen.
        configuration_index: the configuration in which they are a majority.
        rear_index: how much of the log all others may be sent.
        race_index: the first entry that everybody was sent at once; who commits it, is chosen.
        overdue_index: the log's end at the last tick; uncommitted at the next one, it goes to all.
    """

    peers: frozenset[ServerId] | None = None
    ticks: int = 0
    configuration_index: Index = 0
    rear_index: Index = 0
    race_index: Index = 0
    overdue_index: Index = 0


@dataclass(slots=True)
class ReadQuestions:
    """What a follower asks its leader, to answer linearizable reads itself (``follower_reads``).

    Volatile, and of one term: all contexts are let go with each change of term.

    Attributes:
        waiting: contexts of reads about which nobody was asked yet.
        asked: contexts by the number of the question about them, oldest first.
        last: the number of the latest question, never used again; 0: none was asked in this life.
        ticks: ticks since the latest question.
        is_due: it stayed without an answer for too long.
    """

    waiting: list[Any] = field(default_factory=list)
    asked: dict[int, list[Any]] = field(default_factory=dict)
    last: int = 0
    ticks: int = 0
    is_due: bool = False

    def take_all(self) -> list[Any]:
        """Remove and return all contexts."""
        contexts = [*(one for asked in self.asked.values() for one in asked), *self.waiting]
        self.waiting, self.asked, self.is_due = [], {}, False
        return contexts


@dataclass(slots=True, kw_only=True)
class RaftState:
    """Everything one server knows.

    Persistent (Figure 2; durable before anything that depends on it leaves):
        current_term: the latest term seen; only rises. Written by ``roles``.
        voted_for: who got this server's vote in ``current_term``; None: nobody. By ``roles``.
        log: the entries.

    Volatile:
        configurations: those of the log with their indexes, from the one in force at its base on;
            the last is in force (§6).
        commit_index: the highest entry known to be committed; only rises.
        last_applied: the highest entry handed to the state machine; only rises.
        apply_paused: the state machine is being restored; nothing is handed to it.
        needs_snapshot: the state up to there is gone, and the log begins behind it; 0: it is here.
        persisted_index: the highest entry of the *present* log known to be on the own disk.
        persisted_hard_state: the newest term and vote known to be on the own disk.
        role: what the server is. By ``roles``.
        leader_id: who leads in ``current_term``; None: not known. By ``roles``.
        election_ticks: ticks since the leader was heard, a vote was granted, or an election began.
        election_timeout_ticks: when that is too long; drawn anew each time (§5.2).
        leader_commit: the highest commit index heard from this term's leader; None: not heard.
        leader_ticks: ticks since a current leader was heard; decides stickiness (thesis §4.2.3).
        election_reason: why the present or last election of this server began, for people.
        transfer_election: the election was asked for by the leader (thesis §3.10).
        fit_to_lead: its disk has room and is quick; leaders look for such a successor. By the node.
        has_room: its disk has space for commands; else, for votes and no-ops. By the node.
        is_disk_behind: its disk has been at one write for an election timeout. By the node.
        is_retired: it was removed, and learned that from others. By ``Raft.retire``.
        questions: what a follower asks its leader about reads. By ``follower_reads``.
        early: what follows from the leader's process being gone. By ``detection``.

    Candidates:
        votes: answers so far to the present (pre-)election, the own vote among them.
        votes_requested: the own vote is durable, and the others were asked for theirs.

    Leaders (built anew by ``roles.become_leader``):
        progress: every other server's replication state, by the configuration in force.
        term_start_index: index of the no-op that opened the term (§8); 0: not leading.
        heartbeat_ticks: ticks since the last heartbeat.
        vanguard: whom entries are sent to first. By ``vanguard``.
        read_round: the newest round of leadership confirmation started (thesis §6.4).
        read_waiting: contexts of reads that wait for a round to start.
        read_under_way: the round under way: its number, read index and contexts; None: none is.
        read_witnesses: those who were the first to confirm the last round that all were asked in.
        read_asks_all: the round under way is for everybody, and not only for these.
        read_ticks: ticks since everybody was asked.
        read_is_due: those who were asked did not confirm the round in time.
        read_askers: followers whose question waits for a round, each with its newest number.
        read_askers_under_way: those whom the round under way is for.
        transfer_target: who is to lead next; None: no transfer is under way.
        transfer_ticks: ticks since the transfer began.
        transfer_sent: the target was told to campaign.

    Outboxes, emptied by ``core.Raft.ready``:
        messages: may leave at once.
        after_persist: may leave once all that was handed to the disk before is durable.
        reads_released: contexts of confirmed reads, with the index to be applied first.
        reads_refused: contexts of reads whose leader lost its office.
        new_base: the log on disk must begin anew behind this position; None: it goes on.
    """

    server_id: ServerId
    options: Options
    random: Random
    configurations: list[tuple[Index, Configuration]]
    trace: Trace | None = None

    current_term: Term = 0
    voted_for: ServerId | None = None
    log: Log = field(default_factory=Log)

    commit_index: Index = 0
    last_applied: Index = 0
    apply_paused: bool = False
    needs_snapshot: Index = 0
    persisted_index: Index = 0
    persisted_hard_state: HardState = field(default_factory=HardState)
    role: Role = Role.FOLLOWER
    leader_id: ServerId | None = None
    election_ticks: int = 0
    election_timeout_ticks: int = 0
    leader_commit: Index | None = None
    leader_ticks: int = 0
    election_reason: str = ""
    transfer_election: bool = False
    fit_to_lead: bool = True
    has_room: bool = True
    is_disk_behind: bool = False
    is_retired: bool = False
    questions: ReadQuestions = field(default_factory=ReadQuestions)
    early: EarlyElection = field(default_factory=EarlyElection)

    votes: dict[ServerId, bool] = field(default_factory=dict)
    votes_requested: bool = False

    progress: dict[ServerId, Progress] = field(default_factory=dict)
    term_start_index: Index = 0
    heartbeat_ticks: int = 0
    vanguard: Vanguard = field(default_factory=Vanguard)
    read_round: int = 0
    read_waiting: list[Any] = field(default_factory=list)
    read_under_way: tuple[int, Index, list[Any]] | None = None
    read_witnesses: tuple[ServerId, ...] = ()
    read_asks_all: bool = False
    read_ticks: int = 0
    read_is_due: bool = False
    read_askers: dict[ServerId, int] = field(default_factory=dict)
    read_askers_under_way: dict[ServerId, int] = field(default_factory=dict)
    transfer_target: ServerId | None = None
    transfer_ticks: int = 0
    transfer_sent: bool = False

    messages: list[Message] = field(default_factory=list)
    after_persist: list[Message] = field(default_factory=list)
    reads_released: list[tuple[Index, list[Any]]] = field(default_factory=list)
    reads_refused: list[Any] = field(default_factory=list)
    new_base: tuple[Index, Term] | None = None

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the latest in the log, committed or not (§6)."""
        return self.configurations[-1][1]

    @property
    def hard_state(self) -> HardState:
        """Term and vote as they must reach the disk, together."""
        return HardState(self.current_term, self.voted_for)

    def peers(self) -> tuple[ServerId, ...]:
        """Return all other servers, sorted: every loop over them is deterministic."""
        return tuple(other for other in self.configuration.everyone() if other != self.server_id)

    def is_electable(self) -> bool:
        """Tell whether this server may stand for election: only voters may (thesis §4.2.1).

        A voter that is about to be removed, or made a learner, remains one until that is
        committed: its log may be the only one good enough, and it then wins without counting
        itself (thesis §4.2.2, Figure 4.6). One whose state is gone votes and stores, but could
        answer nobody (failure E10); one whose disk hangs could not write its own vote down
        (failure E14).
        """
        if self.needs_snapshot or self.is_disk_behind or self.is_retired:
            return False
        for index, configuration in reversed(self.configurations):
            if configuration.is_voter(self.server_id):
                return True
            if index <= self.commit_index:
                break
        return False

    def is_dismissed(self) -> bool:
        """Tell whether the newest configuration is committed and this server no voter there."""
        index, configuration = self.configurations[-1]
        return index <= self.commit_index and not configuration.is_voter(self.server_id)

    def emit_trace(self, kind: str, **fields: Any) -> None:
        """Hand a transition to the trace; costs one comparison when nobody listens."""
        if self.trace is not None:
            self.trace(
                TraceEvent(
                    kind,
                    self.server_id,
                    self.current_term,
                    self.role,
                    self.log.last_index,
                    self.log.last_term,
                    self.commit_index,
                    fields,
                )
            )
