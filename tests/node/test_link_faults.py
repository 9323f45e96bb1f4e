"""Whole nodes that are told, over their administration sockets, to harm each other's frames.

The nodes, the rules and what carries them out are the shipped ones; sockets and time are simulated.
"""

import random
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM
from raftcache.transport.faults import Held, LinkFaults

from .builders import counter, elections

Rules = dict[str, list[dict[str, Any]]]


class LinkedCluster(SimulatedCluster):
    """A cluster whose frames pass the faults of who sends and of who receives them."""

    def faults(self, name: str) -> LinkFaults:
        """Return a node's faults, which live as long as its process."""
        process = self.process(name)
        server = process.server
        if server.faults is None:
            server.faults = LinkFaults(random.Random(name), lambda: self.scheduler.now_us / 1_000)
        return server.faults

    def send_to_peer(self, name: str, peer: str, frame: bytes) -> bool:
        """Let a frame leave, as ``PeerSockets.send`` does."""
        passed = self.faults(name).outgoing(peer, frame, bulk=False)
        self._release_later(name)
        if passed == [frame]:
            return super().send_to_peer(name, peer, frame)
        for one in passed:
            super().send_to_peer(name, peer, one)
        return True

    def send_bulk(self, name: str, peer: str, frame: bytes) -> None:
        """Let a piece of a snapshot leave."""
        for one in self.faults(name).outgoing(peer, frame, bulk=True):
            super().send_bulk(name, peer, one)
        self._release_later(name)

    def _deliver_to_peer(self, source: str, target: str, data: bytes) -> None:
        if self.hosts[target].process not in self.running:
            return
        for one in self.faults(target).incoming(data):
            super()._deliver_to_peer(source, target, one)
        self._release_later(target)

    def _release_later(self, name: str) -> None:
        faults = self.faults(name)
        if faults.next_due_ms < float("inf"):
            due_us = int(faults.next_due_ms * 1_000) + 1
            self.scheduler.after(
                max(0, due_us - self.scheduler.now_us), lambda: self._release(name)
            )

    def _release(self, name: str) -> None:
        for held in self.faults(name).due():
            self._arrive(name, held)
        self._release_later(name)

    def _arrive(self, name: str, held: Held) -> None:
        if held.incoming:
            super()._deliver_to_peer(held.peer.partition("#")[0], name, held.frame)
        elif held.bulk:
            super().send_bulk(name, held.peer, held.frame)
        else:
            super().send_to_peer(name, held.peer, held.frame)

    def harm(self, rules: Rules) -> None:
        """Tell the nodes their rules, all that are named."""
        for name, own in rules.items():
            self.faults(name)
            call = self.request(name, "fault_set", admin=True, rules=own)
            self.run_until(lambda: call.done)  # noqa: B023 - it is done before the next
            assert call.reply["ok"], call.reply

    def mend(self) -> None:
        """Tell all nodes to do no harm any more."""
        self.harm({name: [] for name in self.names})


def rule(peer: str, direction: str, **what: Any) -> dict[str, Any]:
    return {"peer": peer, "direction": direction, "drop": 1.0, **what}


def linked(seed: int = 1) -> tuple[LinkedCluster, str, list[str]]:
    cluster = LinkedCluster(seed, CALM)
    cluster.up()
    leader = cluster.elect()
    return cluster, leader, [name for name in cluster.names if name != leader]


def test_a_leader_whose_acknowledgements_alone_are_lost_steps_down() -> None:
    """Its heartbeats arrive and keep the others quiet: CheckQuorum must end that (failure A18)."""
    cluster, leader, others = linked()
    term = cluster.process(leader).server.raft.current_term

    lost = {"types": ["AppendEntriesResponse"]}
    cluster.harm({leader: [rule(other, "in", **lost) for other in others]})

    cluster.run_until(lambda: cluster.leader() not in {leader, None}, within_ms=3_000)
    assert cluster.process(leader).server.raft.current_term > term
    assert cluster.ask(others[0], "incr", key=b"hits")["ok"]


