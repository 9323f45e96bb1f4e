"""``fault_set``, ``fault_clear`` and ``fault_list``: faults between nodes, asked for by name.

Only where ``chaos.enabled`` is set; they vanish with the process.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.faults import FaultRule
from .events import name_of
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
            f"{server.about.node_id} takes no faults: set `chaos: {{enabled: true}}` in "
            "cluster.yaml, and start its nodes anew",
        )
        return
    term = server.raft.current_term
    if pending.request.op == "fault_set":
        rules: tuple[FaultRule, ...] = pending.request.arguments["rules"]
        complaint = _stranger(server, rules)
        if complaint:
            server.answers.refuse(pending, "bad_request", complaint)
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


def _stranger(server: "Server", rules: tuple[FaultRule, ...]) -> str:
    """Say whom a rule names that is no peer; it would be without effect, unseen."""
    own = server.about.node_id
    members = server.raft.state.configuration.members
    peers = sorted({member.node_id for member in members} - {own})
    for rule in rules:
        if name_of(rule.peer) not in peers:
            what = "is this node itself" if rule.peer == own else "is no member"
            return f"`rules`: {rule.peer} {what}: its peers are {', '.join(peers) or 'none'}"
    return ""
