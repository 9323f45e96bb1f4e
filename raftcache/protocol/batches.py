"""The batches that make up nearly all traffic, built without a look at every field.

Rules of this file:

- It is a short cut and nothing else: what it does not take, the general way does, with the same
  outcome and with words for what is wrong. Tests hold the two equal.
- Mutations under numbers that follow each other become one command (:class:`OnceRun`).
"""

from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..store.commands import Batch, Get, Once, OnceRun, Operation
from ..store.commands import Set as SetCommand
from ..store.digests import pack_digests
from .limits import BATCH_OPS_MAX, KEY_BYTES_MAX
from .numbering import digest_of
from .wire import UNDECODABLE, AnyWire, BatchWire, Sequence

_Key = Annotated[bytes, Meta(min_length=1, max_length=KEY_BYTES_MAX)]


class PlainSet(msgspec.Struct, gc=False, tag_field="op", tag="set", forbid_unknown_fields=True):
    """A ``set`` that has nothing but a number."""

    key: _Key
    value: bytes
    seq: Sequence | UnsetType = UNSET


class PlainGet(msgspec.Struct, gc=False, tag_field="op", tag="get", forbid_unknown_fields=True):
    """A ``get``."""

    key: _Key


_Plain = Annotated[list[PlainSet | PlainGet], Meta(min_length=1, max_length=BATCH_OPS_MAX)]
_decode_plain: Final = msgspec.msgpack.Decoder(_Plain).decode


def plain_batch(wire: BatchWire[Any, Any], value_bytes: int) -> Batch | OnceRun | None:
    """Return what a MessagePack batch asks for that only sets, or only gets; None: it is another.

    ``value_bytes`` is the most that a value may have.
    """
    try:
        wires: list[Any] = _decode_plain(wire.ops)
    except UNDECODABLE:
        return None
    kinds = {*map(type, wires)}
    if kinds == _GETS:
        return Batch(tuple([Get(one.key) for one in wires]))
    if kinds != _SETS or max([len(one.value) for one in wires]) > value_bytes:
        return None
    sets = [SetCommand(one.key, one.value) for one in wires]
    seqs = [one.seq for one in wires]
    if seqs.count(UNSET) == len(seqs):
        return Batch(tuple(sets))
    return _run_of(wire, seqs, sets)


def as_run(operations: list[Operation]) -> Batch | OnceRun:
    """Return operations as a run if all have numbers that follow each other, else as a batch."""
    if {*map(type, operations)} == {Once}:
        numbered = cast("list[Once]", operations)
        first, count = numbered[0], len(numbered)
        seqs = [one.seq for one in numbered]
        if (
            count > 1
            and seqs == [*range(first.seq, first.seq + count)]
            and all((one.session, one.ack) == (first.session, first.ack) for one in numbered)
        ):
            digests = pack_digests([one.digest for one in numbered])
            ops: tuple[Any, ...] = tuple([one.op for one in numbered])
            return OnceRun(first.session, first.seq, first.ack, digests, ops)
    return Batch(tuple(operations))


_SETS: Final = {PlainSet}
_GETS: Final = {PlainGet}


def _run_of(wire: AnyWire, seqs: list[Any], sets: list[SetCommand]) -> OnceRun | None:
    first, count = seqs[0], len(seqs)
    if wire.seq is not UNSET or wire.session is UNSET or first is UNSET or count == 1:
        return None
    ack = 0 if wire.ack is UNSET else wire.ack
    if first <= ack or seqs != [*range(first, first + count)]:
        return None
    digests = pack_digests([digest_of(one) for one in sets])
    return OnceRun(wire.session, first, ack, digests, tuple(sets))
