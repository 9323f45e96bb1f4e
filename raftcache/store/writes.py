"""What changes single keys: ``set``, ``delete``, ``incr`` and ``expire``.

Rules of this file: a command that fails answers with a :class:`Failure` and changes nothing. What
changes goes through the keyspace, at the time that the entry's stamp has told it.
"""

from typing import Final

from .extensions import SetFully
from .operations import Delete, Expire, Incr, IncrExpiring, Set, SetExpiring
from .reading import Reader
from .records import Record
from .results import DeleteResult, ExpireResult, Failure, IncrResult, SetResult, SingleResult

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
_INTEGER_DIGITS_MAX: Final = 20  # a sign and 19 digits


class Writer(Reader):
    """Does what changes single keys; the state machine is one that also knows the log."""

    def _set(
        self,
        command: Set | SetExpiring | SetFully,
        deadline_ms: int = 0,
        *,
        ttl_ms: int = 0,
        session: int = 0,
    ) -> SingleResult:
        key = command.key
        before = self._view.get(key)
        if command.if_mod_rev is not None or command.if_value is not None:
            conflict = self._conflict(before, command.if_mod_rev, command.if_value)
            if conflict is not None:
                return conflict
        if ttl_ms or session:
            ties = {"ttl_ms": ttl_ms, "session": session}
            mod_rev = self._view.put(key, command.value, before, deadline_ms, **ties).mod_rev
        else:
            mod_rev = self._view.put(key, command.value, before, deadline_ms).mod_rev
        if not command.prev:
            return SetResult(mod_rev, before is None)
        prev = None if before is None else before.value
        affordable = self._afford(prev)
        return SetResult(
            mod_rev,
            before is None,
            prev if affordable else None,
            has_prev=affordable,
            prev_omitted=not affordable,
        )

    def _set_expiring(self, command: SetExpiring) -> SingleResult:
        return self._set(command, self._view.time_ms + command.ttl_ms)

    def _set_fully(self, command: SetFully) -> SingleResult:
        session = command.session
        if session is not None:
            refusal = self._keyspace.sessions.refusal_to_bind(session, command.key)
            if refusal is not None:
                return refusal
        ttl_ms = command.ttl_ms
        deadline_ms = 0 if ttl_ms is None else self._view.time_ms + ttl_ms
        slides = ttl_ms if ttl_ms is not None and command.sliding else 0
        return self._set(command, deadline_ms, ttl_ms=slides, session=session or 0)

    def _delete(self, command: Delete) -> SingleResult:
        before = self._view.get(command.key)
        if command.if_mod_rev is not None or command.if_value is not None:
            conflict = self._conflict(before, command.if_mod_rev, command.if_value)
            if conflict is not None:
                return conflict
        if before is not None:
            self._view.remove(command.key, before)
        if not command.prev:
            return DeleteResult(0 if before is None else 1)
        prev = None if before is None else before.value
        affordable = self._afford(prev)
        return DeleteResult(
            0 if before is None else 1,
            prev if affordable else None,
            has_prev=affordable,
            prev_omitted=not affordable,
        )

    def _conflict(
        self, before: Record | None, if_mod_rev: int | None, if_value: bytes | None
    ) -> Failure | None:
        mod_rev = 0 if before is None else before.mod_rev
        value = None if before is None else before.value
        if if_mod_rev is not None and if_mod_rev != mod_rev:
            unmet = f"`if_mod_rev` is {if_mod_rev}"
        elif if_value is not None and if_value != value:
            unmet = "`if_value` is another value"
        else:
            return None
        now = "does not exist" if before is None else f"has mod_rev {mod_rev}"
        affordable = self._afford(value)
        return Failure(
            "conflict",
            f"{unmet}, but the key {now}: read it again and decide anew",
            mod_rev=mod_rev,
            value=value if affordable else None,
            value_omitted=not affordable,
        )

    def _incr(self, command: Incr | IncrExpiring, deadline_ms: int = 0) -> SingleResult:
        before = self._view.get(command.key)
        number = 0 if before is None else parse_integer(before.value)
        if number is None:
            return Failure(
                "wrong_type", "`incr` needs a value that is a decimal integer, such as 0 or -17"
            )
        number += command.by
        if not INTEGER_MIN <= number <= INTEGER_MAX:
            return Failure("out_of_range", "the sum does not fit in a signed 64-bit integer")
        key, value, put = command.key, b"%d" % number, self._view.put
        if before is None:
            record = put(key, value, None, deadline_ms)
        else:
            ties = {"ttl_ms": before.ttl_ms, "session": before.session}
            record = put(key, value, before, before.deadline_ms, **ties)
        return IncrResult(number, record.mod_rev)

    def _incr_expiring(self, command: IncrExpiring) -> SingleResult:
        return self._incr(command, self._view.time_ms + command.ttl_ms)

    def _expire(self, command: Expire) -> SingleResult:
        before = self._view.get(command.key)
        if before is None:
            return ExpireResult(found=False)
        ttl_ms = command.ttl_ms
        deadline_ms = 0 if ttl_ms is None else self._view.time_ms + ttl_ms
        # A key that slides goes on to, by its new time.
        slides = ttl_ms if ttl_ms is not None and before.ttl_ms else 0
        self._view.touch(command.key, before, deadline_ms, slides)
        return ExpireResult(found=True)


def parse_integer(value: bytes) -> int | None:
    """Return the integer that ``value`` spells in canonical decimal, or None.

    Canonical: no plus sign, no leading zero, no minus zero, no space. Of a number with more
    digits than 64 bits can hold only the sign and the excess count.
    """
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or (digits[:1] == b"0" and value != b"0"):
        return None
    if len(value) > _INTEGER_DIGITS_MAX:
        return 2**127 if digits is value else -(2**127)
    return int(value)
