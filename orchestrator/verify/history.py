"""What clients did and were told: one operation per line, in a format any checker can read.

The format is described for other programs in ``docs/history.md``. Its rules:

- Line 1 is the header, each further line one operation: invocation and answer together.
- Every operation that was begun has a line. One left out could be the write that explains a read.
- What the reader does not understand it refuses, naming the line: a condition or an operation that
  is passed over would make the verdict worthless.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import msgspec

SCHEMA = 1
"""Raised when a reader of the old schema would misunderstand a new history."""

EARLY_MS = 2
"""Clocks and stamps show whole milliseconds."""

OBSERVING_ERRORS = frozenset({"conflict", "wrong_type", "out_of_range"})
"""Refusals decided on the key's state, so that they tell as much about it as a read does."""

UNCHANGING = frozenset({"get", "expire", "session_open", "session_keepalive", "session_close"})
"""Operations that leave every value and revision as it was, as they are done."""


class HistoryError(Exception):
    """A history that cannot be relied on: says where and why."""


class Binary(msgspec.Struct, frozen=True):
    """Bytes that are no UTF-8; ``b64`` is their base64. Text is always written as a string."""

    b64: bytes

    def __post_init__(self) -> None:
        """Refuse a second spelling of a text: equal keys and values must look equal."""
        try:
            self.b64.decode()
        except UnicodeDecodeError:
            return
        raise ValueError("what is UTF-8 is written as a string, never as `b64`")


Text: TypeAlias = str | Binary
"""A key or a value, in the one way that JSON can hold it, so that equal means equal bytes."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. Names beyond these are allowed, and ignored."""

    schema: int = SCHEMA
    kind: Literal["history"] = "history"
    started_ns: int | None = None
    """When the load began, on the operations' clock; None: with the first call."""
    name: str = ""
    """Of the run, for reports."""
    early_ms: int = EARLY_MS
    """By so much less than their time keys and sessions may live: for clocks that differ."""


class Fence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The condition that another key exists, and was created by this revision."""

    key: Text
    create_rev: int


class Compare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One comparison of a ``txn``."""

    key: Text
    field: Literal["value", "mod_rev", "create_rev", "key_version", "exists"]
    cmp: Literal["=", "!=", "<", ">"] = "="
    to: Text | int | bool


