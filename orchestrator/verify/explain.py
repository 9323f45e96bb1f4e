"""One sentence about a contradiction, for someone who has not read the history.

The operation that was sent last is told first: what was answered to it cannot be, although the
others were answered as they were. Times are in seconds since the load began: when the last one was
sent, and when the others were answered, so that their order can be read off.
"""

from collections.abc import Sequence

from .history import Binary, Operation, Text, number
from .shrink import Contradiction

_EVIDENCE_MAX = 3
_TEXT_MAX = 40


def explain(contradiction: Contradiction, operations: Sequence[Operation], start_ns: int) -> str:
    """Say what is wrong.

    Args:
        contradiction: what was found.
        operations: all of its key's.
        start_ns: from where times are told.
    """
    last = max(contradiction.operations, key=lambda o: o.call_ns)
    others = [o for o in contradiction.operations if o is not last]
    clock = _Clock(start_ns, [last.call_ns, *(o.return_ns or 0 for o in others)])
    asked = f"{_asked(last)} {show(last.key)} by {last.client} at {clock.tell(last.call_ns)}"
    sentence = f"{asked} {_answered(last, '')}"
    if not others:
        return f"{sentence}, {_alone(last, operations, clock)}"
    # The latest answers say the most.
    told = [_evidence(o, last, clock) for o in others[-_EVIDENCE_MAX:]]
    more = len(others) - len(told)
    if more:
        told.insert(0, f"{more} more answers had been given")
    sentence += f", although {_and(told)}"
    writers = [o for o in contradiction.context if o.args.value == last.result.value]
    if last.op == "get" and len(writers) == 1:
        shown = show(writers[0].args.value)
        sent = clock.tell(writers[0].call_ns)
        sentence += f"; {shown} was written by {writers[0].client}, sent at {sent}"
    return sentence


class _Clock:
    """Tells times, in milliseconds unless that would make two of a sentence look the same."""

    def __init__(self, start_ns: int, told_ns: Sequence[int]) -> None:
        self._start_ns = start_ns
        milliseconds = {ns // 1_000_000 for ns in told_ns}
        self._digits = 3 if len(milliseconds) == len(told_ns) else 6

    def tell(self, ns: int) -> str:
        return f"{(ns - self._start_ns) / 1e9:.{self._digits}f} s"


def show(text: Text | None) -> str:
    """Return a key or a value as a reader sees it, cut where it is long."""
    if text is None:
        return "nothing"
    plain = f"b64:{text.b64.hex()}" if isinstance(text, Binary) else text
    plain = plain if plain.isprintable() and plain.strip() == plain and plain else repr(plain)
    return plain if len(plain) <= _TEXT_MAX else plain[: _TEXT_MAX - 1] + "…"


def _asked(operation: Operation) -> str:
    """Say what was asked, without the key."""
    if operation.op == "set":
        return f"set {show(operation.args.value)} in"
    if operation.op == "incr" and operation.args.by != 1:
        return f"incr by {operation.args.by} of"
    return operation.op


def _answered(operation: Operation, when: str) -> str:
    """Say what was answered."""
    result = operation.result
    revision = f" (revision {result.mod_rev})" if result.mod_rev else ""
    if operation.outcome == "failed":
        found = "" if operation.error != "conflict" else f", finding {show(result.value)}{revision}"
        return f"was refused with {operation.error}{when}{found}"
    if operation.op in {"get", "incr"}:
        return f"returned {show(result.value)}{when}{revision}"
    was = ""
    if operation.op == "delete" and result.deleted is not None:
        was = ", deleting the key" if result.deleted else ", finding no key"
    if operation.op == "set" and result.created:
        was = ", creating the key"
    return f"was acknowledged{when}{revision}{_condition(operation)}{was}"


def _condition(operation: Operation) -> str:
    args = operation.args
    if args.if_mod_rev == 0:
        return " on condition that there was no key"
    if args.if_mod_rev is not None:
        return f" on condition of revision {args.if_mod_rev}"
    if args.if_value is not None:
        return f" on condition of the value {show(args.if_value)}"
    return ""


def _evidence(operation: Operation, last: Operation, clock: _Clock) -> str:
    """Say what stands against the last operation."""
    return_ns = operation.return_ns or 0
    what = f"set {show(operation.args.value)}" if operation.op == "set" else operation.op
    answered = _answered(operation, f" at {clock.tell(return_ns)}")
    if return_ns < last.call_ns:
        was = answered.startswith("was ")
        answered = f"had been {answered[4:]}" if was else f"had {answered}"
    return f"{what} by {operation.client} {answered}"


def _alone(last: Operation, operations: Sequence[Operation], clock: _Clock) -> str:
    """Say why an answer is wrong all by itself."""
    value = last.result.value
    total = number(value)
    if total is not None and all(o.op in {"get", "incr"} for o in operations):
        sent = [o for o in operations if o.mutates and o.call_ns <= (last.return_ns or 0)]
        most = sum(max(0, o.args.by) for o in sent)
        if most < total:
            return f"although all increments sent by then add up to no more than {most}"
    if last.op == "get" and value is not None:
        return_ns = last.return_ns or 0
        writers = [o for o in operations if o.args.value == value and o.op == "set"]
        effective = [o for o in writers if o.mutates]
        if not writers and all(o.op != "incr" for o in operations):
            return "which nobody had ever tried to write"
        if effective and all(o.call_ns > return_ns for o in effective):
            first = min(effective, key=lambda o: o.call_ns)
            when = clock.tell(first.call_ns)
            return f"before the write of it was sent, by {first.client} at {when}"
        if writers and not effective:
            refused = writers[0]
            return (
                f"which only {refused.client} had tried to write, and that was answered with "
                f"{refused.error}: certainly without effect"
            )
    return "which nothing that had been asked by then can have led to"


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
