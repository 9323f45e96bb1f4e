"""The rules of ``fault_set``: what is done on purpose to the frames between two nodes.

This file only says what a rule may be; ``raftcache.transport.faults`` carries it out.
"""

from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ..raft.messages import Message
from .joining import JoinFrame
from .limits import FieldError, shown
from .peer import PeerFrame, SnapshotAck, SnapshotChunk

RULES_MAX: Final = 1_000
DELAY_MS_MAX: Final = 60_000
BANDWIDTH_MAX: Final = 10**12

Chance: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
DelayMs: TypeAlias = Annotated[float, Meta(ge=0, le=DELAY_MS_MAX)]

_KIND_NAMES: Final[dict[type, str]] = {
    # The paper's word for what travels in pieces; its head is among Raft's messages.
    SnapshotChunk: "InstallSnapshot",
    SnapshotAck: "InstallSnapshotAck",
}


def _items_of_frames() -> dict[str, str]:
    """Return what each list of a frame holds, Raft's own messages apart."""
    items: dict[str, str] = {}
    for name, hint in get_type_hints(PeerFrame).items():
        if get_origin(hint) is list and name != "messages":
            [kind] = get_args(hint)
            items[name] = _KIND_NAMES.get(kind, kind.__name__)
    return items


FRAME_ITEMS: Final = _items_of_frames()
"""The lists of a peer frame besides ``messages``, each with the kind of what is in it."""
KINDS: Final = tuple(
    dict.fromkeys(
        [
            *(kind.__name__ for kind in get_args(Message)),
            *FRAME_ITEMS.values(),
            *(kind.__name__ for kind in get_args(JoinFrame)),
        ]
    )
)
"""All that nodes send to each other, by the names that a rule may restrict itself to."""


class FaultRule(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What is done to frames from or to one peer. The first rule that fits a message decides."""

    peer: str
    """The other node's name, whatever its incarnation."""
    direction: Literal["in", "out"]
    """``out``: what this node sends to the peer; ``in``: what comes from it."""
    types: tuple[str, ...] = ()
    """The kinds of message that it is about (:data:`KINDS`); none named: whole frames."""
    drop: Chance = 0.0
    """How likely one is lost; 1: the way is cut, also for what is under way already."""
    delay_ms: DelayMs = 0.0
    jitter_ms: DelayMs = 0.0
    """The delay is drawn from so much shorter to so much longer; the order is kept."""
    duplicate: Chance = 0.0
    """How likely one comes a second time, a little later."""
    reorder: Chance = 0.0
    """How likely one is held back, so that later ones overtake it."""
    bandwidth: Annotated[int, Meta(ge=1, le=BANDWIDTH_MAX)] | None = None
    """Bytes per second; None: unbounded."""

    @property
    def is_cut(self) -> bool:
        """Whether nothing at all gets through."""
        return self.drop == 1 and not self.types

    @property
    def does_nothing(self) -> bool:
        """Whether it leaves everything as it is."""
        rest = (self.drop, self.delay_ms, self.jitter_ms, self.duplicate, self.reorder)
        return not any(rest) and self.bandwidth is None


def rules_of(raw: msgspec.Raw, *, json: bool) -> tuple[FaultRule, ...]:
    """Return the rules of a request.

    Raises:
        FieldError: they are ill-formed; the message says which, and what is right.
    """
    decode: Any = msgspec.json.decode if json else msgspec.msgpack.decode
    try:
        rules: list[FaultRule] = decode(raw, type=list[FaultRule])
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        raise FieldError("bad_request", f"`rules`: {error}") from None
    if len(rules) > RULES_MAX:
        raise FieldError("too_large", f"`rules` has {len(rules)}: at most {RULES_MAX}")
    for rule in rules:
        complaint = _wrong_kind(rule)
        if complaint:
            raise FieldError("bad_request", f"`rules`: {complaint}")
    return tuple(rules)


def kind_named(text: str) -> str:
    """Return the kind of message that is meant, in whichever case it is written.

    Raises:
        ValueError: there is no such kind; the message names those there are.
    """
    by_lower = {kind.lower(): kind for kind in KINDS}
    kind: str | None = by_lower.get(text.strip().lower())
    if kind is not None:
        return kind
    near: list[str] = get_close_matches(text.strip().lower()[:64], by_lower, n=1)
    guess = f"; did you mean {by_lower[near[0]]}?" if near else ""
    raise ValueError(f"no message is called {shown(text)}{guess}; there are {', '.join(KINDS)}")


def _wrong_kind(rule: FaultRule) -> str:
    for kind in rule.types:
        if kind not in KINDS:
            try:
                kind_named(kind)
            except ValueError as error:
                return str(error)
            return f"{shown(kind)} is written {kind_named(kind)}"
    return ""
