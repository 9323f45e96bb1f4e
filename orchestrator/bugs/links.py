"""Mistakes in handing the leadership over, and in the faults that are made on purpose."""

from .planting import Bug, Edit

_TRANSFER = "raftcache.raft.transfer"
_FAULTS = "raftcache.transport.faults"

LINK_BUGS = (
    Bug(
        "takes proposals while it hands over",
        ("C13", "C14"),
        "thesis §3.10: the target must come to the end of the log",
        (
            Edit(
                "raftcache.raft.core:Raft.accepts_proposals",
                "and self.state.transfer_target is None",
                "",
            ),
        ),
    ),
    Bug(
        "obeys an order to campaign of an earlier term",
        ("C13", "F4"),
        "§5.1: what is of an older term is stale",
        (
            Edit(
                "raftcache.raft.core:Raft.step",
                "elif message.term < state.current_term:",
                "elif message.term < state.current_term and not isinstance(message, TimeoutNow):",
            ),
            Edit(
                f"{_TRANSFER}:handle_timeout_now",
                'assert message.term == state.current_term, "terms are settled first"',
                "pass",
            ),
        ),
        world="moves",
    ),
    Bug(
        "orders a target into the election that has lost its vote",
        ("C15",),
        "thesis §3.10: only a voter can lead",
        (
            Edit(
                f"{_TRANSFER}:best_target",
                "if state.configuration.is_voter(peer)\n",
                "if peer\n",
            ),
            Edit(
                f"{_TRANSFER}:begin",
                'assert state.configuration.is_voter(target), "only a voter can lead"',
                "pass",
            ),
        ),
        world="moves",
    ),
    Bug(
        "calls a transfer done whoever leads then",
        ("C14",),
        "who asked is told how it ended",
        (
            Edit(
                "raftcache.node.transfers:Transfers.look",
                "if state.leader_id == target:",
                "if state.leader_id:",
            ),
        ),
        world="moves",
    ),
    Bug(
        "cuts both directions of a link where one was asked for",
        ("A17",),
        "a fault does what it says and no more",
        (
            Edit(
                f"{_FAULTS}:LinkFaults.replace",
                '(rule.peer, rule.direction == "in")',
                "(rule.peer, True)",
            ),
            Edit(
                f"{_FAULTS}:LinkFaults._pass",
                "self._by_way.get((_name_of(peer), incoming), ())",
                "self._by_way.get((_name_of(peer), True), ())",
            ),
        ),
    ),
    Bug(
        "lets a rule for one type of message strike the whole frame",
        (),
        "faults are per Raft message",
        (
            Edit(
                f"{_FAULTS}:LinkFaults._pass",
                "if any(rule.types for rule in rules):",
                "if False:",
            ),
        ),
    ),
    Bug(
        "holds frames back after the links are healed",
        ("F4",),
        "healed is healed: nothing stale stays behind",
        (Edit(f"{_FAULTS}:LinkFaults.replace", "if not self.rules:", "if False:"),),
    ),
    Bug(
        "holds back whatever comes, however much",
        ("F11",),
        "every queue has a bound",
        (
            Edit(
                f"{_FAULTS}:LinkFaults._hold",
                "if too_many or self._held_bytes + len(frame) > HELD_BYTES_MAX:",
                "if too_many and not frame:",
            ),
        ),
    ),
)
