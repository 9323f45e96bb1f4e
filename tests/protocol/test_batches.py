"""The short cut for plain batches builds what the general way builds."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.protocol import building
from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.requests import decode_request
from raftcache.store.commands import Batch, Fenced, Get, Incr, Invalid, Once, OnceRun, Set

LIMITS = Limits(value_bytes=8)


def decoded(fields: dict[str, Any], codec: Any = msgspec.msgpack) -> Any:
    """Return what a batch asks for, or what it is refused with."""
    try:
        request = decode_request(codec.encode({"op": "batch", **fields}), LIMITS)
    except Refused as refused:
        return refused.code, refused.message
    return request.command or request.query


FIELDS: dict[str, Any] = {
    "seq": st.integers(1, 4) | st.just(-1),
    "value": st.sampled_from([b"v", "text", b"too long a value"]),
    "session": st.integers(7, 8),
    "ack": st.just(0),
    "prev": st.just(value=True),
    "id": st.just(1),
}
KEY = st.sampled_from([b"k", "text", b"", b"x" * 1025])
PLAIN_OP = st.sampled_from([{"op": "set", "key": b"k", "value": b"v"}, {"op": "get", "key": b"k"}])
ODD_OP = st.fixed_dictionaries(
    {"op": st.sampled_from(["set", "get", "incr", "delete", "what"]), "key": KEY}, optional=FIELDS
)


@given(
    st.lists(PLAIN_OP | ODD_OP, max_size=5),
    st.sampled_from([None, 0, 1, 2, 3, 4]),
    st.fixed_dictionaries(
        {}, optional={"session": st.just(7), "ack": st.integers(0, 3), "seq": st.just(9)}
    ),
)
@settings(max_examples=400, deadline=None)
def test_the_short_cut_leads_to_the_same_place(
    ops: list[Any], first: int | None, whole: dict[str, Any]
) -> None:
    """With numbers and without, odd and ill-formed ones too."""
    if first is not None:
        ops = [{"seq": seq, **op} for seq, op in enumerate(ops, first)]
    fields = {"ops": ops, **whole}
    short = decoded(fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "plain_batch", lambda _wire, _value_bytes: None)
        general = decoded(fields)

    assert short == general


def sets(*seqs: int) -> list[dict[str, Any]]:
    """Return numbered sets."""
    return [{"op": "set", "key": "k", "value": "v", "seq": seq} for seq in seqs]


def test_numbers_that_follow_each_other_make_a_run() -> None:
    """In either encoding, and of whatever operations; the digests are those of each."""
    fields = {"ops": sets(4, 5), "session": 7, "ack": 3}
    mixed = {**fields, "ops": [*sets(4), {"op": "incr", "key": "n", "seq": 5}]}

    run = decoded(fields)

    assert run == decoded(fields, msgspec.json)
    assert (run.session, run.first_seq, run.ack) == (7, 4, 3)
    assert run.ops == (Set(b"k", b"v"), Set(b"k", b"v"))
    assert [type(op) for op in run.unrolled().ops] == [Once, Once]
    one = decoded({**fields, "ops": sets(4)})
    assert one == Batch(run.unrolled().ops[:1])
    assert decoded(mixed).ops == (Set(b"k", b"v"), Incr(b"n"))


@pytest.mark.parametrize(
    "ops",
    [
        sets(4, 6),
        sets(5, 4),
        sets(4, 4),
        [*sets(4), {"op": "get", "key": "k"}],
        [*sets(4), {**sets(5)[0], "session": 8}],
        [*sets(4), {**sets(5)[0], "ack": 1}],
        [*sets(4), {"op": "set", "key": "k", "value": "v"}],
    ],
)
def test_other_numbers_make_none(ops: list[dict[str, Any]]) -> None:
    """They are done one by one."""
    assert isinstance(decoded({"ops": ops, "session": 7, "ack": 3}), Batch)


def test_a_settled_number_fails_alone() -> None:
    """It is refused, and the others are done."""
    batch = decoded({"ops": sets(3, 4), "session": 7, "ack": 3})

    assert isinstance(batch, Batch)
    assert [type(op) for op in batch.ops] == [Invalid, Once]


def test_a_fence_stands_before_a_batch() -> None:
    """A run has no fence; the operations behind one have their numbers all the same."""
    fence = {"key": b"lock", "create_rev": 5}

    fenced = decoded({"ops": sets(4, 5), "session": 7, "ack": 3, "fence": fence})

    assert isinstance(fenced, Fenced)
    assert isinstance(fenced.op, Batch)
    assert [type(op) for op in fenced.op.ops] == [Once, Once]


def test_plain_batches_need_no_session() -> None:
    """Reads stay reads."""
    gets = [{"op": "get", "key": b"k"}] * 2

    assert decoded({"ops": gets}) == Batch((Get(b"k"), Get(b"k")))
    assert not isinstance(decoded({"ops": sets(4, 5)}), OnceRun)
