"""What a command says, and where: results to stdout, words on the way to stderr."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

SCHEMA = 1
_IN_SOURCE_TREE = (__package__ or "").startswith("orchestrator.")
PROGRAM = "bin/cluster" if _IN_SOURCE_TREE else "raftcache"

closed_streams: set[str] = set()
"""Which of our standard streams were closed when we began: they lead nowhere now."""

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


class Console:
    """Prints for one command; ``as_json`` makes stdout a document instead of text."""

    def __init__(self, verb: str, *, as_json: bool) -> None:
        self.verb = verb
        self.as_json = as_json
        self._coloured = (
            sys.stdout.isatty()
            and "NO_COLOR" not in os.environ
            and os.environ.get("TERM") != "dumb"
        )

    def say(self, text: str = "") -> None:
        """Print a line of the result; nothing under ``--json``."""
        if not self.as_json:
            sys.stdout.write(localised(text) + "\n")

    def note(self, text: str) -> None:
        """Print a line for the person who waits."""
        sys.stderr.write(f"{localised(text)}\n")
        sys.stderr.flush()

    def document(self, *, ok: bool = True, **fields: Any) -> None:
        """Print the result as JSON; nothing without ``--json``."""
        if self.as_json:
            sys.stdout.write(json.dumps({"schema": SCHEMA, "verb": self.verb, "ok": ok, **fields}))
            sys.stdout.write("\n")
            sys.stdout.flush()

    def error(self, code: str, message: str, hint: str, exit_code: int) -> None:
        """Report a failure: a sentence, and what helps."""
        if self.as_json:
            self.document(ok=False, error=code, message=message, hint=hint, exit_code=exit_code)
            return
        self.note(f"{PROGRAM}: {message}")
        for line in hint.splitlines():
            self.note(f"  {line}")

    def paint(self, text: str, colour: str) -> str:
        """Colour a text, on a terminal only."""
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._coloured else text

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], right: str) -> None:
        """Print rows in columns; ``right`` has an ``r`` for each column that is flushed right.

        Colours are given as ``(colour)text`` in a cell, so that widths are counted without them.
        """
        widths = [
            max(len(_plain(cell)) for cell in column) for column in zip(head, *rows, strict=True)
        ]
        for number, row in enumerate((head, *rows)):
            cells = [
                self._cell(cell, width, flush_right=side == "r", head=number == 0)
                for cell, width, side in zip(row, widths, right, strict=True)
            ]
            self.say("  ".join(cells).rstrip())

    def _cell(self, cell: str, width: int, *, flush_right: bool, head: bool) -> str:
        text = _plain(cell)
        padding = " " * (width - len(text))
        if head:
            painted = self.paint(text, "dim")
        elif cell.startswith("("):
            painted = self.paint(text, cell[1 : cell.index(")")])
        else:
            painted = text
        return padding + painted if flush_right else painted + padding


def localised(text: str) -> str:
    """Name the command as it is called here: a wheel installs it under another name."""
    return text if _IN_SOURCE_TREE else text.replace("bin/cluster", PROGRAM)


def printable(data: bytes) -> str:
    """Return bytes for a terminal: what would steer it is shown, not obeyed."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )


def one_line(data: bytes, *, characters_max: int | None = None) -> str:
    """Return bytes as one line of a terminal, cut where they are longer than that."""
    # What would be cut off anyway is not even looked at: a value may have a megabyte.
    seen = data if characters_max is None else data[: 4 * characters_max]
    shown = printable(seen).replace("\n", "\\n").replace("\t", "\\t")
    if characters_max is None or (len(shown) <= characters_max and len(seen) == len(data)):
        return shown
    return f"{shown[:characters_max]}… ({len(data):,} bytes)"


def as_json_value(data: bytes) -> Any:
    """Return bytes as JSON has them on the wire: a string, or ``{"b64": …}``."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        import base64  # noqa: PLC0415 - rarely needed

        return {"b64": base64.b64encode(data).decode("ascii")}


def _plain(cell: str) -> str:
    return cell[cell.index(")") + 1 :] if cell.startswith("(") else cell
