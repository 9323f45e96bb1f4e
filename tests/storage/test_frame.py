"""Frames as bytes."""

import pytest

from raftcache.storage.frame import (
    HEADER_BYTES,
    SECTOR_BYTES,
    TRAILER_BYTES,
    FrameKind,
    decode_header,
    decode_payload,
    encode_frame,
    frame_bytes,
    looks_unwritten,
)

ONE_SECTOR = SECTOR_BYTES - HEADER_BYTES - TRAILER_BYTES


def encoded(payload: bytes, number: int = 7) -> bytes:
    frame, check = encode_frame(
        payload, kind=FrameKind.BATCHES, number=number, chain=3, segment_check=5
    )
    assert int.from_bytes(frame[:4], "little") == check
    return frame


@pytest.mark.parametrize(
    ("length", "sectors"),
    [(0, 1), (1, 1), (ONE_SECTOR, 1), (ONE_SECTOR + 1, 2), (ONE_SECTOR + 512, 2), (1 << 20, 2049)],
)
def test_a_frame_takes_whole_sectors(length: int, sectors: int) -> None:
    assert frame_bytes(length) == sectors * SECTOR_BYTES
    assert len(encoded(b"x" * length)) == sectors * SECTOR_BYTES


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", bytes(511), bytes(512), bytes(5000), b"x" * 700 + bytes(513) + b"y", b"\xff" * 999],
)
def test_what_goes_in_comes_out_and_never_looks_unwritten(payload: bytes) -> None:
    """Whatever users store, each sector of a written frame has a byte that is not zero."""
    frame = encoded(payload)

    header = decode_header(frame, 0)

    assert header is not None
    assert (header.length, header.chain, header.number, header.segment_check) == (
        len(payload),
        3,
        7,
        5,
    )
    assert decode_payload(frame, 0, header) == payload
    assert not looks_unwritten(frame)


@pytest.mark.parametrize("sector", range(5))
def test_a_missing_sector_shows(sector: int) -> None:
    frame = bytearray(encoded(b"x" * 2400))
    assert len(frame) == 5 * SECTOR_BYTES

    frame[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = bytes(SECTOR_BYTES)

    assert looks_unwritten(bytes(frame))


def test_zeros_are_no_header() -> None:
    assert decode_header(bytes(SECTOR_BYTES), 0) is None
    assert decode_header(bytes(20), 0) is None
