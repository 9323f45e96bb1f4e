"""The table of sessions in a snapshot: cut while it changes, and put together again (§7).

Rules of this file:

- What is written is the table of the moment at which the run began: a session that changes or ends
  before its turn has come is copied first. Sessions go by id, and a session's answers by ``seq``.
- A session whose answers do not fit goes on in the next slice, under the same id. Which keys die
  with it stands in the keys' records.
- Nothing that is read is believed. What can't be part of a table is refused here; in the end the
  shares of all sessions and keys must add up to the state's digest.
"""

import msgspec

from .digests import DIGEST_BYTES
from .recorded import Recorded, Run, Session, decode_answer, decode_run
from .sessions import SESSION_TTL_MS_MAX, WINDOW, Sessions
from .slices import SessionRow, SessionRows

ROW_BYTES = 56
"""The most that a row holds besides its answers."""
ANSWER_BYTES = 23
"""The most that an answer holds besides its own bytes, and, of a run, its digests."""


class SessionWalk:
    """Walks over the sessions of the moment at which it was made.

    ``last_id`` and ``floor_ms`` are the table's of that moment; ``is_over`` tells that all is
    given out. Until :meth:`end` it is told of every change.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.last_id = sessions.last_id
        self.floor_ms = sessions.floor_ms
        self._sessions = sessions
        self._ids = sessions.ids()
        self._position = 0
        """How many of the ids have had their turn."""
        self._kept: dict[int, Session] = {}
        self._present: Session | None = None
        """The session whose answers are being given out: those in ``_answers``, last one first."""
        self._answers: list[tuple[int, Recorded | Run]] = []
        self._cut = 0
        """How many bytes of the next answer went into parts."""
        self._has_begun = False
        sessions.on_change = self._keep

    @property
    def is_over(self) -> bool:
        """Tell whether there is nothing more to give; one slice there is always."""
        return self._has_begun and self._present is None and self._position == len(self._ids)

    def end(self) -> None:
        """Be told of nothing any more."""
        self._sessions.on_change = None
        self._ids, self._kept, self._answers, self._present = [], {}, [], None
        self._position = 0

    def next_part(self, room: int) -> bytes | None:
        """Return the beginning of the next answer if it is too large for a slice; else None."""
        self._look_ahead()
        if not self._answers:
            return None
        answer = self._answers[-1][1].answer
        left = len(answer) - self._cut
        if left == 0 or ROW_BYTES + self._next_bytes() <= room:
            return None
        part = answer[self._cut : self._cut + room]
        self._cut += len(part)
        return part

    def next_rows(self, room: int) -> list[SessionRow]:
        """Return what fits in one slice. Assumes that :meth:`next_part` has returned None."""
        self._has_begun = True
        rows: list[SessionRow] = []
        self._look_ahead()
        while self._present is not None and (not rows or room >= self._least()):
            session, answers = self._present, self._answers
            row = SessionRow(session.session_id, session.ttl_ms, session.renewed_ms, session.ack)
            room -= ROW_BYTES
            while answers and (room >= self._next_bytes() or not (rows or row.seqs)):
                room -= self._next_bytes()
                seq, recorded = answers.pop()
                row.seqs.append(seq)
                row.digests.append(
                    recorded.digests if isinstance(recorded, Run) else recorded.digest
                )
                row.answers.append(recorded.answer[self._cut :])
                self._cut = 0
            rows.append(row)
            if answers:
                break
            self._present = None
            self._look_ahead()
        return rows

    def _least(self) -> int:
        """Return what the next row needs at least."""
        return ROW_BYTES + (self._next_bytes() if self._answers else 0)

    def _next_bytes(self) -> int:
        """Return what is left of the next answer takes up."""
        recorded = self._answers[-1][1]
        digest_bytes = len(recorded.digests) if isinstance(recorded, Run) else 0
        return ANSWER_BYTES + digest_bytes + len(recorded.answer) - self._cut

    def _look_ahead(self) -> None:
        """Fix the next session as it was; from here on it may change."""
        if self._present is not None or self._position == len(self._ids):
            return
        session_id = self._ids[self._position]
        self._position += 1
        session = self._kept.pop(session_id, None) or self._sessions.get(session_id)
        assert session is not None, "a session that ends is kept first"
        runs = [(run.first_seq, run) for run in session.runs]
        self._answers = sorted([*session.answers.items(), *runs], key=_seq_of, reverse=True)
        self._present = Session(session.session_id, session.ttl_ms, session.renewed_ms, session.ack)

    def _keep(self, session: Session) -> None:
        position, session_id = self._position, session.session_id
        if (
            position < len(self._ids)
            and self._ids[position] <= session_id <= self._ids[-1]
            and session_id not in self._kept
        ):
            self._kept[session_id] = session.copy()


class SessionLoader:
    """Puts a table together again, slice by slice."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._has_begun = False
        self._present: Session | None = None
        self._last_seq = 0

    def feed(self, made: SessionRows, parts: bytes, time_ms: int) -> str | None:
        """Take the next slice; ``parts`` is the beginning of its first answer.

        Returns:
            What is wrong with it; None: nothing is.
        """
        sessions = self._sessions
        if not self._has_begun:
            self._has_begun = True
            sessions.last_id, sessions.floor_ms = made.last_id, made.floor_ms
        if (made.last_id, made.floor_ms) != (sessions.last_id, sessions.floor_ms):
            return "its tables of sessions are not one"
        if not made.last_id or made.floor_ms > time_ms:
            return "it holds a table of sessions that can not be"
        if parts:
            if not made.rows or not made.rows[0].answers:
                return "parts of an answer have nothing that they belong to"
            made.rows[0].answers[0] = parts + made.rows[0].answers[0]
        for row in made.rows:
            wrong = self._row(row, time_ms)
            if wrong is not None:
                return wrong
        return None

    def finish(self) -> None:
        """Put in order what has come."""
        self._sessions.finish_loading()

    def _row(self, row: SessionRow, time_ms: int) -> str | None:
        if not len(row.seqs) == len(row.digests) == len(row.answers):
            return "its lists differ in length"
        present = self._present
        if present is None or row.session_id != present.session_id:
            if row.session_id <= (present.session_id if present is not None else 0):
                return "its sessions are not in order"
            if row.session_id > self._sessions.last_id or row.renewed_ms > time_ms:
                return "it holds a session that can not be"
            if not 1 <= row.ttl_ms <= SESSION_TTL_MS_MAX:
                return "it holds a session whose time to live can not be"
            present = self._present = Session(row.session_id, row.ttl_ms, row.renewed_ms, row.ack)
            self._last_seq = 0
            self._sessions.load(present)
        elif (row.ttl_ms, row.renewed_ms, row.ack) != (
            present.ttl_ms,
            present.renewed_ms,
            present.ack,
        ):
            return "a session does not go on as it began"
        return self._answers_of(row, present)

    def _answers_of(self, row: SessionRow, session: Session) -> str | None:
        for seq, digest, answer in zip(row.seqs, row.digests, row.answers, strict=True):
            count = len(digest) // DIGEST_BYTES if isinstance(digest, bytes) else 1
            last_seq = seq + count - 1
            # Of a run, the beginning may be settled.
            if seq <= self._last_seq or not session.ack < last_seq <= session.ack + WINDOW:
                return "its answers are not in order, or outside of the window"
            if not _is_answer(answer, digest):
                return "it holds an answer that is unreadable"
            self._last_seq = last_seq
            if isinstance(digest, bytes):
                self._sessions.load_run(session, seq, digest, answer)
            else:
                self._sessions.load_answer(session, seq, digest, answer)
        return None


def _seq_of(item: tuple[int, Recorded | Run]) -> int:
    return item[0]


def _is_answer(answer: bytes, digest: int | bytes) -> bool:
    """Tell whether these bytes are what a session keeps of a mutation, or of a run of them."""
    try:
        if isinstance(digest, bytes):
            count, rest = divmod(len(digest), DIGEST_BYTES)
            return not rest and count == len(decode_run(answer))
        if answer:
            decode_answer(answer)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True
