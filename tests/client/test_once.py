"""Writes that are done once, by both clients, over real sockets."""

import os
import threading
from typing import Any

import pytest

from raftcache.client import (
    Compare,
    Conflict,
    Get,
    Incr,
    OutcomeUnknown,
    SessionExpired,
    Set,
    State,
    TooLarge,
    TxnResult,
    Unreachable,
    Unsupported,
)

from .both import BOTH_CLIENTS, Face, connected, playing
from .fake_node import FakeNode, Fields, Request, refusal
from .fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def dies_of(op: str) -> Any:
    """Let the first node that has done this die before it answers."""
    struck: list[FakeNode] = []

    def trouble(node: FakeNode, request: Request) -> bool:
        if request["op"] != op or struck:
            return False
        struck.append(node)
        node.die()
        return True

    return trouble


@BOTH_CLIENTS
def test_the_first_write_opens_a_session_and_the_end_closes_it(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.get("k")
        assert store.ops() == ["get"]
        client.set("k", "v")
        client.set("k", "w")
        client.incr("n")
        [session] = store.sessions

    assert store.ops() == ["get", "session_open", "set", "set", "incr", "session_close"]
    writes = store.requests[2:5]
    assert [(r["session"], r["seq"], r["ack"]) for r in writes] == [
        (session, 1, 0),
        (session, 2, 1),
        (session, 3, 2),
    ]
    assert store.sessions == {}


@BOTH_CLIENTS
def test_a_write_whose_answer_was_lost_is_asked_for_again_and_done_once(
    kind: str, store: FakeStore
) -> None:
    """The node died after it had counted: the other one gives the first answer (failure B6)."""
    store.trouble = dies_of("incr")
    with playing(store, 2) as nodes, connected(kind, *nodes) as client:
        assert client.incr("n") == 1
        assert client.incr("n") == 2

    first, second, _ = [request for request in store.requests if request["op"] == "incr"]
    assert (first["seq"], first["session"]) == (second["seq"], second["session"])


@BOTH_CLIENTS
def test_a_silent_node_is_left_for_another_and_the_write_done_once(
    kind: str, store: FakeStore
) -> None:
    """A leader that is paused: the deadline, a minute away, plays no part (failure B6)."""
    paused: list[FakeNode] = []

    def trouble(node: FakeNode, request: Request) -> bool:
        if request["op"] == "incr" and not paused:
            paused.append(node)
        return node in paused

    store.trouble = trouble
    with playing(store, 2) as nodes, connected(kind, *nodes, timeout=60) as client:
        assert client.incr("n") == 1


@BOTH_CLIENTS
def test_an_answer_that_comes_after_another_node_was_asked_is_taken(
    kind: str, store: FakeStore
) -> None:
    """Slow is not dead: nothing that was answered is thrown away."""
    other_was_asked = threading.Event()

    def slow(node: FakeNode, request: Request) -> Fields | None:
        if request["op"] != "incr":
            return store.script(node, request)
        other_was_asked.wait(60)
        return {"value": 41}

    def silent(node: FakeNode, request: Request) -> Fields | None:
        if request["op"] != "incr":
            return store.script(node, request)
        other_was_asked.set()
        return None

    with (
        FakeNode(slow) as first,
        FakeNode(silent) as second,
        connected(kind, first, second, timeout=60) as client,
    ):
        assert client.incr("n") == 41


@BOTH_CLIENTS
def test_a_session_that_ended_meanwhile_is_replaced_unseen(kind: str, store: FakeStore) -> None:
    """The write was refused and never sent before: it certainly was not done."""
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.incr("n")
        store.sessions.clear()

        assert client.incr("n") == 2
        assert client.state is State.CONNECTED
    assert store.ops().count("session_open") == 2


@BOTH_CLIENTS
def test_a_write_in_doubt_when_its_session_ended_is_unknown(kind: str, store: FakeStore) -> None:
    dies = dies_of("incr")

    def dies_and_takes_the_session_along(node: FakeNode, request: Request) -> bool:
        if not dies(node, request):
            return False
        store.sessions.clear()
        return True

    store.trouble = dies_and_takes_the_session_along
    with playing(store, 2) as nodes, connected(kind, *nodes) as client:
        with pytest.raises(SessionExpired):
            client.incr("n")

        assert client.incr("n") == 2, "the client itself goes on, in another session"


@BOTH_CLIENTS
def test_an_answer_that_is_not_kept_any_more_says_that_it_was_done(
    kind: str, store: FakeStore
) -> None:
    store.refuse = lambda request: {"reply_dropped": True} if request["op"] == "set" else None
    with (
        playing(store) as nodes,
        connected(kind, *nodes) as client,
        pytest.raises(OutcomeUnknown, match="it was done") as caught,
    ):
        client.set("k", "v")

    assert caught.value.applied == "yes"


@BOTH_CLIENTS
def test_a_cluster_that_knows_no_sessions_gets_each_write_once(kind: str, store: FakeStore) -> None:
    """While it is upgraded. Nothing is done twice then either, but a doubt stays one."""
    store.refuse = lambda r: refusal("unsupported") if r["op"] == "session_open" else None
    with playing(store, 2) as nodes, connected(kind, *nodes) as client:
        assert client.incr("n") == 1
        assert "seq" not in store.requests[-1]
        with pytest.raises(Unsupported, match="upgraded"):
            client.session()

        store.trouble = dies_of("incr")
        with pytest.raises(OutcomeUnknown):
            client.incr("n")
    assert store.ops().count("incr") == 2


@BOTH_CLIENTS
def test_a_write_whose_session_could_not_be_opened_is_known_not_to_have_happened(
    kind: str, store: FakeStore
) -> None:
    store.trouble = lambda _node, request: request["op"] == "session_open"  # silence
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.get("k")
        with pytest.raises(Unreachable, match="nothing was written"):
            client.incr("n", timeout=0.5)
        store.trouble = lambda _node, _request: False
    assert "incr" not in store.ops()


@BOTH_CLIENTS
def test_who_wants_no_session_has_none(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes, exactly_once=False) as client:
        client.set("k", "v")
        with pytest.raises(Unsupported, match="exactly_once=False"):
            client.session()

    assert store.ops() == ["set"]


@BOTH_CLIENTS
def test_a_batch_numbers_what_changes_something(kind: str, store: FakeStore) -> None:
    store.trouble = dies_of("batch")
    with playing(store, 2) as nodes, connected(kind, *nodes) as client:
        outcomes = client.batch([Incr("n"), Get("n"), Set("k", "v", if_mod_rev=5), Incr("n")])

    assert (outcomes[0], outcomes[3]) == (1, 2)
    assert isinstance(outcomes[2], Conflict)
    assert store.values[b"n"] == b"2"
    batches = [request for request in store.requests if request["op"] == "batch"]
    assert [op.get("seq") for op in batches[1]["ops"]] == [1, None, 2, 3]


@BOTH_CLIENTS
def test_a_pipeline_has_its_results_at_its_end(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        pipe = client.pipeline()
        first, second, third = pipe.incr("n"), pipe.get("n"), pipe.set("n", "x", if_mod_rev=77)
        fourth = pipe.get_record("n")
        assert (repr(first), len(pipe)) == ("<Deferred: not sent yet>", 4)
        with pytest.raises(RuntimeError, match="with"):
            first.result()
        client.run(pipe.send())

        assert first.result() == 1
        assert repr(first) == "<Deferred: 1>"
        assert second.result() == b"1"
        assert fourth.result().value == b"1"
        with pytest.raises(Conflict):
            third.result()
        assert len(pipe) == 0


@BOTH_CLIENTS
def test_a_pipeline_of_any_size_goes_in_batches(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        with pytest.raises(TooLarge, match="pipeline"):
            client.batch([Incr("n")] * 1_001)
        pipe = client.pipeline()
        counts = [pipe.incr("n") for _ in range(2_500)]
        client.run(pipe.send())

    assert [count.result() for count in counts] == list(range(1, 2_501))
    assert [len(r["ops"]) for r in store.requests if "ops" in r] == [1_000, 1_000, 500]


@BOTH_CLIENTS
def test_cas_tells_by_its_value_whether_it_wrote(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        assert client.cas("k", "v", if_mod_rev=0) == 1
        assert client.cas("k", "w", if_mod_rev=0) is None
        with pytest.raises(ValueError, match="cas needs"):
            client.cas("k", "w")


@BOTH_CLIENTS
def test_a_transaction_is_one_write_with_one_number(kind: str, store: FakeStore) -> None:
    done = {"succeeded": False, "results": [{"ok": True, "found": False}]}
    store.refuse = lambda request: done if request["op"] == "txn" else None
    with playing(store) as nodes, connected(kind, *nodes, codec="json") as client:
        result = client.txn(
            [Compare("k", "value", "!=", {"a": 1}), Compare("l", "mod_rev", ">", 3)],
            [Set("k", [1]), Incr("n")],
            [Get("k")],
        )

    assert result == TxnResult(succeeded=False, results=(None,))
    request = next(request for request in store.requests if request["op"] == "txn")
    del request["id"], request["timeout_ms"]
    assert request == {
        "op": "txn",
        "session": 7,
        "seq": 1,
        "ack": 0,
        "compare": [
            {"key": b"k", "field": "value", "cmp": "!=", "to": b'{"a":1}'},
            {"key": b"l", "field": "mod_rev", "cmp": ">", "to": 3},
        ],
        "then": [
            {"op": "set", "key": b"k", "value": b"[1]"},
            {"op": "incr", "key": b"n", "by": 1},
        ],
        "else": [{"op": "get", "key": b"k"}],
    }


# The lease


def listening(client: Face) -> list[State]:
    told: list[State] = []
    client.add_listener(told.append)
    return told


@BOTH_CLIENTS
def test_a_session_is_kept_alive(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes, session_ttl=0.9) as client:
        while store.ops().count("session_keepalive") < 3:
            client.set("k", "v")  # on a host that stands still for long it may be a new one
            client.wait(0.05)


@BOTH_CLIENTS
def test_silence_puts_a_lease_at_risk_and_then_it_is_lost(kind: str, store: FakeStore) -> None:
    store.keepalives_answered = False
    with playing(store) as nodes, connected(kind, *nodes, session_ttl=0.6) as client:
        told = listening(client)
        client.set("k", "v")
        client.until(lambda: State.LOST in told)

        # A host that stands still for long sees the first ones pass.
        assert told == [State.CONNECTED, State.SUSPENDED, State.LOST][-len(told) :]
        store.keepalives_answered = True
        client.set("k", "w")
        client.until(lambda: told[-1] is State.CONNECTED)
    assert store.ops().count("session_open") >= 2


@BOTH_CLIENTS
def test_a_session_that_the_cluster_ended_is_told_of(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes, session_ttl=1.5) as client:
        told = listening(client)
        client.set("k", "v")
        client.until(lambda: bool(told))
        with store.lock:
            store.sessions.clear()

        client.until(lambda: State.LOST in told)


@BOTH_CLIENTS
def test_a_listener_that_fails_harms_nobody(
    kind: str, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_state: State) -> None:
        raise RuntimeError("of its own making")

    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.add_listener(fails)
        told = listening(client)
        client.set("k", "v")
        client.until(lambda: told == [State.CONNECTED])

    assert "a listener failed" in caplog.text


def test_the_thread_that_keeps_a_session_ends_with_the_client(store: FakeStore) -> None:
    before = threading.active_count()
    with playing(store) as nodes:
        store.keepalives_answered = False
        running = threading.active_count()
        with connected("sync", *nodes, session_ttl=600) as client:
            client.set("k", "v")
            assert threading.active_count() == running + 1
            client.inner._session.renewed_ms -= 250_000  # so that it waits for a renewal
            client.inner._keeper.look()
            client.until(lambda: "session_keepalive" in store.ops())
        assert threading.active_count() == running
    assert threading.active_count() == before


def test_a_client_that_is_dropped_takes_its_thread_along(store: FakeStore) -> None:
    """Whoever forgets to close must not keep a session alive for ever."""
    with playing(store) as nodes:
        running = threading.active_count()
        with connected("sync", *nodes) as client:
            client.set("k", "v")
            end = client.inner._end
            assert threading.active_count() == running + 1
            end()
            assert threading.active_count() == running


def test_a_fork_leaves_the_parents_session_alone(store: FakeStore) -> None:
    with playing(store) as nodes, connected("sync", *nodes) as client:
        client.set("k", "v")
        child = os.fork()
        if child == 0:
            try:
                client.inner.set("k", "w")
            except RuntimeError:
                client.inner.close()
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)

        assert status == 0
        assert client.incr("n") == 1
    assert store.ops().count("session_close") == 1
