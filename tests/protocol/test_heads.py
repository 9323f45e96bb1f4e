"""A request that is far too large is refused with its `id`, of which only the beginning is read."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftcache.protocol.heads import id_alone
from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.requests import decode_request

LIMITS = Limits(value_bytes=100, request_bytes=200)
IDS: list[Any] = [
    None,
    True,
    0,
    7,
    200,
    60_000,
    2**40,
    -1,
    -100,
    -(2**40),
    1.5,
    -1e30,
    "",
    'a"\\b',
    "ä" * 300,
]


def refused(fields: dict[str, Any], *, json: bool) -> Refused:
    """Return the refusal of a request."""
    encode = msgspec.json.encode if json else msgspec.msgpack.encode
    with pytest.raises(Refused) as caught:
        decode_request(encode(fields), LIMITS)
    return caught.value


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("value", [*IDS, b"bin", b"x" * 300])
def test_the_id_is_found_behind_short_fields(value: Any, *, json: bool) -> None:
    if json and isinstance(value, bytes):
        value = "text"
    fields = {"op": "set", "v": 1, "b64": False, "timeout_ms": 70_000, "id": value, "key": "k"}

    found = refused({**fields, "value": "x" * 5_000}, json=json)

    assert (found.code, found.id, found.json) == ("too_large", value, json)


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"op": "set", "value": "x" * 5_000, "id": 7},
        {"op": "batch", "ops": [[1]] * 400, "id": 7},
        {"op": "set", "id": "y" * 5_000},
        {"op": "set", "id": {"a": "x" * 900}},
        {"x": 1, "y": "id", "z": "x" * 900},
    ],
)
def test_without_one_that_can_be_read_the_id_is_null(fields: dict[str, Any], *, json: bool) -> None:
    found = refused(fields, json=json)

    assert (found.code, found.id) == ("too_large", None)


def test_a_map_of_any_length_has_its_id() -> None:
    long = {"id": 5, **{f"field {number}": number for number in range(70_000)}}

    assert refused(long, json=False).id == 5
    assert refused({"id": 5, **dict.fromkeys("abcdefghijklmnopqrs", "x" * 50)}, json=False).id == 5


@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b'{"id":', b"\x82\xa2id", b"\xdf"]))
def test_whatever_the_bytes_they_are_refused_and_nothing_else(rest: bytes, begin: bytes) -> None:
    frame = (begin + rest).ljust(500, b"\xc1")

    with pytest.raises(Refused):
        decode_request(frame, LIMITS)
    for json in (True, False):
        assert len(id_alone(frame, json=json)) <= 500
