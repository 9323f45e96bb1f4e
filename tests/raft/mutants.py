"""Planted bugs: small changes of the core, each a classic way to get Raft wrong.

A mutant names functions, the text in each that is replaced, and what takes its place. The changed
function's code object is put into the original, so that every reference to it is mutated. Where the
text is gone, planting fails loudly: a mutant that changes nothing would prove nothing.
"""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import pytest

from raftcache.raft import core, election, log, read_index, replication, roles


@dataclass(frozen=True)
class Edit:
    """Replace ``old``, which occurs exactly once in the source of ``function``, by ``new``."""

    function: Callable[..., Any]
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A planted bug: what the server does wrong, the rule that this breaks, and the change."""

    name: str
    rule: str
    edits: tuple[Edit, ...]


def plant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the mutant into the running program, until the test ends."""
    sources: dict[FunctionType, str] = {}
    for edit in mutant.edits:
        function = edit.function
        assert isinstance(function, FunctionType), "only functions and methods are mutated"
        source = sources.get(function) or textwrap.dedent(inspect.getsource(function))
        found = source.count(edit.old)
        assert found == 1, f"{mutant.name}: {edit.old!r} occurs {found} times in {function}"
        sources[function] = source.replace(edit.old, edit.new)
    for function, source in sources.items():
        namespace: dict[str, Any] = {}
        code = compile(source, f"<{mutant.name}>", "exec")
        exec(code, function.__globals__, namespace)  # noqa: S102 - our own source, mutated
        monkeypatch.setattr(function, "__code__", namespace[function.__name__].__code__)


MUTANTS = [
    Mutant(
        "votes twice in a term",
        "§5.2: at most one vote per term",
        (
            Edit(
                election.handle_request_vote,
                "if state.voted_for not in (None, message.source):",
                "if state.role is Role.LEADER or state.role is Role.CANDIDATE:",
            ),
            Edit(roles.grant_vote, "assert state.voted_for in (None, candidate)", "assert True"),
        ),
    ),
    Mutant(
        "answers with a vote that its disk does not have",
        "Figure 2: persistent state is durable before the answer (failures A1, A2)",
        (
            Edit(
                election.handle_request_vote,
                "state.after_persist.append(",
                "state.messages.append(",
            ),
        ),
    ),
    Mutant(
        "asks for votes before its own is on its disk",
        "Figure 2: a candidate's own vote is durable before it counts",
        (
            Edit(
                election._emit_request_votes,
                "state.after_persist.append(",
                "state.messages.append(",
            ),
            Edit(
                election.rule_count_votes,
                " and state.persisted_hard_state == state.hard_state",
                "",
            ),
        ),
    ),
    Mutant(
        "does not keep a term in which it did not vote",
        "Figure 2: currentTerm is persistent (failure A3)",
        (
            Edit(
                core.Raft._collect,
                "changed = hard_state != self._handed_hard_state",
                "changed = hard_state.voted_for != self._handed_hard_state.voted_for",
            ),
        ),
    ),
    Mutant(
        "votes for a log that is longer, but older",
        "§5.4.1: the later last term wins",
        (
            Edit(
                log.Log.is_up_to_date,
                "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
                "last_log_index >= self.last_index",
            ),
        ),
    ),
    Mutant(
        "commits an older term's entry by counting its copies",
        "§5.4.2, Figure 8 (failure A4)",
        (
            Edit(
                replication.rule_advance_commit_index,
                "if index >= state.term_start_index:",
                "if index >= 1:",
            ),
        ),
    ),
    Mutant(
        "shortens its log to what the message holds",
        "Figure 2, receiver rule 3: only a conflict removes entries (failure A5)",
        (
            Edit(
                log.Log.splice,
                "    return None\n",
                "    removed = entries[-1].index + 1\n"
                "    shortened = removed <= self.last_index\n"
                "    del self.entries[removed - self.base_index - 1 :]\n"
                "    self.first_unsaved = min(self.first_unsaved, removed)\n"
                "    return removed if shortened else None\n",
            ),
        ),
    ),
    Mutant(
        "takes entries whose predecessor has another term",
        "Figure 2, receiver rule 2",
        (
            Edit(
                replication.handle_append_entries,
                "if state.log.term_at(message.prev_log_index) != message.prev_log_term:",
                "if state.log.term_at(message.prev_log_index) is None:",
            ),
        ),
    ),
    Mutant(
        "commits what does not match the leader's log",
        "Figure 2, receiver rule 5: min(leaderCommit, index of last new entry)",
        (
            Edit(
                replication.handle_append_entries,
                "min(message.leader_commit, match_index)",
                "min(message.leader_commit, state.log.last_index)",
            ),
        ),
    ),
    Mutant(
        "acknowledges entries that its disk does not have",
        "Figure 2, thesis §3.8: durable before the answer",
        (
            Edit(
                replication._respond_success,
                "outbox = state.after_persist if behind_disk else state.messages",
                "outbox = state.messages",
            ),
        ),
    ),
    Mutant(
        "counts itself before its disk has the entry",
        "thesis §10.2.1 (failure A11)",
        (
            Edit(
                replication.rule_advance_commit_index,
                "return state.persisted_index",
                "return state.log.last_index",
            ),
        ),
    ),
    Mutant(
        "credits a late write to the entry that replaced the one it wrote",
        "thesis §10.2.1 (failure A10)",
        (
            Edit(
                core.Raft.advance,
                "if mark.hard_state.current_term != state.current_term:",
                "if mark.last_index > state.log.last_index:",
            ),
            Edit(
                core.Raft.advance,
                "if state.log.term_at(mark.last_index) == mark.last_term:",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "releases reads before an entry of its own term is committed",
        "thesis §6.4, step 1 (failure B2)",
        (
            Edit(
                read_index.rule_start_round,
                "or state.commit_index < state.term_start_index",
                "or False",
            ),
        ),
    ),
    Mutant(
        "takes the acknowledgement of an earlier round for the present one's",
        "thesis §6.4, step 3 (failure B3)",
        (
            Edit(
                replication.handle_append_entries_response,
                "max(progress.read_round, message.read_round)",
                "max(progress.read_round, state.read_round)",
            ),
        ),
    ),
    Mutant(
        "lets a read join the round that is under way",
        "thesis §6.4, step 2: the read index is taken after the read came in",
        (
            Edit(
                read_index.request,
                "state.read_waiting.append(context)",
                "(state.read_under_way[2] if state.read_under_way else state.read_waiting)"
                ".append(context)",
            ),
        ),
    ),
    Mutant(
        "releases reads without asking anybody",
        "thesis §6.4, step 3 (failure B1)",
        (
            Edit(
                read_index.rule_release_reads,
                ">= number",
                ">= 0",
            ),
        ),
    ),
]
