"""`events`: what the nodes publish, in sentences, with every election explained."""

import argparse
import json
import time
from typing import Any

from ..errors import EXIT_OK, NoCluster
from ..state import load_existing
from .call import Call
from .console import SCHEMA, Console, printable
from .status import seconds_of
from .verbs import Verb

_LISTEN_SECONDS = 2.0
_KNOWN = ("t_ms", "node", "term", "kind")
_INDENT = " " * 14


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="until Ctrl-C")
    parser.add_argument(
        "--for",
        dest="duration",
        type=seconds_of,
        default=_LISTEN_SECONDS,
        metavar="2s",
        help="listen for so long (2s)",
    )
    parser.add_argument(
        "--all", action="store_true", help="every event as it was published, commits too"
    )


def _run(call: Call) -> int:
    from ..events import listen_in_order  # noqa: PLC0415 - its help page needs no sockets
    from ..probe import is_listening  # noqa: PLC0415 - likewise

    state = load_existing(call.paths)
    seconds = None if call.options.follow else call.options.duration
    if seconds is not None and not any(is_listening(node.client) for node in state.nodes):
        raise NoCluster("no node is running", hint="bin/cluster up")
    call.console.note("listening" + ("; Ctrl-C ends" if seconds is None else f" for {seconds:g} s"))
    teller = _Teller(call.console, [node.name for node in state.nodes], raw=call.options.all)
    for event in listen_in_order(state, seconds=seconds):
        if event.get("kind") == "commit" and not call.options.all:
            continue
        if call.console.as_json:
            print(json.dumps({"schema": SCHEMA, **event}, default=str), flush=True)
        else:
            teller.tell(event)
    return EXIT_OK


class _Teller:
    """Prints events as lines, times counted from the beginning."""

    def __init__(self, console: Console, nodes: list[str], *, raw: bool) -> None:
        from ..elections import Elections  # noqa: PLC0415 - as above

        self._console = console
        self._nodes = nodes
        self._raw = raw
        self._elections = Elections()
        self._began_ms = time.monotonic() * 1_000

    def tell(self, event: dict[str, Any]) -> None:
        """Print what an event means; at the end of an election, all of it."""
        from ..demo.narration import narrate  # noqa: PLC0415 - as above
        from ..elections import explain  # noqa: PLC0415 - likewise

        at_ms = event.get("t_ms")
        since_s = (float(at_ms) - self._began_ms) / 1_000 if isinstance(at_ms, int | float) else 0.0
        election = self._elections.add(event)
        if self._raw:
            details = " ".join(
                f"{key}={value}" for key, value in event.items() if key not in _KNOWN
            )
            place = f"{event.get('node')}@{event.get('term')}"
            self._line(since_s, f"{place:<8} {event.get('kind')}  {details}")
            return
        if election is not None:
            headline, *sentences = explain(election, self._nodes)
            self._line(since_s, headline, bold=True)
            for sentence in sentences:
                print(printable(f"{_INDENT}{sentence}".encode()), flush=True)
            return
        if str(event.get("kind", "")).startswith("fault_"):
            from ..link_words import describe_order  # noqa: PLC0415 - likewise
            from ..links import rules_from  # noqa: PLC0415 - likewise

            order = describe_order(str(event.get("node")), rules_from(event.get("rules")))
            self._line(since_s, order)
            return
        line = narrate(event)
        if line is not None:
            self._line(since_s, line.text)

    def _line(self, since_s: float, text: str, *, bold: bool = False) -> None:
        shown = printable(text.encode())
        print(
            f"{since_s:8.3f} s  {self._console.paint(shown, 'bold') if bold else shown}", flush=True
        )


EVENTS = Verb(
    description=(
        "Tell what the nodes publish as it happens, in sentences: who asked for votes and why,\n"
        "who voted how, and for each election that was won all of that in one place. There is\n"
        "no history: run it in one terminal and break things in another."
    ),
    examples=(
        "  bin/cluster events -f\n"
        "  bin/cluster events --for 10s --all     as published, commits too\n"
        "  bin/cluster events --for 10s --json"
    ),
    configure=_configure,
    run=_run,
)
