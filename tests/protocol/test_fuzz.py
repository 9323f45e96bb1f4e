"""Whatever the bytes: a request or a refusal, and an answer that can be sent (failure F14)."""

import random
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.protocol.envelope import request_frame, split_envelope
from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.replies import ReplyHeader, encode_refused, encode_reply
from raftcache.protocol.requests import decode_request
from raftcache.protocol.wire import REQUEST_WIRES
from raftcache.store.commands import decode_commands, encode_commands
from raftcache.store.machine import StateMachine

from ..effort import scaled

LIMITS = Limits(value_bytes=100, request_bytes=2000)
HEADER = ReplyHeader("n1", 1, None, 0)

SEEDS: list[dict[str, Any]] = [
    {"op": "set", "key": b"k", "value": b"v" * 50, "if_mod_rev": 3, "if_value": b"w", "prev": True},
    {"op": "get", "key": "k", "id": "x", "read": "local", "v": 1, "b64": True},
    {"op": "delete", "key": b"k", "id": 1.5, "forward": False, "timeout_ms": 70_000},
    {"op": "incr", "key": b"k", "by": -(2**60)},
    {"op": "range", "start": b"a", "end": b"z", "after": b"b", "at_rev": 2**40, "limit": 7},
    {"op": "range", "prefix": b"a", "keys_only": True, "count_only": True},
    {"op": "batch", "ops": [{"op": "set", "key": b"k", "value": b""}, {"op": "x"}, [], None]},
    {"op": "hash", "at": 7},
    {"op": "member_add", "id": "n4", "peer": "tcp://a:1", "client": "tcp://a:2"},
]  # fmt: skip


POISON = [
    b"\xdd\xff\xff\xff\xff",
    b"\xc7\x0c\xff",
    b"\xc1",
    b"\x91" * 300,
    b"[" * 300,
    b"\xcf" + b"\xff" * 8,
    b"\xa1\xff",
    b"1e999",
    b'"\\ud800"',
]


def check(machine: StateMachine, frame: bytes) -> None:
    """Take a frame all the way; anything but a request or a refusal fails the test."""
    try:
        request = decode_request(frame, LIMITS)
    except Refused as refused:
        answer = encode_refused(refused, HEADER)
    else:
        if request.command is not None:
            data = encode_commands([request.command], 0)
            assert decode_commands(data) == [request.command]
            [result] = machine.apply(machine.last_applied + 1, data)
            answer = encode_reply(request, HEADER, result)
        elif request.query is not None:
            answer = encode_reply(request, HEADER, machine.read(request.query))
        else:
            answer = encode_reply(request, HEADER, {})
    assert answer[:1] == b"{" if frame[:1] == b"{" else answer[0] in range(0x80, 0x90)


def as_json(fields: Any) -> bytes:
    """Encode as JSON, with binary as text."""
    text = msgspec.json.encode(fields, enc_hook=str)
    return text.replace(b'"key":"aw=="', b'"key":{"b64":"aw=="}')


def mutated(draw: random.Random, frame: bytes) -> bytes:
    """Flip, cut, repeat, insert or join: what breaks decoders."""
    damaged = bytearray(frame)
    for _ in range(draw.choice((1, 1, 2, 5))):
        position = draw.randrange(len(damaged) + 1)
        match draw.randrange(5):
            case 0 if position < len(damaged):
                damaged[position] = draw.randrange(256)
            case 1 if position < len(damaged):
                damaged[position] ^= 1 << draw.randrange(8)
            case 2:
                del damaged[position : position + draw.randrange(1, 9)]
            case 3:
                damaged[position:position] = damaged[position : position + draw.randrange(1, 30)]
            case _:
                damaged[position:position] = draw.choice(POISON)
        damaged = damaged or bytearray(b"{")
    return bytes(damaged)


def test_damaged_requests_are_requests_or_refused() -> None:
    draw = random.Random(2)
    machine = StateMachine()
    frames = [msgspec.msgpack.encode(fields) for fields in SEEDS]
    frames += [as_json(fields) for fields in SEEDS]

    for frame in frames:
        check(machine, frame)
        for end in range(len(frame)):
            check(machine, frame[:end])
        for _ in range(scaled(4000)):
            check(machine, mutated(draw, frame))

    assert machine.last_applied > scaled(1000), (
        "most of the seeds' damage is harmless, and was applied"
    )


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
FIELD_NAMES = sorted({name for wire in REQUEST_WIRES.values() for name in wire.__struct_fields__})
MAPS = st.fixed_dictionaries(
    {"op": st.sampled_from(sorted(REQUEST_WIRES)) | ANYTHING},
    optional=dict.fromkeys(FIELD_NAMES, ANYTHING | st.just("k")),
)


@settings(max_examples=scaled(400), deadline=None)
@given(st.binary() | MAPS.map(msgspec.msgpack.encode) | MAPS.map(msgspec.json.encode))
def test_any_bytes_and_any_maps_are_requests_or_refused(frame: bytes) -> None:
    check(StateMachine(), frame)


@settings(max_examples=scaled(400), deadline=None)
@given(st.lists(st.sampled_from([b"", b"x", b"{}"]), max_size=6))
def test_any_frames_are_split_and_put_together_again(rest: list[bytes]) -> None:
    """The answer's envelope is the request's, to the frame."""
    frames = [b"routing id", *rest]

    envelope, body = split_envelope(frames)

    assert [*envelope, *body] == frames
    assert len(envelope) == 1 or (not envelope[-1] and all(envelope[:-1]))
    if len(envelope) > 1 and len(body) == 1:
        assert [*envelope, request_frame(envelope, body)] == frames
    else:
        with pytest.raises(Refused):
            request_frame(envelope, body)


@pytest.mark.parametrize(
    "field", ["key", "value", "if_value", "id", "timeout_ms", "unknown", "ops"]
)
@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack], ids=["json", "msgpack"])
def test_nested_arrays_are_skipped_and_never_built(codec: Any, field: str) -> None:
    """Four megabytes of them as objects take seconds, and a leader that stalls is deposed."""
    others = {"op": "batch"} if field == "ops" else {"op": "set", "key": "k", "value": "v"}
    fields = {**others, field: [[]] * 200_000}
    frame = codec.encode(fields)

    tracemalloc.start()
    with pytest.raises(Refused):
        decode_request(frame, Limits())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * len(frame), "a list takes 56 bytes, and here 1 or 3 on the wire"
