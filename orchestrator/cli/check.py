"""`check` and `schema`: is this cluster.yaml all right, or this history, and what would be?"""

import argparse
import json
from pathlib import Path

import msgspec

from ..errors import EXIT_CHECK_FAILED, EXIT_OK, BadConfiguration, NoCluster
from ..schema import schema
from ..spec import read_spec
from .call import Call
from .recognise import recognise
from .verbs import Verb


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", metavar="FILE", help="default: the one `up` would take")


def _run(call: Call) -> int:
    if call.options.what:
        path = Path(call.options.what)
        if not path.is_file():
            raise BadConfiguration(f"{path}: there is no such file")
    else:
        found = call.paths.file
        if found is None:
            raise NoCluster("there is no cluster.yaml here", hint="bin/cluster check FILE")
        path = found
    if recognise(path) == "history":
        return _check_history(call, path)
    reading = read_spec(path)
    for warning in reading.warnings:
        call.console.note(f"warning: {warning}")
    spec = reading.spec
    ports = "free ports" if spec.base_port is None else f"clients from port {spec.base_port + 1}"
    what = f"cluster {spec.cluster}, {spec.nodes} nodes on {spec.host}, {ports}"
    call.console.say(f"{path.name} is all right: {what}")
    call.console.document(
        file=str(path), warnings=reading.warnings, spec=msgspec.structs.asdict(spec)
    )
    return EXIT_OK


def _check_history(call: Call, path: Path) -> int:
    """Judge what clients have recorded, as `chaos` does at its end."""
    from ..verify.history import HistoryError, read_history  # noqa: PLC0415 - seldom wanted
    from ..verify.judgement import judge  # noqa: PLC0415 - likewise
    from ..verify.linearizability import Verdict  # noqa: PLC0415 - likewise

    try:
        judgement = judge(read_history(path))
    except HistoryError as error:
        raise BadConfiguration(str(error)) from None
    checked = judgement.check
    told = {
        Verdict.VALID: "fit one order: linearizable",
        Verdict.INVALID: "fit no order: a promise was broken",
        Verdict.UNKNOWN: "may fit an order or not: the search took too long",
    }[judgement.verdict]
    call.console.say(
        f"{path.name}: {checked.operations:,} operations on {checked.keys:,} keys {told}"
    )
    for violation in judgement.violations:
        call.console.say(f"  {violation.sentence}")
    call.console.document(
        file=str(path),
        verdict=judgement.verdict.value,
        operations=checked.operations,
        keys=checked.keys,
        violations=[violation.sentence for violation in judgement.violations],
    )
    return EXIT_OK if judgement.verdict is Verdict.VALID else EXIT_CHECK_FAILED


def _configure_schema(_parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def _run_schema(call: Call) -> int:
    made = schema()
    call.console.say(json.dumps(made, indent=2))
    call.console.document(json_schema=made)
    return EXIT_OK


CHECK = Verb(
    description=(
        "Check a cluster.yaml: every problem at once, each with its line and column, what is\n"
        "allowed, and the nearest right word. Exit code 78 if there is any. Or judge a recorded\n"
        "history (see docs/history.md): exit code 1 if no order explains it."
    ),
    examples=(
        "  bin/cluster check\n"
        "  bin/cluster check other.yaml --json\n"
        "  bin/cluster check .cluster/runs/LATEST/history.jsonl"
    ),
    configure=_configure,
    run=_run,
)
SCHEMA = Verb(
    description=(
        "Print the JSON Schema of cluster.yaml: an editor that has it completes keys, shows what\n"
        "they mean, and underlines what is wrong. What several keys must be together only\n"
        "`check` and `up` know."
    ),
    examples=(
        "  bin/cluster schema > cluster.schema.json   and, as cluster.yaml's first line:\n"
        "  # yaml-language-server: $schema=cluster.schema.json"
    ),
    configure=_configure_schema,
    run=_run_schema,
)
