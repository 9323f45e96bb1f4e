"""The shape of each request on the wire, as msgspec checks it while it decodes.

One class per operation. Rules of this file:

- An unknown field is refused by ``forbid_unknown_fields``: a server must not drop a condition
  that it does not know, and write.
- No optional field takes null (but ``id``): a client whose variable was empty by accident would
  otherwise lose its condition. ``UNSET`` is "not given".
- No field is ``Any``: four megabytes of nested arrays would become millions of objects, and stall
  a node for longer than an election takes. What can't be typed is ``Raw``: skipped, not built.

msgspec has no union of bytes and str, so that each class is decoded in one of three ways: with keys
and values as bin (MessagePack, the usual way), as text or base64 (JSON), or as ``Raw``
(*patiently*: MessagePack with str, and whatever failed the first time).
"""

from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar, Union

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ..store.commands import TTL_MS_MAX
from ..store.sessions import SESSION_TTL_MS_MAX
from .limits import (
    RANGE_LIMIT_DEFAULT,
    TIMEOUT_MS_DEFAULT,
    TIMEOUT_MS_MAX,
    WAIT_MS_DEFAULT,
    WAIT_MS_MAX,
)

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MEMBERS_MAX: Final = 32
"""How many members may come, or go, in one change."""

Scalar: TypeAlias = bool | int | float | str | None
"""An id that can be typed; a bin is read patiently."""

Revision: TypeAlias = Annotated[int, Meta(ge=0, le=INT64_MAX)] | str
"""A number; in JSON a string of digits too, since many parsers round what is above 2^53."""

Incarnation: TypeAlias = Annotated[int, Meta(ge=1, le=INT64_MAX)]

TimeToLive: TypeAlias = Annotated[int, Meta(ge=1, le=TTL_MS_MAX)]
"""Milliseconds. 0 would be gone before it is there: whoever means that deletes."""

SESSION_NUMBER_MAX: Final = 2**53 - 1
"""The largest id of a session, `seq` and `ack`: every parser of JSON keeps it exactly."""

SessionId: TypeAlias = Annotated[int, Meta(ge=1, le=SESSION_NUMBER_MAX)]

Sequence: TypeAlias = Annotated[int, Meta(ge=0, le=SESSION_NUMBER_MAX)]
"""`seq` and `ack`."""

Id = TypeVar("Id")
"""How a class takes the id."""

Text = TypeVar("Text")
"""How a class takes keys and values."""


class Base64(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A key or value of a JSON request that is no text."""

    b64: str


class FenceWire(msgspec.Struct, Generic[Text], frozen=True, gc=False, forbid_unknown_fields=True):
    """``fence``: the operation is done only if this key is still the one that was made then."""

    key: Text
    create_rev: Revision


class CompareWire(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One comparison of a ``txn``. It is always decoded patiently."""

    key: Raw
    field: Literal["value", "mod_rev", "create_rev", "key_version", "exists"]
    cmp: Literal["=", "!=", "<", ">"]
    to: Raw


class Wire(
    msgspec.Struct,
    Generic[Id, Text],
    kw_only=True,
    gc=False,
    tag_field="op",
    forbid_unknown_fields=True,
):
    """The fields of every request."""

    v: Literal[1] = 1
    id: Id = None  # type: ignore[assignment] # of a union with Raw, msgspec would not give Raw
    timeout_ms: Annotated[int, Meta(ge=1, le=TIMEOUT_MS_MAX)] = TIMEOUT_MS_DEFAULT
    read: Literal["linearizable", "local"] = "linearizable"
    forward: bool = True
    b64: bool = False
    session: SessionId | UnsetType = UNSET
    seq: Sequence | UnsetType = UNSET
    ack: Sequence | UnsetType = UNSET


class SetWire(Wire[Id, Text], kw_only=True, gc=False, tag="set"):
    """``set``."""

    key: Text
    value: Text
    ttl_ms: TimeToLive | UnsetType = UNSET
    sliding: bool = False
    bind: bool = False
    if_mod_rev: Revision | UnsetType = UNSET
    if_value: Text = UNSET  # type: ignore[assignment]
    prev: bool = False
    fence: FenceWire[Text] | UnsetType = UNSET


class DeleteWire(Wire[Id, Text], kw_only=True, gc=False, tag="delete"):
    """``delete``."""

    key: Text
    if_mod_rev: Revision | UnsetType = UNSET
    if_value: Text = UNSET  # type: ignore[assignment]
    prev: bool = False
    fence: FenceWire[Text] | UnsetType = UNSET


class DeleteRangeWire(Wire[Id, Text], kw_only=True, gc=False, tag="delete_range"):
    """``delete_range``."""

    prefix: Text = UNSET  # type: ignore[assignment]
    start: Text = UNSET  # type: ignore[assignment]
    end: Text = UNSET  # type: ignore[assignment]
    fence: FenceWire[Text] | UnsetType = UNSET


class IncrWire(Wire[Id, Text], kw_only=True, gc=False, tag="incr"):
    """``incr``."""

    key: Text
    by: Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)] = 1
    ttl_ms: TimeToLive | UnsetType = UNSET
    fence: FenceWire[Text] | UnsetType = UNSET


