"""What an operator may ask of a cluster at any moment, and must be able to."""

from random import Random
from types import MappingProxyType
from typing import Final

from .calls import Call
from .faults import Faults, Kind

TIMEOUT_MS = 1_000


def transfer(faults: Faults, random: Random) -> bool:
    """Ask the leader to hand over to some node, perhaps itself."""
    leader = faults.cluster.leader()
    if leader is None:
        return False
    to = random.choice(faults.cluster.names)
    call = faults.cluster.request(
        leader, "leader_transfer", admin=True, to=to, timeout_ms=TIMEOUT_MS
    )
    call.on_answer = _check_successor
    return True


def _check_successor(call: Call) -> None:
    reply = call.reply
    assert not reply["ok"] or reply["to"] == reply["leader_id"], (
        f"a transfer is done when the one leads that was chosen: {reply}"
    )


def snapshot(faults: Faults, random: Random) -> bool:
    """Ask some node to take a snapshot now."""
    name = faults.some_node(random)
    if name is not None:
        faults.cluster.request(name, "snapshot", admin=True, timeout_ms=TIMEOUT_MS)
    return name is not None


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {
        "transfer": transfer,
        "snapshot": snapshot,
    }
)
