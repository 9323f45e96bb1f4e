"""Mistakes about who is who: joining, incarnations, lives in memory, members that were removed."""

from .planting import Bug, Edit

_PLANS = "raftcache.node.plans"
_MEMBERSHIP = "raftcache.node.membership"
_ADMISSION = "raftcache.node.admission"
_SERVER = "raftcache.node.server"

IDENTITY_BUGS = (
    Bug(
        "lets a node that lost its state be its former self",
        ("C10", "A1"),
        "an incarnation serves one process's state only",
        (Edit(f"{_PLANS}:grant", "if is_free(present, newest):", "if True:"),),
    ),
    Bug(
        "gives a removed member's incarnation to the next",
        ("C9", "C10"),
        "incarnations only rise, removed ones included",
        (
            Edit(
                f"{_PLANS}:_Draft.__init__",
                "self._mark = present.highest_incarnation()",
                "self._mark = max(member.incarnation for member in present.members)",
            ),
        ),
    ),
    Bug(
        "grants a place that is not committed",
        ("C4", "C10"),
        "thesis §4.1: what a leader only proposes may never be",
        (
            Edit(
                f"{_MEMBERSHIP}:Membership.on_join",
                "_, committed = server.admission.committed",
                "committed = server.raft.state.configuration",
            ),
            Edit(
                f"{_ADMISSION}:Admission.answer",
                "index, configuration = self.committed",
                "index, configuration = server.raft.state.configurations[-1]",
            ),
        ),
    ),
    Bug(
        "lets two processes share a name",
        ("C10", "F5"),
        "nobody takes the place of a member that was heard a moment ago",
        (
            Edit(
                f"{_MEMBERSHIP}:Membership._obstacle",
                "if newest.claim != request.claim and self._is_alive(newest):",
                "if False:",
            ),
        ),
        world="member",
    ),
    Bug(
        "gives a vote to learners that lack the log",
        ("C5",),
        "thesis §4.2.1: promoted once caught up",
        (
            Edit(
                f"{_MEMBERSHIP}:Membership.on_tick",
                "all(raft.is_caught_up(learner.server_id) for learner in learners)",
                "learners",
            ),
        ),
    ),
    Bug(
        "removes voters though too few of the others answer",
        ("C4", "C5"),
        "a change must not leave a cluster without a majority",
        (
            Edit(
                f"{_MEMBERSHIP}:Membership._change",
                "if not has_quorum(target, answers):",
                "if False:",
            ),
        ),
        world="moves",
    ),
    Bug(
        "listens to members that were removed",
        ("C9",),
        "thesis §4.2.3: whoever is out disturbs nobody",
        (
            Edit(
                "raftcache.raft.membership:may_take_part",
                "return is_newer or not configuration.voters",
                "return True or is_newer",
            ),
        ),
        world="moves",
    ),
    Bug(
        "stands for election after it has learned that it was removed",
        ("C9",),
        "thesis §4.2.3",
        (
            Edit(
                f"{_ADMISSION}:Admission._on_removed",
                "server.raft.retire()",
                "pass",
            ),
        ),
        world="moves",
    ),
    Bug(
        "takes what is meant for its former life",
        ("C10", "F4"),
        "a vote, an acknowledgement is one incarnation's",
        (
            Edit(
                f"{_SERVER}:Server._refusal",
                "if frame.target != self.server_id:",
                'if frame.target.partition("#")[0] != self.about.node_id:',
            ),
            Edit(
                f"{_SERVER}:Server.on_peer_frame",
                "message.source == frame.source and message.target == self.server_id",
                "message.source == frame.source",
            ),
        ),
    ),
    Bug(
        "lives a second life in memory as its former self",
        ("C10",),
        "what lived in memory ends with its process",
        (
            Edit(
                "raftcache.storage.memory:take_identity",
                "write_identity(files, directory, used)",
                "_ = used",
            ),
        ),
    ),
    Bug(
        "takes up a new life with what the former has left on disk",
        ("C10", "D7"),
        "an incarnation never takes over the state of another",
        (
            Edit(
                "raftcache.storage.directory:_begin",
                "files.remove(join(directory, name))",
                'None if name.startswith("snapshot") else files.remove(join(directory, name))',
            ),
        ),
    ),
)
