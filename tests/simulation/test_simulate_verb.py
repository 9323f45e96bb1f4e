"""`bin/cluster simulate`: what it says, what it exits with, and that what it prints can be used."""

import json
import re
import shlex
from collections.abc import Generator

import pytest

from orchestrator.cli import main
from orchestrator.simulation import run, series
from orchestrator.simulation.draw import PROFILES
from orchestrator.simulation.run import Options, Outcome, run_seed
from orchestrator.simulation.series import Lost
from raftcache.node import ready
from raftcache.raft.core import Ready

Captured = pytest.CaptureFixture[str]
OF_LESS = 4
"""A seed whose world promises less than `fsync`."""


def test_one_seed_tells_its_world_first_and_its_trace(capsys: Captured) -> None:
    assert main(["simulate", "--seed", "5", "--profile", "calm", "--nodes", "1"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 5, profile calm: nodes=1"
    outcome = run_seed(5, Options(profile="calm", changes={"nodes": 1}))
    assert lines[1].endswith(f"trace {outcome.trace_hash}")
    assert lines[-1] == "all promises were kept"


def test_the_help_names_every_kind_of_world(capsys: Captured) -> None:
    """Whoever adds one tells those who may want it."""
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])

    listed = " ".join(capsys.readouterr().out.split()).partition("Worlds: ")[2]
    named = set(re.findall(r"[a-z]+", listed.partition("See docs")[0]))
    assert sorted(set(PROFILES) - named) == []


def test_one_seed_as_a_document(capsys: Captured) -> None:
    assert main(["--json", "simulate", "--seed", "5"]) == 0

    told = json.loads(capsys.readouterr().out)
    outcome = run_seed(5)
    assert (told["ok"], told["seed"], told["failure"]) == (True, 5, None)
    assert (told["trace_hash"], told["faults"]) == (outcome.trace_hash, outcome.faults)
    assert told["repeat"] == "bin/cluster simulate --seed 5"


def test_the_whole_trace_of_a_seed_has_every_message(capsys: Captured) -> None:
    assert main(["simulate", "--seed", "5", "--profile", "calm", "--trace"]) == 0

    assert "  AppendEntries(source=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "durability"),
    [
        ('{"events": 1}', "os"),
        ('{"events": 1, "faults": ["kill_all"]}', "fsync"),
        ('{"events": 1, "faults": ["kill_all"], "durability": "os"}', "os"),
    ],
)
def test_faults_that_are_asked_for_strike_where_they_can_be_stood(
    changes: str, durability: str, capsys: Captured
) -> None:
    """All at once would lose what a world of less durability has promised."""
    assert main(["--json", "simulate", "--seed", str(OF_LESS), "--with", changes]) == 0

    assert json.loads(capsys.readouterr().out)["profile"]["durability"] == durability


@pytest.mark.processes
def test_a_series_ends_with_its_tally(capsys: Captured) -> None:
    assert main(["--json", "simulate", "--seeds", "6", "--with", '{"events": 200}']) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["seeds"], told["failed"], told["lost"]) == (True, 6, [], [])
    assert told["events"] >= 6 * 200


def test_a_seed_that_fails_says_how_to_repeat_it(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes leave before the disk has them (failure A1)."""

    def hold_nothing_back(cycle: ready.ReadyCycle, made: Ready) -> None:
        cycle._outbox.add_messages(made.after_persist)
        if made.mark is not None:
            cycle._behind_disk.append((cycle._last_ticket, made.mark, []))

    monkeypatch.setattr(ready.ReadyCycle, "_hold_back", hold_nothing_back)

    assert main(["simulate", "--seed", "3", "--profile", "wild"]) == 1

    told = capsys.readouterr().out
    assert "seed 3 breaks this: " in told
    commands = [line.strip() for line in told.splitlines() if "simulate --seed 3" in line]
    smallest = shlex.split(commands[-2])
    assert smallest[0] == "bin/cluster"
    assert main([*smallest[1:], "--no-shrink"]) == 1
    assert "seed 3 breaks this: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "stormy"], "no profile 'stormy'"),
        (["--seeds", "0"], "'0' is not a number from 1"),
        (["--nodes", "90"], "'90' is not a number from 1 to 9"),
        (["--with", "loss=3"], "--with: JSON is malformed"),
        (["--with", '{"loss": "much"}'], "--with: Expected `int`, got `str` - at `$.loss`"),
        (["--with", '{"los": 3}'], "--with: Object contains unknown field `los`"),
        (["--with", '{"faults": ["flood"]}'], "no fault 'flood'"),
        (["--with", '{"points": ["nowhere"]}'], "no point 'nowhere'"),
        (["--with", '{"mix": ["dance"]}'], "no operation 'dance'"),
        (["--seeds", "3", "--trace"], "--trace is for one seed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], message: str, capsys: Captured
) -> None:
    assert exit_code(["simulate", *arguments]) == 64
    assert message in capsys.readouterr().err


def exit_code(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


def test_ctrl_c_ends_it_with_the_tally(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(
        _first: int, _end: int, options: Options
    ) -> Generator[Outcome | Lost | None, None, None]:
        yield run.run_seed(1, options)
        raise KeyboardInterrupt

    monkeypatch.setattr(series, "run_series", interrupted)

    assert main(["simulate", "--seeds", "9", "--profile", "calm"]) == 130

    told = capsys.readouterr().out
    assert "interrupted: 1 seeds in " in told
    assert told.endswith("all promises were kept\n")


def test_a_lost_worker_is_no_success(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(
        _first: int, _end: int, _options: Options
    ) -> Generator[Outcome | Lost | None, None, None]:
        yield Lost(7, "its worker process died: exit code -9")

    monkeypatch.setattr(series, "run_series", dying)

    assert main(["simulate", "--seeds", "9"]) == 1

    told = capsys.readouterr()
    assert "seed 7: its worker process died: exit code -9" in told.err
    assert "FAILED: 1, seeds 7" in told.out
