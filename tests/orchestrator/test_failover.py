"""What is said of the leadership after a blow, and how long a new leader is waited for."""

import time
from typing import Any

import msgspec
import pytest

from orchestrator import failover, view
from orchestrator.cli import status
from orchestrator.cli.console import Console
from orchestrator.cli.process import who_leads
from orchestrator.failover import Failover, await_new_leader
from orchestrator.links import Picture, cuts_between
from orchestrator.probe import Prober
from orchestrator.spec_values import Spec
from orchestrator.state import new_state
from orchestrator.supervisor import Child
from orchestrator.view import ClusterView, NodeView


class Answers(Prober):
    """Answers in place of the nodes; counts how often it was asked."""

    def __init__(self, *statuses: dict[str, Any]) -> None:
        super().__init__({})
        self.asked = 0
        self._statuses = {status["node"]: status for status in statuses}

    def statuses(self, names: Any, seconds: float) -> dict[str, Any]:  # noqa: ARG002 - as there
        """Return the same each time."""
        self.asked += 1
        return self._statuses


def node(name: str, **seen: Any) -> NodeView:
    unseen: dict[str, Any] = dict.fromkeys(NodeView.__struct_fields__)
    return NodeView(
        **{**unseen, "name": name, "state": "ready", "client": "", "pid": 1, "voter": True, **seen}
    )


BEFORE = ClusterView(
    cluster="demo",
    nodes=[node("n1"), node("n2"), node("n3")],
    leader="n1",
    term=4,
    quorum=2,
    supervisor_running=True,
)
WON = {"term": 5, "reason": "election timeout", "votes": ["n2", "n3"], "won_ms": 1234.0}


def after_loss_of(
    *lost: str,
    answers: Answers,
    slowness: float = 1.0,
    wait: bool = True,
    picture: Picture | None = None,
) -> Failover:
    state = new_state(Spec(), 3, 7400)
    state.slowness = slowness
    try:
        return await_new_leader(
            state,
            answers,
            before=BEFORE,
            lost=list(lost),
            began_ms=1000.0,
            wait=wait,
            picture=picture,
        )
    finally:
        answers.close()


def test_a_new_leader_is_told_with_its_votes_and_the_time_since_the_blow() -> None:
    leads = {"node": "n2", "role": "leader", "term": 5, "election": WON}

    found = after_loss_of("n1", answers=Answers(leads))

    assert (found.leader, found.term, found.votes) == ("n2", 5, ["n2", "n3"])
    assert found.after_ms == 234.0
    assert found.changed


def test_a_leader_of_the_old_term_is_no_news() -> None:
    """A follower that has not noticed yet still names the dead one."""
    leads = {"node": "n2", "role": "leader", "term": 4, "election": None}

    assert after_loss_of("n1", answers=Answers(leads), wait=False).leader is None


def test_the_wait_for_a_leader_is_as_many_times_longer_as_elections_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After `up --slow 10` two seconds are less than one election."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda _seconds: now.__setitem__(0, now[0] + 1.0))

    usual, slow = Answers(), Answers()
    assert after_loss_of("n1", answers=usual).waited_seconds == failover.WAIT_SECONDS
    assert after_loss_of("n1", answers=slow, slowness=10).waited_seconds == 20.0
    assert (usual.asked, slow.asked) == (3, 21)


def test_a_follower_or_a_quorum_lost_is_nothing_to_wait_for() -> None:
    follower, quorum = Answers(), Answers()

    kept = after_loss_of("n3", answers=follower)
    none = after_loss_of("n1", "n2", answers=quorum)

    assert (kept.leader, kept.changed, kept.has_quorum) == ("n1", False, True)
    assert (none.leader, none.has_quorum, none.waited_seconds) == (None, False, 0.0)
    assert (follower.asked, quorum.asked) == (0, 0)


def test_a_majority_that_is_cut_apart_is_nothing_to_wait_for() -> None:
    """Two of three live, and don't hear each other: no quorum, and not just no leader yet."""
    answers = Answers()
    apart = Picture(cuts_between([["n1", "n2"], ["n3"]]))

    found = after_loss_of("n1", answers=answers, picture=apart)

    assert (found.up, found.alive, found.has_quorum) == (1, 2, False)
    assert (found.waited_seconds, answers.asked) == (0.0, 0)
    console = Console("kill", as_json=False)
    assert who_leads(console, found, "start") == [
        "no quorum: writes will wait (2 of 3 nodes up, none of which hears another, 2 must agree)",
        "  bin/cluster start   brings them back",
        "  bin/cluster heal   makes all links whole",
    ]


def test_a_leader_on_the_wrong_side_is_not_said_to_lead_on() -> None:
    """A follower dies with the leader cut off already: who leads is asked of the others."""
    leads = {"node": "n2", "role": "leader", "term": 5, "election": WON}
    four = msgspec.structs.replace(BEFORE, nodes=[*BEFORE.nodes, node("n4"), node("n5")], quorum=3)
    state = new_state(Spec(), 5, 7400)
    apart = Picture(cuts_between([["n1"], ["n2", "n3", "n4", "n5"]]))

    answers = Answers(leads)
    found = await_new_leader(
        state, answers, before=four, lost=["n5"], began_ms=1000.0, wait=True, picture=apart
    )
    answers.close()

    assert (found.leader, found.up, found.alive) == ("n2", 3, 4)


def test_a_leader_that_lost_its_majority_is_no_health() -> None:
    """For an election timeout it still says that it leads; nothing it says then is decided."""
    tells = {"ok": True}
    alone = [node("n1", role="leader", status=tells), *(node(n, pid=None) for n in ("n2", "n3"))]
    two = [*alone[:2], node("n3", role="follower", status=tells)]

    assert msgspec.structs.replace(BEFORE, nodes=alone).health == "no quorum"
    assert msgspec.structs.replace(BEFORE, nodes=two).health == "ok"


def test_a_node_with_an_alarm_is_no_health() -> None:
    """The leader's disk may be full, and all is `ready`: a script that only asks must learn it."""
    tells = [{"alarms": []}, {"alarms": ["no_space: the disk is full"]}, {"alarms": []}]
    nodes = [node(f"n{number}", status=status) for number, status in enumerate(tells, 1)]

    full = msgspec.structs.replace(BEFORE, nodes=nodes)

    assert full.ready
    assert full.health == "degraded"
    assert full.alarms == [("n2", "no_space: the disk is full")]


def test_a_node_that_was_removed_and_runs_on_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Over the wire a member is removed without an end to its process: `status` names the way."""
    record = new_state(Spec(), 3, 7400).nodes[2]
    told = {"role": "removed", "term": 4, "alarms": ["removed: n3#1 is no member any more"]}
    child = Child("n3", "RUNNING", 1, 0)

    seen = view._node_view(record, child, None, told)

    assert (seen.state, seen.voter) == ("removed", False)
    whole = msgspec.structs.replace(BEFORE, nodes=[*BEFORE.nodes[:2], seen])
    assert whole.size == 2
    status._report(Console("status", as_json=False), whole, None, None, joint=False, more=[])
    assert "bin/cluster remove n3   ends that" in capsys.readouterr().out
