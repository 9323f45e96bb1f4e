"""Planted bugs of configuration changes, each a rule of thesis chapter 4 that is missed."""

from raftcache.raft import election, membership, quorum, replication
from raftcache.raft.state import RaftState

from .mutants import Edit, Mutant

MEMBERSHIP_MUTANTS = [
    Mutant(
        "goes over to other voters without a joint configuration",
        "§6: majorities of two configurations in a row overlap",
        (Edit(membership.change, "if target.voters == present.voters:", "if True:"),),
    ),
    Mutant(
        "changes the configuration before an entry of its own term is committed",
        "Ongaro's note of 2015 (failure C1)",
        (
            Edit(
                membership._refusal,
                "if state.commit_index < state.term_start_index:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "begins a change while another is under way",
        "thesis §4.1: one change at a time (failure C3)",
        (Edit(membership._refusal, "if is_in_progress(state):", "if False:"),),
    ),
    Mutant(
        "leaves a joint configuration that is not committed",
        "§6: the second entry follows when the first is committed",
        (
            Edit(
                membership.rule_complete_change,
                "index > state.commit_index or state.commit_index < state.term_start_index",
                "state.commit_index < state.term_start_index",
            ),
        ),
    ),
    Mutant(
        "commits by the new voters alone while the configuration is joint",
        "§6: agreement needs both majorities",
        (Edit(quorum.committed_index, "if configuration.voters_outgoing:", "if False:"),),
    ),
    Mutant(
        "elects by the new voters alone while the configuration is joint",
        "§6: elections need both majorities",
        (Edit(quorum.has_quorum, "in _halves(configuration)", "in _halves(configuration)[:1]"),),
    ),
    Mutant(
        "counts votes by the last configuration that is committed",
        "§6: the newest in the log is in force, committed or not",
        (
            Edit(
                election.rule_count_votes,
                "== state.hard_state:\n        outcome = vote_outcome(state.configuration, ",
                "== state.hard_state:\n        outcome = vote_outcome("
                "next((held for index, held in reversed(state.configurations) "
                "if index <= state.commit_index and held.voters), state.configuration), ",
            ),
        ),
    ),
    Mutant(
        "keeps a configuration whose entry was truncated",
        "thesis §4.1: it goes with its entry (failure C2)",
        (Edit(replication._store, "state.configurations.pop()", "break"),),
    ),
    Mutant(
        "counts learners towards commitment",
        "thesis §4.2.1: learners count for nothing",
        (
            Edit(
                quorum.committed_index,
                "_stored_by_majority(configuration.voters, ",
                "_stored_by_majority((*configuration.voters, *configuration.learners), ",
            ),
        ),
    ),
    Mutant(
        "campaigns though it has no vote",
        "thesis §4.2.1: only voters stand for election (failure C7)",
        (
            Edit(
                RaftState.is_electable,
                "if configuration.is_voter(self.server_id):",
                "if configuration.voters:",
            ),
        ),
    ),
    Mutant(
        "counts itself though it was removed",
        "thesis §4.2.2: a leader that leaves is in no majority",
        (
            Edit(
                replication.rule_advance_commit_index,
                "committed_index(state.configuration, match_index_of)",
                "committed_index(type(state.configuration)((*state.configuration.voters, "
                "*{state.server_id}.difference(state.configuration.voters)), "
                "state.configuration.voters_outgoing), match_index_of)",
            ),
        ),
    ),
    Mutant(
        "stays in office though it was removed",
        "thesis §4.2.2: a removed leader steps down (failure C8)",
        (Edit(membership.rule_complete_change, "_leave_office(state)", "pass"),),
    ),
    Mutant(
        "leaves only the joint configurations that it has begun itself",
        "§6: a later leader completes the change",
        (
            Edit(
                membership.rule_complete_change,
                "if configuration.voters_outgoing:",
                "if configuration.voters_outgoing and index > state.term_start_index:",
            ),
        ),
    ),
    Mutant(
        "takes for granted that a newcomer has the log",
        "Figure 2: matchIndex begins at 0",
        (
            Edit(
                membership._append,
                "Progress(next_index=index)",
                "Progress(next_index=index + 1, match_index=index)",
            ),
        ),
    ),
    Mutant(
        "does not listen to members that it has not heard of",
        "thesis §4.1: a server that lags must hear leaders it does not know",
        (
            Edit(
                membership.may_take_part,
                "return is_newer or not configuration.voters",
                "return not configuration.voters",
            ),
        ),
    ),
    Mutant(
        "does not campaign once its removal is in its log",
        "thesis §4.2.2, Figure 4.6: it may still be needed",
        (Edit(RaftState.is_electable, "if index <= self.commit_index:", "if True:"),),
    ),
]
