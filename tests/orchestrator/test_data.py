"""One-shot reads and writes: what they say when a node dies, and that they write once at most."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from orchestrator.data import Shot
from orchestrator.errors import CheckFailed, NoCluster, NoQuorum, OutcomeUnknown, TryAgain
from orchestrator.spec_values import Spec
from orchestrator.state import Led, new_state

from ..client.fake_node import FakeNode, Fields, Request, Script, found, refusal

FOREVER_SECONDS = 3_600.0
"""Longer than a test may take: one that waits for it is found out."""

GONE = "tcp://127.0.0.1:1"

CLUSTER_ID = "0123456789abcdef0123456789abcdef"


def dies(node: FakeNode, _request: Request) -> None:
    node.die()


def has_a_value(_node: FakeNode, _request: Request) -> Fields:
    return found(b"value")


def writes(_node: FakeNode, _request: Request) -> Fields:
    return {"created": True, "mod_rev": 9}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def nodes_of(stack: ExitStack, *scripts: Script, cluster_id: str = CLUSTER_ID) -> list[FakeNode]:
    """Return nodes that say which cluster they are of, and else do as their scripts say."""

    def named(script: Script) -> Script:
        def answer(node: FakeNode, request: Request) -> Fields | None:
            if request["op"] == "status":
                return {"cluster_id": cluster_id}
            return script(node, request)

        return answer

    return [stack.enter_context(FakeNode(named(script))) for script in scripts]


def asked(nodes: Sequence[FakeNode]) -> list[int]:
    """Return how often each was asked for something else than who it is."""
    return [sum(request["op"] != "status" for request in node.requests) for node in nodes]


def shot(
    stack: ExitStack, nodes: Sequence[FakeNode | str], *, seconds: float = FOREVER_SECONDS
) -> Shot:
    """Return a shot at n1, n2, … in this order."""
    state = new_state(Spec(), len(nodes), 7400)
    for record, node in zip(state.nodes, nodes, strict=True):
        record.client = node if isinstance(node, str) else node.endpoint
    state.cluster_id = CLUSTER_ID
    state.leader = Led("n1", 4)
    made = Shot(state, seconds=seconds)
    stack.callback(made.close)
    return made


def test_a_write_whose_node_dies_of_it_is_unknown_at_once(stack: ExitStack) -> None:
    """Not at the deadline: the connection's end is what a client waits for too (failure A9)."""
    nodes = nodes_of(stack, dies, writes)

    with pytest.raises(OutcomeUnknown, match="n1 took the request and did not answer"):
        shot(stack, nodes).write(op="set", key=b"k", value=b"v")

    assert asked(nodes) == [1, 0], "sent once, and nowhere else"


def test_a_read_whose_node_dies_of_it_is_answered_by_another(stack: ExitStack) -> None:
    nodes = nodes_of(stack, dies, has_a_value)

    reply = shot(stack, nodes).read(op="get", key=b"k")

    assert reply["value"] == b"value"


def test_a_write_goes_to_another_node_only_after_a_definite_no(stack: ExitStack) -> None:
    def knows_no_leader(_node: FakeNode, _request: Request) -> Fields:
        return refusal("no_leader")

    nodes = nodes_of(stack, knows_no_leader, writes)

    assert shot(stack, nodes).write(op="set", key=b"k", value=b"v")["mod_rev"] == 9
    assert asked(nodes) == [1, 1]


def test_a_refused_compare_is_not_tried_again(stack: ExitStack) -> None:
    def conflicts(_node: FakeNode, _request: Request) -> Fields:
        return refusal("conflict", mod_rev=7)

    nodes = nodes_of(stack, conflicts, writes)

    with pytest.raises(CheckFailed, match="nothing was done: the key is at revision 7"):
        shot(stack, nodes).write(op="set", key=b"k", value=b"v", if_mod_rev=1)

    assert asked(nodes) == [1, 0]


def test_a_reply_to_something_else_is_passed_over(stack: ExitStack) -> None:
    def stutters(node: FakeNode, _request: Request) -> Fields:
        node.send_raw(b"\xc1")
        node.send_raw(b"\x81\xa2id\x00")
        return found(b"value")

    nodes = nodes_of(stack, stutters)

    assert shot(stack, nodes).read(op="get", key=b"k")["value"] == b"value"


def test_a_node_that_is_silent_costs_a_read_one_attempt(stack: ExitStack) -> None:
    """As one that is paused: its kernel still accepts connections."""
    nodes = nodes_of(stack, lambda _node, _request: None, has_a_value)

    assert shot(stack, nodes).read(op="get", key=b"k")["value"] == b"value"
    assert asked(nodes) == [1, 1]


def test_silence_until_the_deadline_is_unknown_for_a_write_and_try_again_for_a_read(
    stack: ExitStack,
) -> None:
    def falls_silent(_node: FakeNode, request: Request) -> Fields | None:
        return found(b"value") if request["key"] == b"first" else None

    silent = shot(stack, nodes_of(stack, falls_silent))
    silent.read(op="get", key=b"first")  # so that it has its connection before time counts
    silent.seconds = 0.2

    with pytest.raises(OutcomeUnknown):
        silent.write(op="incr", key=b"k", by=1)
    with pytest.raises(TryAgain, match=r"no node answered within 0\.2 s"):
        silent.read(op="get", key=b"k")


def test_without_a_quorum_nothing_is_sent(stack: ExitStack) -> None:
    (alone,) = nodes_of(stack, writes)

    with pytest.raises(NoQuorum, match="no quorum: 1 of 3 nodes are up, and 2 must agree"):
        shot(stack, [alone, GONE, GONE]).write(op="set", key=b"k", value=b"v")

    assert asked([alone]) == [0]


def test_the_nodes_of_another_cluster_at_these_ports_are_left_alone(stack: ExitStack) -> None:
    """It has the ports while this one is down: a write to it would be a write to strangers."""
    strangers = nodes_of(stack, writes, writes, cluster_id="f" * 32)
    for attempt in (Shot.write, Shot.read):
        with pytest.raises(NoCluster, match="answers another cluster's"):
            attempt(shot(stack, strangers), op="set", key=b"k", value=b"v")

    assert asked(strangers) == [0, 0]


def test_a_node_of_another_cluster_is_passed_over(stack: ExitStack) -> None:
    own = nodes_of(stack, writes, writes)
    strangers = nodes_of(stack, writes, cluster_id="f" * 32)

    reply = shot(stack, [*strangers, *own]).write(op="set", key=b"k", value=b"v")

    assert reply["mod_rev"] == 9
    assert asked([*strangers, *own]) == [0, 1, 0]
