"""A run as people see it at 80 columns: lines as things happen, one line of progress, the account.

Lines are the result and go to stdout; the line of progress goes to stderr, and on a terminal
overwrites itself.
"""

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ..demo.narration import listed
from ..elections import Election
from .account import Window, describe, healed_of
from .faults import Fault
from .judge import Judgement
from .results import Results
from .scenario import CUTTING, LASTING, Scenario
from .timeline import Planned
from .workload import Tape

WIDTH = 79
WINDOWS_SHOWN = 15
_INDENT = 11
_PROGRESS_SECONDS_TERMINAL = 0.2
_PROGRESS_SECONDS_FILE = 5.0
_CLEAR_LINE = "\r\x1b[K"


class Teller:
    """Tells a run; called from two threads."""

    def __init__(self, paint: Callable[[str, str], str], *, lines: bool = True) -> None:
        self._paint = paint
        self._lines = lines
        self._zero_ms = float("inf")
        self._terminal = sys.stderr.isatty()
        self._told_progress = 0.0
        self._fault_ms: float | None = None
        self._lock = threading.Lock()

    def begin(self, scenario: Scenario, seed: int) -> None:
        """Say what is about to happen."""
        self._zero_ms = float("inf")  # until the load begins, nothing is part of the story
        self._fault_ms = None
        load = scenario.load
        rate = "as fast as they can" if load.rate is None else f"{load.rate:g} operations/s"
        head = f"{scenario.name}, seed {seed}"
        what = (
            f"{scenario.nodes} nodes, {load.clients} clients, {rate}, "
            f"{scenario.duration_ms / 1_000:g} s"
        )
        self._print([self._paint(head, "bold") + f": {what}"])
        self._print(
            textwrap.wrap(scenario.about, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
        )
        self._print([""])

    def zero(self, began_ms: float) -> None:
        """From here on times count."""
        self._zero_ms = began_ms
        self._line(began_ms, "the load begins")

    def fault(self, fault: Fault) -> None:
        """Tell of a fault, or of its end."""
        if fault.undone_ms is not None and fault.action in CUTTING:
            self._line(fault.undone_ms, f"healed: {healed_of(fault)}")
            return
        if fault.undone_ms is not None:
            back = "goes on" if fault.action == "pause" else "is started again"
            verb = (
                back if len(fault.targets) == 1 else back.replace("goes", "go").replace("is", "are")
            )
            self._line(fault.undone_ms, f"{listed(fault.targets)} {verb}")
            return
        if fault.skipped:
            self._line(
                fault.at_ms, f"{fault.action} {fault.selector}: nothing to do, {fault.skipped}"
            )
            return
        self._fault_ms = fault.at_ms
        plain = fault.selector == ",".join(fault.targets)
        meant = "" if plain or fault.selector == fault.words else f"  [{fault.selector}]"
        self._line(fault.at_ms, describe(fault) + meant, "bold")

    def election(self, election: Election) -> None:
        """Tell who was elected."""
        if election.won_ms < self._zero_ms:
            return
        after = ""
        if self._fault_ms is not None and 0 <= election.won_ms - self._fault_ms < 5_000:
            after = f", {election.won_ms - self._fault_ms:.0f} ms after the blow"
            self._fault_ms = None  # an election after that one has another cause
        votes = f", by the votes of {listed(election.votes)}" if election.votes else ""
        self._line(
            election.won_ms, f"{election.leader} leads in term {election.term}{votes}{after}"
        )

    def say(self, text: str) -> None:
        """Tell something else."""
        self._line(time.monotonic() * 1_000, text)

    def progress(self, tape: Tape, seconds: float, total_seconds: float) -> None:
        """Say how far it is, now and then."""
        every = _PROGRESS_SECONDS_TERMINAL if self._terminal else _PROGRESS_SECONDS_FILE
        now = time.monotonic()
        if now - self._told_progress < every:
            return
        self._told_progress = now
        text = (
            f"{seconds:7.1f} s  of {total_seconds:g} s: {tape.acknowledged:,} writes acknowledged, "
            f"{tape.unknown:,} unknown"
        )
        with self._lock:
            sys.stderr.write(f"{_CLEAR_LINE}{text}" if self._terminal else f"{text}\n")
            sys.stderr.flush()

    def account(self, results: Results) -> None:
        """Print what came of it."""
        rows = [""]
        writes = results.writes
        rows += _row("acknowledged", f"{writes.acknowledged:,}", "writes")
        rows += _row("lost", f"{writes.lost:,}", "")
        rows += _row(
            "unknown", f"{writes.unknown:,}", "sent, and no answer came" * bool(writes.unknown)
        )
        if writes.refused:
            rows += _row("refused", f"{writes.refused:,}", "certainly without effect")
        if writes.twice:
            rows += _row("done twice", f"{writes.twice:,}", "")
        if results.windows:
            for number, window in enumerate(results.windows[:WINDOWS_SHOWN]):
                rows += _row(
                    "" if number else "unavailable", f"{window.ms:,.0f} ms", _because(window)
                )
            if len(results.windows) > WINDOWS_SHOWN:
                more = f"and {len(results.windows) - WINDOWS_SHOWN} times more, in summary.md"
                rows += _row("", "...", more)
        else:
            rows += _row("unavailable", "never", "for as long as a tenth of a second")
        healed = "no" if results.healed_s is None else f"{results.healed_s:.1f} s"
        rows += _row("healed in", healed, "every node up and caught up, after the last step")
        rows += _row("states", "", results.judgement.states.note)
        rows += _row("in", "", _from_here(results.folder))
        self._print([*rows, ""])
        self._print(self._verdict(results.judgement))

    def _verdict(self, judgement: Judgement) -> list[str]:
        colour = {"ok": "green", "violated": "red"}.get(judgement.verdict, "yellow")
        parts = [judgement.sentence]
        if len(judgement.violations) > 1:
            parts = ["VIOLATED:", *(f"- {violation}" for violation in judgement.violations)]
        lines = [
            line
            for part in parts
            for line in textwrap.wrap(
                part, WIDTH - 2, subsequent_indent="  " * part.startswith("- ")
            )
        ]
        return [f"  {self._paint(line, colour)}" for line in lines]

    def _line(self, at_ms: float, text: str, colour: str = "") -> None:
        parts = textwrap.wrap(text, WIDTH - _INDENT) or [""]
        when = f"{(at_ms - self._zero_ms) / 1_000:7.2f} s"
        self._print(
            [
                f"{when if number == 0 else '':>9}  {self._paint(part, colour) if colour else part}"
                for number, part in enumerate(parts)
            ]
        )

    def _print(self, lines: list[str]) -> None:
        if not self._lines:
            return
        with self._lock:
            if self._terminal:
                sys.stderr.write(_CLEAR_LINE)
                sys.stderr.flush()
            _write(sys.stdout, lines)


def timeline(scenario: Scenario, planned: list[Planned]) -> list[str]:
    """Return what would be done when, for ``--dry-run``."""
    lines = []
    for one in planned:
        step = one.step
        until = ""
        if step.for_ms is not None:
            end_s = (one.at_ms + step.for_ms) / 1_000
            late = one.at_ms + step.for_ms >= scenario.duration_ms
            until = "   undone at the end" if late else f"   undone at {end_s:.2f} s"
        elif step.action in LASTING:
            until = "   undone at the end"
        lines.append(f"{one.at_ms / 1_000:7.2f} s  {step.action} {step.selector}{until}")
    lines.append(
        f"{scenario.duration_ms / 1_000:7.2f} s  the end: undo all, wait until all is well"
    )
    return lines


def _from_here(folder: Path) -> str:
    shown = os.path.relpath(folder)
    return str(folder) if shown.startswith("..") else shown


def _because(window: Window) -> str:
    until = ", until the end" if window.end_s is None else ""
    cause = window.cause or "nothing that was done here explains it"
    leader = "" if window.elected_ms is None else f"; a new leader after {window.elected_ms:.0f} ms"
    return f"from {window.begin_s:.2f} s{until}: {cause}{leader}"


def _row(name: str, figure: str, note: str) -> list[str]:
    if not figure:
        lines = textwrap.wrap(note, WIDTH - 16, break_long_words=False, break_on_hyphens=False) or [
            ""
        ]
        return [f"  {name if number == 0 else '':<13} {part}" for number, part in enumerate(lines)]
    parts = textwrap.wrap(note, WIDTH - 29) or [""]
    first = f"  {name:<13}{figure:>10}   {parts[0]}".rstrip()
    return [first, *(f"{'':28}{part}" for part in parts[1:])]


def _write(out: IO[str], lines: list[str]) -> None:
    for line in lines:
        out.write(f"{line}\n")
    out.flush()
