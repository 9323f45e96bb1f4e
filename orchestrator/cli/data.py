"""`get`, `set`, `delete`, `incr` and `keys`: one-shot, at most once."""

import argparse
import os
import re
import sys
from typing import Any

from ..data import TIMEOUT_SECONDS, Shot, shot
from ..errors import EXIT_CHECK_FAILED, EXIT_OK, UsageError
from ..state import load_existing
from ..units import parse_duration_ms
from .call import Call
from .console import as_json_value, closed_streams, one_line, printable
from .status import seconds_of
from .verbs import Verb

STDIN_BYTES_MAX = 256 * 1024 * 1024


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=seconds_of, default=TIMEOUT_SECONDS, metavar="5s", help="at most so long"
    )


def _condition(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--if-rev",
        type=_revision,
        metavar="N",
        help="only at this revision; 0: only if it is not there",
    )


def _amount(text: str) -> int:
    return _whole(text, -(2**63), "of 64 bits")


def _revision(text: str) -> int:
    return _whole(text, 0, "from 0")


def _count(text: str) -> int:
    return _whole(text, 1, "from 1")


def _ttl_ms(text: str) -> int:
    try:
        milliseconds = parse_duration_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from None
    if milliseconds < 1:
        raise argparse.ArgumentTypeError("a key lives for a millisecond at least")
    return milliseconds


def _whole(text: str, least: int, kind: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII) or not least <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number {kind}")
    return int(text)


def _key(text: str) -> bytes:
    key = os.fsencode(text)
    if not key:
        raise UsageError("a key has at least 1 byte")
    return key


def _shot(call: Call) -> "Any":
    return shot(load_existing(call.paths), seconds=call.options.timeout)


def _configure_get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--raw", action="store_true", help="the bytes as they are, no newline")
    parser.add_argument("--local", action="store_true", help="from any node's memory, perhaps old")
    _common(parser)


def _run_get(call: Call) -> int:
    read = "local" if call.options.local else "linearizable"
    with _shot(call) as one:
        reply = one.read(op="get", key=_key(call.options.key), read=read)
    if not reply["found"]:
        call.console.document(found=False, value=None)
        return EXIT_CHECK_FAILED
    value: bytes = reply["value"]
    if call.console.as_json:
        call.console.document(
            found=True,
            value=as_json_value(value),
            mod_rev=reply["mod_rev"],
            create_rev=reply["create_rev"],
            key_version=reply["key_version"],
            ttl_ms=reply["ttl_ms"],
        )
    elif call.options.raw:
        sys.stdout.buffer.write(value)
    elif sys.stdout.isatty():
        call.console.say(printable(value))
    else:
        sys.stdout.buffer.write(value + b"\n")
    return EXIT_OK


def _configure_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("value", metavar="VALUE", help="`-` reads it from standard input")
    _condition(parser)
    parser.add_argument(
        "--ttl", type=_ttl_ms, metavar="30s", help="let it go after so long; without, it stays"
    )
    _common(parser)


def _run_set(call: Call) -> int:
    fields: dict[str, Any] = {"key": _key(call.options.key)}
    if call.options.value == "-":
        fields["value"] = _stdin()
    else:
        fields["value"] = os.fsencode(call.options.value)
    if call.options.if_rev is not None:
        fields["if_mod_rev"] = call.options.if_rev
    if call.options.ttl is not None:
        fields["ttl_ms"] = call.options.ttl
    with _shot(call) as one:
        reply = one.write(op="set", **fields)
    what = "created" if reply["created"] else "changed"
    call.console.say(f"{what} at revision {reply['mod_rev']}")
    call.console.document(created=reply["created"], mod_rev=reply["mod_rev"])
    return EXIT_OK


def _stdin() -> bytes:
    if "stdin" in closed_streams:
        raise UsageError(
            "`-` reads the value from standard input, which is closed; nothing was written",
            hint="bin/cluster set KEY - < FILE\nbin/cluster set KEY ''   writes an empty value",
        )
    return sys.stdin.buffer.read(STDIN_BYTES_MAX)


def _configure_delete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    _condition(parser)
    _common(parser)


