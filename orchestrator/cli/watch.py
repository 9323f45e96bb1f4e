"""`watch`: every change of a key, or of many, a line each, as it happens."""

import argparse
import itertools
import json
import os
from typing import Any

from ..errors import EXIT_OK, UsageError
from ..state import load_existing
from .call import Call
from .console import SCHEMA, Console, as_json_value, one_line
from .verbs import Verb

_VALUE_CHARACTERS = 200
_KEY_WIDTHS = (12, 40)
_REV_WIDTH = 5
_COLOURS = {"set": "green", "delete": "red", "expire": "yellow", "evict": "yellow"}


def _whole_from(least: int) -> Any:
    def whole(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text[:20]) < 2**63:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number from {least}")
        return int(text)

    return whole


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", nargs="?", help="without: all keys")
    parser.add_argument("--prefix", metavar="P", help="all keys that begin so")
    parser.add_argument(
        "--from-rev",
        type=_whole_from(0),
        metavar="N",
        help="from this revision on, past ones too; without: from now on",
    )
    parser.add_argument("--prev", action="store_true", help="what was there before, too")
    parser.add_argument(
        "-n", "--count", type=_whole_from(1), metavar="N", help="end after so many changes"
    )


def _run(call: Call) -> int:
    from ..data import shot  # noqa: PLC0415 - its help page needs no sockets
    from ..watching import Watching  # noqa: PLC0415 - likewise

    options, console = call.options, call.console
    fields = {**_what(options), "prev": options.prev}
    teller = _Teller(console, prev=options.prev)
    with shot(load_existing(call.paths)) as one:
        watching = Watching(
            one,
            lambda: load_existing(call.paths),
            fields,
            from_rev=options.from_rev,
            note=console.note,
        )
        began = watching.begin()
        about = f"{options.key}" if options.key else f"{options.prefix or ''}*"
        console.note(f"watching {one_line(os.fsencode(about))} from revision {began}; Ctrl-C ends")
        for event in itertools.islice(watching.events(), options.count):
            teller.tell(event)
    return EXIT_OK


def _what(options: argparse.Namespace) -> dict[str, Any]:
    if options.key is not None and options.prefix is not None:
        raise UsageError("a KEY, or a --prefix: one of the two")
    if options.key == "":
        raise UsageError("a key has at least 1 byte")
    if options.key is not None:
        return {"key": os.fsencode(options.key)}
    return {"prefix": os.fsencode(options.prefix or "")}


class _Teller:
    """Prints events as they come, in columns that widen where they must."""

    def __init__(self, console: Console, *, prev: bool) -> None:
        self._console = console
        self._prev = prev
        self._key_width = _KEY_WIDTHS[0]
        self._rev_width = _REV_WIDTH

    def tell(self, event: dict[str, Any]) -> None:
        """Print one change, at once: whoever reads along in a pipe waits for it."""
        if self._console.as_json:
            print(json.dumps({"schema": SCHEMA, **_for_json(event)}), flush=True)
            return
        key, rev = one_line(event["key"]), str(event["rev"])
        self._key_width = max(self._key_width, min(len(key), _KEY_WIDTHS[1]))
        self._rev_width = max(self._rev_width, len(rev))
        kind = self._console.paint(f"{event['kind']:<6}", _COLOURS.get(event["kind"], "bold"))
        cells = [f"{rev:>{self._rev_width}}", kind, f"{key:<{self._key_width}}"]
        if event["value"] is not None:
            cells.append(one_line(event["value"], characters_max=_VALUE_CHARACTERS))
        if self._prev:
            cells.append(self._console.paint(_before(event), "dim"))
        print("  ".join(cells).rstrip(), flush=True)


def _before(event: dict[str, Any]) -> str:
    if event.get("prev_omitted"):
        return "(before: left out, too large)"
    before = event.get("prev")
    if before is None:
        return "(new)"
    return f"(before: {one_line(before, characters_max=_VALUE_CHARACTERS)})"


def _for_json(event: dict[str, Any]) -> dict[str, Any]:
    return {
        name: as_json_value(value) if isinstance(value, bytes) else value
        for name, value in event.items()
    }


WATCH = Verb(
    description=(
        "Print every change of a key, of all keys with a prefix, or of all: revision, what\n"
        "happened (set, delete, expire, evict), key, value. It goes on at another node when the\n"
        "one that it asks dies, pauses or is cut off: no change is missed, none comes twice. If\n"
        "too much has happened for that, it says so, and ends with exit code 1."
    ),
    examples=(
        "  bin/cluster watch greeting\n"
        "  bin/cluster watch --prefix user: --prev  with what was there before\n"
        "  bin/cluster watch --from-rev 1           all that is still kept of the past\n"
        "  bin/cluster watch jobs -n 1 && echo new  wait for one change"
    ),
    configure=_configure,
    run=_run,
)