class ExpireWire(Wire[Id, Text], kw_only=True, gc=False, tag="expire"):
    """``expire``. The one field besides ``id`` that takes null, and so is never left out."""

    key: Text
    ttl_ms: TimeToLive | None
    fence: FenceWire[Text] | UnsetType = UNSET


class GetWire(Wire[Id, Text], kw_only=True, gc=False, tag="get"):
    """``get``."""

    key: Text


class RangeWire(Wire[Id, Text], kw_only=True, gc=False, tag="range"):
    """``range``."""

    prefix: Text = UNSET  # type: ignore[assignment]
    start: Text = UNSET  # type: ignore[assignment]
    end: Text = UNSET  # type: ignore[assignment]
    limit: Annotated[int, Meta(ge=1, le=INT64_MAX)] = RANGE_LIMIT_DEFAULT
    keys_only: bool = False
    count_only: bool = False
    after: Text = UNSET  # type: ignore[assignment]
    at_rev: Revision | UnsetType = UNSET


class BatchWire(Wire[Id, Text], kw_only=True, gc=False, tag="batch"):
    """``batch``. Its operations are decoded one by one, as one that is ill-formed fails alone."""

    ops: Raw
    fence: FenceWire[Text] | UnsetType = UNSET


class TxnWire(Wire[Id, Text], kw_only=True, gc=False, tag="txn"):
    """``txn``. Its comparisons and operations are decoded one by one, as those of a batch."""

    compare: Raw = UNSET  # type: ignore[assignment]
    then: Raw = UNSET  # type: ignore[assignment]
    otherwise: Raw = msgspec.field(default=UNSET, name="else")  # type: ignore[assignment]
    fence: FenceWire[Text] | UnsetType = UNSET


class WatchWire(Wire[Id, Text], kw_only=True, gc=False, tag="watch"):
    """``watch``. How long it may wait is said by ``wait_ms`` alone."""

    key: Text = UNSET  # type: ignore[assignment]
    prefix: Text = UNSET  # type: ignore[assignment]
    from_rev: Revision | UnsetType = UNSET
    wait_ms: Annotated[int, Meta(ge=0, le=WAIT_MS_MAX)] = WAIT_MS_DEFAULT
    prev: bool = False


class SessionOpenWire(Wire[Id, Text], kw_only=True, gc=False, tag="session_open"):
    """``session_open``."""

    ttl_ms: Annotated[int, Meta(ge=1, le=SESSION_TTL_MS_MAX)]


class SessionKeepaliveWire(Wire[Id, Text], kw_only=True, gc=False, tag="session_keepalive"):
    """``session_keepalive``."""

    session: SessionId


class SessionCloseWire(Wire[Id, Text], kw_only=True, gc=False, tag="session_close"):
    """``session_close``."""

    session: SessionId


class PingWire(Wire[Id, Text], kw_only=True, gc=False, tag="ping"):
    """``ping``."""


class StatusWire(Wire[Id, Text], kw_only=True, gc=False, tag="status"):
    """``status``."""


class MembersWire(Wire[Id, Text], kw_only=True, gc=False, tag="members"):
    """``members``."""


class HashWire(Wire[Id, Text], kw_only=True, gc=False, tag="hash"):
    """``hash``."""

    at: Revision | UnsetType = UNSET


class MemberAddWire(Wire[Id, Text], kw_only=True, gc=False, tag="member_add"):
    """``member_add``. The member's name is the request's ``id``."""

    peer: str
    client: str
    learner: bool = False


