"""What a pipeline sends at a time."""

from collections.abc import Sequence

import pytest

from raftcache.client import BadRequest, Operation, Outcome, Pipeline, Set, TooLarge, codec
from raftcache.client.values import BYTES, JSON
from raftcache.protocol import limits


def test_a_batch_ends_before_it_is_too_large_for_a_node() -> None:
    """A request far over the limit ends the connection, with no word of why."""
    sent: list[list[int]] = []

    def perform(operations: Sequence[Operation]) -> list[Outcome]:
        sets = [operation for operation in operations if isinstance(operation, Set)]
        sent.append([len(operation.value) for operation in sets])
        return [len(operation.value) for operation in sets]

    sizes = [400_000, 400_000, 400_000, 3_000_000, 1, 1]
    with Pipeline(BYTES, perform) as pipe:
        results = [pipe.set("k", b"x" * size) for size in sizes]

    assert sent == [[400_000, 400_000], [400_000], [3_000_000], [1, 1]]
    assert [result.result() for result in results] == sizes


def test_what_is_behind_a_batch_that_failed_is_not_sent_and_the_pipeline_goes_on() -> None:
    sent: list[int] = []

    def perform(operations: Sequence[Operation]) -> list[Outcome]:
        sent.append(len(operations))
        if len(sent) == 1:
            raise BadRequest("the first one")
        return [1] * len(operations)

    pipe = Pipeline(BYTES, perform)
    for _ in range(3):
        pipe.set("k", b"x" * 600_000)
    with pytest.raises(BadRequest):
        pipe.send()
    assert (sent, len(pipe)) == ([1], 0)

    pipe.set("k", b"x")
    pipe.send()
    assert sent == [1, 1]


def test_what_can_not_be_encoded_is_refused_where_it_is_said() -> None:
    pipe = Pipeline(JSON, lambda operations: [1] * len(operations))

    with pytest.raises(TypeError):
        pipe.set("k", object())
    with pytest.raises(ValueError, match="ttl is -1"):
        pipe.set("k", 1, ttl=-1)
    with pytest.raises(TypeError, match="'get k' is no operation"):
        pipe.add("get k")  # type: ignore[arg-type]
    assert len(pipe) == 0


@pytest.mark.parametrize("values", [1, 3])
def test_what_no_node_would_answer_is_not_sent(values: int) -> None:
    """A batch, say, that is given as a whole: it is known that nothing was done."""
    assert codec.FRAME_BYTES_MAX == limits.FRAME_BYTES_MAX
    value = b"x" * (codec.FRAME_BYTES_MAX // values)
    fields = {"ops": [{"op": "set", "key": b"k", "value": value}] * values}

    with pytest.raises(TooLarge, match="was not sent") as caught:
        codec.encode_request("batch", fields, request_id=1, timeout_ms=1)

    assert caught.value.applied == "no"
