"""Configurations in few words, and servers whose logs hold them."""

from random import Random

from raftcache.raft.configuration import Configuration, encode_configuration
from raftcache.raft.core import Raft, SnapshotPosition
from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Message,
    RequestVoteResponse,
)
from raftcache.raft.options import Options
from raftcache.raft.types import Entry, EntryKind, HardState, Index, ServerId, Term

from .builders import OPTIONS, log_of, time_out, turn, win_pre_vote


def conf(voters: str, *, outgoing: str = "", learners: str = "", mark: int = 0) -> Configuration:
    """Return a configuration; ``conf("n1 n2", outgoing="n1", learners="n3")``."""
    return Configuration(
        tuple(voters.split()),
        tuple(outgoing.split()),
        tuple(learners.split()),
        incarnation_mark=mark,
    )


def entry(index: Index, term: Term, configuration: Configuration) -> Entry:
    """Return the log entry that holds a configuration."""
    return Entry(index, term, EntryKind.CONFIGURATION, encode_configuration(configuration))


def member(
    name: ServerId,
    began_with: Configuration,
    *entries: Term | Configuration,
    term: Term,
    snapshot: SnapshotPosition | None = None,
    options: Options = OPTIONS,
) -> Raft:
    """Return a server that just started; its log holds terms, and configurations of that term."""
    first = snapshot.last_included_index + 1 if snapshot else 1
    present = snapshot.last_included_term if snapshot else 1
    held: list[Entry] = []
    for index, item in enumerate(entries, first):
        if isinstance(item, Configuration):
            held.append(entry(index, present, item))
        else:
            present = item
            held += log_of(item, first=index)
    return Raft(
        name,
        began_with,
        options=options,
        random=Random(1),
        hard_state=HardState(term),
        entries=tuple(held),
        snapshot=snapshot,
    )


def leader(
    *entries: Term | Configuration,
    name: ServerId = "n1",
    began_with: Configuration | None = None,
    snapshot: SnapshotPosition | None = None,
    options: Options = OPTIONS,
) -> Raft:
    """Return a server that has just won the term after its log's, its no-op on its own disk.

    The others answered nothing but its campaign.
    """
    terms = [item for item in entries if isinstance(item, int)]
    term = max([0, *terms, snapshot.last_included_term if snapshot else 0])
    first = began_with or conf("n1 n2 n3")
    raft = member(name, first, *entries, term=term, snapshot=snapshot, options=options)
    time_out(raft)
    win_pre_vote(raft)
    for peer in raft.state.peers():
        turn(raft, RequestVoteResponse(peer, name, raft.current_term, vote_granted=True))
    assert raft.is_leader
    return raft


def seated(voters: str = "n1 n2 n3", *, learners: str = "", options: Options = OPTIONS) -> Raft:
    """Return n1, leading term 1; its no-op 1@1 is committed, and everybody has it."""
    raft = leader(began_with=conf(voters, learners=learners), options=options)
    everybody_has_all(raft)
    assert raft.state.commit_index == 1
    return raft


def everybody_has_all(raft: Raft, *others: ServerId) -> list[Message]:
    """Let others (all if none is named) acknowledge the leader's whole log; return what it says."""
    last = raft.state.log.last_index
    peers = others or raft.state.peers()
    name, term = raft.state.server_id, raft.current_term
    return turn(
        raft,
        *[
            AppendEntriesResponse(
                peer, name, term, success=True, prev_log_index=0, match_index=last
            )
            for peer in peers
        ],
    )


def appended(
    source: ServerId,
    *entries: Entry,
    term: Term,
    target: ServerId = "n1",
    prev: tuple[Index, Term] = (0, 0),
    commit: Index = 0,
) -> AppendEntries:
    """Return an AppendEntries with these entries."""
    return AppendEntries(source, target, term, *prev, entries, commit)
