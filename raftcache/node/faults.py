"""``fault_set``, ``fault_clear`` and ``fault_list``: faults between nodes, asked for by name.

Only where ``chaos.enabled`` is set; they vanish with the process.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.faults import FaultRule
from .pending import Pending

if TYPE_CHECKING:
    from ..transport.faults import LinkFaults
    from .server import Server


def answer_fault_operation(server: "Server", pending: Pending) -> None:
    """Put rules in force, all of them in one step, or tell those that are."""
    faults = server.faults
    if faults is None:
        server.answers.refuse(
            pending,
            "forbidden",
            f"faults are forbidden on {server.about.node_id}: it was started without "
            "`chaos: {enabled: true}`",
        )
        return
    term = server.raft.current_term
    if pending.request.op == "fault_set":
        rules: tuple[FaultRule, ...] = pending.request.arguments["rules"]
        own = server.about.node_id
        if any(rule.peer == own for rule in rules):
            message = f"`rules`: {own} is this node itself: `peer` is another"
            server.answers.refuse(pending, "bad_request", message)
            return
        faults.replace([rule for rule in rules if not rule.does_nothing])
        if faults.rules:
            server.events.tell("fault_set", term, rules=_plain(faults))
    elif pending.request.op == "fault_clear":
        faults.replace(())
    if pending.request.op != "fault_list" and not faults.rules:
        server.events.tell("fault_cleared", term)
    counts = {name: faults.counts[name] for name in ("lost", "delayed", "doubled", "reordered")}
    server.answers.result(pending, {"rules": _plain(faults), "frames": counts})


def rules_in_force(server: "Server") -> list[dict[str, Any]]:
    """Return the rules as plain values; none where faults are not even allowed."""
    return _plain(server.faults) if server.faults is not None else []


def _plain(faults: "LinkFaults") -> list[dict[str, Any]]:
    return [msgspec.to_builtins(rule) for rule in faults.rules]
