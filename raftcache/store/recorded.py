"""A session, and what is kept of the mutations that were done under its numbers: their answers.

A run is what a busy client sends at a time. It is kept as one, and goes as one, once its last
number is settled: so a number in it costs a few bytes, and hardly any time.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from .digests import DIGEST_BYTES, unpack_digests
from .results import Dropped, Failure, Result, SingleResult

BINDER_BYTES: Final = 150
"""What a session weighs, among the keys, for having any that die with it,"""
BOUND_BYTES: Final = 84
"""and for each of them. Measured, as the other weights of the keys; part of command version 3."""

MASK: Final = 2**64 - 1
_MIX: Final = 0x94D049BB133111EB  # odd, bits well spread, from splitmix64
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Result).decode
_decode_run: Final = msgspec.msgpack.Decoder(list[SingleResult]).decode


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """That a mutation was executed, and what it answered."""

    digest: int
    """64 bits that stand for what was asked for: the same ``seq`` can't ask for something else."""
    answer: bytes
    """The encoded result; empty: it was too large to keep."""
    share: int
    """What this adds to the table's digest."""


class Run(msgspec.Struct, frozen=True, gc=False):
    """That mutations were executed whose numbers follow each other, and what they answered."""

    first_seq: int
    digests: bytes
    """8 bytes for each."""
    answer: bytes
    """The encoded list of their results."""
    share: int
    """What this adds to the table's digest."""

    @property
    def last_seq(self) -> int:
        """The number of the last of them."""
        return self.first_seq + len(self.digests) // DIGEST_BYTES - 1

    @property
    def size_bytes(self) -> int:
        """How much of the session's room it takes."""
        return len(self.digests) + len(self.answer)

    def recorded(self, seq: int) -> Recorded:
        """Return what is kept of one of them."""
        position = seq - self.first_seq
        digest = unpack_digests(self.digests)[position]
        return Recorded(digest, _encode(decode_run(self.answer)[position]), self.share)


@dataclass(slots=True)
class Session:
    """One session. Only :class:`Sessions` changes it."""

    session_id: int
    ttl_ms: int
    renewed_ms: int
    """The cluster time of the last keepalive."""
    ack: int = 0
    """Every ``seq`` up to this one is settled. It never falls."""
    answers: dict[int, Recorded] = field(default_factory=dict)
    """By ``seq``: what was executed above ``ack``."""
    runs: deque[Run] = field(default_factory=deque)
    """What was executed as a run that ends above ``ack``, in order; nothing is in both."""
    top: int = 0
    """No ``seq`` above this one, or above ``ack``, was executed. Follows from the rest."""
    answer_bytes: int = 0
    keys: dict[bytes, None] = field(default_factory=dict)
    """The keys that die with it. Follows from the records, so it is no part of a snapshot."""
    share: int = 0

    @property
    def keys_weight(self) -> int:
        """What it takes to know which keys die with it."""
        keys = len(self.keys)
        return BINDER_BYTES + BOUND_BYTES * keys if keys else 0

    def copy(self) -> "Session":
        """Return the session as it is now, without its keys."""
        return Session(
            self.session_id,
            self.ttl_ms,
            self.renewed_ms,
            self.ack,
            dict(self.answers),
            self.runs.copy(),
            self.top,
            self.answer_bytes,
        )


def run_with(runs: deque[Run], seq: int) -> Run | None:
    """Return the run that a number is part of; None: none."""
    for run in reversed(runs):
        if run.first_seq <= seq:
            return run if seq <= run.last_seq else None
    return None


def answer_of(recorded: Recorded, seq: int, digest: int) -> Result:
    """Return what is answered to a mutation that was executed before under its number."""
    if recorded.digest != digest:
        return Failure(
            "bad_request",
            f"`seq` {seq} was used for another operation: a `seq` is for one operation, sent as "
            "often as it takes",
        )
    return decode_answer(recorded.answer) if recorded.answer else Dropped()


def decode_answer(answer: bytes) -> Result:
    """Return the result that an answer holds.

    Raises:
        msgspec.DecodeError: it holds none.
    """
    result: Result = _decode(answer)
    return result


def decode_run(answer: bytes) -> list[SingleResult]:
    """Return the results that the answer of a run holds.

    Raises:
        msgspec.DecodeError: it holds none.
    """
    results: list[SingleResult] = _decode_run(answer)
    return results


def without_value(failure: Failure) -> Failure:
    """Return a refusal as it is kept where there is no room for what it tells."""
    return msgspec.structs.replace(
        failure, value=None, value_omitted=failure.value is not None or failure.value_omitted
    )


def mixed(first: int, second: int, third: int, fourth: int) -> int:
    """Return 64 bits that stand for four numbers, in this order."""
    mixed = (first * _MIX ^ second) * _MIX & MASK
    mixed = ((mixed ^ mixed >> 31) + third) * _MIX & MASK
    mixed = ((mixed ^ mixed >> 29) + fourth) * _MIX & MASK
    return mixed ^ mixed >> 31
