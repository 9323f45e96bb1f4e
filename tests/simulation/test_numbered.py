"""Clients with sessions in simulated worlds: what is sent again is done once."""

from typing import Any

import pytest

from orchestrator.simulation.run import Options, run_seed
from raftcache.store.commands import Fenced
from raftcache.store.keyspace import Keyspace
from raftcache.store.machine import StateMachine
from raftcache.store.results import Failure, Result
from raftcache.store.sessions import Sessions

WORLD = Options(profile="sessions", changes={"events": 2_000})
SEEDS = range(1, 5)


def test_what_is_sent_again_is_done_once() -> None:
    """Over whatever strikes; and much is sent again, or this would tell nothing (failure B6)."""
    found = [run_seed(seed, WORLD) for seed in SEEDS]

    assert [outcome.failure for outcome in found if not outcome.ok] == []
    counts: dict[str, int] = {}
    for outcome in found:
        for name, count in outcome.counts.items():
            counts[name] = counts.get(name, 0) + count
    ended = {
        how: sum(counts[name] for name in counts if name.endswith(f"numbered {how}"))
        for how in ("ok", "timeout/unknown")
    }
    assert ended["ok"] > 50
    assert ended["timeout/unknown"] > 5


def test_a_table_that_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judges can fail: a retry that is executed again is seen in what clients were told."""
    look_up = Sessions.look_up

    def forgetful(self: Sessions, session_id: int, *numbers: int) -> Any:
        answer: Result | None = look_up(self, session_id, *numbers)
        if answer is None or isinstance(answer, Failure):
            return answer
        before = self.get(session_id)
        assert before is not None
        self.end(session_id)
        before.answers.clear()
        before.answer_bytes = before.share = 0
        self.load(before)
        return None

    monkeypatch.setattr(Sessions, "look_up", forgetful)

    assert not all(run_seed(seed, WORLD).ok for seed in SEEDS)


def test_a_table_that_forgets_runs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients send several at once, and again: that too is seen if it is done twice."""
    monkeypatch.setattr(Sessions, "record_run", lambda *_: None)

    assert not all(run_seed(seed, WORLD).ok for seed in SEEDS)


def test_a_fence_that_holds_nobody_back_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has lost the lock, and does not know, writes among those of the next holder."""

    def unfenced(self: StateMachine, command: Fenced) -> Any:
        return self._handlers[type(command.op)](command.op)

    monkeypatch.setattr(StateMachine, "_fenced", unfenced)

    assert not all(run_seed(seed, WORLD).ok for seed in range(1, 13))


def test_a_key_that_outlives_its_time_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keyspace, "due", lambda _self, _count_max: [])

    assert not run_seed(1, WORLD).ok, "the leader tries again and again, or the key is seen"
