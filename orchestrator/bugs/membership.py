"""Mistakes in configuration changes, each a rule of thesis chapter 4 that is missed (§6)."""

from .planting import Bug, Edit

_MEMBERSHIP = "raftcache.raft.membership"
_NODE = "raftcache.node.membership:Membership"
_ELECTION = "raftcache.raft.election"
_QUORUM = "raftcache.raft.quorum"
_REPLICATION = "raftcache.raft.replication"

MEMBERSHIP_BUGS = (
    Bug(
        "goes over to other voters without a joint configuration",
        (),
        "§6: majorities of two configurations in a row overlap",
        (Edit(f"{_MEMBERSHIP}:change", "if target.voters == present.voters:", "if True:"),),
    ),
    Bug(
        "changes the configuration before an entry of its own term is committed",
        ("C1",),
        "Ongaro's note of 2015",
        (
            Edit(
                f"{_MEMBERSHIP}:_refusal",
                "if state.commit_index < state.term_start_index:",
                "if False:",
            ),
            # A node lets such changes wait, and the rule is looked at once more below.
            Edit(f"{_NODE}.take", "if state.commit_index < state.term_start_index:", "if False:"),
        ),
        world="moves",
    ),
    Bug(
        "begins a change while another is under way",
        ("C3",),
        "thesis §4.1: one change at a time",
        (
            Edit(f"{_MEMBERSHIP}:_refusal", "if is_in_progress(state):", "if False:"),
            Edit(f"{_NODE}.take", "if state.configuration.is_joint:", "if False:"),
        ),
        world="moves",
    ),
    Bug(
        "leaves a joint configuration that is not committed",
        (),
        "§6: the second entry follows when the first is committed",
        (
            Edit(
                f"{_MEMBERSHIP}:rule_complete_change",
                "index > state.commit_index or state.commit_index < state.term_start_index",
                "state.commit_index < state.term_start_index",
            ),
        ),
    ),
    Bug(
        "commits by the new voters alone while the configuration is joint",
        (),
        "§6: agreement needs both majorities",
        (Edit(f"{_QUORUM}:committed_index", "if configuration.voters_outgoing:", "if False:"),),
    ),
    Bug(
        "elects by the new voters alone while the configuration is joint",
        (),
        "§6: elections need both majorities",
        (
            Edit(
                f"{_QUORUM}:has_quorum",
                "in _halves(configuration)",
                "in _halves(configuration)[:1]",
            ),
        ),
    ),
    Bug(
        "counts votes by the last configuration that is committed",
        (),
        "§6: the newest in the log is in force, committed or not",
        (
            Edit(
                f"{_ELECTION}:rule_count_votes",
                "_emit_request_votes(state)\n        outcome = vote_outcome(state.configuration, ",
                "_emit_request_votes(state)\n        outcome = vote_outcome("
                "next((held for index, held in reversed(state.configurations) "
                "if index <= state.commit_index and held.voters), state.configuration), ",
            ),
        ),
    ),
    Bug(
        "keeps a configuration whose entry was truncated",
        ("C2",),
        "thesis §4.1: it goes with its entry",
        (Edit(f"{_REPLICATION}:_store", "state.configurations.pop()", "break"),),
    ),
    Bug(
        "counts learners towards commitment",
        (),
        "thesis §4.2.1: learners count for nothing",
        (
            Edit(
                f"{_QUORUM}:committed_index",
                "_stored_by_majority(configuration.voters, ",
                "_stored_by_majority((*configuration.voters, *configuration.learners), ",
            ),
        ),
    ),
    Bug(
        "campaigns though it has no vote",
        ("C7",),
        "thesis §4.2.1: only voters stand for election",
        (
            Edit(
                "raftcache.raft.state:RaftState.is_electable",
                "if configuration.is_voter(self.server_id):",
                "if configuration.voters:",
            ),
        ),
    ),
    Bug(
        "counts itself though it was removed",
        (),
        "thesis §4.2.2: a leader that leaves is in no majority",
        (
            Edit(
                f"{_REPLICATION}:rule_advance_commit_index",
                "committed_index(state.configuration, match_index_of)",
                "committed_index(type(state.configuration)((*state.configuration.voters, "
                "*{state.server_id}.difference(state.configuration.voters)), "
                "state.configuration.voters_outgoing), match_index_of)",
            ),
        ),
    ),
    Bug(
        "stays in office though it was removed",
        ("C8",),
        "thesis §4.2.2: a removed leader steps down",
        (Edit(f"{_MEMBERSHIP}:rule_complete_change", "_leave_office(state)", "pass"),),
    ),
    Bug(
        "leaves only the joint configurations that it has begun itself",
        (),
        "§6: a later leader completes the change",
        (
            Edit(
                f"{_MEMBERSHIP}:rule_complete_change",
                "if configuration.voters_outgoing:",
                "if configuration.voters_outgoing and index > state.term_start_index:",
            ),
        ),
    ),
    Bug(
        "takes for granted that a newcomer has the log",
        (),
        "Figure 2: matchIndex begins at 0",
        (
            Edit(
                f"{_MEMBERSHIP}:_append",
                "Progress(next_index=index)",
                "Progress(next_index=index + 1, match_index=index)",
            ),
        ),
    ),
    Bug(
        "does not listen to members that it has not heard of",
        (),
        "thesis §4.1: a server that lags must hear leaders it does not know",
        (
            Edit(
                f"{_MEMBERSHIP}:may_take_part",
                "return is_newer or not configuration.voters",
                "return not configuration.voters",
            ),
        ),
    ),
    Bug(
        "does not campaign once its removal is in its log",
        (),
        "thesis §4.2.2, Figure 4.6: it may still be needed",
        (
            Edit(
                "raftcache.raft.state:RaftState.is_electable",
                "if index <= self.commit_index:",
                "if True:",
            ),
        ),
        world="moves",
    ),
)
