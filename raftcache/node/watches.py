"""Watches: who waits for what to change, and what each is told at the end of a turn.

Rules of this file:

- A watch is served by the node that it reached, from what that node has applied: it is never
  handed on. It waits in one place at a time: ``_due``, to be looked at; by key or by prefix, once
  it was told that there is nothing yet; ``_ahead``, for a revision that this node does not have.
- What waits by key or prefix is found by the key that was written. Watches on other keys cost a
  write two look-ups, however many they are.
- What is told in one turn is bounded, by an estimate and not by a clock, so that the same inputs
  make the same run. Whoever does not get a turn stays due, and is told from the history.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from ..raft.core import Raft
from ..raft.types import Role
from ..store.events import Watch, WatchResult
from ..store.feed import EventFeed
from ..store.keyspace import TELLING_VERSION
from ..store.machine import StateMachine
from ..store.ordered import OrderedKeys
from ..store.records import Change
from ..store.results import Failure
from .answers import Answers
from .pending import ClientOrigin, Pending

WATCHES_MAX: Final = 10_000
"""Watches that may wait at one node; as many as it may have clients by default."""
WATCHES_OF_CLIENT_MAX: Final = 5_000
"""Of them, those on one connection: nobody takes all."""
RETRY_AFTER_MS: Final = 1_000
"""When to come back to a node that has so many: some end every second."""
TURN_COST_MAX: Final = 5_000
"""What may be told in one turn, in units of about a microsecond; one answer in any case."""
GRACE_MS: Final = 1_000
"""How much longer a watch may wait in a cluster that is about to be raised to what it needs."""
_ANSWER_COST: Final = 10
_CHANGES_PER_COST: Final = 10
_BYTES_PER_COST: Final = 1024

_Group = dict[int, "_Waiting"]
Client = tuple[int, bytes]
"""A socket of this node, and the routing id of a client there."""


class _Waiting:
    """One watch that was not answered yet, and the first revision that it was not told of."""

    __slots__ = ("deadline_ms", "from_rev", "group", "is_early", "pending", "watch")

    def __init__(self, pending: Pending, watch: Watch, from_rev: int, deadline_ms: int) -> None:
        self.pending = pending
        self.watch = watch
        self.from_rev = from_rev
        self.deadline_ms = deadline_ms
        self.group: _Group | None = None
        """Who waits by the same key or prefix, this one among them."""
        self.is_early = False
        """It begins now, and came before the cluster was raised to what watches need: so it
        begins then."""


class Watches:
    """Holds the watches of one node until there is something to tell, or their time is up.

    ``store`` returns the state machine as it is now; ``refresh_header`` lets replies tell its
    revision.
    """

    def __init__(
        self,
        raft: Raft,
        answers: Answers,
        store: Callable[[], StateMachine],
        refresh_header: Callable[[], None],
    ) -> None:
        self._raft = raft
        self._answers = answers
        self._node = answers.header.node
        self._store = store
        self._refresh_header = refresh_header
        self._seen_store = store()
        self._feed: EventFeed = self._seen_store.feed
        self._seen_rev = self._feed.store_rev
        """All up to here was told to those who wait by key or prefix."""
        self.is_awake = False
        """Whether :meth:`on_turn` has anything to do: somebody waits, or has until just now."""
        self._last_number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._deadlines = OrderedKeys()
        """Pairs of deadline and number, of all that wait."""
        self._of_client: dict[Client, set[int]] = {}
        self._due: _Group = {}
        self._ahead = OrderedKeys()
        """Pairs of revision and number, of those that wait for it."""
        self._by_key: dict[bytes, _Group] = {}
        self._by_prefix: dict[bytes, _Group] = {}
        self._prefixes_of_length: Counter[int] = Counter()
        self._lengths: tuple[int, ...] = ()
        """The lengths of the prefixes, the shortest first."""

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def has_more(self) -> bool:
        """Tell whether some did not get their turn."""
        return bool(self._due) and self._may_tell

    def take(self, pending: Pending, watch: Watch, from_rev: int | None) -> None:
        """Let a watch wait; ``from_rev`` None: for what this node applies from now on."""
        client = _client_of(pending)
        of_client = self._of_client.get(client, ())
        if len(self._waiting) >= WATCHES_MAX or len(of_client) >= WATCHES_OF_CLIENT_MAX:
            self._refuse_more(pending, len(of_client))
            return
        if not self.is_awake:
            self._wake()
        request = pending.request
        deadline_ms = pending.deadline_ms - request.timeout_ms + watch.wait_ms
        if not self._is_telling:
            deadline_ms += GRACE_MS
        if from_rev is None:
            from_rev = self._seen_rev + 1
        # The frame is let go: a watch is not handed on, and a frame may be large.
        kept = Pending(pending.origin, request, b"", deadline_ms)
        self._last_number += 1
        waiting = _Waiting(kept, watch, max(from_rev, 1), deadline_ms)
        waiting.is_early = watch.from_rev is None and not self._is_telling
        self._waiting[self._last_number] = self._due[self._last_number] = waiting
        self._of_client.setdefault(client, set()).add(self._last_number)
        self._deadlines.add((deadline_ms, self._last_number))

    def drop(self, client: Client) -> None:
        """Forget the watches of a client that is gone: nobody would hear the answers."""
        for number in sorted(self._of_client.get(client, ())):
            self._remove(number)

    def on_turn(self) -> None:
        """Tell what was applied in this turn, and look at whoever is new."""
        store = self._store()
        if store is not self._seen_store:
            self._on_other_store(store)
        fresh = self._feed.take_fresh()
        if not self._waiting:
            self._feed.unfollow()
            self.is_awake = False
        elif self._may_tell:
            self._refresh_header()
            self._tell(fresh)
        self._seen_rev = max(self._seen_rev, self._feed.store_rev)

    def _wake(self) -> None:
        """Catch up with what nobody has waited for."""
        self.is_awake = True
        self._on_other_store(self._store())
        self._seen_rev = max(self._seen_rev, self._feed.store_rev)

    def expire(self, now_ms: int) -> None:
        """Answer those whose time is up: there was nothing to tell, and so they may go on."""
        may_tell = self._may_tell
        over = self._deadlines.irange(None, (now_ms + 1,), (True, False))
        for _, number in list(over):
            if may_tell and number in self._due:
                continue  # It gets its turn first, as whoever does not want to wait must.
            waiting = self._waiting[number]
            next_rev = self._next_rev(waiting)
            self._remove(number)
            if not self._is_telling and self._is_up_to_date:
                self._answers.refuse(
                    waiting.pending,
                    "unsupported",
                    "`watch` needs a release that has it on every node, and the cluster was not "
                    "raised to it yet: start the nodes that are down, and upgrade all",
                )
            else:
                self._answers.result(waiting.pending, WatchResult([], next_rev))

    def close(self, why: str) -> None:
        """Send everyone to another node, with the revision to go on from."""
        for number, waiting in list(self._waiting.items()):
            next_rev = self._next_rev(waiting)
            self._remove(number)
            self._answers.refuse(waiting.pending, "no_leader", why, next_rev=next_rev)

    @property
    def _may_tell(self) -> bool:
        """Tell whether there is a state to tell of, whose changes all have their kinds."""
        return self._is_telling and not self._raft.state.apply_paused

    @property
    def _is_telling(self) -> bool:
        return self._seen_store.command_version >= TELLING_VERSION

    @property
    def _is_up_to_date(self) -> bool:
        """Tell whether what this node has applied is about what its leader has."""
        state = self._raft.state
        if state.leader_id is None:
            return False
        told = state.leader_commit
        return state.role is Role.LEADER or (told is not None and state.last_applied >= told)

    def _next_rev(self, waiting: _Waiting) -> int:
        """Return the first revision of which a watch was not told."""
        return waiting.from_rev if waiting.group is None else self._seen_rev + 1

    def _on_other_store(self, store: StateMachine) -> None:
        """Go on with the state that a snapshot holds: what was missed is told from its history."""
        self._feed.unfollow()
        self._seen_store = store
        self._feed = store.feed
        for number, waiting in self._waiting.items():
            if waiting.group is not None:
                self._make_due(number, waiting, self._seen_rev + 1)

    def _tell(self, fresh: list[Change]) -> None:
        hits = self._match(fresh) if fresh else {}
        self._call_who_was_ahead()
        left = TURN_COST_MAX
        if hits:
            left = self._tell_fresh(hits, fresh, left)
        if self._due:
            self._tell_past(left)
        if self._by_key or self._by_prefix:
            self._feed.follow()

    def _match(self, fresh: list[Change]) -> _Group:
        """Find who waits for one of these changes, and let all of them be due."""
        by_key, by_prefix, lengths = self._by_key, self._by_prefix, self._lengths
        hits: _Group = {}
        for change in fresh:
            key = change.key
            if key in by_key:
                hits.update(by_key[key])
            for length in lengths:
                if length > len(key):
                    break
                if key[:length] in by_prefix:
                    hits.update(by_prefix[key[:length]])
        for number, waiting in hits.items():
            self._make_due(number, waiting, fresh[0].rev)
        return hits

    def _call_who_was_ahead(self) -> None:
        ahead, store_rev = self._ahead, self._feed.store_rev
        while len(ahead) and ahead[0][0] <= store_rev:
            _, number = ahead.pop(0)
            self._due[number] = self._waiting[number]

    def _tell_fresh(self, hits: _Group, fresh: list[Change], left: int) -> int:
        """Tell those who waited what has changed just now; return what may be spent after that.

        Those who do not get their turn stay due.
        """
        of_key: dict[bytes, list[Change]] = {}
        for change in fresh:
            of_key.setdefault(change.key, []).append(change)
        told: dict[tuple[bytes, bool, bool], WatchResult] = {}
        for number, waiting in hits.items():
            if left <= 0:
                break
            watch = waiting.watch
            about = (watch.key, watch.is_prefix, watch.prev)
            if about not in told:
                changes = fresh if watch.is_prefix else of_key[watch.key]
                told[about] = self._feed.tell(changes, watch)
                left -= len(changes) // _CHANGES_PER_COST
            left -= self._answer(number, told[about])
        return left

    def _tell_past(self, left: int) -> None:
        """Look at those that are due, as far as they get their turn."""
        told: dict[tuple[bytes, bool, bool, int], WatchResult | Failure] = {}
        for number, waiting in list(self._due.items()):
            if left <= 0:
                return
            if waiting.is_early:
                waiting.from_rev = max(waiting.from_rev, self._feed.oldest)
            if waiting.from_rev > self._feed.store_rev:
                self._let_wait(number, waiting)
                left -= 1
                continue
            watch, from_rev = waiting.watch, waiting.from_rev
            about = (watch.key, watch.is_prefix, watch.prev, from_rev)
            if about not in told:
                changes = self._feed.past(from_rev)
                if isinstance(changes, Failure):
                    told[about] = changes
                else:
                    told[about] = self._feed.tell(changes, watch)
                    left -= len(changes) // _CHANGES_PER_COST
            result = told[about]
            if isinstance(result, WatchResult) and not result.events:
                waiting.from_rev = result.next_rev
                self._let_wait(number, waiting)
                left -= 1
            else:
                left -= self._answer(number, result)

    def _answer(self, number: int, result: WatchResult | Failure) -> int:
        """Answer a watch, and return what that has cost."""
        waiting = self._waiting[number]
        self._remove(number)
        self._answers.result(waiting.pending, result)
        if isinstance(result, Failure):
            return _ANSWER_COST
        return _ANSWER_COST + len(result.events) + result.size_bytes // _BYTES_PER_COST

    def _let_wait(self, number: int, waiting: _Waiting) -> None:
        """Let a watch that was due wait until there is something to tell."""
        del self._due[number]
        if waiting.from_rev > self._feed.store_rev + 1:
            self._ahead.add((waiting.from_rev, number))
            return
        watch = waiting.watch
        groups = self._by_prefix if watch.is_prefix else self._by_key
        if watch.is_prefix and watch.key not in groups:
            self._count_prefix(len(watch.key), 1)
        waiting.group = groups.setdefault(watch.key, {})
        waiting.group[number] = waiting

    def _make_due(self, number: int, waiting: _Waiting, from_rev: int) -> None:
        """Let a watch that waits by key or prefix be looked at."""
        self._leave_group(number, waiting)
        waiting.from_rev = from_rev
        self._due[number] = waiting

    def _remove(self, number: int) -> None:
        """Take a watch out of wherever it waits."""
        waiting = self._waiting.pop(number)
        self._deadlines.remove((waiting.deadline_ms, number))
        client = _client_of(waiting.pending)
        self._of_client[client].discard(number)
        if not self._of_client[client]:
            del self._of_client[client]
        if waiting.group is not None:
            self._leave_group(number, waiting)
        elif self._due.pop(number, None) is None:
            self._ahead.remove((waiting.from_rev, number))

    def _refuse_more(self, pending: Pending, of_client: int) -> None:
        where = f"{len(self._waiting)} watches wait at {self._node} already"
        if of_client >= WATCHES_OF_CLIENT_MAX:
            where = f"{of_client} watches wait on this connection already"
        self._answers.refuse(
            pending,
            "overloaded",
            f"{where}: ask another node, or try again in {RETRY_AFTER_MS} ms",
            retry_after_ms=RETRY_AFTER_MS,
        )

    def _leave_group(self, number: int, waiting: _Waiting) -> None:
        group, watch = waiting.group, waiting.watch
        assert group is not None, "the watch waits by key or prefix"
        del group[number]
        waiting.group = None
        if group:
            return
        if watch.is_prefix:
            del self._by_prefix[watch.key]
            self._count_prefix(len(watch.key), -1)
        else:
            del self._by_key[watch.key]

    def _count_prefix(self, length: int, by: int) -> None:
        """Keep the lengths of all prefixes that are waited for."""
        lengths = self._prefixes_of_length
        lengths[length] += by
        if not lengths[length]:
            del lengths[length]
        if len(lengths) != len(self._lengths):
            self._lengths = tuple(sorted(lengths))


def _client_of(pending: Pending) -> Client:
    origin = pending.origin
    assert isinstance(origin, ClientOrigin), "a watch is never handed on"
    return origin.socket, origin.envelope[0]
