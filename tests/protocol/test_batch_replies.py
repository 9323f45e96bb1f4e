"""The short cut for the answers of batches says what the general way says, to the byte."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.protocol.batch_replies import plain_results
from raftcache.protocol.limits import Limits
from raftcache.protocol.replies import _FIELDS, Leader, ReplyHeader, _encode, encode_reply
from raftcache.protocol.requests import decode_request
from raftcache.store.results import BatchResult, DeleteResult, Failure, GetResult, SetResult

HEADER = ReplyHeader("n1", 3, Leader("n2", "tcp://127.0.0.1:7402"), 7)
ASKED = decode_request(msgspec.msgpack.encode({"op": "ping", "id": "x"}), Limits())

NUMBERS = st.integers(0, 2**63 - 1)
VALUES = st.none() | st.binary(max_size=300)
PLAIN_SETS = st.builds(SetResult, NUMBERS, st.booleans())
SETS = st.builds(SetResult, NUMBERS, st.booleans(), VALUES, st.booleans(), st.booleans())
GETS = st.builds(
    GetResult,
    *(st.booleans(), VALUES, NUMBERS, NUMBERS, NUMBERS),
    *(st.none() | NUMBERS, st.none() | NUMBERS),
)
OTHERS = st.builds(DeleteResult, st.integers(0, 1)) | st.just(Failure("conflict", "no", 7, b"v"))


@given(
    st.lists(PLAIN_SETS, max_size=20)
    | st.lists(GETS, max_size=20)
    | st.lists(SETS, max_size=20)
    | st.lists(PLAIN_SETS | GETS | OTHERS, max_size=20)
)
@settings(max_examples=300, deadline=None)
def test_it_says_what_the_general_way_says(results: list[Any]) -> None:
    result = BatchResult(results)

    general = _encode(ASKED, HEADER, _FIELDS[BatchResult](result), ok=True)

    assert encode_reply(ASKED, HEADER, result) == general


def test_it_takes_what_clients_ask_for_most() -> None:
    """Else it would be equal, and of no use."""
    assert plain_results([SetResult(7, created=True)] * 2)
    assert plain_results([GetResult(), GetResult(True, b"v", 1, 1, 1)])
    assert plain_results([SetResult(7, created=True), GetResult()]) is None
    assert plain_results([SetResult(7, True, b"v", has_prev=True)]) is None
