"""What stands around a request, and comes back around the reply."""

import pytest

from raftcache.protocol.envelope import request_frame, split_envelope
from raftcache.protocol.limits import Refused


@pytest.mark.parametrize(
    ("frames", "envelope", "body"),
    [
        ([b"id", b"", b"{}"], [b"id", b""], [b"{}"]),
        ([b"id", b"4444", b"", b"{}"], [b"id", b"4444", b""], [b"{}"]),
        ([b"id", b"", b""], [b"id", b""], [b""]),
        ([b"id", b"", b"{}", b""], [b"id", b""], [b"{}", b""]),
        ([b"id", b"a", b"b", b"", b"{}"], [b"id", b"a", b"b", b""], [b"{}"]),
        ([b"id", b""], [b"id", b""], []),
        ([b"id", b"{}"], [b"id"], [b"{}"]),
        ([b"id", b"a", b"b"], [b"id"], [b"a", b"b"]),
        ([b"id"], [b"id"], []),
    ],
)
def test_the_envelope_ends_with_the_first_empty_frame(
    frames: list[bytes], envelope: list[bytes], body: list[bytes]
) -> None:
    """REQ_CORRELATE puts a frame before the delimiter (failure F6)."""
    assert split_envelope(frames) == (envelope, body)


def test_a_request_is_the_one_frame_behind_the_delimiter() -> None:
    assert request_frame([b"id", b""], [b"{}"]) == b"{}"


@pytest.mark.parametrize(
    ("envelope", "body", "message", "json"),
    [
        ([b"id", b""], [], "0 frames follow", False),
        ([b"id", b""], [b"{}", b"{}"], "2 frames follow", True),
        ([b"id", b""], [b""] * 1000, "1000 frames follow", False),
        ([b"id"], [b"{}"], "a DEALER must send one first", True),
        ([b"id"], [], "a DEALER must send one first", False),
    ],
)
def test_other_frames_are_refused_in_the_encoding_they_seem_to_use(
    envelope: list[bytes], body: list[bytes], message: str, *, json: bool
) -> None:
    with pytest.raises(Refused, match=message) as caught:
        request_frame(envelope, body)

    assert (caught.value.code, caught.value.json) == ("bad_request", json)
