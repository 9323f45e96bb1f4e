"""The layout of the demo at 80 columns: lines as they happen, the account at the end."""

import os
import sys
import textwrap
from typing import IO

from .narration import Line
from .play import Report

WIDTH = 79
_INDENT = 11
_BOLD, _DIM, _GREEN, _RED, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


class Teller:
    """Prints lines with their time: seconds since the start, or ``+ms`` since the kill."""

    def __init__(self, out: IO[str], *, explain: bool, colour: bool) -> None:
        self._out = out
        self._explain = explain
        self._colour = colour
        self._zero_ms: float | None = None
        self._killed_ms: float | None = None
        self._reader_left = False

    def tell(self, line: Line) -> None:
        """Print one line, and its rule where rules are asked for."""
        if self._zero_ms is None:
            self._zero_ms = line.at_ms
        if self._killed_ms is None:
            when = f"{(line.at_ms - self._zero_ms) / 1_000:7.2f} s"
        else:
            when = f"{max(0.0, line.at_ms - self._killed_ms):+6.0f} ms"
        self._wrapped(when, line.text, _BOLD if line.headline else "")
        if self._explain and line.rule:
            self._wrapped("", line.rule, _DIM)

    def count_from(self, killed_ms: float | None) -> None:
        """From now on show times as milliseconds since this moment; None: since the start."""
        self._killed_ms = killed_ms

    def gap(self) -> None:
        """Leave a line empty."""
        print(file=self._out, flush=True)

    def account(self, report: Report) -> None:
        """Print the account and the verdict."""
        self.gap()
        for name, figure, note in _account(report):
            self._print(f"  {name:<13}{figure:>10}", "")
            if note:
                self._continue(note)
        self.gap()
        style = _GREEN if report.is_good else _RED
        for text in textwrap.wrap(report.sentence, WIDTH - 2):
            self._print(f"  {text}", style)

    def _continue(self, note: str) -> None:
        for text in textwrap.wrap(note, WIDTH - 6):
            self._print(f"      {text}", _DIM)

    def _wrapped(self, when: str, text: str, style: str) -> None:
        parts = textwrap.wrap(text, WIDTH - _INDENT) or [""]
        for number, part in enumerate(parts):
            lead = when if number == 0 else ""
            self._print(f"{lead:>9}  {self._styled(part, style)}", "")

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{_OFF}" if self._colour and style else text

    def _print(self, text: str, style: str) -> None:
        if self._reader_left:
            return
        try:
            print(self._styled(text, style), file=self._out, flush=True)
        except BrokenPipeError:
            # `demo | head`: nobody reads any more. The story goes on to its end, untold, so that
            # its cluster is taken down as always. What is buffered must not fail at exit either.
            self._reader_left = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _account(report: Report) -> list[tuple[str, str, str]]:
    verdict = report.verdict
    unknown = (
        f"sent, and the answer never came: {verdict.unknown_applied} took effect"
        if verdict.unknown
        else ""
    )
    rows = [
        ("acknowledged", f"{verdict.acknowledged:,}", ""),
        ("lost", f"{verdict.lost:,}", ""),
        ("unknown", f"{verdict.unknown:,}", unknown),
        (
            "unavailable",
            _ms(report.unavailable_ms),
            "the longest wait between two acknowledgements",
        ),
        ("elected", _ms(report.elected_ms), "from the kill to a new leader"),
        ("state", "equal" if report.hashes_equal else "DIFFERS", report.hash_note),
    ]
    if verdict.refused:
        rows.insert(3, ("refused", f"{verdict.refused:,}", "certainly without effect"))
    if verdict.twice:
        rows.insert(2, ("done twice", f"{verdict.twice:,}", ""))
    if verdict.wrong:
        rows.insert(2, ("wrong", f"{verdict.wrong:,}", "keys that hold what nobody wrote there"))
    return rows


def _ms(amount: float | None) -> str:
    return "never" if amount is None else f"{amount:,.0f} ms"
