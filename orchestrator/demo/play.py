"""The course of the demo: a cluster, a load, the leader killed and started again, the account.

It knows a cluster by the few verbs it needs (:class:`Cluster`) and asks the nodes themselves for
all else. Every wait has its bound; what does not happen in time is said in the report.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from raftcache.client import Client, RequestError

from ..errors import TryAgain
from .history import Found, Verdict, judge, percentile_ms, unavailable_ms
from .listener import Story
from .narration import Line, Rules, listed
from .writers import PREFIX, Writers

WRITERS = 4
# A hundred times what an idle host needs: on a busy one, patience beats a wrong verdict.
ELECTION_SECONDS_MAX = 30.0
CATCH_UP_SECONDS_MAX = 60.0
READ_SECONDS_MAX = 30.0
HASH_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.02


class Cluster(Protocol):
    """What the demo asks of a cluster."""

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Client endpoints by node."""

    def kill(self, node: str) -> None:
        """Send SIGKILL to a node; it stays down. Waits for no election."""

    def start(self, node: str) -> None:
        """Start a node that is down."""


class Pace(msgspec.Struct, frozen=True):
    """How long each act lasts, in seconds."""

    before_kill: float = 2.0
    after_election: float = 1.5
    after_return: float = 1.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one demo."""

    verdict: Verdict
    unavailable_ms: float | None
    """The longest wait between acknowledged writes around the kill; None: they never came back."""
    elected_ms: float | None
    killed: str
    leader: str | None
    """Who leads after the kill; None: nobody, in time."""
    term: int
    caught_up: bool
    hashes_equal: bool
    hash_note: str

    @property
    def is_good(self) -> bool:
        """Whether the cluster kept its promises, and came back."""
        return not self._complaints()

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        complaints = self._complaints()
        if complaints:
            return f"FAILED: {'; '.join(complaints)}."
        return "Nothing acknowledged was lost, and nothing was done twice."

    def _complaints(self) -> list[str]:
        verdict = self.verdict
        found = {
            f"{verdict.lost} acknowledged writes were lost": verdict.lost,
            f"{verdict.twice} writes were done twice": verdict.twice,
            f"{verdict.wrong} keys hold what nobody wrote there": verdict.wrong,
            "nothing was acknowledged": not verdict.acknowledged,
            f"no new leader within {ELECTION_SECONDS_MAX:.0f} s": self.leader is None,
            "after the kill no write was acknowledged any more": self.unavailable_ms is None,
            f"{self.killed} did not catch up in time": not (self.caught_up),
            "the nodes' states differ": not self.hashes_equal,
        }
        return [complaint for complaint, is_so in found.items() if is_so]


class Play:
    """One performance over a cluster that is up."""

    def __init__(self, cluster: Cluster, story: Story, pace: Pace) -> None:
        self._cluster = cluster
        self._story = story
        self._pace = pace
        self._endpoints = dict(cluster.endpoints)

    def perform(self, on_kill: "OnKill") -> Report:
        """Play it all; ``on_kill`` hears the moments of death and return, for the time column."""
        endpoints = list(self._endpoints.values())
        writers = Writers(endpoints, WRITERS)
        try:
            with Client(endpoints) as client:
                return self._perform(client, writers, on_kill)
        finally:
            writers.stop()

    def _perform(self, client: Client, writers: Writers, on_kill: "OnKill") -> Report:
        leader = self._find_leader(client, above_term=0, seconds=ELECTION_SECONDS_MAX)
        if leader is None:
            raise RuntimeError("the cluster has no leader")
        self._say(f"{WRITERS} clients write; each writes down what it was told", Rules.COMMIT)
        writers.start()
        self._wait(self._pace.before_kill)
        writes = writers.writes()
        shown = f"{len(writes):,} writes, half of them within {percentile_ms(writes, 0.5):.1f} ms"
        self._say(shown, Rules.COMMIT)

        old, pid = str(leader["node"]), int(leader["pid"])
        killed_ms = self._kill(old, pid, on_kill)
        new = self._find_leader(
            client, above_term=int(leader["term"]), seconds=ELECTION_SECONDS_MAX, without=old
        )
        back_ms = self._first_write_after(writers, killed_ms)
        if back_ms is not None:
            told = "the first write sent since the kill is acknowledged"
            self._story.add(Line(back_ms, told, Rules.COMMIT, headline=True))
        self._wait(self._pace.after_election)
        self._story.flush()
        on_kill(None)

        started_ms = time.monotonic() * 1_000
        self._say(f"{old} is started again, from its own disk", Rules.RESTART, headline=True)
        with contextlib.suppress(TryAgain):  # then the report says that it did not catch up
            self._cluster.start(old)
        caught_up = self._wait_caught_up(client, old)
        self._wait(self._pace.after_return)
        writers.stop()
        return self._report(
            client, writers, old=old, new=new, killed_ms=killed_ms, started_ms=started_ms,
            caught_up=caught_up,
        )  # fmt: skip

    def _kill(self, node: str, pid: int, on_kill: "OnKill") -> float:
        self._say(f"kill -9 {node}, the leader (pid {pid})", Rules.CRASH, headline=True)
        self._story.flush()
        death = _Death(pid)
        self._cluster.kill(node)
        killed_ms = death.moment_ms()
        on_kill(killed_ms)
        self._story.add(Line(killed_ms, f"{node} is dead"))
        return killed_ms

    def _find_leader(
        self, client: Client, *, above_term: int, seconds: float, without: str = ""
    ) -> Mapping[str, Any] | None:
        """Return the status of the leader of a later term, or None if there is none in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for node, endpoint in self._endpoints.items():
                if node == without:
                    continue
                status = _status(client, endpoint)
                if status and status["role"] == "leader" and status["term"] > above_term:
                    return status
            time.sleep(_POLL_SECONDS)
        return None

    def _first_write_after(self, writers: Writers, moment_ms: float) -> float | None:
        deadline = time.monotonic() + ELECTION_SECONDS_MAX
        while time.monotonic() < deadline:
            found = writers.first_acknowledged_after(moment_ms)
            if found is not None:
                return found
            time.sleep(_POLL_SECONDS)
        return None

    def _wait_caught_up(self, client: Client, node: str) -> bool:
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        while time.monotonic() < deadline:
            status = _status(client, self._endpoints[node])
            if status and status["caught_up"]:
                told = f"{node} has caught up: {status['applied']:,} entries applied"
                self._say(told, Rules.CATCH_UP, headline=True)
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _report(
        self,
        client: Client,
        writers: Writers,
        *,
        old: str,
        new: Mapping[str, Any] | None,
        killed_ms: float,
        started_ms: float,
        caught_up: bool,
    ) -> Report:
        self._say("the clients stop; every key is read back and compared", Rules.READ)
        items = client.items(PREFIX, timeout=READ_SECONDS_MAX)
        found = {item.key: Found(item.value, item.key_version) for item in items}
        equal, note = self._compare_hashes(client)
        self._say(f"the digests of all states are compared: {note}", Rules.SAFETY)
        return Report(
            verdict=judge(writers.writes(), found),
            unavailable_ms=unavailable_ms(writers.writes(), killed_ms, started_ms),
            elected_ms=self._elected_ms(new, killed_ms),
            killed=old,
            leader=None if new is None else str(new["node"]),
            term=0 if new is None else int(new["term"]),
            caught_up=caught_up,
            hashes_equal=equal,
            hash_note=note,
        )

    def _elected_ms(self, new: Mapping[str, Any] | None, killed_ms: float) -> float | None:
        if new is None:
            return None
        won_ms = self._story.leaders.get(int(new["term"]))
        if won_ms is None:  # events may be lost; the leader itself remembers
            won_ms = (new.get("election") or {}).get("won_ms")
        return max(0.0, won_ms - killed_ms) if won_ms else None

    def _compare_hashes(self, client: Client) -> tuple[bool, str]:
        """Compare the digests of all nodes, once they are at the same index."""
        deadline = time.monotonic() + HASH_SECONDS_MAX
        while True:
            digests = {
                node: _digest(client, endpoint) for node, endpoint in self._endpoints.items()
            }
            equal = None not in digests.values() and len(set(digests.values())) == 1
            if equal or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        if equal:
            first = next(iter(digests.values()))
            assert first is not None
            return True, f"the same on {listed(list(digests))}, at index {first[0]:,}"
        shown = (
            f"{node} {'does not answer' if digest is None else f'{digest[1]} at {digest[0]}'}"
            for node, digest in digests.items()
        )
        return False, ", ".join(shown)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def _say(self, text: str, rule: str = "", *, headline: bool = False) -> None:
        self._story.add(Line(time.monotonic() * 1_000, text, rule, headline))


class OnKill(Protocol):
    """Hears when the leader died, and (None) when the time counts from the start again."""

    def __call__(self, killed_ms: float | None, /) -> None:
        """Note it."""


class _Death:
    """Takes the time at which a process dies, as the kernel tells it."""

    def __init__(self, pid: int) -> None:
        self._moment_ms = time.monotonic() * 1_000
        self._handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        self._thread = threading.Thread(target=self._watch, name="death watch")
        self._thread.start()

    def moment_ms(self) -> float:
        """Return when it died; where the kernel can't tell, when the watch began."""
        self._thread.join()
        return self._moment_ms

    def _watch(self) -> None:
        if self._handle < 0:
            return
        try:
            if select.select([self._handle], [], [], ELECTION_SECONDS_MAX)[0]:
                self._moment_ms = time.monotonic() * 1_000
        finally:
            os.close(self._handle)


def _status(client: Client, endpoint: str) -> Mapping[str, Any] | None:
    try:
        return client.status(endpoint, timeout=0.5)
    except RequestError:
        return None


def _digest(client: Client, endpoint: str) -> tuple[int, str] | None:
    try:
        reply = client.hash(endpoint, timeout=0.5)
    except RequestError:
        return None
    return int(reply["at"]), str(reply["digest"])
