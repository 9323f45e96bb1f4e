"""The short cut for a single plain ``set`` or ``get`` builds what the general way builds."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.protocol import requests
from raftcache.protocol.limits import ID_BYTES_MAX, Limits, Refused
from raftcache.protocol.plain import PLAIN_HEADS, decode_plain
from raftcache.protocol.requests import decode_request

LIMITS = Limits(value_bytes=8, request_bytes=4000)


def decoded(frame: bytes) -> Any:
    """Return the request in a frame, or all of what it is refused with."""
    try:
        return decode_request(frame, LIMITS)
    except Refused as refused:
        return refused.code, refused.message, refused.id, refused.json, refused.b64


KEYS = st.sampled_from([b"k", "text", b"", b"x" * 1024, b"x" * 1025, 5, None])
IDS: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 7, -(2**63), 2**64 - 1, 1.5, "id", b"bin", [], "é" * 1024, "é" * 1025]
)
FIELDS: dict[str, Any] = {
    "key": KEYS,
    "value": st.sampled_from([b"v", b"", b"v" * 8, b"v" * 9, "text", 1]),
    "id": IDS,
    "timeout_ms": st.sampled_from([1, 5000, 600_000, 600_001, 0, "soon"]),
    "read": st.sampled_from(["local", "linearizable", "nearby"]),
    "prev": st.just(value=True),
    "seq": st.just(3),
    "session": st.just(7),
    "v": st.sampled_from([1, 2]),
    "forward": st.just(value=False),
    "b64": st.just(value=True),
    "what": st.just(1),
}
OPS = st.sampled_from(["set", "get", "incr", "batch", "what", 1])


@given(st.fixed_dictionaries({"op": OPS}, optional=FIELDS), st.randoms(use_true_random=False))
@settings(max_examples=600, deadline=None)
def test_the_short_cut_leads_to_the_same_place(fields: dict[str, Any], random: Any) -> None:
    """Whatever the fields and their order; refusals with the same words."""
    items = [*fields.items()]
    random.shuffle(items)
    frame = msgspec.msgpack.encode(dict(items))
    short = decoded(frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "PLAIN_HEADS", frozenset())
        general = decoded(frame)

    assert short == general


@given(st.binary(max_size=40), st.sampled_from([*PLAIN_HEADS, b""]))
@settings(max_examples=300, deadline=None)
def test_no_bytes_get_through_it_that_the_general_way_refuses(tail: bytes, head: bytes) -> None:
    """What it can't decode, it leaves to the other (failure F14)."""
    short = decoded(head + tail)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "PLAIN_HEADS", frozenset())

        assert short == decoded(head + tail)


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "set", "key": b"k", "value": b"v"},
        {"op": "set", "id": 1, "timeout_ms": 700, "key": b"k", "value": b"v"},
        {"op": "get", "key": b"k"},
        {"op": "get", "id": "é" * ID_BYTES_MAX, "timeout_ms": 700, "read": "local", "key": b"k"},
    ],
)
def test_what_clients_send_most_takes_the_short_cut(fields: dict[str, Any]) -> None:
    """Else it would be equal, and of no use."""
    frame = msgspec.msgpack.encode(fields)

    assert frame[:1] in PLAIN_HEADS
    assert decode_plain(frame) is not None
