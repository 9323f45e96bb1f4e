"""A run is a pure function of its seed and options."""

import json
import subprocess
import sys

import pytest

from orchestrator.simulation.run import Options, run_seed

SEEDS = (3, 17, 30, 44, 58)
SHORTER = Options(changes={"events": 1_500})
PROGRAM = """
import json, sys
from orchestrator.simulation.run import Options, run_seed
options = Options(changes={"events": 1_500})
print(json.dumps([run_seed(seed, options).trace_hash for seed in json.loads(sys.argv[1])]))
"""


@pytest.mark.processes
def test_a_seed_is_a_run_whatever_the_hash_seed() -> None:
    """The same events at the same microseconds, in other processes too (failure B10)."""
    told = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(SEEDS)],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("0", "1", "4711")
    }

    assert told == {json.dumps([run_seed(seed, SHORTER).trace_hash for seed in SEEDS])}


def test_looking_closely_changes_nothing() -> None:
    usual, verbose = run_seed(17), run_seed(17, Options(verbose=True))

    assert verbose.trace_hash == usual.trace_hash
    assert len(verbose.trace) > len(usual.trace)


def test_another_seed_salt_or_change_is_another_run() -> None:
    outcomes = [
        run_seed(17),
        run_seed(18),
        run_seed(17, Options(salt=1)),
        run_seed(17, Options(changes={"strikes": []})),
    ]

    assert len({outcome.trace_hash for outcome in outcomes}) == len(outcomes)
    assert outcomes[2].profile == outcomes[0].profile
