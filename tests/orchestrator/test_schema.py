"""The schema of cluster.yaml says what the checks say: both come from one table."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli import main
from orchestrator.errors import BadConfiguration
from orchestrator.schema import MEANINGS, schema
from orchestrator.spec import parse_spec
from orchestrator.spec_values import Spec

from .test_spec import REFUSALS

ROOT = Path(__file__).resolve().parents[2]

BEYOND = (
    "at least 3 heartbeats",
    "would never fit",
    "is empty",
    "is too long",
    "use 1ms to 1m",
    "use 64KiB to 1GiB",
    "use 256KiB to 64GiB",
    "use 1MiB to 64TiB",
    "finer than a millisecond",
    "here twice",
    "after the colon",
    "among the ports",
    "the cluster lives at",
    "an anchor",
    "an alias",
    "a tag",
    "a second document",
)
"""What a schema can't say: bounds of what has a unit, two keys together, and YAML itself."""

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "null": type(None),
    "string": str,
    "integer": int,
    "boolean": bool,
}


def complaints(value: Any, rule: dict[str, Any], where: str = "") -> list[str]:
    """Check by the part of JSON Schema that is used here."""
    if "oneOf" in rule:
        good = [one for one in rule["oneOf"] if not complaints(value, one)]
        return [] if len(good) == 1 else [f"{where}: none of them, or several"]
    if "const" in rule:
        return [] if value == rule["const"] else [f"{where}: another value"]
    if "enum" in rule:
        return [] if value in rule["enum"] else [f"{where}: none of these words"]
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    if not any(isinstance(value, TYPES[kind]) for kind in kinds) or (
        isinstance(value, bool) and "boolean" not in kinds
    ):
        return [f"{where}: not a {kinds}"]
    if isinstance(value, dict):
        unknown = [f"{where}.{key}: unknown" for key in value if key not in rule["properties"]]
        known = [
            each
            for key, item in value.items()
            if key in rule["properties"]
            for each in complaints(item, rule["properties"][key], f"{where}.{key}")
        ]
        return unknown + known
    if isinstance(value, str) and "pattern" in rule:
        return [] if re.search(rule["pattern"], value) else [f"{where}: does not match"]
    if isinstance(value, int) and "minimum" in rule:
        return [] if rule["minimum"] <= value <= rule["maximum"] else [f"{where}: out of bounds"]
    return []


def defaults(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a file that says all defaults."""
    return {
        key: defaults(each) if "properties" in each else each["default"]
        for key, each in rule["properties"].items()
        if "properties" in each or "default" in each
    }


def test_the_file_in_the_repository_is_as_the_schema_says() -> None:
    found = yaml.safe_load((ROOT / "cluster.yaml").read_text())

    assert complaints(found, schema()) == []


def test_the_defaults_in_the_schema_are_the_defaults() -> None:
    """An editor writes them into files."""
    text = yaml.safe_dump(defaults(schema()))

    reading = parse_spec(text.encode())

    assert reading.spec == Spec()
    assert complaints(yaml.safe_load(text), schema()) == []


def test_every_key_has_a_meaning_and_every_meaning_a_key() -> None:
    def paths(rule: dict[str, Any], path: str = "") -> set[str]:
        found = set()
        for key, each in rule["properties"].items():
            found |= {f"{path}{key}"}
            if "properties" in each:
                found |= paths(each, f"{path}{key}.")
        return found

    assert paths(schema()) == set(MEANINGS)


@pytest.mark.parametrize(("text", "expected"), REFUSALS, ids=[str(e)[:60] for _, e in REFUSALS])
def test_what_is_refused_does_not_fit_the_schema(text: str | bytes, expected: str) -> None:
    """But for what a schema can't say."""
    if any(words in expected for words in BEYOND):
        return
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return  # No editor needs a schema to underline that.

    if not (isinstance(found, str) and len(found) > 1000) and found is not None:
        assert complaints(found, schema()) != []


def test_the_schema_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()

    assert main(["schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["json_schema"] == schema()


def test_a_value_out_of_bounds_is_refused_by_both() -> None:
    with pytest.raises(BadConfiguration):
        parse_spec(b"nodes: 26")

    assert complaints({"nodes": 26}, schema()) == [".nodes: out of bounds"]
