"""Scenario files: what is accepted, and every sentence with which something is refused."""

from pathlib import Path

import pytest

from orchestrator.chaos.grammar import parse_scenario, read_scenario
from orchestrator.chaos.scenario import OPERATIONS, SHIPPED, Load, Scenario, Step, find, shipped
from orchestrator.errors import BadConfiguration, UsageError

WHOLE = b"""
name: mine
about: >
  What it shows,
  in a sentence.
seed: 7
duration: 20s
cluster:
  nodes: 5
  raft: {heartbeat: 20ms, election_timeout: 100ms-200ms}
  storage: {durability: os}
load:
  clients: 3
  rate: 12.5/s
  mix: {get: 1, set: 2, cas: 3, incr: 4, delete: 5}
  keys: 9
  value: 100B-2KiB
  timeout: 500ms
steps:
  - {at: 1s, kill: leader, for: 2s}
  - every: 3s +- 500ms
    pause: n1,n2
    repeat: 2
  - {at: 5s, every: 4s, restart: one}
  - {at: 6s, start: }
  - {at: 7s, resume: paused}
"""


def refusal(text: str) -> str:
    with pytest.raises(BadConfiguration) as caught:
        parse_scenario(text.encode(), "x.yaml")
    return caught.value.message


def test_every_key_is_read() -> None:
    assert parse_scenario(WHOLE) == Scenario(
        name="mine",
        about="What it shows, in a sentence.",
        seed=7,
        duration_ms=20_000,
        nodes=5,
        shape="raft: {heartbeat: 20ms, election_timeout: 100ms-200ms}\nstorage: {durability: os}\n",
        load=Load(
            clients=3,
            rate=12.5,
            mix={"get": 1, "set": 2, "cas": 3, "incr": 4, "delete": 5},
            keys=9,
            value_bytes_min=100,
            value_bytes_max=2048,
            timeout_ms=500,
        ),
        steps=(
            Step(line=20, action="kill", selector="leader", at_ms=1000, for_ms=2000),
            Step(line=21, action="pause", selector="n1,n2", every_ms=3000, jitter_ms=500, repeat=2),
            Step(line=24, action="restart", selector="one", at_ms=5000, every_ms=4000),
            Step(line=25, action="start", selector="down", at_ms=6000),
            Step(line=26, action="resume", selector="paused", at_ms=7000),
        ),
    )


def test_what_is_left_out_has_its_default_and_the_file_its_name() -> None:
    found = parse_scenario(b"steps: []", "some where.yaml")

    assert found == Scenario(name="some-where")
    assert found.load == Load()


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_scenario_is_right_and_named_as_its_file(name: str) -> None:
    scenario = read_scenario(SHIPPED / f"{name}.yaml")

    assert scenario.name == name
    assert scenario.steps
    assert 20 <= len(scenario.about) <= 100


def test_these_scenarios_are_shipped() -> None:
    assert shipped() == [
        "all-at-once",
        "all-operations",
        "bridge",
        "deaf-and-mute-leader",
        "every-node-in-turn",
        "leader-in-the-minority",
        "leader-isolated-over-and-over",
        "leader-killed-over-and-over",
        "lossy-links",
        "partitions-and-deaths",
        "paused-leader",
        "storm",
    ]


def test_another_size_is_checked_against_the_steps() -> None:
    """`run --nodes 3 --chaos FILE`: a step that means n5 can't be meant."""
    text = b"cluster: {nodes: 5}\nsteps: [{at: 1s, kill: n5}]"

    assert parse_scenario(text).nodes == 5
    with pytest.raises(BadConfiguration, match="no node is called 'n5'"):
        parse_scenario(text, nodes=3)


TOP = "name, about, seed, duration, cluster, load, steps"
STEP_KEYS = "at, every, for, repeat, kill, stop, pause, restart, partition, isolate, link, start, "

