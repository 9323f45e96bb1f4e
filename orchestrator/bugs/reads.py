"""Mistakes of reads at followers: whom is asked, about what, and when it holds (thesis §6.4)."""

from .planting import Bug, Edit

_FOLLOWER_READS = "raftcache.raft.follower_reads"

READ_BUGS = (
    Bug(
        "takes an answer to its former life for its own",
        ("B3",),
        "an answer is about what was asked in this life",
        (
            Edit(
                f"{_FOLLOWER_READS}:rule_ask",
                "(1 << NUMBER_BITS | state.random.getrandbits(NUMBER_BITS)) << NUMBER_BITS",
                "1 << NUMBER_BITS",
            ),
        ),
    ),
    Bug(
        "confirms a follower's read by a round that began before it",
        ("B3",),
        "thesis §6.4, step 2: the read index is taken after the read came in",
        (
            Edit(
                f"{_FOLLOWER_READS}:handle_read_index",
                "state.read_askers[message.source] = max(newest, message.number)",
                "(state.read_askers_under_way if state.read_under_way else state.read_askers)"
                "[message.source] = max(newest, message.number)",
            ),
        ),
    ),
    Bug(
        "tells followers a read index without asking anybody",
        ("B1", "F13"),
        "thesis §6.4, step 3: a majority confirms that it still leads",
        (
            Edit(
                f"{_FOLLOWER_READS}:handle_read_index",
                "state.read_askers[message.source] = max(newest, message.number)",
                "state.messages.append(ReadIndexResponse(state.server_id, message.source, "
                "state.current_term, max(newest, message.number), state.commit_index))",
            ),
        ),
    ),
    Bug(
        "answers a follower's read from what it has applied so far",
        ("B1", "B19"),
        "thesis §6.4, step 4: once the read index is applied",
        (
            Edit(
                f"{_FOLLOWER_READS}:handle_read_index_response",
                "(message.read_index, contexts)",
                "(min(message.read_index, state.last_applied), contexts)",
            ),
        ),
    ),
    Bug(
        "releases newer reads by the answer to an older question",
        ("B3",),
        "thesis §6.4: an answer holds for what came in before it was asked",
        (
            Edit(
                f"{_FOLLOWER_READS}:handle_read_index_response",
                "if number <= message.number]",
                "if number > 0]",
            ),
        ),
    ),
    Bug(
        "asks its leader about reads once and never again",
        ("B22",),
        "§5.5: what may be lost is repeated",
        (
            Edit(
                f"{_FOLLOWER_READS}:on_tick",
                "questions.is_due = questions.ticks >= state.options.heartbeat_ticks",
                "pass",
            ),
        ),
    ),
)
