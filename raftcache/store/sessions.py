"""Sessions: what each client has had done, for how long it lives, and which keys die with it.

A mutation that carries (session, seq) takes effect once, however often it comes (thesis §6.3): the
table keeps its answer until the client says, by ``ack``, that it needs it no more. Rules of this
file:

- All of it is replicated state, changed by the log alone: a session ends at the same entry on every
  server, and one that has not ended is never dropped to make room.
- ``seq`` identifies and does not order. What lies in (ack, ack + WINDOW] is executed once, in any
  order; what lies below is never executed any more.
- A refusal is remembered like a success: sent again, it must not turn into one.
- A session lives ``ttl_ms`` from its last keepalive, or from the beginning of the last term if that
  was later: who could not reach the leader that is gone gets its full time from the next one.
- Everything is bounded, by numbers that belong to the command version: all servers must agree.
- The table's digest is a sum of shares, as that of the keys is.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final
from zlib import crc32

import msgspec

from .digests import unpack_digests
from .recorded import MASK, Recorded, Run, Session, answer_of, mixed, run_with, without_value
from .results import Failure, Result, SingleResult

WINDOW: Final = 1024
"""How far ``seq`` may lie above ``ack``."""

SESSION_TTL_MS_MAX: Final = 24 * 60 * 60 * 1000
"""The longest time to live of a session: a day. It blocks its place for so long."""

SESSION_BYTES: Final = 512
"""What a session weighs besides its answers."""
ANSWER_OVERHEAD_BYTES: Final = 256
"""What an answer weighs besides its own bytes."""

RETRY_AFTER_MS: Final = 1_000
"""When to come back to a table that is full: sessions end by seconds, not by milliseconds."""

NO_DEADLINE: Final = 2**63
"""Later than the end of any session."""

_encode: Final = msgspec.msgpack.Encoder().encode


class SessionLimits(msgspec.Struct, frozen=True):
    """The bounds of the table. Only tests have others than these: all servers must agree."""

    sessions: int = 20_000
    """The most sessions at a time."""
    table_bytes: int = 128 * 1024 * 1024
    """The most that the table weighs, by the formula above, when something new is let in."""
    answer_bytes: int = 64 * 1024
    """The most bytes of answers that one session keeps; beyond, only that there was one."""
    bound_keys: int = 10_000
    """The most keys that die with one session, in one entry of the log."""


class Sessions:
    """The table of sessions.

    ``last_id`` is the newest id that was ever given, 0: none was. ``floor_ms`` is the cluster time
    at which the present term began. ``due_ms`` is not after the end of any session, and is
    :data:`NO_DEADLINE` where there are none. ``weight`` is what the table weighs, and
    ``keys_weight``, which counts among the keys, to know which of them are bound.
    """

    def __init__(self, limits: SessionLimits | None = None) -> None:
        self.limits = limits or SessionLimits()
        self.last_id = 0
        self.floor_ms = 0
        self.due_ms = NO_DEADLINE
        self.weight = self.keys_weight = 0
        self.on_change: Callable[[Session], None] | None = None
        """Is shown each session before it changes or ends: a snapshot is being taken."""
        self._table: dict[int, Session] = {}  # ids only rise, so it is in their order
        self._ends: list[tuple[int, int]] = []
        """A heap of (end, id), one for each session. A keepalive leaves it alone, so what stands
        here may be too early; it is put right when it comes to the top."""
        self._digest_sum = 0
        self.get = self._table.get

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self._table)

    def __contains__(self, session_id: int) -> bool:
        """Tell whether this session lives."""
        return session_id in self._table

    def ids(self) -> list[int]:
        """Return the ids of all sessions, in order."""
        return list(self._table)

    def digest(self) -> int:
        """Return 64 bits that stand for the table; 0 while there was no session ever."""
        if not self.last_id:
            return 0
        return (self._digest_sum + mixed(self.last_id, self.floor_ms, 0, 0)) & MASK

    def begin_term(self, time_ms: int) -> None:
        """Let every session live for its full time from now on at least: a new term begins."""
        if self.last_id:
            self.floor_ms = time_ms

    def begin(self, ttl_ms: int, time_ms: int) -> int | None:
        """Begin a session and return its id; None: the table is full."""
        limits = self.limits
        if len(self._table) >= limits.sessions or self.weight >= limits.table_bytes:
            return None
        self.last_id += 1
        if self.last_id == 1:
            self.floor_ms = time_ms
        self._add(Session(self.last_id, ttl_ms, time_ms))
        heappush(self._ends, (time_ms + ttl_ms, self.last_id))
        self.due_ms = self._ends[0][0]
        return self.last_id

    def keep_alive(self, session_id: int, time_ms: int) -> int | None:
        """Let a session live for its time to live from now on; return that, or None: it is gone."""
        session = self._table.get(session_id)
        if session is None:
            return None
        self._will_change(session)
        session.renewed_ms = time_ms
        self._count_again(session)
        return session.ttl_ms

    def end(self, session_id: int) -> list[bytes] | None:
        """End a session; return the keys that go with it, in order, or None: it is gone already.

        The caller removes them, in the same entry.
        """
        session = self._table.get(session_id)
        if session is None:
            return None
        self._will_change(session)
        del self._table[session_id]
        self._digest_sum -= session.share + sum([a.share for a in session.answers.values()])
        self._digest_sum -= sum([run.share for run in session.runs])
        self._digest_sum &= MASK
        self.weight -= SESSION_BYTES + _weight(session)
        self.keys_weight -= session.keys_weight
        return sorted(session.keys)

    def next_due(self, time_ms: int) -> int | None:
        """Return the session that is to end first, if its end is not after ``time_ms``.

        It is to be ended, or it is returned again.
        """
        return self._ends[0][1] if self.find_due_ms() <= time_ms else None

    def find_due_ms(self) -> int:
        """Return when the first session ends, as things are; it is ``due_ms`` from now on."""
        ends, table, floor_ms = self._ends, self._table, self.floor_ms
        while ends:
            listed_ms, session_id = ends[0]
            session = table.get(session_id)
            if session is None:
                heappop(ends)
                continue
            end_ms = max(session.renewed_ms, floor_ms) + session.ttl_ms
            if end_ms == listed_ms:
                break
            heapreplace(ends, (end_ms, session_id))
        self.due_ms = ends[0][0] if ends else NO_DEADLINE
        return self.due_ms

    def look_up(self, session_id: int, seq: int, ack: int, digest: int) -> Result | None:
        """Return what a mutation is answered without being executed; None: it is to be executed.

        Takes note of ``ack`` in any case. What is executed is to be recorded before anything else
        is looked up.
        """
        session = self._table.get(session_id)
        if session is None:
            return self.expired(session_id)
        if ack > session.ack:
            self._will_change(session)
            self._acknowledge(session, ack)
        if seq <= session.ack:
            return Failure(
                "stale_seq",
                f"`seq` {seq} is not above {session.ack}, up to which all is settled: its outcome "
                "is no longer kept, and this send did nothing",
            )
        recorded = session.answers.get(seq)
        if recorded is not None:
            return answer_of(recorded, seq, digest)
        run = run_with(session.runs, seq)
        if run is not None:
            return answer_of(run.recorded(seq), seq, digest)
        if seq > session.ack + WINDOW:
            return Failure(
                "window_full",
                f"`seq` {seq} is more than {WINDOW} above `ack` {session.ack}: settle older ones, "
                "and raise `ack`, before going on",
            )
        if self.weight >= self.limits.table_bytes:
            return self.full()
        return None

    def record(self, session_id: int, seq: int, digest: int, result: Result) -> None:
        """Note that a mutation was executed, and what it answered.

        Assumes that :meth:`look_up` has just let it through.
        """
        session = self._table[session_id]
        assert session.ack < seq <= session.ack + WINDOW, "only what is in the window is executed"
        assert seq not in session.answers, "nothing is executed twice"
        self._will_change(session)
        answer = _encode(result)
        room = self.limits.answer_bytes - session.answer_bytes
        if len(answer) > room:
            # A refusal must stay one; without the other's value it is short.
            answer = _encode(without_value(result)) if type(result) is Failure else b""
        self._add_answer(session, seq, digest, answer)

    def admits_run(self, session_id: int, first_seq: int, count: int, ack: int) -> bool:
        """Tell whether mutations under numbers that follow each other are all to be executed.

        Then ``ack`` is noted, and :meth:`record_run` is next. If not, look each of them up.
        """
        session = self._table.get(session_id)
        if session is None or self.weight >= self.limits.table_bytes:
            return False
        if first_seq <= session.top or first_seq <= max(session.ack, ack):
            return False
        if first_seq + count - 1 > max(session.ack, ack) + WINDOW:
            return False
        if ack > session.ack:
            self._will_change(session)
            self._acknowledge(session, ack)
        return True

    def record_run(
        self, session_id: int, first_seq: int, digests: bytes, results: list[SingleResult]
    ) -> None:
        """Note that a run was executed, and what it answered; ``digests``: 8 bytes for each.

        Assumes that :meth:`admits_run` has just let it through.
        """
        session = self._table[session_id]
        answer = _encode(results)
        if len(answer) + len(digests) > self.limits.answer_bytes - session.answer_bytes:
            for seq, digest in enumerate(unpack_digests(digests), first_seq):
                self.record(session_id, seq, digest, results[seq - first_seq])
            return
        self._will_change(session)
        self._add_run(session, first_seq, digests, answer)

    def bind(self, session_id: int, key: bytes) -> None:
        """Let ``key`` die with a session. Assumes that :meth:`refusal_to_bind` had none."""
        session = self._table[session_id]
        self.keys_weight -= session.keys_weight
        session.keys[key] = None
        self.keys_weight += session.keys_weight

    def unbind(self, session_id: int, key: bytes) -> None:
        """Let ``key`` live on when the session ends; of no effect while that ends."""
        session = self._table.get(session_id)
        if session is not None:
            self.keys_weight -= session.keys_weight
            session.keys.pop(key, None)
            self.keys_weight += session.keys_weight

    def refusal_to_bind(self, session_id: int, key: bytes) -> Failure | None:
        """Return why ``key`` can't be bound to a session; None: it can."""
        session = self._table.get(session_id)
        if session is None:
            return self.expired(session_id)
        if len(session.keys) >= self.limits.bound_keys and key not in session.keys:
            return Failure(
                "too_large",
                f"{self.limits.bound_keys} keys are bound to session {session_id} already: bind "
                "the others to another session",
            )
        return None

    def expired(self, session_id: int) -> Failure:
        """Return the answer to whoever names a session that is gone."""
        return Failure(
            "session_expired",
            f"session {session_id} has expired, was closed, or never was: what a `seq` without an "
            "answer did can't be known; open another session",
        )

    def full(self) -> Failure:
        """Return the answer to whoever would need room in a table that has none."""
        return Failure(
            "overloaded",
            f"the table of sessions is full ({len(self._table)} sessions, {self.weight} bytes): "
            f"close sessions, raise `ack`, or try again in {RETRY_AFTER_MS} ms",
            retry_after_ms=RETRY_AFTER_MS,
        )

    def load(self, session: Session) -> None:
        """Take over a session from a snapshot, without answers. Assumes that ids rise."""
        self._add(session)
        end_ms = max(session.renewed_ms, self.floor_ms) + session.ttl_ms
        self._ends.append((end_ms, session.session_id))

    def load_answer(self, session: Session, seq: int, digest: int, answer: bytes) -> None:
        """Take over an answer of the session that was loaded last."""
        self._add_answer(session, seq, digest, answer)

    def load_run(self, session: Session, first_seq: int, digests: bytes, answer: bytes) -> None:
        """Take over a run of the session that was loaded last."""
        self._add_run(session, first_seq, digests, answer)

    def finish_loading(self) -> None:
        """Put the ends of all sessions in order."""
        heapify(self._ends)
        self.find_due_ms()

    def dismantle(self, sessions_max: int) -> bool:
        """Drop so many sessions; True: nothing is left. Only for what nobody reads any more."""
        for _ in range(min(sessions_max, len(self._table))):
            self._table.popitem()
        return not self._table

    def _will_change(self, session: Session) -> None:
        if self.on_change is not None:
            self.on_change(session)

    def _add(self, session: Session) -> None:
        self._table[session.session_id] = session
        self.weight += SESSION_BYTES
        self._count_again(session)

    def _count_again(self, session: Session) -> None:
        """Bring the session's share of the digest up to date."""
        share = mixed(session.session_id, session.ttl_ms, session.renewed_ms, session.ack)
        self._digest_sum = (self._digest_sum + share - session.share) & MASK
        session.share = share

    def _add_answer(self, session: Session, seq: int, digest: int, answer: bytes) -> None:
        share = mixed(session.session_id, seq, digest, crc32(answer))
        session.answers[seq] = Recorded(digest, answer, share)
        session.top = max(session.top, seq)
        session.answer_bytes += len(answer)
        self.weight += ANSWER_OVERHEAD_BYTES + len(answer)
        self._digest_sum = (self._digest_sum + share) & MASK

    def _add_run(self, session: Session, first_seq: int, digests: bytes, answer: bytes) -> None:
        share = mixed(session.session_id, first_seq, crc32(digests), crc32(answer))
        run = Run(first_seq, digests, answer, share)
        session.runs.append(run)
        session.top = max(session.top, run.last_seq)
        session.answer_bytes += run.size_bytes
        self.weight += ANSWER_OVERHEAD_BYTES + run.size_bytes
        self._digest_sum = (self._digest_sum + share) & MASK

    def _acknowledge(self, session: Session, ack: int) -> None:
        """Forget the answers up to ``ack``: costs in proportion to what there is to forget."""
        answers = session.answers
        if ack - session.ack <= len(answers):
            settled = [seq for seq in range(session.ack + 1, ack + 1) if seq in answers]
        else:
            settled = [seq for seq in answers if seq <= ack]
        for seq in settled:
            gone = answers.pop(seq)
            size = len(gone.answer)
            session.answer_bytes -= size
            self.weight -= ANSWER_OVERHEAD_BYTES + size
            self._digest_sum -= gone.share
        runs = session.runs
        while runs and runs[0].last_seq <= ack:
            run = runs.popleft()
            session.answer_bytes -= run.size_bytes
            self.weight -= ANSWER_OVERHEAD_BYTES + run.size_bytes
            self._digest_sum -= run.share
        session.ack = ack
        self._count_again(session)


def _weight(session: Session) -> int:
    count = len(session.answers) + len(session.runs)
    return ANSWER_OVERHEAD_BYTES * count + session.answer_bytes
