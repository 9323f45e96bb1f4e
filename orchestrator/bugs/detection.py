"""Mistakes about the dead and the living: who is noticed too early, too often, or wrongly back."""

from .planting import Bug, Edit

_DETECTION = "raftcache.raft.detection"
_ROLES = "raftcache.raft.roles"
_DISCONNECTS = "raftcache.transport.disconnects"

DETECTION_BUGS = (
    Bug(
        "takes a leader that is heard again for gone still",
        ("A13", "A16"),
        "thesis §4.2.3: a message of the leader restores stickiness",
        (Edit(f"{_ROLES}:follow_leader", "state.early.clear()", "pass"),),
    ),
    Bug(
        "sticks to a leader whose process is gone",
        ("A16",),
        "thesis §4.2.3: stickiness is for leaders that live",
        (Edit(f"{_DETECTION}:on_disconnected", "roles.lose_leader(state)", "pass"),),
    ),
    Bug(
        "takes the end of any process for its leader's",
        ("A13", "A17"),
        "who is gone is no matter unless it leads",
        (
            Edit(
                f"{_DETECTION}:on_disconnected",
                "state.leader_id == server_id",
                "state.leader_id is not None",
            ),
        ),
    ),
    Bug(
        "stands for election early though it has no vote",
        ("C7",),
        "thesis §4.2.1: only voters stand for election",
        (Edit(f"{_DETECTION}:_may_campaign", "and state.is_electable()", ""),),
    ),
    Bug(
        "asks on for an early election that it has given up",
        ("A13",),
        "whoever follows asks nobody",
        (Edit(f"{_ROLES}:become_follower", "state.early.under_way = False", "pass"),),
    ),
    Bug(
        "asks around without end because one leader has died",
        ("A13",),
        "one early campaign for each leader and term",
        (
            Edit(
                f"{_DETECTION}:_may_campaign",
                "and state.early.last != (leader, state.current_term)",
                "",
            ),
        ),
    ),
    Bug(
        "lets two early candidates split the votes",
        ("A12",),
        "§5.2: of two that ask at once, one gives way",
        (
            Edit(
                f"{_DETECTION}:handle_pre_vote",
                "if equal and state.server_id < message.source:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "takes `I still hear it` for a refusal",
        ("A17",),
        "who does not know yet is asked again",
        (
            Edit(
                "raftcache.raft.election:handle_pre_vote_response",
                "if message.hears_leader and state.early.under_way:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "takes a connection that was reset for a death",
        ("A17", "F13"),
        "only a refusal says that nobody listens",
        (
            Edit(
                f"{_DISCONNECTS}:DisconnectWatch._is_refused_now",
                "return code == errno.ECONNREFUSED",
                "return True",
            ),
            Edit(
                f"{_DISCONNECTS}:DisconnectWatch._ask",
                "return code == errno.ECONNREFUSED",
                "return True",
            ),
        ),
    ),
)
