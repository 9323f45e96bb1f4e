"""Clients that remember what they did and were told, and the verdict over all of it.

Every operation that was begun is in the history, one whose answer never came as unknown: what is
left out could be the write that explains a read.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from raftcache.client import Conflict, DefiniteError, IndefiniteError, Record, Written

from ..verify import history
from ..verify.history import Arguments, Header, History, HistoryWriter, Operation, Result, text
from ..verify.judgement import Judgement, judge
from ..verify.linearizability import Verdict

Text: TypeAlias = str | bytes
__tracebackhide__ = True
"""For pytest: a test that fails shows its own lines, not those of this file."""

T = TypeVar("T")
_RECORDED = "get, get_record, set, write, delete and incr"


class Recordable(Protocol):
    """What a client must be able to do; ``raftcache.client.Client`` can."""

    def get_record(self, key: Text) -> Record | None:
        """Read a key."""

    def write(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
    ) -> Written:
        """Write a key."""

    def delete(
        self, key: Text, *, if_mod_rev: int | None = None, if_value: Text | None = None
    ) -> bool:
        """Delete a key."""

    def incr(self, key: Text, by: int = 1) -> int:
        """Add to a number."""


class Recording:
    """What the recording clients of one test did, in any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: list[Operation] = []
        self._under_way: dict[int, str] = {}
        self._begun = 0

    def begin(self, what: str) -> int:
        """Note that an operation begins; return its number."""
        with self._lock:
            self._begun += 1
            self._under_way[self._begun] = what
            return self._begun

    def end(self, number: int, operation: Operation) -> None:
        """Add an operation that has ended."""
        with self._lock:
            del self._under_way[number]
            self._operations.append(operation)

    @property
    def keys(self) -> list[Text]:
        """The keys that were worked on, in the order of their first use."""
        with self._lock:
            found = dict.fromkeys(operation.key for operation in self._operations)
        return [key if isinstance(key, str) else key.b64 for key in found]

    def history(self) -> History:
        """Return all that was recorded.

        Raises:
            AssertionError: nothing was, or a client is still at work.
        """
        with self._lock:
            if self._under_way:
                busy = ", ".join(sorted(set(self._under_way.values()))[:5])
                raise AssertionError(
                    f"a recording client is still at work ({busy}): join the threads that use it "
                    "before you ask for the verdict, or its operation would be missing"
                )
            if not self._operations:
                raise AssertionError(
                    "nothing was recorded, so there is nothing to judge: let your threads work "
                    "with raft_cluster.recording_client(), or wrap the client of your service "
                    "with raft_cluster.recording_client(wrapping=client)"
                )
            return History(Header(), tuple(self._operations))


