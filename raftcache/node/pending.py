"""Requests that wait: for a leader, for the log, for a read round, for another node's answer.

Rules: a request waits in one place at a time and is answered once. Requests that came in together
wait together, so that a deadline costs one comparison per group and not one per request.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from ..protocol.requests import Request
from ..raft.types import Index, ServerId, Term

TRANSFER_OP = "leader_transfer"
"""What a leader that was handed it on to answers when it leads no more: that is how it ends."""


class ClientOrigin(msgspec.Struct, frozen=True, gc=False):
    """The request came from a socket of this node: 0 for clients, 1 for administration."""

    socket: int
    envelope: list[bytes]


class PeerOrigin(msgspec.Struct, frozen=True, gc=False):
    """Another node handed the request on, under this number of its own."""

    peer: ServerId
    number: int


Origin: TypeAlias = ClientOrigin | PeerOrigin


class Pending(msgspec.Struct, frozen=True, gc=False):
    """One request that was not answered yet. ``deadline_ms`` is on the loop's clock.

    ``frame`` is the request as it came: it may have to be handed on.
    """

    origin: Origin
    request: Request
    frame: bytes
    deadline_ms: int


class Group:
    """Requests that wait for one and the same thing."""

    __slots__ = ("deadline_ms", "requests", "term")

    def __init__(self, requests: list[Pending], term: Term = 0) -> None:
        self.requests = requests
        self.term = term
        self.deadline_ms = min([pending.deadline_ms for pending in requests], default=0)

    def take_expired(self, now_ms: int) -> list[Pending]:
        """Remove and return the requests whose deadline has passed."""
        if now_ms < self.deadline_ms:
            return []
        expired = [pending for pending in self.requests if pending.deadline_ms <= now_ms]
        kept = [pending for pending in self.requests if pending.deadline_ms > now_ms]
        self.requests = kept
        self.deadline_ms = min((pending.deadline_ms for pending in kept), default=now_ms + 1_000)
        return expired


class ProposedGroup(Group):
    """The requests of one log entry, by position: some may have been answered already.

    The entry's results come by position too, so whoever was answered leaves a None behind.
    """

    __slots__ = ("slots",)

    def __init__(
        self, requests: list[Pending], term: Term, slots: list[Pending | None] | None = None
    ) -> None:
        super().__init__(requests, term)
        self.slots: list[Pending | None] = list(requests) if slots is None else slots

    def take_expired(self, now_ms: int) -> list[Pending]:
        """Remove and return the requests whose deadline has passed."""
        expired = super().take_expired(now_ms)
        if expired:
            gone = {id(pending) for pending in expired}
            self.slots = [
                None if pending is None or id(pending) in gone else pending
                for pending in self.slots
            ]
        return expired


class HandedOnTable:
    """Requests that were handed on to a leader, by the number under which they went.

    Numbers go up from ``last_number``. Each life of a node has others: what comes late for a
    former life must not pass for an answer to this one.
    """

    def __init__(self, last_number: int) -> None:
        self._by_number: dict[int, tuple[Pending, ServerId, Term]] = {}
        self._last_number = last_number
        self._next_deadline_ms = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._by_number)

    def add(self, pending: Pending, leader: ServerId, term: Term) -> int:
        """Note that ``pending`` goes to a term's leader; return the number it goes under."""
        self._last_number += 1
        if not self._by_number or pending.deadline_ms < self._next_deadline_ms:
            self._next_deadline_ms = pending.deadline_ms
        self._by_number[self._last_number] = (pending, leader, term)
        return self._last_number

    def take(self, number: int) -> Pending | None:
        """Remove and return the request with this number; None when it was answered already."""
        found = self._by_number.pop(number, None)
        return None if found is None else found[0]

    def take_expired(self, now_ms: int) -> list[Pending]:
        """Remove and return the requests whose deadline has passed."""
        if not self._by_number or now_ms < self._next_deadline_ms:
            return []
        numbers = [
            number
            for number, (pending, _, _) in self._by_number.items()
            if pending.deadline_ms <= now_ms
        ]
        expired = [self._by_number.pop(number)[0] for number in numbers]
        self._next_deadline_ms = min(
            (pending.deadline_ms for pending, _, _ in self._by_number.values()), default=0
        )
        return expired

    def take_all(self) -> list[Pending]:
        """Remove and return everyone."""
        found, self._by_number = self._by_number, {}
        return [pending for pending, _, _ in found.values()]

    def take_other_than(self, leader: ServerId, term: Term) -> list[Pending]:
        """Remove and return what went to any other node than ``leader``, or in another term.

        Without transfers of the leadership: only who led before knows whether they went well.
        """
        numbers = [
            number
            for number, (pending, target, target_term) in self._by_number.items()
            if (target != leader or target_term != term) and pending.request.op != TRANSFER_OP
        ]
        return [self._by_number.pop(number)[0] for number in numbers]


class ProposedTable:
    """Requests whose entry is in the log and not yet applied, by the entry's index."""

    def __init__(self) -> None:
        self._by_index: dict[Index, ProposedGroup] = {}
        self.request_count = 0
        """How many requests wait."""
        self.bytes = 0
        """Bytes of the proposals that are not yet applied: what bounds the queue."""
        self._bytes_by_index: dict[Index, int] = {}

    def add(self, index: Index, group: ProposedGroup, size_bytes: int) -> None:
        """Note that ``group`` waits for the entry at ``index``."""
        self._by_index[index] = group
        self.request_count += len(group.requests)
        self._bytes_by_index[index] = size_bytes
        self.bytes += size_bytes

    def take(self, index: Index, term: Term) -> ProposedGroup | None:
        """Remove and return who waits for this entry: index and term must both be as proposed.

        Those whose entry was replaced by one of another term stay, for :meth:`take_all`.
        """
        group = self._by_index.get(index)
        if group is None or group.term != term:
            return None
        del self._by_index[index]
        self.request_count -= len(group.requests)
        self.bytes -= self._bytes_by_index.pop(index)
        return group

    def __len__(self) -> int:
        """Return how many entries wait to be applied."""
        return len(self._by_index)

    def take_all(self) -> Iterator[Pending]:
        """Remove and yield everyone, because the leadership is lost."""
        groups, self._by_index = self._by_index, {}
        self._bytes_by_index, self.bytes, self.request_count = {}, 0, 0
        for group in groups.values():
            yield from (pending for pending in group.slots if pending is not None)

    def take_expired(self, now_ms: int) -> Iterable[Pending]:
        """Remove and return the requests whose deadline has passed."""
        expired: list[Pending] = []
        for group in self._by_index.values():
            expired += group.take_expired(now_ms)
        self.request_count -= len(expired)
        return expired
