"""Watchers of simulated clusters: they are told the log's own order, and a bug is noticed."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.simulation.run import Options, run_seed
from raftcache.store.events import Watch, WatchResult
from raftcache.store.feed import EventFeed
from raftcache.store.results import Failure

WATCHED = Options(profile="watch", changes={"events": 2_500})
SEEDS_MAX = 40


def test_watchers_are_told_what_the_log_has_done() -> None:
    """Over crashes, cuts and snapshots, from node to node (failures B14, B15, B16)."""
    outcomes = [run_seed(seed, WATCHED) for seed in range(1, 7)]

    assert [outcome.detail for outcome in outcomes] == [""] * 6
    assert sum(outcome.counts.get("watch ok", 0) for outcome in outcomes) > 60


def one_too_far(told: Callable[..., WatchResult]) -> Callable[..., WatchResult]:
    """Let an answer say that the watch goes on one revision too late."""

    def tell(feed: EventFeed, changes: Any, watch: Watch) -> WatchResult:
        result = told(feed, changes, watch)
        return WatchResult(result.events, result.next_rev + 1, result.prev, result.size_bytes)

    return tell


def tells_again(_: Any) -> Callable[..., Any]:
    """Let a watch be told the revision before the one that it asks for, too."""

    def past(feed: EventFeed, from_rev: int) -> Any:
        return feed._keyspace.changes_after(from_rev - 2)

    return past


def says_too_much_is_gone(past: Callable[..., Any]) -> Callable[..., Any]:
    """Let nothing be kept but the last change: who comes later is told that he has missed some."""

    def gone(feed: EventFeed, from_rev: int) -> Any:
        if from_rev >= feed.store_rev:
            return past(feed, from_rev)
        return Failure("compacted", "it is gone", oldest=feed.store_rev)

    return gone


@pytest.mark.parametrize(
    ("where", "name", "bug"),
    [
        (EventFeed, "past", says_too_much_is_gone),
        (EventFeed, "tell", one_too_far),
        (EventFeed, "past", tells_again),
    ],
)
def test_a_watch_that_loses_or_repeats_is_noticed(
    monkeypatch: pytest.MonkeyPatch, where: type, name: str, bug: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(where, name, bug(getattr(where, name)))

    found = next((seed for seed in range(1, SEEDS_MAX) if not run_seed(seed, WATCHED).ok), None)

    assert found is not None