class RecordingClient:
    """A client whose operations are recorded; otherwise it does what the client inside does.

    It has the methods that the checker knows: no others, for what it does not see it can't judge.
    """

    def __init__(self, name: str, client: Recordable, recording: Recording) -> None:
        self.name = name
        self._client = client
        self._recording = recording

    def __repr__(self) -> str:
        """Tell whose operations are recorded."""
        return f"<{type(self).__name__} {self.name} of {self._client!r}>"

    def get(self, key: Text) -> bytes | None:
        """Return a key's value, or None when there is no such key."""
        record = self.get_record(key)
        return None if record is None else record.value

    def get_record(self, key: Text) -> Record | None:
        """Return a key's value and revisions, or None when there is no such key."""

        def tell(record: Record | None) -> Result:
            if record is None:
                return Result(found=False)
            return Result(found=True, value=text(record.value), mod_rev=record.mod_rev)

        return self._do("get", key, Arguments(), lambda: self._client.get_record(key), tell)

    def set(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
    ) -> int:
        """Write a key, on conditions perhaps; return its new revision."""
        return self.write(key, value, if_mod_rev=if_mod_rev, if_value=if_value).mod_rev

    def write(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
    ) -> Written:
        """Write a key as :meth:`set` does; return also whether it is a new one."""
        args = Arguments(
            value=_text(value),
            if_mod_rev=if_mod_rev,
            if_value=None if if_value is None else _text(if_value),
        )
        return self._do(
            "set",
            key,
            args,
            lambda: self._client.write(key, value, if_mod_rev=if_mod_rev, if_value=if_value),
            lambda written: Result(mod_rev=written.mod_rev, created=written.created),
        )

    def delete(
        self, key: Text, *, if_mod_rev: int | None = None, if_value: Text | None = None
    ) -> bool:
        """Delete a key, on conditions perhaps; return whether there was one."""
        args = Arguments(
            if_mod_rev=if_mod_rev, if_value=None if if_value is None else _text(if_value)
        )
        return self._do(
            "delete",
            key,
            args,
            lambda: self._client.delete(key, if_mod_rev=if_mod_rev, if_value=if_value),
            lambda deleted: Result(deleted=deleted),
        )

    def incr(self, key: Text, by: int = 1) -> int:
        """Add to the number in a key and return the sum."""
        return self._do(
            "incr",
            key,
            Arguments(by=by),
            lambda: self._client.incr(key, by),
            lambda total: Result(value=str(total)),
        )

    def __getattr__(self, name: str) -> Any:
        """Refuse what would go unrecorded."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"a recording client has no `{name}`: it records {_RECORDED}, and what is not "
            "recorded can't be judged. For anything else use raft_cluster.client(), with keys "
            "that no recording client writes"
        )

    def _do(
        self,
        op: Literal["get", "set", "delete", "incr"],
        key: Text,
        args: Arguments,
        call: Callable[[], T],
        tell: Callable[[T], Result],
    ) -> T:
        number = self._recording.begin(f"{self.name}: {op} {key!r}")
        call_ns = time.monotonic_ns()
        outcome: Literal["ok", "failed", "unknown"] = "unknown"
        error, node, result = None, None, Result()
        try:
            answer = call()
            outcome, result = "ok", tell(answer)
        except DefiniteError as refusal:
            outcome, error, node = "failed", refusal.code, refusal.node
            if isinstance(refusal, Conflict):
                result = _standing(refusal)
            raise
        except IndefiniteError as failure:
            error, node = failure.code, failure.node
            raise
        finally:
            # Also when something else was raised: it was begun, and may have had its effect.
            self._recording.end(
                number,
                Operation(
                    client=self.name,
                    op=op,
                    key=_text(key),
                    args=args,
                    outcome=outcome,
                    call_ns=call_ns,
                    return_ns=time.monotonic_ns(),
                    result=result,
                    error=error,
                    node=node,
                ),
            )
        return answer


def assert_linearizable(recorded: History, place: Path) -> None:
    """Judge a history; where it is not fine, write it to ``place``.

    Raises:
        AssertionError: it is not linearizable, or that could not be found out.
    """
    judgement = judge(recorded)
    if judgement.verdict is Verdict.VALID:
        return
    with place.open("wb") as file:
        writer = HistoryWriter(file, recorded.header)
        for operation in recorded.operations:
            writer.write(operation)
    raise AssertionError("\n".join(_complaints(judgement, place)))


def _complaints(judgement: Judgement, place: Path) -> Iterable[str]:
    if judgement.verdict is Verdict.INVALID:
        yield "what the clients saw fits no order of their operations: not linearizable"
        for violation in judgement.violations:
            yield f"  {violation.sentence}"
        yield "if a client that is not recorded wrote to these keys, record that one too: what it"
        yield "did is unknown to the checker. Otherwise this is a defect of the cluster: report it"
    else:
        keys = len([fault for fault in judgement.check.faults if fault.verdict is Verdict.UNKNOWN])
        yield f"whether this is linearizable could not be found out: {keys} keys took too long"
        yield "spread the operations over more keys, or let fewer clients work at once"
    yield f"all operations: {place}"


def _standing(refusal: Conflict) -> Result:
    """Return what a failed condition tells of the key."""
    if refusal.mod_rev == 0:
        return Result(found=False)
    value = None if refusal.value is None else text(refusal.value)
    return Result(found=True, value=value, mod_rev=refusal.mod_rev)


def _text(data: Text) -> history.Text:
    return text(data.encode() if isinstance(data, str) else data)
