"""Mistakes in replication, commitment and reads (§5.3, §5.4.2, thesis §6.4, §10.2.1)."""

from .planting import Bug, Edit

_CORE = "raftcache.raft.core"
_REPLICATION = "raftcache.raft.replication"
_READ_INDEX = "raftcache.raft.read_index"
_LOG = "raftcache.raft.log"
_VANGUARD = "raftcache.raft.vanguard"

REPLICATION_BUGS = (
    Bug(
        "commits an older term's entry by counting its copies",
        ("A4",),
        "§5.4.2, Figure 8",
        (
            Edit(
                f"{_REPLICATION}:rule_advance_commit_index",
                "if index >= state.term_start_index and",
                "if index >= 1 and",
            ),
        ),
    ),
    Bug(
        "shortens its log to what the message holds",
        ("A5",),
        "Figure 2, receiver rule 3: only a conflict removes entries",
        (
            Edit(
                f"{_LOG}:Log.splice",
                "    return None\n",
                "    removed = entries[-1].index + 1\n"
                "    shortened = removed <= self.last_index\n"
                "    del self.entries[removed - self.base_index - 1 :]\n"
                "    self.first_unsaved = min(self.first_unsaved, removed)\n"
                "    return removed if shortened else None\n",
            ),
        ),
    ),
    Bug(
        "takes entries whose predecessor has another term",
        (),
        "Figure 2, receiver rule 2",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries",
                "if state.log.term_at(message.prev_log_index) != message.prev_log_term:",
                "if state.log.term_at(message.prev_log_index) is None:",
            ),
        ),
    ),
    Bug(
        "keeps what conflicts and appends behind it",
        ("A7",),
        "Figure 2, receiver rule 3: a conflict removes the entry and all behind it",
        (
            Edit(
                f"{_LOG}:Log.splice",
                "if held == entry.term:",
                "if held is not None:",
            ),
        ),
    ),
    Bug(
        "commits what does not match the leader's log",
        ("A8",),
        "Figure 2, receiver rule 5: min(leaderCommit, index of last new entry)",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries",
                "min(message.leader_commit, match_index)",
                "min(message.leader_commit, state.log.last_index)",
            ),
        ),
    ),
    Bug(
        "acknowledges entries that its disk does not have",
        ("A1", "E7"),
        "Figure 2, thesis §3.8: durable before the answer",
        (
            Edit(
                f"{_REPLICATION}:_respond_success",
                "outbox = state.after_persist if behind_disk else state.messages",
                "outbox = state.messages",
            ),
        ),
    ),
    Bug(
        "answers a heartbeat with more than its disk has",
        ("E7",),
        "thesis §3.8: what is claimed is durable when the answer leaves",
        (
            Edit(
                f"{_REPLICATION}:_respond_success",
                "match_index = min(match_index, state.persisted_index)",
                "pass",
            ),
        ),
    ),
    Bug(
        "claims in its answer all that it holds",
        ("A5",),
        "Figure 2: matchIndex is what is known to match",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries",
                "_respond_success(state, message, match_index, fresh=fresh)",
                "_respond_success(state, message, state.log.last_index, fresh=fresh)",
            ),
        ),
    ),
    Bug(
        "counts itself before its disk has the entry",
        ("A11",),
        "thesis §10.2.1",
        (
            Edit(
                f"{_REPLICATION}:rule_advance_commit_index",
                "return state.persisted_index",
                "return state.log.last_index",
            ),
        ),
    ),
    Bug(
        "credits a late write to the entry that replaced the one it wrote",
        ("A10",),
        "thesis §10.2.1",
        (
            Edit(
                f"{_CORE}:Raft.advance",
                "if mark.hard_state.current_term != state.current_term:",
                "if mark.last_index > state.log.last_index:",
            ),
            Edit(
                f"{_CORE}:Raft.advance",
                "if state.log.term_at(mark.last_index) == mark.last_term:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "credits a write of an earlier term to an entry that came back",
        ("A10",),
        "thesis §10.2.1: removed and put back, it may be removed on disk once more",
        (
            Edit(
                f"{_CORE}:Raft.advance",
                "if mark.hard_state.current_term != state.current_term:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "forgets that what it removed is not on its disk",
        ("A10",),
        "thesis §10.2.1: what takes a removed entry's place is not durable yet",
        (
            Edit(
                f"{_REPLICATION}:_store",
                "state.persisted_index = min(state.persisted_index, removed - 1)",
                "pass",
            ),
        ),
    ),
    Bug(
        "does not write again what replaced an entry",
        ("A7",),
        "Figure 2: the log is persistent",
        (
            Edit(
                f"{_LOG}:Log.splice",
                "self.first_unsaved = min(self.first_unsaved, entry.index)",
                "pass",
            ),
        ),
    ),
    Bug(
        "looks for the place where logs agree one term too high",
        (),
        "§5.3: each refusal brings nextIndex down",
        (
            Edit(
                f"{_REPLICATION}:_next_guess",
                "return max(1, min(guess, message.prev_log_index))",
                "return max(1, guess, message.prev_log_index + 1)",
            ),
        ),
    ),
    Bug(
        "takes a late refusal for a present one",
        (),
        "§5.5: messages may be doubled and late",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries_response",
                "if message.prev_log_index <= progress.match_index:",
                "if message.prev_log_index < 0:",
            ),
            Edit(
                "raftcache.raft.progress:Progress.on_rejection",
                "self.next_index = max(next_index, self.match_index + 1)",
                "self.next_index, self.match_index = next_index, next_index - 1",
            ),
        ),
    ),
    Bug(
        "never sends again what was lost",
        ("F1", "F2"),
        "§5.3: entries are repeated until they are stored",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries_response",
                "progress.on_rejection(_next_guess(state, message))",
                "pass",
            ),
        ),
    ),
    Bug(
        "takes entries from before its snapshot",
        ("A6",),
        "§7: what the snapshot holds is never appended again",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries",
                "if message.prev_log_index < state.commit_index:",
                "if message.prev_log_index < state.log.base_index and not message.entries:",
            ),
            Edit(
                f"{_REPLICATION}:handle_append_entries",
                "if state.log.term_at(message.prev_log_index) != message.prev_log_term:",
                "if state.log.term_at(message.prev_log_index) not in (message.prev_log_term, None)"
                " or message.prev_log_index > state.log.last_index:",
            ),
        ),
    ),
    Bug(
        "applies entries twice after a pause",
        ("D13",),
        "Figure 2: lastApplied rises, each entry is applied once",
        (
            Edit(
                f"{_CORE}:Raft._take_committed",
                "state.last_applied = entry.index",
                "state.last_applied = entry.index - (len(entries) > 40)",
            ),
        ),
    ),
    Bug(
        "releases reads before an entry of its own term is committed",
        ("B2", "B19"),
        "thesis §6.4, step 1",
        (
            Edit(
                f"{_READ_INDEX}:rule_start_round",
                "or state.commit_index < state.term_start_index",
                "or False",
            ),
        ),
    ),
    Bug(
        "takes the acknowledgement of an earlier round for the present one's",
        ("B3",),
        "thesis §6.4, step 3",
        (
            Edit(
                f"{_REPLICATION}:handle_append_entries_response",
                "max(progress.read_round, message.read_round)",
                "max(progress.read_round, state.read_round)",
            ),
        ),
    ),
    Bug(
        "waits for ever for the followers that were the quickest",
        (),
        "§5.3: any majority commits, and a follower that fails holds nobody up",
        (
            Edit(f"{_VANGUARD}:on_tick", "_disband(state)", "pass"),
            Edit(f"{_VANGUARD}:on_disconnected", "_disband(state)", "pass"),
        ),
    ),
    Bug(
        "lets a read join the round that is under way",
        ("B3",),
        "thesis §6.4, step 2: the read index is taken after the read came in",
        (
            Edit(
                f"{_READ_INDEX}:request",
                "state.read_waiting.append(context)",
                "(state.read_under_way[2] if state.read_under_way else state.read_waiting)"
                ".append(context)",
            ),
        ),
    ),
    Bug(
        "releases reads without asking anybody",
        ("B1", "F13"),
        "thesis §6.4, step 3",
        (Edit(f"{_READ_INDEX}:rule_release_reads", ">= number", ">= 0"),),
    ),
    Bug(
        "reads at an index that is too old",
        ("B1",),
        "thesis §6.4, step 2: the read index is the commit index",
        (
            Edit(
                f"{_READ_INDEX}:rule_start_round",
                "(state.read_round, state.commit_index, state.read_waiting)",
                "(state.read_round, max(0, state.commit_index - 1), state.read_waiting)",
            ),
        ),
    ),
    Bug(
        "opens no term with an entry of its own",
        ("B22",),
        "§8: a no-op at the start of a term, or reads may wait for ever",
        (
            Edit(
                "raftcache.raft.roles:become_leader",
                "state.log.append(Entry(next_index, state.current_term, EntryKind.NOOP))",
                "pass",
            ),
        ),
    ),
)