def _run_delete(call: Call) -> int:
    fields: dict[str, Any] = {"key": _key(call.options.key)}
    if call.options.if_rev is not None:
        fields["if_mod_rev"] = call.options.if_rev
    with _shot(call) as one:
        reply = one.write(op="delete", **fields)
    deleted = int(reply["deleted"])
    if deleted:
        call.console.say("deleted")
    else:
        call.console.note("there was no such key")
    call.console.document(deleted=deleted)
    return EXIT_OK if deleted else EXIT_CHECK_FAILED


def _configure_incr(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("by", metavar="BY", type=_amount, nargs="?", default=1)
    _common(parser)


def _run_incr(call: Call) -> int:
    with _shot(call) as one:
        reply = one.write(op="incr", key=_key(call.options.key), by=call.options.by)
    call.console.say(str(reply["value"]))
    call.console.document(value=reply["value"], mod_rev=reply["mod_rev"])
    return EXIT_OK


def _configure_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="")
    parser.add_argument("--limit", type=_count, metavar="N", help="so many at most")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--values", action="store_true", help="what they hold, too")
    what.add_argument("--count", action="store_true", help="only how many there are")
    _common(parser)


def _run_keys(call: Call) -> int:
    options, console = call.options, call.console
    prefix = os.fsencode(options.prefix)
    found: list[Any] = []
    with _shot(call) as one:
        reader: Shot = one
        if options.count:
            count = reader.count(prefix)
            count = count if options.limit is None else min(count, options.limit)
            console.say(str(count))
            console.document(count=count)
            return EXIT_OK
        for item in reader.items(prefix, limit=options.limit, keys_only=not options.values):
            if console.as_json:
                found.append(_as_document(item))
            elif options.values:
                console.say(f"{one_line(item['key'])}  {one_line(item['value'])}")
            else:
                console.say(printable(item["key"]))
    console.document(keys=found, count=len(found))
    return EXIT_OK


def _as_document(item: dict[str, Any]) -> Any:
    """Return a key as JSON has it; with what it holds, where that was asked for."""
    if "value" not in item:
        return as_json_value(item["key"])
    shown = {"key": as_json_value(item["key"]), "value": as_json_value(item["value"])}
    return {**item, **shown}


GET = Verb(
    description=(
        "Print a key's value and a newline. No such key: nothing is printed, exit code 1.\n"
        "The value is the latest one, as agreed by a majority at this moment."
    ),
    examples=(
        "  bin/cluster get greeting\n"
        "  bin/cluster get picture --raw > picture.png\n"
        "  bin/cluster get greeting --json      with its revisions"
    ),
    configure=_configure_get,
    run=_run_get,
)
SET = Verb(
    description=(
        "Write a key. Exit code 0: a majority has it on disk. 2: it was sent and no answer\n"
        "came, so it may or may not have happened; it is never sent twice."
    ),
    examples=(
        "  bin/cluster set greeting hello\n"
        "  bin/cluster set picture - < picture.png\n"
        "  bin/cluster set token abc --ttl 30s      gone after half a minute\n"
        "  bin/cluster set lock mine --if-rev 0     only if it is not there\n"
        "  bin/cluster set -- -key -value           what begins with a dash"
    ),
    configure=_configure_set,
    run=_run_set,
)
DELETE = Verb(
    description="Delete a key. Exit code 1 when there was none.",
    examples="  bin/cluster delete greeting",
    configure=_configure_delete,
    run=_run_delete,
)
INCR = Verb(
    description="Add to the number in a key (none counts as 0) and print the sum.",
    examples="  bin/cluster incr hits\n  bin/cluster incr stock -3",
    configure=_configure_incr,
    run=_run_incr,
)
KEYS = Verb(
    description="List the keys with a prefix, in order, all as of one moment.",
    examples=(
        "  bin/cluster keys\n"
        "  bin/cluster keys user: --limit 10\n"
        "  bin/cluster keys user: --values      with what they hold, a line each\n"
        "  bin/cluster keys --count             how many there are"
    ),
    configure=_configure_keys,
    run=_run_keys,
)
