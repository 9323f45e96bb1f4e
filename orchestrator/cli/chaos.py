"""`chaos run` and `chaos list`: scenarios, and what came of them."""

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import (
    EXIT_CHECK_FAILED,
    EXIT_OK,
    EXIT_UNKNOWN,
    NoCluster,
    UsageError,
)
from .call import Call
from .options import number
from .verbs import Verb

if TYPE_CHECKING:
    from ..chaos.results import Results
    from ..chaos.scenario import Scenario

_REPEATS_MAX = 1_000


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["run", "list"], help="run one scenario, or list them")
    parser.add_argument("scenario", nargs="?", metavar="FILE|NAME", help="which one to run")
    parser.add_argument(
        "--seed",
        type=number(0, 2**32 - 1),
        metavar="N",
        help="decides times, targets and operations (default: the file's, or drawn)",
    )
    parser.add_argument(
        "--repeat",
        type=number(1, _REPEATS_MAX),
        metavar="N",
        default=1,
        help="so many runs, with seed, seed+1, ...",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the timeline; start nothing")


def _run(call: Call) -> int:
    options = call.options
    if options.what == "list":
        if options.scenario is not None:
            raise UsageError(f"`chaos list` takes no '{options.scenario[:40]}'")
        return _list(call)
    if options.scenario is None:
        raise UsageError("which scenario?", hint="bin/cluster chaos list   names those there are")
    from ..chaos.grammar import read_scenario  # noqa: PLC0415 - its help page is quicker without
    from ..chaos.scenario import find  # noqa: PLC0415 - likewise

    file = find(options.scenario)
    scenario = read_scenario(file)
    seed = options.seed if options.seed is not None else scenario.seed
    if seed is None:
        seed = secrets.randbelow(1_000_000)
    if options.dry_run:
        return _dry_run(call, scenario, seed)
    return _perform(call, file, scenario, seed)


def _list(call: Call) -> int:
    from ..chaos.grammar import read_scenario  # noqa: PLC0415 - as above
    from ..chaos.scenario import SHIPPED, shipped  # noqa: PLC0415 - likewise

    scenarios = [read_scenario(SHIPPED / f"{name}.yaml") for name in shipped()]
    width = max(len(scenario.name) for scenario in scenarios)
    for scenario in scenarios:
        seconds = f"{scenario.duration_ms / 1_000:g} s"
        call.console.say(
            f"{call.console.paint(scenario.name.ljust(width), 'bold')}  "
            f"{scenario.nodes} nodes, {seconds}"
        )
        call.console.say(f"  {scenario.about}")
    call.console.say()
    call.console.say("bin/cluster chaos run NAME    or a FILE of your own: docs/chaos.md")
    call.console.document(
        scenarios=[
            {
                "name": scenario.name,
                "about": scenario.about,
                "nodes": scenario.nodes,
                "seconds": scenario.duration_ms / 1_000,
                "file": str(SHIPPED / f"{scenario.name}.yaml"),
            }
            for scenario in scenarios
        ]
    )
    return EXIT_OK


def _dry_run(call: Call, scenario: "Scenario", seed: int) -> int:
    from ..chaos.show import timeline  # noqa: PLC0415 - as above
    from ..chaos.timeline import plan  # noqa: PLC0415 - likewise

    planned = plan(scenario, seed)
    call.console.say(
        f"{scenario.name}, seed {seed}: {scenario.nodes} nodes; whom a step means is settled when "
        "it fires"
    )
    for line in timeline(scenario, planned):
        call.console.say(line)
    call.console.document(
        name=scenario.name,
        seed=seed,
        nodes=scenario.nodes,
        seconds=scenario.duration_ms / 1_000,
        timeline=[
            {
                "at_s": one.at_ms / 1_000,
                "action": one.step.action,
                "selector": one.step.selector,
                "for_s": None if one.step.for_ms is None else one.step.for_ms / 1_000,
                "line": one.step.line,
            }
            for one in planned
        ],
    )
    return EXIT_OK


def _perform(call: Call, file: Path, scenario: "Scenario", seed: int) -> int:
    from ..chaos.runner import run_scenario  # noqa: PLC0415 - as above
    from ..chaos.show import Teller  # noqa: PLC0415 - likewise

    console = call.console
    teller = Teller(console.paint, lines=not console.as_json)
    done: list[Results] = []
    for offset in range(call.options.repeat):
        results = run_scenario(
            scenario, seed=seed + offset, runs=runs_folder(call), file=file, audience=teller
        )
        teller.account(results)
        done.append(results)
        if call.options.repeat > 1:
            console.say()
    code = _worst([results.exit_code for results in done])
    if len(done) == 1:
        fields = done[0].as_json()
        del fields["schema"]
        console.document(ok=code == EXIT_OK, **fields)
        return code
    _summarise(call, done)
    console.document(
        ok=code == EXIT_OK,
        name=scenario.name,
        exit_code=code,
        runs=[results.as_json() for results in done],
    )
    return code


def _summarise(call: Call, done: "list[Results]") -> None:
    verdicts = [results.judgement.verdict for results in done]
    counts = ", ".join(
        f"{verdicts.count(word)} {word}"
        for word in ("ok", "violated", "unknown")
        if word in verdicts
    )
    longest = sorted(results.longest.ms for results in done if results.longest is not None)
    call.console.say(f"{len(done)} runs: {counts}")
    if longest:
        call.console.say(
            f"longest time without an acknowledged write: median "
            f"{longest[len(longest) // 2]:,.0f} ms, at most {longest[-1]:,.0f} ms"
        )
    failed = [results for results in done if results.exit_code != EXIT_OK]
    for results in failed:
        call.console.say(f"  seed {results.seed}: {results.judgement.sentence}")


def _worst(codes: list[int]) -> int:
    return next((code for code in (EXIT_CHECK_FAILED, EXIT_UNKNOWN) if code in codes), EXIT_OK)


def runs_folder(call: Call) -> Path:
    """Return where runs are kept: beside cluster.yaml, or here where there is none."""
    from ..chaos.results import RUNS  # noqa: PLC0415 - as above

    try:
        file = call.paths.file
    except NoCluster:
        file = None
    return (Path.cwd() if file is None else file.parent) / RUNS


CHAOS = Verb(
    description=(
        "Start a cluster of its own in a temporary folder, load it with clients that write down\n"
        "what they were told, break it as the scenario says, put everything right again, and\n"
        "judge: what was acknowledged, lost or unknown, when no write was possible and because\n"
        "of what, and whether all operations fit one order (linearizability). All that was\n"
        "recorded lies in runs/. Whatever ends it, every fault is undone and nothing is left.\n"
        "Exit codes: 0 all is well; 1 a promise was broken; 2 that could not be decided;\n"
        "64 no such scenario; 78 the file is wrong, each mistake with its line."
    ),
    examples=(
        "  bin/cluster chaos list\n"
        "  bin/cluster chaos run leader-killed-over-and-over\n"
        "  bin/cluster chaos run storm --seed 7 --repeat 5\n"
        "  bin/cluster chaos run mine.yaml --dry-run      the timeline, starting nothing\n"
        "  bin/cluster chaos run mine.yaml --json"
    ),
    configure=_configure,
    run=_run,
)
