"""What a load sends is what it says, byte for byte as any client would encode it."""

from typing import Any

import msgspec
import pytest

from orchestrator.bench.loads import (
    ENCODED_BYTES_MAX,
    Load,
    fill_requests,
    key_of,
    requests_of,
    value_of,
    whole,
)
from raftcache.protocol.limits import Limits
from raftcache.protocol.requests import decode_request

LIMITS = Limits(16 * 1024 * 1024, 64 * 1024 * 1024)


def decoded(load: Load) -> list[dict[str, Any]]:
    return [msgspec.msgpack.decode(whole(request, 42)) for request in requests_of(load)]


@pytest.mark.parametrize("mix", ["set", "get", "90/10"])
@pytest.mark.parametrize("batch", [1, 7])
def test_a_node_takes_every_request(mix: str, batch: int) -> None:
    """They are put together by hand: one wrong byte, and errors would be what is measured."""
    load = Load(clients=1, mix=mix, batch=batch, value_bytes=20)

    for request in requests_of(load)[:200]:
        found = decode_request(whole(request, 42), LIMITS)
        assert (found.id, found.op) == ("000042", "batch" if batch > 1 else found.op)


def test_a_set_writes_a_value_of_the_asked_size() -> None:
    load = Load(clients=1, value_bytes=33)

    first = decoded(load)[0]

    assert first == {"op": "set", "id": "000042", "key": key_of(0), "value": value_of(load)}
    assert len(first["value"]) == 33


@pytest.mark.parametrize("batch", [1, 10])
def test_of_ten_operations_nine_are_gets(batch: int) -> None:
    load = Load(clients=1, mix="90/10", batch=batch, value_bytes=8)

    made = decoded(load)

    operations = [one for request in made for one in request.get("ops", [request])]
    sets = sum(one["op"] == "set" for one in operations)
    assert sets * 10 == len(operations)


def test_every_key_is_asked_for_and_was_written_before() -> None:
    load = Load(clients=1, mix="get")

    asked = {one["key"] for one in decoded(load)}
    written = {
        one["key"]
        for body in fill_requests(load)
        for request in [msgspec.msgpack.decode(body)]
        for one in request.get("ops", [request])
    }

    assert asked == written == {key_of(number) for number in range(load.keys)}


@pytest.mark.parametrize("load", [Load(1, value_bytes=1024 * 1024), Load(1, batch=1_000)])
def test_large_requests_are_few(load: Load) -> None:
    """Ten thousand values of a megabyte would be ten gigabytes."""
    size = sum(len(whole(request, 0)) for request in requests_of(load))

    assert size < 2 * ENCODED_BYTES_MAX
    assert max(map(len, fill_requests(load))) < 2 * 1024 * 1024 + 1024


def test_a_load_is_named_by_what_it_does() -> None:
    assert Load(clients=64).name == "set, 64"
    assert Load(clients=4, in_flight=8, batch=100, mix="90/10").name == "90/10, 4 x 8, 100 a batch"
