"""Mistakes in elections: votes, terms, PreVote, CheckQuorum, transfers (§5.2, §5.4.1, §9.6)."""

from .planting import Bug, Edit

_ELECTION = "raftcache.raft.election"
_CORE = "raftcache.raft.core"
_ROLES = "raftcache.raft.roles"
_TRANSFER = "raftcache.raft.transfer"

ELECTION_BUGS = (
    Bug(
        "votes twice in a term",
        ("A1",),
        "§5.2: at most one vote per term",
        (
            Edit(
                f"{_ELECTION}:handle_request_vote",
                "if state.voted_for not in (None, message.source):",
                "if state.role is Role.LEADER or state.role is Role.CANDIDATE:",
            ),
            Edit(
                f"{_ROLES}:grant_vote",
                "assert state.voted_for in (None, candidate)",
                "assert True",
            ),
        ),
    ),
    Bug(
        "answers with a vote that its disk does not have",
        ("A1", "A2"),
        "Figure 2: persistent state is durable before the answer",
        (
            Edit(
                f"{_ELECTION}:handle_request_vote",
                "state.after_persist.append(",
                "state.messages.append(",
            ),
        ),
    ),
    Bug(
        "asks for votes before its own is on its disk",
        ("A1",),
        "Figure 2: a candidate's own vote is durable before it counts",
        (
            Edit(
                f"{_ELECTION}:campaign",
                "state.transfer_election = transfer",
                "state.transfer_election = transfer\n    _emit_request_votes(state)",
            ),
        ),
    ),
    Bug(
        "leads alone before its vote is on its disk",
        ("A1", "A11"),
        "Figure 2: the own vote counts once it is durable, also for a lone voter",
        (
            Edit(
                f"{_ELECTION}:rule_count_votes",
                "state.persisted_hard_state == state.hard_state",
                "(state.persisted_hard_state == state.hard_state or not state.peers())",
            ),
        ),
    ),
    Bug(
        "does not keep a term in which it did not vote",
        ("A3",),
        "Figure 2: currentTerm is persistent",
        (
            Edit(
                f"{_CORE}:Raft._collect",
                "changed = hard_state != self._handed_hard_state",
                "changed = hard_state.voted_for != self._handed_hard_state.voted_for",
            ),
        ),
    ),
    Bug(
        "keeps its vote when the term rises",
        ("A16",),
        "§5.2: a new term, a new vote",
        (
            Edit(
                f"{_ROLES}:become_follower",
                "state.voted_for = None",
                "state.voted_for = state.voted_for",
            ),
        ),
    ),
    Bug(
        "votes for a log that is longer, but older",
        (),
        "§5.4.1: the later last term wins",
        (
            Edit(
                "raftcache.raft.log:Log.is_up_to_date",
                "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
                "last_log_index >= self.last_index",
            ),
        ),
    ),
    Bug(
        "votes for a log of the same term that is shorter",
        (),
        "§5.4.1: of two logs with one last term, the longer is more up-to-date",
        (
            Edit(
                "raftcache.raft.log:Log.is_up_to_date",
                "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
                "last_log_term >= self.last_term",
            ),
        ),
    ),
    Bug(
        "votes for any log",
        (),
        "§5.4.1: the election restriction",
        (
            Edit(
                f"{_ELECTION}:_refusal",
                "if state.log.is_up_to_date(last_log_index, last_log_term):",
                "if True:",
            ),
        ),
    ),
    Bug(
        "counts a vote of an earlier election",
        ("A1",),
        "§5.1: what is of an older term is stale",
        (
            Edit(
                f"{_CORE}:Raft.step",
                "elif message.term < state.current_term:",
                "elif message.term < state.current_term "
                "and not isinstance(message, RequestVoteResponse):",
            ),
        ),
    ),
    Bug(
        "takes a promise of PreVote for a vote",
        (),
        "thesis §9.6: an answer to PreVote binds nobody",
        (
            Edit(
                f"{_ELECTION}:rule_count_votes",
                "campaign(state, reason=state.election_reason, transfer=False)",
                "granted = dict(state.votes)\n"
                "            campaign(state, reason=state.election_reason, transfer=False)\n"
                "            state.votes = granted",
            ),
        ),
    ),
    Bug(
        "counts half of the voters as a majority",
        (),
        "§5.2: a majority is more than half",
        (
            Edit(
                "raftcache.raft.quorum:majority",
                "voter_count // 2 + 1",
                "max(1, voter_count // 2)",
            ),
        ),
    ),
    Bug(
        "never steps down without a quorum",
        ("A18",),
        "thesis §6.2: a leader that no majority answers steps down",
        (
            Edit(
                f"{_ELECTION}:_check_quorum",
                "roles.become_follower(state, state.current_term, None)",
                "pass",
            ),
        ),
    ),
    Bug(
        "follows nobody else once it has heard a leader",
        ("A16",),
        "thesis §4.2.3: stickiness ends with the election timeout",
        (
            Edit(
                f"{_ELECTION}:sticks_to_leader",
                "state.leader_ticks < state.options.election_ticks_min",
                "True",
            ),
        ),
    ),
    Bug(
        "refuses a pre-candidate ahead of it without telling its term",
        ("A14",),
        "§5.1: who is behind learns the term from every answer",
        (
            Edit(
                f"{_ELECTION}:handle_pre_vote",
                "term=state.current_term,",
                "term=min(state.current_term, message.term),",
            ),
        ),
    ),
    Bug(
        "draws the same election timeout every time",
        ("A12",),
        "§5.2: timeouts are random, or votes split for ever",
        (
            Edit(
                f"{_ROLES}:reset_election_timer",
                "state.random.randint(\n"
                "        state.options.election_ticks_min, state.options.election_ticks_max\n"
                "    )",
                "state.options.election_ticks_min",
            ),
        ),
    ),
    Bug(
        "sends a lagging target into the election",
        ("C13",),
        "thesis §3.10: the target is brought up to date first",
        (
            Edit(
                f"{_TRANSFER}:rule_hand_over",
                "state.progress[target].match_index != last_index",
                "False",
            ),
        ),
    ),
    Bug(
        "never gives a transfer up",
        ("C14", "C15"),
        "thesis §3.10: after an election timeout proposals go on",
        (
            Edit(
                f"{_TRANSFER}:on_tick",
                "state.transfer_ticks += 1",
                "state.transfer_ticks += 0",
            ),
        ),
    ),
)