REFUSALS = [
    # The whole.
    ("", "1:1: expected keys and values, such as `duration: 30s` and `steps:`"),
    ("- a", "1:1: expected keys and values, such as `duration: 30s` and `steps:`"),
    ("name: x", "1:1: `steps:` is missing: a list such as `- {at: 2s, kill: leader}`"),
    ("a: b: c", "1:5: mapping values are not allowed here"),
    ("steps: []\nsteps: []", "2:1: 'steps' is here twice; first in line 1"),
    ("step: []\nsteps: []", f"1:1: unknown key `step`; did you mean `steps`? Allowed here: {TOP}"),
    ("seed: -1\nsteps: []", "1:7: seed: -1 is not allowed; expected a whole number from 0 to 42"),
    ("duration: 30\nsteps: []", "1:11: duration: 30 of what? Write 30ms or 30s"),
    ("duration: 2h\nsteps: []", "1:11: duration: 2h is not allowed; use 1s to 1h"),
    (
        "expect: {lost: 0}\nsteps: []",
        "1:1: `expect` comes later: conditions and compositions of steps",
    ),
    # The cluster.
    (
        "cluster: {nodes: 0}\nsteps: []",
        "1:18: cluster.nodes: 0 is not allowed; expected a whole number from 1 to 25",
    ),
    (
        "cluster: {base_port: 7400}\nsteps: []",
        "1:11: unknown key `cluster.base_port`. Allowed in `cluster`: nodes, raft, storage",
    ),
    ("cluster: 5\nsteps: []", "1:10: cluster: expected keys: nodes, raft, storage"),
    (
        "cluster: {raft: {heartbeat: 100ms}}\nsteps: []",
        "1:29: raft.election_timeout: begins at 150ms, but must be at least 3 heartbeats (300ms)",
    ),
    # The load.
    ("load: {clients: 0}\nsteps: []", "1:17: load.clients: 0 is not allowed; expected a whole"),
    ("load: {rate: 200}\nsteps: []", "1:14: load.rate: 200 per what? Write 200/s"),
    (
        "load: {rate: fast}\nsteps: []",
        "1:14: load.rate: 'fast' is not allowed; use a rate as 200/s, or max",
    ),
    (
        "load: {rate: 0/s}\nsteps: []",
        "1:14: load.rate: 0/s is not allowed; use 0.1/s to 100000/s, or max",
    ),
    (
        "load: {mix: {put: 1}}\nsteps: []",
        f"1:14: unknown key `load.mix.put`. Allowed in `load.mix`: {', '.join(OPERATIONS)}",
    ),
    (
        "load: {mix: {get: 5, set: 0}}\nsteps: []",
        "1:19: load.mix: nothing writes, so nothing could be lost; add `set: 1`",
    ),
    (
        "load: {value: 4KiB-16B}\nsteps: []",
        "1:15: load.value: 4KiB-16B is empty; the second must be the larger, as in 16B-4KiB",
    ),
    (
        "load: {value: 2MiB}\nsteps: []",
        "1:15: load.value: 2MiB is not allowed; use 1B to 1MiB, or a range as 16B-4KiB",
    ),
    (
        "load: {value: 100}\nsteps: []",
        "1:15: load.value: 100 of what? Write 100B, 100KiB or 100MiB",
    ),
    # Steps.
    (
        "steps: {at: 1s}",
        "1:8: steps: expected a list, each item such as `- {at: 2s, kill: leader, for: 3s}`",
    ),
    ("steps:", "1:1: steps: expected a list, each item such as"),
    (
        "steps:\n  - kill leader",
        "2:5: a step has keys and values, such as `- {at: 2s, kill: leader}`",
    ),
    ("steps:\n  - {kill: leader}", "2:5: when? Add `at: 2s`, or `every: 5s`"),
    (
        "steps:\n  - {at: 1s}",
        "2:5: this step does nothing; say one of kill, stop, pause, restart, partition",
    ),
    (
        "steps:\n  - {at: 1s, kill: n1, pause: n2}",
        "2:24: kill and pause in one step; make a step of each",
    ),
    (
        "steps:\n  - {at: 1s, kil: n1}",
        f"2:14: unknown key `kil`; did you mean `kill`? Allowed here: {STEP_KEYS}",
    ),
    (
        "steps:\n  - {at: 1s, kill: leadr}",
        "2:20: kill: no node is called 'leadr'; did you mean leader",
    ),
    (
        "steps:\n  - {at: 1s, kill: n4}",
        "2:20: kill: no node is called 'n4'; the nodes are n1, n2, n3",
    ),
    (
        "steps:\n  - {at: 1s, kill: random(5)}",
        "2:20: kill: random(5) means 5 of the nodes that fit, and there are 3",
    ),
    ("steps:\n  - {at: 1s, kill: }", "2:19: kill: which nodes? A name, or leader, followers, one"),
    ("steps:\n  - {at: 1s, kill: [n1, n2]}", "2:20: kill: expected a single value"),
    (
        "steps:\n  - {at: 1s, start: down, for: 2s}",
        "2:32: for: start leaves nothing to undo; it goes with kill, stop, pause",
    ),
    ("steps:\n  - {at: 1s, kill: n1, repeat: 3}", "2:32: repeat: how often? Add `every: 5s`"),
    (
        "steps:\n  - {at: 40s, kill: n1}",
        "2:10: at: never comes, for the run ends after 30 s; shorten it, or raise `duration`",
    ),
    ("steps:\n  - {every: 10ms, kill: n1}", "2:13: every: 10ms is not allowed; use 100ms to 1h"),
    (
        "steps:\n  - {every: 2s +- 3s, kill: n1}",
        "2:13: every: 2s +- 3s could be negative; the part after +- is the smaller",
    ),
    (
        "duration: 1h\nsteps:\n  - {every: 1s, kill: n1}",
        "3:1: steps: they would fire 3,599 times, this one 3,599 times; at most 1,000 in all",
    ),
    (
        "steps:\n  - {when: x, kill: n1}",
        "2:6: `when` comes later: conditions and compositions of steps",
    ),
]


@pytest.mark.parametrize(("text", "expected"), REFUSALS)
def test_a_bad_file_is_refused_with_its_line_and_what_is_right(text: str, expected: str) -> None:
    assert refusal(text).startswith(f"x.yaml:{expected}")


def test_all_mistakes_are_told_at_once_in_their_order() -> None:
    text = "seed: x\nload: {rate: 5}\nsteps:\n  - {at: 1s}\n  - {kill: nobody}\n"

    lines = refusal(text).splitlines()

    assert [line.split(": ")[0] for line in lines] == [
        "x.yaml:1:7",
        "x.yaml:2:14",
        "x.yaml:4:5",
        "x.yaml:5:5",
        "x.yaml:5:12",
    ]


def test_a_name_is_looked_up_and_a_path_is_not(tmp_path: Path) -> None:
    own = tmp_path / "storm.yaml"
    own.write_text("steps: []")

    assert find(str(own)) == own
    assert find("storm") == SHIPPED / "storm.yaml"
    with pytest.raises(UsageError, match="no scenario is called 'strom'; did you mean storm"):
        find("strom")
    with pytest.raises(BadConfiguration, match="there is no such file"):
        find(str(tmp_path / "none.yaml"))