def test_a_follower_cut_off_in_one_direction_deposes_nobody() -> None:
    """Neither one that hears nobody nor one that nobody hears (failures A13, A17)."""
    for direction in ("in", "out"):
        cluster, leader, (cut_off, other) = linked()
        term = cluster.process(leader).server.raft.current_term

        cluster.harm({cut_off: [rule(peer, direction) for peer in (leader, other)]})
        cluster.run_ms(5_000)
        assert cluster.ask(leader, "incr", key=b"hits")["ok"]
        cluster.mend()
        cluster.elect()

        assert cluster.leader() == leader
        assert cluster.process(leader).server.raft.current_term == term


def test_an_answer_that_is_lost_leaves_the_outcome_unknown_and_the_change_is_made_once() -> None:
    """The request was handed on and carried out; only the answer is gone (failures B6, B20)."""
    cluster, leader, (follower, _) = linked()

    cluster.harm({leader: [rule(follower, "out", types=["Answer"])]})
    reply = cluster.ask(follower, "incr", key=b"hits", timeout_ms=500)

    assert (reply["error"], reply["applied"]) == ("timeout", "unknown")
    assert counter(cluster, leader) == b"1"


def test_without_votes_there_is_no_leader_until_the_heal() -> None:
    cluster, leader, others = linked()
    lost = {"types": ["RequestVoteResponse"]}
    cluster.harm({name: [rule(o, "out", **lost) for o in others if o != name] for name in others})
    before = elections(cluster)

    cluster.kill(leader)
    cluster.run_ms(3_000)

    assert cluster.leader() is None
    assert elections(cluster) > before + 2
    cluster.harm({name: [] for name in others})
    assert cluster.elect(within_ms=3_000) in others


@pytest.mark.parametrize("seed", range(4))
def test_links_that_do_everything_wrong_lose_nothing_acknowledged(seed: int) -> None:
    cluster, _, _ = linked(seed)
    cluster.harm(
        {
            name: [
                rule(
                    peer, "out", drop=0.15, duplicate=0.3, reorder=0.3, delay_ms=3, jitter_ms=3,
                    bandwidth=200_000,
                )
                for peer in cluster.names
                if peer != name
            ]
            for name in cluster.names
        }
    )  # fmt: skip
    calls = []
    for _ in range(20):
        for name in cluster.names:
            calls.append(cluster.request(name, "incr", key=b"hits", timeout_ms=3_000))
            cluster.run_ms(20)
    cluster.run_until(lambda: all(call.done for call in calls))
    harmed = [cluster.faults(name).counts for name in cluster.names]
    assert all(counts[what] for counts in harmed for what in ("lost", "doubled", "reordered"))
    cluster.mend()
    leader = cluster.elect()

    counted = int(counter(cluster, leader) or b"0")
    acknowledged = sum(call.outcome == "ok" for call in calls)
    unknown = sum(call.outcome == "timeout/unknown" for call in calls)
    assert acknowledged > len(calls) // 2
    assert acknowledged <= counted <= acknowledged + unknown
    assert len(set(cluster.digests().values())) == 1


def test_cuts_held_at_either_end_or_both_are_the_same() -> None:
    """A way is open only if both of its ends say so."""
    ends: list[Callable[[str, str], Rules]] = [
        lambda a, b: {a: [rule(b, "out")]},
        lambda a, b: {b: [rule(a, "in")]},
        lambda a, b: {a: [rule(b, "out")], b: [rule(a, "in")]},
    ]
    for hold in ends:
        cluster, leader, others = linked()
        rules: Rules = {name: [] for name in cluster.names}
        for a, b in permutations(cluster.names, 2):
            if leader in {a, b}:
                for name, own in hold(a, b).items():
                    rules[name] += own
        cluster.harm(rules)

        cluster.run_until(lambda: cluster.leader() in others, within_ms=3_000)  # noqa: B023 - at once
        cut_off = cluster.ask(leader, "incr", key=b"hits", timeout_ms=300)

        assert not cut_off["ok"]
