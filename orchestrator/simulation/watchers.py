"""Clients that watch a simulated cluster, compared with what the log has done, read plainly.

Each goes from node to node while these die, pause and are cut off, and must be told every change
that it asked for once, in order, and as it was; or that it is no longer kept (promise 6).
"""

from random import Random
from typing import Any, NamedTuple

from raftcache.raft.types import Entry, EntryKind
from raftcache.store.machine import StateMachine

from .calls import Call
from .cluster import SimulatedCluster
from .plain import Told

PATIENCE_US = 300_000
"""How long a watcher waits for an answer beyond what it has asked for."""
THINK_US = (0, 30_000)
WAITS_MS = (0, 30, 300, 1_000)
STAY = 0.7
"""How likely the next question goes to the same node."""
WATCHED = (
    {"prefix": b""},
    {"prefix": b"mixed-"},
    {"prefix": b"fleeting-"},
    {"key": b"register-0"},
    {"key": b"counter-1"},
    {"prefix": b"loose-"},
    {"prefix": b"register-1"},
)


class LogOrder:
    """What a node has that was never stopped, and was told each committed entry at once."""

    def __init__(self) -> None:
        self.machine = StateMachine()

    @property
    def oldest(self) -> int:
        """The oldest revision that a node may still have to tell of."""
        return self.machine.feed.oldest

    def add(self, entry: Entry) -> None:
        """Take the next committed entry."""
        if entry.kind is EntryKind.COMMANDS:
            self.machine.apply(entry.index, entry.data)
        else:
            # Sessions have their full time from a new leader, here as on the nodes (seed 20040).
            self.machine.apply_empty(entry.index, begins_term=entry.kind is EntryKind.NOOP)


class _Answer(NamedTuple):
    """What a watcher was told by one answer."""

    node: str
    begins: int | None
    """The revision that it asked for; None: the next one from then on."""
    next_rev: int
    told: list[Told]
    floor_rev: int


class Watchers:
    """Some watchers, each with its own random stream.

    Args:
        cluster: whom they ask.
        seed: decides what they ask, and whom.
    """

    def __init__(self, cluster: SimulatedCluster, seed: int | str) -> None:
        self._cluster = cluster
        self.order = LogOrder()
        self.running = True
        count = cluster.profile.watchers
        if count:
            cluster.checks.on_committed = self.order.add
        self._all = [
            _Watcher(self, cluster, Random(f"{seed}/watcher/{number}")) for number in range(count)
        ]

    def stop(self) -> None:
        """Let them ask nothing more."""
        self.running = False

    def verify(self) -> None:
        """Let each ask for what it was not told yet, and compare it all with the log.

        Assumes that the cluster is at peace, and has applied all that is committed.

        Raises:
            AssertionError: something was missed, told twice, or told otherwise.
        """
        names = [process.name for process in self._cluster.running]
        if self._all:
            self._check_state()
        for number, watcher in enumerate(self._all):
            watcher.finish(names[number % len(names)])

    def _check_state(self) -> None:
        """Check that who was never stopped, and took nothing over, holds what the nodes hold."""
        machine = self.order.machine
        wanted = self._cluster.checks.digests[machine.last_applied]
        assert machine.digest() == wanted, (
            f"the state at index {machine.last_applied} is what the log has made"
        )


