"""What the log's commands about sessions do to the state, and mutations that are done once.

The table itself is in ``sessions``. Rules of this file:

- Whether something was done before is decided here, where it is done: a leader that looked it up
  before it proposed would not know what the entries on their way hold.
- A session and all its keys go in one entry: no key outlives its session, not for a moment.
"""

from typing import Any

import msgspec

from .commands import Batch, CloseSession, KeepAlive, Once, OnceRun, OpenSession
from .digests import DIGEST_BYTES
from .records import DELETE, EXPIRE
from .results import BatchResult, Dropped, Result, SessionResult, SingleResult
from .transactions import Transactor

_encode = msgspec.msgpack.Encoder().encode


class SessionWriter(Transactor):
    """Does what commands about sessions say; the state machine is one that does all the rest."""

    def _open_session(self, command: OpenSession) -> SingleResult:
        sessions = self._keyspace.sessions
        session_id = sessions.begin(command.ttl_ms, self._keyspace.time_ms)
        if session_id is None:
            return sessions.full()
        return SessionResult(session_id, command.ttl_ms)

    def _keep_alive(self, command: KeepAlive) -> SingleResult:
        sessions = self._keyspace.sessions
        ttl_ms = sessions.keep_alive(command.session, self._keyspace.time_ms)
        if ttl_ms is None:
            return sessions.expired(command.session)
        return SessionResult(command.session, ttl_ms)

    def _close_session(self, command: CloseSession) -> SingleResult:
        sessions = self._keyspace.sessions
        keys = sessions.end(command.session)
        if keys is None:
            return sessions.expired(command.session)
        self._remove_bound(keys, DELETE)
        return SessionResult(command.session, 0)

    def _once(self, command: Once) -> Any:
        """Do a mutation under a number of its session, unless that was done already."""
        session, seq, op = command.session, command.seq, command.op
        sessions = self._keyspace.sessions
        answer = sessions.look_up(session, seq, command.ack, command.digest)
        if answer is not None:
            return self._affordable(answer)
        result: Result = self._handlers[type(op)](op)
        sessions.record(session, seq, command.digest, result)
        return result

    def _once_run(self, command: OnceRun) -> BatchResult:
        """Do mutations under numbers that follow each other: usually all of them are new."""
        sessions, ops = self._keyspace.sessions, command.ops
        session, first_seq = command.session, command.first_seq
        assert len(command.digests) == DIGEST_BYTES * len(ops), "each operation has its digest"
        if not sessions.admits_run(session, first_seq, len(ops), command.ack):
            return self._batch(command.unrolled())
        done = self._batch(Batch(ops))
        sessions.record_run(session, first_seq, command.digests, done.results)
        return done

    def _affordable(self, answer: Result) -> Result:
        """Return a recorded answer, or that there was one if the reply has no room for it."""
        cost = len(_encode(answer))
        if cost > self._budget:
            return Dropped()
        self._budget -= cost
        return answer

    def _end_sessions(self, room: int) -> int:
        """End the sessions that are due; return how much is left of ``room`` for other endings.

        As many sessions and keys of theirs as there is room for, but each session as a whole. The
        others live on until the next entry.
        """
        sessions, time_ms = self._keyspace.sessions, self._keyspace.time_ms
        while room > 0:
            session_id = sessions.next_due(time_ms)
            if session_id is None:
                return room
            keys = sessions.end(session_id)
            assert keys is not None, "what is due lives"
            self._remove_bound(keys, EXPIRE)
            room -= 1 + len(keys)
        return 0

    def _remove_bound(self, keys: list[bytes], kind: int) -> None:
        keyspace = self._keyspace
        for key in keys:
            before = keyspace.get(key)
            assert before is not None, "what is bound exists"
            keyspace.remove(key, before, kind)
