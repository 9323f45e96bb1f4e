"""Watching for the command line: over the deaths of nodes, and what its screen shows."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from orchestrator.cli.console import Console
from orchestrator.cli.watch import _Teller
from orchestrator.data import Shot
from orchestrator.errors import CheckFailed, NoCluster, TryAgain, UsageError
from orchestrator.spec_values import Spec
from orchestrator.state import ClusterState, new_state
from orchestrator.watching import Watching

from ..client.fake_node import FakeNode, Fields, Request, Script, refusal
from .test_data import CLUSTER_ID, FOREVER_SECONDS, GONE, nodes_of

LEADER = {"id": "n1", "client": "tcp://127.0.0.1:1"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def event(rev: int) -> dict[str, Any]:
    return {"kind": "set", "rev": rev, "key": b"k", "value": b"%d" % rev}


def tells_one(leader: Any = LEADER) -> Script:
    """Return a node that tells one change in each answer."""

    def answer(_node: FakeNode, request: Request) -> Fields:
        rev = request.get("from_rev", 7)
        if not request["wait_ms"]:
            return {"events": [], "next_rev": rev, "leader": leader}
        return {"events": [event(rev)], "next_rev": rev + 1, "leader": leader}

    return answer


def watching(
    stack: ExitStack, nodes: list[FakeNode | str], *, from_rev: int | None = 1
) -> tuple[Watching, list[str]]:
    """Return what watches n1, n2, … and the notes that it makes."""
    state: ClusterState = new_state(Spec(), len(nodes), 7400)
    for record, node in zip(state.nodes, nodes, strict=True):
        record.client = node if isinstance(node, str) else node.endpoint
    state.cluster_id = CLUSTER_ID
    shot = Shot(state, seconds=FOREVER_SECONDS)
    stack.callback(shot.close)
    notes: list[str] = []
    made = Watching(shot, lambda: state, {"key": b"k"}, from_rev=from_rev, note=notes.append)
    return made, notes


def test_it_goes_on_at_another_node_from_the_next_revision(stack: ExitStack) -> None:
    """No matter how the node ends: nothing twice, no gap (failures B14, B15)."""

    def tells_two_and_dies(node: FakeNode, request: Request) -> Fields | None:
        if request["from_rev"] <= 2:
            return tells_one()(node, request)
        node.die()
        return None

    first, second = nodes_of(stack, tells_two_and_dies, tells_one())
    made, notes = watching(stack, [first, second])

    revs = [told["rev"] for told in itertools.islice(made.events(), 5)]

    assert revs == [1, 2, 3, 4, 5]
    asked = [request["from_rev"] for request in second.requests if request["op"] == "watch"]
    assert asked[0] == 3
    assert notes == ["n1 does not answer any more: goes on at n2"]


def test_where_it_begins_is_settled_before_anything_can_get_lost(stack: ExitStack) -> None:
    """Were the first answer lost, nobody could say what it had told."""
    (node,) = nodes_of(stack, tells_one())
    made, _ = watching(stack, [node], from_rev=None)

    assert made.begin() == 7
    assert next(made.events())["rev"] == 7


def test_a_node_that_knows_no_leader_is_left_when_it_has_nothing_to_tell(stack: ExitStack) -> None:
    """It may be cut off, and would have nothing to tell for ever."""

    def cut_off(_node: FakeNode, request: Request) -> Fields:
        return {"events": [], "next_rev": request["from_rev"], "leader": None}

    made, _ = watching(stack, [*nodes_of(stack, cut_off, tells_one())])

    assert next(made.events())["rev"] == 1


def test_a_node_that_stops_tells_where_to_go_on(stack: ExitStack) -> None:
    def stops(_node: FakeNode, _request: Request) -> Fields:
        return refusal("no_leader", next_rev=5)

    made, _ = watching(stack, [*nodes_of(stack, stops, tells_one())])

    assert next(made.events())["rev"] == 5


def test_what_was_missed_is_told(stack: ExitStack) -> None:
    """Never silence (failure B16)."""

    def has_forgotten(_node: FakeNode, _request: Request) -> Fields:
        return refusal("compacted", oldest=9)

    made, _ = watching(stack, [*nodes_of(stack, has_forgotten)], from_rev=4)

    with pytest.raises(CheckFailed, match="the changes from revision 4 to 8 are no longer kept"):
        next(made.events())


def test_what_can_not_be_asked_is_not_asked_again(stack: ExitStack) -> None:
    def refuses(_node: FakeNode, _request: Request) -> Fields:
        return refusal("too_large")

    (node,) = nodes_of(stack, refuses)
    made, _ = watching(stack, [node])

    with pytest.raises(UsageError):
        next(made.events())
    assert sum(request["op"] == "watch" for request in node.requests) == 1


def test_it_does_not_begin_without_a_node(stack: ExitStack) -> None:
    with pytest.raises(NoCluster):
        watching(stack, [GONE, GONE], from_rev=None)[0].begin()


def test_it_does_not_begin_where_nobody_knows_a_leader(stack: ExitStack) -> None:
    (node,) = nodes_of(stack, lambda _node, _request: refusal("no_leader"))

    with pytest.raises(TryAgain):
        watching(stack, [node], from_rev=None)[0].begin(seconds=0.3)


def test_each_change_is_a_line_of_columns(capsys: pytest.CaptureFixture[str]) -> None:
    teller = _Teller(Console("watch", as_json=False), prev=True)
    for told in (
        {"kind": "set", "rev": 7, "key": b"user:1", "value": b"ada", "prev": None},
        {"kind": "delete", "rev": 8, "key": b"user:1", "value": None, "prev": b"ada"},
        {"kind": "set", "rev": 1234567, "key": b"a-very-long-key", "value": b"1\n2\x1b[2J"},
        {"kind": "expire", "rev": 1234568, "key": b"\xff", "value": None, "prev_omitted": True},
        {"kind": "set", "rev": 1234569, "key": b"k", "value": b"x" * 5000, "prev": b""},
    ):
        teller.tell(told)

    assert capsys.readouterr().out.splitlines() == [
        "    7  set     user:1        ada  (new)",
        "    8  delete  user:1        (before: ada)",
        r"1234567  set     a-very-long-key  1\n2\x1b[2J  (new)",
        r"1234568  expire  \xff             (before: left out, too large)",
        f"1234569  set     k                {'x' * 200}… (5,000 bytes)  (before: )",
    ]


def test_under_json_each_change_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    _Teller(Console("watch", as_json=True), prev=False).tell(
        {"kind": "set", "rev": 7, "key": b"\xff", "value": b"a"}
    )

    assert capsys.readouterr().out == (
        '{"schema": 1, "kind": "set", "rev": 7, "key": {"b64": "/w=="}, "value": "a"}\n'
    )