class Arguments(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What was asked. Not every operation uses every field."""

    value: Text | None = None
    """What a ``set`` writes."""
    by: int = 1
    """What an ``incr`` adds."""
    if_mod_rev: int | None = None
    """Condition of a ``set`` or ``delete``: the key's revision; 0: the key must not exist."""
    if_value: Text | None = None
    """Condition of a ``set`` or ``delete``: the key's value."""
    ttl_ms: int | None = None
    """After so long the key, or the session, may go. Of an ``expire``, None: it stays."""
    sliding: bool = False
    """Each read lets that time begin anew; it may end a tenth early."""
    session: int | None = None
    """Of a ``set``: the key is bound to it. Else which one is kept alive, or closed."""
    fence: Fence | None = None
    prefix: Text | None = None
    """Of a ``delete_range``; or else ``start``, and ``end`` without itself."""
    start: Text | None = None
    end: Text | None = None
    compare: tuple[Compare, ...] = ()
    then: tuple["Part", ...] = ()
    otherwise: tuple["Part", ...] = msgspec.field(default=(), name="else")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operation of a ``txn``."""

    op: Literal["get", "set", "delete", "incr", "expire"]
    key: Text
    args: Arguments = Arguments()


class Result(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What was answered. A field that is left out is simply not known, and not checked.

    ``value`` and ``mod_rev`` speak of the key as the operation left it: what a ``get`` found, the
    sum of an ``incr``, and what stood there when a condition failed.
    """

    found: bool | None = None
    """Of a ``get``; and of a ``conflict``, when there is no key."""
    value: Text | None = None
    mod_rev: int | None = None
    """The store's revision with this change: rises with every change, to any key."""
    created: bool | None = None
    """Of a ``set``: there was no key before."""
    deleted: bool | None = None
    """Of a ``delete``: there was a key before."""
    prev: Text | msgspec.UnsetType | None = msgspec.UNSET
    """The value before a ``set`` or ``delete``, where it was asked for; None: there was no key."""
    create_rev: int | None = None
    """Of a ``get``: the revision that created the key."""
    count: int | None = None
    """Of a ``delete_range``: how many keys there were."""
    session: int | None = None
    """Of a ``session_open``."""
    succeeded: bool | None = None
    """Of a ``txn``: whether all comparisons held."""
    results: tuple["Result", ...] = ()
    """Of a ``txn``: those of the operations that were done."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation, from its call to its answer. Names beyond these are allowed, and ignored."""

    client: str
    op: Literal[
        "get",
        "set",
        "delete",
        "incr",
        "expire",
        "delete_range",
        "txn",
        "session_open",
        "session_keepalive",
        "session_close",
    ]
    key: Text = ""
    """Left out where there are several, or none."""
    args: Arguments = Arguments()
    outcome: Literal["ok", "failed", "unknown"]
    """``failed``: certainly without effect, now and later. ``unknown``: may have had its effect,
    may still have it at any later time, or never."""
    call_ns: int
    """When the client began to send. All times of a history are of one monotonic clock."""
    return_ns: int | None = None
    """When the client had its answer, or gave up. None only for ``unknown``."""
    result: Result = Result()
    error: str | None = None
    """The error's code, unless ``outcome`` is ``ok``."""
    node: str | None = None
    """Who was asked."""

    @property
    def observes(self) -> bool:
        """Whether the answer says something of the key's state."""
        if self.outcome == "failed":
            return self.error in OBSERVING_ERRORS and self.op != "txn"
        return self.outcome == "ok"

    @property
    def mutates(self) -> bool:
        """Whether it had an effect, or may have had one."""
        if self.outcome == "failed" or self.op in UNCHANGING:
            return False
        parts = (*self.args.then, *self.args.otherwise)
        return self.op != "txn" or any(part.op not in UNCHANGING for part in parts)


class History(msgspec.Struct, frozen=True):
    """A whole recorded run."""

    header: Header
    operations: tuple[Operation, ...]

    @property
    def start_ns(self) -> int:
        """From where times are told."""
        if self.header.started_ns is not None:
            return self.header.started_ns
        return min((operation.call_ns for operation in self.operations), default=0)


class _Marks(msgspec.Struct):
    """What a header must have, though whoever writes one need not spell it out."""

    schema: int
    kind: Literal["history"]


_marks_decoder = msgspec.json.Decoder(_Marks)
_header_decoder = msgspec.json.Decoder(Header)
_operation_decoder = msgspec.json.Decoder(Operation)
_encoder = msgspec.json.Encoder()


def text(data: bytes) -> Text:
    """Return how a history holds ``data``: a string if it is UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Binary(data)


class HistoryWriter:
    """Writes a history, line by line, to a file that it does not own."""

    def __init__(self, file: BinaryIO, header: Header | None = None) -> None:
        self._file = file
        file.write(_encoder.encode(header if header is not None else Header()) + b"\n")

    def write(self, operation: Operation) -> None:
        """Add one operation that has ended; at the end also those that never did, as unknown."""
        self._file.write(_encoder.encode(operation) + b"\n")


def read_history(path: Path) -> History:
    """Read a file.

    Raises:
        HistoryError: a line that is cut off, ill-formed, or not of this schema.
    """
    with path.open("rb") as file:
        try:
            header = read_header(file)
            return History(header, tuple(read_operations(file)))
        except HistoryError as error:
            raise HistoryError(f"{path}, {error}") from None


def read_header(lines: Iterator[bytes]) -> Header:
    """Read line 1.

    Raises:
        HistoryError: it is not the header of a history of this schema.
    """
    line = next(lines, b"")
    try:
        schema = _marks_decoder.decode(line).schema
        if schema != SCHEMA:
            raise HistoryError(f"line 1: schema {schema}, but this program reads {SCHEMA}")
        return _header_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HistoryError(f"line 1: not the header of a history: {error}") from None


def read_operations(lines: Iterable[bytes], first_line: int = 2) -> Iterator[Operation]:
    """Read the operations one after the other, without holding them all.

    Raises:
        HistoryError: at the first line that is cut off, ill-formed or contradicts itself.
    """
    for number, line in enumerate(lines, first_line):
        try:
            operation = _operation_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):
                raise HistoryError(
                    f"line {number}: cut off: the recorder was stopped before it had written down "
                    "what was still under way, so this history cannot be judged"
                ) from None
            raise HistoryError(f"line {number}: {error}") from None
        fault = _fault(operation)
        if fault is not None:
            raise HistoryError(f"line {number}: {fault}")
        yield operation


def _fault(operation: Operation) -> str | None:
    """Say what is contradictory about an operation."""
    if operation.return_ns is None:
        if operation.outcome != "unknown":
            return f"`return_ns` is missing, though the outcome is `{operation.outcome}`"
    elif operation.return_ns < operation.call_ns:
        return "`return_ns` is before `call_ns`: the times must be of one monotonic clock"
    if operation.op == "set" and operation.args.value is None:
        return "a `set` needs `args.value`"
    if operation.op in _KEYED and not operation.key:
        return f"a `{operation.op}` needs `key`"
    args = operation.args
    if any(part.op == "set" and part.args.value is None for part in (*args.then, *args.otherwise)):
        return "a `set` of a `txn` needs `args.value`"
    if operation.op == "delete_range" and args.prefix is None and args.start is None:
        return "a `delete_range` needs `args.prefix`, or `args.start` and `args.end`"
    if operation.outcome == "ok":
        return _fault_of_ok(operation)
    return None


def _fault_of_ok(operation: Operation) -> str | None:
    result = operation.result
    if operation.op == "get" and result.found is None:
        return "a `get` that is ok needs `result.found`"
    if operation.op == "get" and result.found and result.value is None:
        return "a `get` that found something needs `result.value`"
    if operation.op == "incr" and number(result.value) is None:
        return "an `incr` that is ok needs its sum in `result.value`, as decimal text"
    if operation.op == "expire" and result.found is None:
        return "an `expire` that is ok needs `result.found`"
    if operation.op == "session_open" and (result.session is None or operation.args.ttl_ms is None):
        return "a `session_open` that is ok needs `args.ttl_ms` and `result.session`"
    if operation.op == "txn":
        return _fault_of_txn(operation)
    return None


def _fault_of_txn(operation: Operation) -> str | None:
    result, args = operation.result, operation.args
    if result.succeeded is None:
        return "a `txn` that is ok needs `result.succeeded`"
    parts = args.then if result.succeeded else args.otherwise
    if len(parts) != len(result.results):
        return f"a `txn` that did {len(parts)} operations tells {len(result.results)} results"
    for part, told in zip(parts, result.results, strict=True):
        fault = _fault_of_ok(Operation(client="", op=part.op, outcome="ok", call_ns=0, result=told))
        if fault is not None:
            return f"in a `txn`: {fault}"
    return None


_KEYED = frozenset({"get", "set", "delete", "incr", "expire"})
_DIGITS_MAX = 20
"""The longest spelling of a signed 64-bit integer."""


def number(value: Text | None) -> int | None:
    """Return the integer that ``value`` spells in canonical decimal, or None.

    Canonical: no plus sign, no leading zero, no minus zero, no space. Whatever has too many digits
    for 64 bits is one and the same huge number: no sum with it can be in range.
    """
    if not isinstance(value, str):
        return None
    digits = value[1:] if value[:1] == "-" else value
    if not digits.isascii() or not digits.isdigit() or (digits[0] == "0" and value != "0"):
        return None
    if len(value) > _DIGITS_MAX:
        return 2**127 if digits is value else -(2**127)
    return int(value)
