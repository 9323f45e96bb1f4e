"""What came of a run, and its folder: ``runs/<stamp>-<name>/``.

``scenario.yaml`` is the file that was run, ``history.jsonl`` every operation, ``events.jsonl`` all
that happened, ``results.json`` the account for programs and ``summary.md`` that for people;
``logs/`` is what the nodes printed. The folder of all runs ignores itself in git.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..elections import Election
from ..errors import EXIT_CHECK_FAILED, EXIT_OK, EXIT_UNKNOWN, BadConfiguration
from .account import Window, Writes, describe
from .faults import Fault
from .judge import Judgement

SCHEMA = 1
RUNS = "runs"
SCENARIO, HISTORY, EVENTS, RESULTS, SUMMARY, LOGS = (
    "scenario.yaml",
    "history.jsonl",
    "events.jsonl",
    "results.json",
    "summary.md",
    "logs",
)
_EXIT_CODES = {"ok": EXIT_OK, "violated": EXIT_CHECK_FAILED, "unknown": EXIT_UNKNOWN}


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one run."""

    name: str
    seed: int
    nodes: int
    folder: Path
    seconds: float
    """Of the load; all other times count from its beginning."""
    began_ms: float
    judgement: Judgement
    writes: Writes
    windows: list[Window]
    elections: list[Election]
    faults: list[Fault]
    healed_s: float | None
    """How long the cluster took to be whole again after the last step; None: it was not."""

    @property
    def exit_code(self) -> int:
        """0, 1 for a violation, or 2 when that could not be decided."""
        return _EXIT_CODES[self.judgement.verdict]

    @property
    def longest(self) -> Window | None:
        """The longest time without an acknowledged write."""
        return max(self.windows, key=lambda window: window.ms, default=None)

    def as_json(self) -> dict[str, Any]:
        """Return it as results.json has it."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "seed": self.seed,
            "nodes": self.nodes,
            "seconds": round(self.seconds, 3),
            "verdict": self.judgement.verdict,
            "sentence": self.judgement.sentence,
            "violations": self.judgement.violations,
            "doubts": self.judgement.doubts,
            "linearizable": self.judgement.linearizable,
            "operations": self.judgement.operations,
            "keys": self.judgement.keys,
            **msgspec.to_builtins(self.writes),
            "unavailable": msgspec.to_builtins(self.windows),
            "elections": [self._election(one) for one in self.elections],
            "faults": [self._fault(fault) for fault in self.faults],
            "healed_s": self.healed_s,
            "states": msgspec.to_builtins(self.judgement.states),
            "exit_code": self.exit_code,
            "folder": str(self.folder),
        }

    def since_s(self, at_ms: float) -> float:
        """Return a moment as seconds since the load began."""
        return round((at_ms - self.began_ms) / 1_000, 3)

    def _election(self, one: Election) -> dict[str, Any]:
        return {
            "at_s": self.since_s(one.won_ms),
            "leader": one.leader,
            "term": one.term,
            "before": one.before,
            "reason": one.reason,
            "votes": one.votes,
            "took_ms": round(one.won_ms - one.began_ms, 1),
        }

    def _fault(self, fault: Fault) -> dict[str, Any]:
        undone_ms = fault.undone_ms
        return {
            "number": fault.number,
            "line": fault.line,
            "action": fault.action,
            "selector": fault.selector,
            "planned_s": fault.planned_ms / 1_000,
            "at_s": self.since_s(fault.at_ms),
            "targets": fault.targets,
            "leader": fault.leader,
            "term": fault.term,
            "undone_s": None if undone_ms is None else self.since_s(undone_ms),
            "skipped": fault.skipped or None,
        }


def make_folder(runs: Path, name: str) -> Path:
    """Make the folder of a new run.

    Raises:
        BadConfiguration: it can't be made.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        ignore = runs / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Made by bin/cluster chaos: what its runs have recorded.\n*\n")
        for number in range(1, 1_000):
            folder = runs / f"{stamp}-{name}{'' if number == 1 else f'-{number}'}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise BadConfiguration(f"{error.filename}: {error.strerror}") from error
    raise BadConfiguration(f"{runs}: there are a thousand runs of this second already")


def write(results: Results) -> None:
    """Write results.json and summary.md."""
    document = msgspec.json.format(msgspec.json.encode(results.as_json()), indent=2)
    (results.folder / RESULTS).write_bytes(document + b"\n")
    (results.folder / SUMMARY).write_text("\n".join(_summary(results)) + "\n")


def write_broken_off(folder: Path, *, name: str, seed: int, why: str) -> None:
    """Write what there is to say of a run that did not come to its end."""
    sentence = f"Broken off: {why}. Every fault was undone and the cluster taken down."
    document = {"schema": SCHEMA, "name": name, "seed": seed, "verdict": "broken off"}
    (folder / RESULTS).write_bytes(msgspec.json.encode({**document, "sentence": sentence}) + b"\n")
    (folder / SUMMARY).write_text(f"# {name}, seed {seed}\n\n{sentence}\n")


def _summary(results: Results) -> list[str]:
    writes = results.writes
    lines = [
        f"# {results.name}, seed {results.seed}",
        "",
        f"**{results.judgement.sentence}**",
        "",
        *_table(
            ["", ""],
            [
                ["acknowledged writes", f"{writes.acknowledged:,}"],
                ["lost", f"{writes.lost:,}"],
                ["unknown", f"{writes.unknown:,}"],
                ["refused, certainly without effect", f"{writes.refused:,}"],
                ["operations judged", f"{results.judgement.operations:,}"],
                ["seconds", f"{results.seconds:.1f}"],
                ["states of the nodes", results.judgement.states.note],
            ],
        ),
        "",
        "## Unavailable",
        "",
    ]
    if results.windows:
        rows = [
            [f"{one.begin_s:.3f} s", f"{one.ms:.0f} ms", one.cause or "nothing that was done here"]
            for one in results.windows
        ]
        lines += _table(["from", "for", "because of"], rows)
    else:
        lines.append("Never for as long as a tenth of a second.")
    lines += ["", "## What was done", ""]
    fault_rows = [
        [
            f"{results.since_s(fault.at_ms):.3f} s",
            f"{fault.action} {fault.selector}",
            f"nothing: {fault.skipped}" if fault.skipped else describe(fault),
            "" if fault.undone_ms is None else f"{results.since_s(fault.undone_ms):.3f} s",
        ]
        for fault in results.faults
    ]
    lines += _table(["at", "step", "did", "undone at"], fault_rows)
    lines += ["", "## Elections", ""]
    election_rows = [
        [
            f"{results.since_s(one.won_ms):.3f} s",
            one.leader,
            str(one.term),
            ", ".join(one.votes),
            one.reason,
        ]
        for one in results.elections
    ]
    lines += _table(["at", "leader", "term", "votes", "why"], election_rows)
    again = f"    bin/cluster chaos run {results.folder / SCENARIO} --seed {results.seed}"
    return [*lines, "", "## Again", "", again]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
