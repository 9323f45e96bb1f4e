"""The shape of each request on the wire, as msgspec checks it while it decodes.

One class per operation, for both encodings. Rules of this file:

- An unknown field is refused by ``forbid_unknown_fields``: a server must not drop a condition
  that it does not know, and write.
- No optional field takes null (but ``id``): a client whose variable was empty by accident would
  otherwise lose its condition. ``UNSET`` is "not given".
- Keys and values are ``Any`` here, since msgspec has no union of bytes and str; ``fields`` looks
  at them next.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .limits import BATCH_OPS_MAX, RANGE_LIMIT_DEFAULT, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

Revision: TypeAlias = Annotated[int, Meta(ge=0, le=INT64_MAX)] | str
"""A number; in JSON a string of digits too, since many parsers round what is above 2^53."""


class Wire(msgspec.Struct, kw_only=True, gc=False, tag_field="op", forbid_unknown_fields=True):
    """The fields of every request."""

    v: Literal[1] = 1
    id: Any = None
    timeout_ms: Annotated[int, Meta(ge=1, le=TIMEOUT_MS_MAX)] = TIMEOUT_MS_DEFAULT
    read: Literal["linearizable", "local"] = "linearizable"
    forward: bool = True
    b64: bool = False


class SetWire(Wire, kw_only=True, gc=False, tag="set"):
    """``set``."""

    key: Any
    value: Any
    if_mod_rev: Revision | UnsetType = UNSET
    if_value: Any = UNSET
    prev: bool = False


class DeleteWire(Wire, kw_only=True, gc=False, tag="delete"):
    """``delete``."""

    key: Any
    if_mod_rev: Revision | UnsetType = UNSET
    if_value: Any = UNSET
    prev: bool = False


class IncrWire(Wire, kw_only=True, gc=False, tag="incr"):
    """``incr``."""

    key: Any
    by: Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)] = 1


class GetWire(Wire, kw_only=True, gc=False, tag="get"):
    """``get``."""

    key: Any


class RangeWire(Wire, kw_only=True, gc=False, tag="range"):
    """``range``."""

    prefix: Any = UNSET
    start: Any = UNSET
    end: Any = UNSET
    limit: Annotated[int, Meta(ge=1, le=INT64_MAX)] = RANGE_LIMIT_DEFAULT
    keys_only: bool = False
    count_only: bool = False
    after: Any = UNSET
    at_rev: Revision | UnsetType = UNSET


class BatchWire(Wire, kw_only=True, gc=False, tag="batch"):
    """``batch``. Its operations are decoded one by one, as one that is ill-formed fails alone."""

    ops: Annotated[list[msgspec.Raw], Meta(max_length=BATCH_OPS_MAX)]


class PingWire(Wire, kw_only=True, gc=False, tag="ping"):
    """``ping``."""


class StatusWire(Wire, kw_only=True, gc=False, tag="status"):
    """``status``."""


class MembersWire(Wire, kw_only=True, gc=False, tag="members"):
    """``members``."""


class HashWire(Wire, kw_only=True, gc=False, tag="hash"):
    """``hash``."""

    at: Revision | UnsetType = UNSET


class MemberAddWire(Wire, kw_only=True, gc=False, tag="member_add"):
    """``member_add``. The member's name is the request's ``id``."""

    peer: str
    client: str
    learner: bool = False


class MemberRemoveWire(Wire, kw_only=True, gc=False, tag="member_remove"):
    """``member_remove``. The member's name is the request's ``id``."""


class MemberReplaceWire(Wire, kw_only=True, gc=False, tag="member_replace"):
    """``member_replace``. The member's name is the request's ``id``."""

    peer: str
    client: str


class LeaderTransferWire(Wire, kw_only=True, gc=False, tag="leader_transfer"):
    """``leader_transfer``."""

    to: str | UnsetType = UNSET


class SnapshotWire(Wire, kw_only=True, gc=False, tag="snapshot"):
    """``snapshot``."""


class CompactWire(Wire, kw_only=True, gc=False, tag="compact"):
    """``compact``."""


class FaultSetWire(Wire, kw_only=True, gc=False, tag="fault_set"):
    """``fault_set``."""

    rules: Any


class FaultClearWire(Wire, kw_only=True, gc=False, tag="fault_clear"):
    """``fault_clear``."""


class FaultListWire(Wire, kw_only=True, gc=False, tag="fault_list"):
    """``fault_list``."""


OperationWire: TypeAlias = SetWire | DeleteWire | IncrWire | GetWire | RangeWire
"""What may stand in a batch."""

NodeWire: TypeAlias = PingWire | StatusWire | MembersWire | HashWire
"""What a node says of itself."""

AdminWire: TypeAlias = (
    MemberAddWire
    | MemberRemoveWire
    | MemberReplaceWire
    | LeaderTransferWire
    | SnapshotWire
    | CompactWire
    | FaultSetWire
    | FaultClearWire
    | FaultListWire
)
"""What is taken on the administration socket only."""

RequestWire: TypeAlias = OperationWire | BatchWire | NodeWire | AdminWire
"""What may stand alone."""


def _by_op(union: Any) -> dict[str, type[Wire]]:
    return {wire.__struct_config__.tag: wire for wire in get_args(union)}


OPERATION_WIRES: Final = _by_op(OperationWire)
ADMIN_WIRES: Final = _by_op(AdminWire)
REQUEST_WIRES: Final = _by_op(RequestWire)
"""The classes by the name of their operation."""

decode_msgpack = msgspec.msgpack.Decoder(RequestWire).decode
decode_json = msgspec.json.Decoder(RequestWire).decode
decode_operation_msgpack = msgspec.msgpack.Decoder(OperationWire).decode
decode_operation_json = msgspec.json.Decoder(OperationWire).decode

UNDECODABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, MemoryError)
"""Everything that decoding foreign bytes can raise (ValueError: text that is no UTF-8)."""