class _Watcher:
    """One watcher: asks, waits, asks for what comes next."""

    def __init__(self, watchers: Watchers, cluster: SimulatedCluster, random: Random) -> None:
        self._watchers = watchers
        self._cluster = cluster
        self._random = random
        self._node = random.choice(cluster.names)
        self._fields: dict[str, Any] = dict(random.choice(WATCHED))
        self._prev = random.random() < 0.5
        if self._prev:
            self._fields["prev"] = True
        self._next_rev: int | None = random.choice((None, 1, 1, 5, 60))
        self._turn = 0
        self._ahead: list[_Answer] = []
        """Answers that tell of more than is known to be committed."""
        self._oldest_told = 0
        """The last one that was called the oldest that is kept."""
        self._think()

    def finish(self, node: str) -> None:
        """Ask one node for all that is left."""
        self._turn += 1
        last_rev = self._watchers.order.machine.store_rev
        while self._next_rev is None or self._next_rev <= last_rev:
            floor_rev = self._cluster.checks.newest_rev
            self._take(self._cluster.ask(node, "watch", **self._question(0)), floor_rev)
        for answer in self._ahead:
            self._compare(answer)
        oldest = self._watchers.order.oldest
        assert self._oldest_told <= oldest, (
            f"revision {self._oldest_told} was called the oldest that is kept, and {oldest} is"
        )

    def _think(self) -> None:
        self._cluster.scheduler.after(self._random.randint(*THINK_US), self._ask)

    def _question(self, wait_ms: int) -> dict[str, Any]:
        fields = {**self._fields, "wait_ms": wait_ms}
        return fields if self._next_rev is None else {**fields, "from_rev": self._next_rev}

    def _ask(self) -> None:
        if not self._watchers.running:
            return
        self._turn += 1
        turn, random = self._turn, self._random
        if random.random() >= STAY:
            self._node = random.choice(self._cluster.names)
        wait_ms = random.choice(WAITS_MS)
        call = self._cluster.request(self._node, "watch", **self._question(wait_ms))

        def answered(call: Call) -> None:
            self._cluster.record.counts[f"watch {call.outcome}"] += 1
            if turn == self._turn:  # else it has given up on this one, and asked another node
                self._turn += 1
                self._take(call.reply, call.floor_rev)
                self._think()

        def give_up() -> None:
            if turn == self._turn:
                self._turn += 1
                self._node = random.choice(self._cluster.names)
                self._think()

        call.on_answer = answered
        patience_us = (wait_ms or 5_000) * 1_000 + PATIENCE_US
        self._cluster.scheduler.after(patience_us, give_up)

    def _take(self, reply: dict[str, Any], floor_rev: int) -> None:
        """Compare an answer with the log, and go on behind it.

        ``floor_rev`` is the newest revision that any node had applied when it was asked for.
        """
        order = self._watchers.order
        if not reply["ok"]:
            if reply["error"] == "compacted":
                self._take_compacted(reply["oldest"])
            self._next_rev = reply.get("next_rev", self._next_rev)
            return
        told = [
            (one["kind"], one["rev"], one["key"], one["value"], one.get("prev"))
            for one in reply["events"]
        ]
        answer = _Answer(reply["node"], self._next_rev, reply["next_rev"], told, floor_rev)
        self._next_rev = answer.next_rev
        if answer.next_rev <= order.machine.store_rev + 1:
            self._compare(answer)
        else:
            # The node may have died right after it, and then nobody has heard yet what it knew.
            self._ahead.append(answer)

    def _compare(self, answer: "_Answer") -> None:
        begins, next_rev, told = answer.begins, answer.next_rev, answer.told
        wanted = self._wanted(answer.floor_rev + 1 if begins is None else begins, next_rev)
        if begins is None:
            # It began at a moment between the question and the answer: with some of the last ones.
            wanted = wanted[len(wanted) - len(told) :]
        assert told == wanted, (
            f"a watch of {self._fields} from revision {begins} to {next_rev} at {answer.node} "
            f"is told what the log has done: {told}, not {wanted}"
        )
        known = self._watchers.order.machine.store_rev + 1
        assert (begins or 0) <= next_rev <= max(known, begins or 0), (
            f"a watch from revision {begins} goes on with {next_rev}, and the next one is {known}"
        )

    def _take_compacted(self, oldest: int) -> None:
        assert self._next_rev is not None, "what begins now is kept"
        assert self._next_rev < oldest, (
            f"revision {self._next_rev} is no longer kept, and {oldest} is the oldest that is"
        )
        # As in `_take`, it may know of an entry that nobody has heard of yet: one that forgets,
        # and makes no revision that would tell (seed 20001248).
        self._oldest_told = max(self._oldest_told, oldest)
        self._next_rev = oldest

    def _wanted(self, from_rev: int, next_rev: int) -> list[Told]:
        """Return what the log has to tell, from one revision up to another."""
        found: list[Told] = []
        for kind, rev, key, value, before in reversed(self._cluster.checks.plain.told):
            if rev < from_rev:
                break
            if rev >= next_rev:
                continue
            prefix = self._fields.get("prefix")
            if key == self._fields.get("key") if prefix is None else key.startswith(prefix):
                found.append((kind, rev, key, value, before if self._prev else None))
        found.reverse()
        return found