class MemberRemoveWire(Wire[Id, Text], kw_only=True, gc=False, tag="member_remove"):
    """``member_remove``. The member's name is the request's ``id``."""

    incarnation: Incarnation | UnsetType = UNSET


class MemberReplaceWire(Wire[Id, Text], kw_only=True, gc=False, tag="member_replace"):
    """``member_replace``. The member's name is the request's ``id``."""

    peer: str
    client: str
    to: str | UnsetType = UNSET
    incarnation: Incarnation | UnsetType = UNSET


class NewMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A newcomer in ``member_change``: its name, and where it will listen."""

    id: str
    peer: str
    client: str


class MemberChangeWire(Wire[Id, Text], kw_only=True, gc=False, tag="member_change"):
    """``member_change``: several members come and go in one step."""

    add: Annotated[tuple[NewMember, ...], Meta(max_length=MEMBERS_MAX)] = ()
    remove: Annotated[tuple[str, ...], Meta(max_length=MEMBERS_MAX)] = ()


class LeaderTransferWire(Wire[Id, Text], kw_only=True, gc=False, tag="leader_transfer"):
    """``leader_transfer``."""

    to: str | UnsetType = UNSET


class SnapshotWire(Wire[Id, Text], kw_only=True, gc=False, tag="snapshot"):
    """``snapshot``."""


class CompactWire(Wire[Id, Text], kw_only=True, gc=False, tag="compact"):
    """``compact``."""

    to: Revision | UnsetType = UNSET


class FaultSetWire(Wire[Id, Text], kw_only=True, gc=False, tag="fault_set"):
    """``fault_set``."""

    rules: Raw


class FaultClearWire(Wire[Id, Text], kw_only=True, gc=False, tag="fault_clear"):
    """``fault_clear``."""


class FaultListWire(Wire[Id, Text], kw_only=True, gc=False, tag="fault_list"):
    """``fault_list``."""


AnyWire: TypeAlias = Wire[Any, Any]
"""A request, decoded in whichever way."""


def _by_op(*wires: type[AnyWire]) -> dict[str, type[AnyWire]]:
    return {str(wire.__struct_config__.tag): wire for wire in wires}


OPERATION_WIRES: Final = _by_op(
    SetWire, DeleteWire, DeleteRangeWire, IncrWire, ExpireWire, GetWire, RangeWire
)
"""What may stand in a batch, by name."""

ADMIN_WIRES: Final = _by_op(
    MemberAddWire,
    MemberRemoveWire,
    MemberReplaceWire,
    MemberChangeWire,
    LeaderTransferWire,
    SnapshotWire,
    CompactWire,
    FaultSetWire,
    FaultClearWire,
    FaultListWire,
)
"""What is taken on the administration socket only."""

REQUEST_WIRES: Final = {
    **OPERATION_WIRES,
    **_by_op(BatchWire, TxnWire, SessionOpenWire, SessionKeepaliveWire, SessionCloseWire),
    **_by_op(WatchWire, PingWire, StatusWire, MembersWire, HashWire),
    **ADMIN_WIRES,
}
"""What may stand alone."""


def _union(wires: dict[str, type[AnyWire]], identity: Any, text: Any) -> Any:
    return Union[tuple(wire[identity, text] for wire in wires.values())]  # type: ignore[index] # noqa: UP007 - made of a tuple


class Decoders(msgspec.Struct, frozen=True):
    """The two ways to decode a request, and an operation of a batch, in one encoding."""

    request: Any
    request_patiently: Any
    operation: Any
    operation_patiently: Any


def _decoders(decoder: Any, text: Any) -> Decoders:
    return Decoders(
        request=decoder(_union(REQUEST_WIRES, Scalar, text)).decode,
        request_patiently=decoder(_union(REQUEST_WIRES, Raw, Raw)).decode,
        operation=decoder(_union(OPERATION_WIRES, Scalar, text)).decode,
        operation_patiently=decoder(_union(OPERATION_WIRES, Raw, Raw)).decode,
    )


FROM_MSGPACK: Final = _decoders(msgspec.msgpack.Decoder, bytes)
FROM_JSON: Final = _decoders(msgspec.json.Decoder, str | Base64)

UNDECODABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, MemoryError)
"""Everything that decoding foreign bytes can raise (ValueError: text that is no UTF-8)."""
