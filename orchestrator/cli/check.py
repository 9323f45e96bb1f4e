"""`check` and `schema`: is this cluster.yaml all right, and what would be?"""

import argparse
import json
from pathlib import Path

import msgspec

from ..errors import EXIT_OK, BadConfiguration, NoCluster
from ..schema import schema
from ..spec import read_spec
from .call import Call
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
        "allowed, and the nearest right word. Exit code 78 if there is any."
    ),
    examples="  bin/cluster check\n  bin/cluster check other.yaml --json",
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
