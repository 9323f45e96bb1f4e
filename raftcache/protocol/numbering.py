"""Exactly once: which mutation of a request, or of a batch, carries a number of its session.

Rules of this file:

- A number belongs to one operation: a digest of it goes into the log, so that the same number with
  another operation is refused. It is made of what is done and not of the frame, so that JSON and
  MessagePack, and whichever node is asked, agree.
- Reads take the fields and make nothing of them: they may be repeated anyway.
"""

from typing import Any
from zlib import crc32

import msgspec
from msgspec import UNSET

from ..store.commands import (
    Batch,
    Fenced,
    Get,
    Mutation,
    Once,
    OnceRun,
    Operation,
    Range,
    Txn,
    Unnumbered,
)
from .limits import FieldError
from .wire import AnyWire

_READS = frozenset({Get, Range})
_WHOLES = frozenset({Batch, OnceRun, Txn})
_encode = msgspec.msgpack.Encoder().encode


def numbered(wire: AnyWire, mutation: Unnumbered | OnceRun) -> Mutation:
    """Return what a request asks for: as it is, or to be done once under its number.

    Raises:
        FieldError: the fields do not go together.
    """
    if wire.seq is UNSET:
        # The operations of a batch have numbers of their own; those of a txn may bind keys.
        inner = mutation.op if type(mutation) is Fenced else mutation
        if type(inner) not in _WHOLES or wire.session is UNSET:
            _check_unnumbered(wire)
        return mutation
    assert not isinstance(mutation, OnceRun), "a batch with a number has none in it"
    return _once(wire.session, wire.seq, wire.ack, mutation)


def numbered_within(wire: AnyWire, batch: AnyWire, operation: Operation) -> Operation:
    """Return what an operation of a batch asks for; it has its session and `ack` from the batch.

    Raises:
        FieldError: the fields do not go together.
    """
    if type(operation) in _READS:
        return operation
    if wire.seq is UNSET:
        _check_unnumbered(wire)
        return operation
    if batch.seq is not UNSET:
        raise FieldError(
            "bad_request", "the batch has a `seq` as a whole: its operations have none of their own"
        )
    session = batch.session if wire.session is UNSET else wire.session
    ack = batch.ack if wire.ack is UNSET else wire.ack
    return _once(session, wire.seq, ack, operation)  # type: ignore[arg-type] # it is no read


def digest_of(mutation: Unnumbered) -> int:
    """Return 64 bits that stand for an operation.

    Against a client that has lost count, not against one that wants two operations to look alike.
    """
    encoded = _encode(mutation)
    return len(encoded) << 32 | crc32(encoded)


def _once(session: Any, seq: int, given_ack: Any, mutation: Unnumbered) -> Once:
    if session is UNSET:
        raise FieldError("bad_request", "`seq` needs `session`: the one that it is a number of")
    ack = 0 if given_ack is UNSET else given_ack
    if seq <= ack:
        raise FieldError(
            "bad_request",
            f"`seq` {seq} is not above `ack` {ack}: what is settled is not sent again",
        )
    return Once(session, seq, ack, digest_of(mutation), mutation)


def _check_unnumbered(wire: AnyWire) -> None:
    """Refuse fields that would have no effect: who sent them meant something by them."""
    if wire.ack is not UNSET:
        raise FieldError("bad_request", "`ack` needs `seq`, and `session`")
    if wire.session is not UNSET and not getattr(wire, "bind", False):
        raise FieldError("bad_request", "`session` needs `seq`: the number of this operation")
