"""The format: what is written can be read, and what cannot be relied on is refused by line."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.verify.history import (
    Binary,
    Header,
    HistoryError,
    HistoryWriter,
    Operation,
    number,
    read_header,
    read_history,
    read_operations,
    text,
)

from .builders import op
from .simulated import Load, record

HEADER = b'{"schema":1,"kind":"history"}\n'
OK = {"client": "a", "op": "get", "key": "k", "outcome": "ok", "call_ns": 5, "return_ns": 6}
FOUND = OK | {"result": {"found": True, "value": "v"}}


def written(operations: list[Operation]) -> bytes:
    file = io.BytesIO()
    writer = HistoryWriter(file, Header(started_ns=5))
    for operation in operations:
        writer.write(operation)
    return file.getvalue()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    operations = record(Load(operations=200), seed=1)
    path = tmp_path / "history.jsonl"
    path.write_bytes(written(operations))

    history = read_history(path)

    assert history.operations == tuple(operations)
    assert history.start_ns == 5


def test_a_line_is_as_the_page_says() -> None:
    """Other programs rely on the names."""
    operation = op("c1", "set v", 1, 2, rev=7, if_rev=3, created=False)

    line = written([operation]).splitlines()[1]

    assert json.loads(line) == {
        "client": "c1",
        "op": "set",
        "key": "k",
        "args": {"value": "v", "if_mod_rev": 3},
        "outcome": "ok",
        "call_ns": 1_000_000,
        "return_ns": 2_000_000,
        "result": {"mod_rev": 7, "created": False},
    }


def test_reading_begins_before_the_file_ends() -> None:
    """A history may be larger than the memory."""

    def lines() -> object:
        yield json.dumps(FOUND).encode() + b"\n"
        raise AssertionError("read on before it was asked to")

    operations = read_operations(lines())  # type: ignore[arg-type]

    assert next(operations).client == "a"


@given(st.binary())
def test_any_bytes_have_one_spelling(data: bytes) -> None:
    value = text(data)

    again = msgspec.json.decode(msgspec.json.encode(value), type=str | Binary)

    assert again == value
    assert (value.encode() if isinstance(value, str) else value.b64) == data


REFUSED = {
    "no JSON": (b"nonsense\n", "line 2: JSON is malformed"),
    "cut off": (json.dumps(FOUND).encode()[:-9], "line 2: cut off"),
    "an unknown operation": (OK | {"op": "rename"}, "Invalid enum value 'rename'"),
    "an unknown condition": (
        OK | {"op": "set", "args": {"value": "v", "if_moon": 1}},
        "unknown field `if_moon`",
    ),
    "an unknown part of an answer": (OK | {"result": {"mod": 1}}, "unknown field `mod`"),
    "an unknown outcome": (OK | {"outcome": "perhaps"}, "Invalid enum value 'perhaps'"),
    "no answer, yet ok": (
        {k: v for k, v in FOUND.items() if k != "return_ns"},
        "`return_ns` is missing, though the outcome is `ok`",
    ),
    "backwards in time": (FOUND | {"return_ns": 4}, "`return_ns` is before `call_ns`"),
    "a get that says nothing": (OK, "a `get` that is ok needs `result.found`"),
    "a get without the value": (OK | {"result": {"found": True}}, "needs `result.value`"),
    "a set of nothing": (OK | {"op": "set"}, "a `set` needs `args.value`"),
    "an incr without a sum": (
        OK | {"op": "incr", "result": {"value": "01"}},
        "needs its sum in `result.value`",
    ),
    "two spellings of a value": (
        OK | {"result": {"found": True, "value": {"b64": "dg=="}}},
        "is written as a string",
    ),
}


@pytest.mark.parametrize(("line", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_relied_on_is_refused_by_line(
    line: bytes | dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
    path.write_bytes(HEADER + data)

    with pytest.raises(HistoryError, match=r"history\.jsonl, line 2: ") as error:
        read_history(path)

    assert message in str(error.value)


@pytest.mark.parametrize(
    "header", [b"", b"{}\n", b'{"schema":2,"kind":"history"}\n', json.dumps(FOUND).encode()]
)
def test_a_history_without_its_header_is_refused(header: bytes) -> None:
    with pytest.raises(HistoryError, match="line 1: "):
        read_header(iter([header] if header else []))


def test_numbers_are_spelt_in_one_way() -> None:
    assert [number(v) for v in ("0", "-7", "12", str(2**63))] == [0, -7, 12, 2**63]
    assert [number(v) for v in ("", "-0", "01", "+1", " 1", "x", "\u0663", "-", None)] == [None] * 9
    assert number("9" * 5000) == 2**127
    assert number("-" + "9" * 5000) == -(2**127)
