"""Operations in a few words, for tables; times in milliseconds."""

import random
from collections.abc import Sequence
from typing import Any, Literal

from orchestrator.verify.history import OBSERVING_ERRORS, Arguments, Operation, Result

MS = 1_000_000
Outcome = Literal["ok", "failed", "unknown"]


def op(client: str, words: str, call: int, end: int | None, **answer: Any) -> Operation:
    """Build an operation on key k: ``set v``, ``get v``, ``get -``, ``delete``, ``incr`` ``5``.

    Keywords: ``rev``, ``if_rev``, ``if_value``, ``unknown``, ``error``, and fields of a result.
    """
    kind, _, word = words.partition(" ")
    error = answer.pop("error", None)
    unknown = answer.pop("unknown", False)
    args = {"if_mod_rev": answer.pop("if_rev", None), "if_value": answer.pop("if_value", None)}
    args = {name: value for name, value in args.items() if value is not None}
    if "rev" in answer:
        answer["mod_rev"] = answer.pop("rev")
    if kind == "set":
        args["value"] = word
    elif kind == "get" and not unknown:
        answer |= {"found": False} if word == "-" else {"found": True, "value": word}
    elif kind == "incr" and word:
        answer["value"] = word
    outcome: Outcome = "unknown" if unknown else "failed" if error is not None else "ok"
    return Operation(
        client=client,
        op=kind,  # type: ignore[arg-type]
        key=answer.pop("key", "k"),
        args=Arguments(**{"by": answer.pop("by", 1), **args}),
        outcome=outcome,
        call_ns=call * MS,
        return_ns=None if end is None else end * MS,
        result=Result(**answer),
        error=error,
    )


def draw(rng: random.Random) -> list[Operation]:
    """Return up to six operations with arbitrary answers; about a quarter can be explained."""
    values = rng.choice([["a", "b"], ["a", "b", "c", "d"], ["1", "2", "a"], ["1", "2", "3"]])
    revisions = rng.random() < 0.6
    unknown = rng.random() / 2
    kinds = ["get", "get", "set", "set", "delete", "cas", "cad"]
    if rng.random() < 0.4:
        kinds += ["incr"] * 3
    width = rng.choice([3, 8, 20])
    operations = []
    for i in range(rng.randint(1, 6)):
        call = rng.randrange(20)
        known = rng.random() >= unknown
        words, answer = _draw_one(rng, rng.choice(kinds), values, revisions=revisions, known=known)
        operations.append(op(f"c{i}", words, call, call + rng.randrange(1, width), **answer))
    return operations


def draw_counts(rng: random.Random) -> list[Operation]:
    """Return up to six answers about a number near its limits, as they came or one of them not.

    What refuses here tells nothing of the sum that it found.
    """
    steps = rng.choice([(5, 2**62, 2**63 - 1), (5, 2**62, 2**63 - 1, -(2**62), -(2**63)), (1, 2)])
    value, operations = 0, []
    for i in range(rng.randint(2, 6)):
        by, words = rng.choice(steps), "incr"
        call = 10 * i + rng.randrange(10)
        end = 10 * i + 10 + rng.randrange(rng.choice([1, 15]))
        fits = -(2**63) <= value + by < 2**63
        answer: dict[str, Any]
        if rng.random() < 0.35:
            answer = {"by": by, "unknown": True}
            value += by if fits and rng.random() < 0.5 else 0
        elif rng.random() < 0.25:
            words = "set x"
            condition = value + rng.choice(steps)
            answer = {"if_value": str(condition), "error": "conflict"}
        elif fits:
            value += by
            words, answer = f"incr {value}", {"by": by}
        else:
            answer = {"by": by, "error": "out_of_range"}
        operations.append(op(f"c{i}", words, call, end, **answer))
    if rng.random() < 0.5:
        wrong = op("w", "incr", call, end, by=rng.choice(steps), error="out_of_range")
        operations[rng.randrange(len(operations))] = wrong
    return operations


def _draw_one(
    rng: random.Random, kind: str, values: list[str], *, revisions: bool, known: bool
) -> tuple[str, dict[str, Any]]:
    answer: dict[str, Any] = {} if known else {"unknown": True}
    words = {"cas": "set", "cad": "delete"}.get(kind, kind)
    revision = rng.randrange(1, 6) if revisions and rng.random() < 0.7 else None
    if kind == "incr":
        answer["by"] = rng.choice([1, 1, 2, -1])
    if kind in {"cas", "cad"} and rng.random() < 0.5:
        answer["if_rev"] = rng.randrange(4)
    elif kind in {"cas", "cad"}:
        answer["if_value"] = rng.choice(values)
    refused = known and rng.random() < (0.4 if kind in {"cas", "cad"} else 0.15)
    if refused and kind in {"cas", "cad"}:
        answer["error"] = "conflict"
        there = rng.random() < 0.7
        answer |= {"found": there, "rev": revision if there else 0}
        answer |= {"value": rng.choice(values)} if there else {}
    elif refused and kind == "incr":
        answer["error"] = "wrong_type"
    elif known and words in {"set", "delete"}:
        answer |= _draw_change(rng, words, values, revision)
    elif known and kind == "incr":
        return f"incr {rng.randint(0, 4)}", {**answer, "rev": revision}
    if kind == "get" and known:
        there = rng.random() < 0.7
        words = f"get {rng.choice(values)}" if there else "get -"
        answer["rev"] = revision if there else 0
    elif words == "set":
        words = f"set {rng.choice(values)}"
    return words, answer


def _draw_change(
    rng: random.Random, kind: str, values: list[str], revision: int | None
) -> dict[str, Any]:
    answer: dict[str, Any] = {"rev": revision} if kind == "set" else {}
    if rng.random() < (0.3 if kind == "set" else 0.7):
        answer["created" if kind == "set" else "deleted"] = rng.random() < 0.5
    if rng.random() < 0.15:
        answer["prev"] = rng.choice([*values, None])
    return answer


def tells(operation: Operation) -> bool:
    """Whether its answer says something about the key."""
    return operation.outcome == "ok" or operation.error in OBSERVING_ERRORS


def loosened(operations: Sequence[Operation], believed: Sequence[Operation]) -> list[Operation]:
    """Return the history in which only some answers are believed."""
    loose = []
    for one in operations:
        if any(one is other for other in believed) or one.outcome == "unknown":
            loose.append(one)
        elif one.op != "get" and one.outcome != "failed":
            args = Arguments(value=one.args.value, by=one.args.by)
            loose.append(
                Operation(
                    client=one.client,
                    op=one.op,
                    key=one.key,
                    args=args,
                    outcome="unknown",
                    call_ns=one.call_ns,
                )
            )
    return loose
