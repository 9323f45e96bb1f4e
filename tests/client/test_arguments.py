"""What callers get wrong is said at once and clearly, and disturbs nobody else."""

import asyncio
import copy
import math
from collections.abc import Callable
from typing import Any

import pytest

from raftcache.client import (
    AsyncClient,
    Client,
    Codec,
    Compare,
    Fence,
    Get,
    IndefiniteError,
    NoLocalCluster,
    OutcomeUnknown,
    Set,
    Undecodable,
    local_endpoints,
)

from .both import BOTH_CLIENTS, Face, connected, playing
from .fake_store import FakeStore

_NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@BOTH_CLIENTS
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.get(5), "expected bytes or str, not int"),
        (lambda c: c.set("k", None), "not NoneType: .* unless the client has a codec"),
        (lambda c: c.set("k", "v", ttl="3"), "ttl is '3': it is a number of seconds"),
        (lambda c: c.set("k", "v", ttl=math.inf), "ttl is inf s: it is at most"),
        (lambda c: c.set("k", "v", ttl=math.nan), "ttl is nan s"),
        (lambda c: c.set("k", "v", ttl=0), "lives for a millisecond at least"),
        (lambda c: c.set("k", "v", if_mod_rev=1 << 80), "if_mod_rev is .* 64 bits"),
        (lambda c: c.set("k", "v", fence="lock"), "fence is 'lock': it is a Fence"),
        (lambda c: c.incr("k", 1.5), "by is 1.5: it is a whole number"),
        (lambda c: c.incr("k", 1 << 63), "by is .* 64 bits"),
        (lambda c: c.incr("k", fence=Fence(b"l", 1 << 80)), "create_rev is .* 64 bits"),
        (lambda c: c.batch(["x"]), "'x' is no operation: use Get, Set"),
        (lambda c: c.batch(Get("x")), "given as a list, not as Get"),
        (lambda c: c.batch(None), "given as a list, not as None"),
        (lambda c: c.txn(then=["x"]), "'x' is no operation"),
        (lambda c: c.txn(["x"]), "a condition of a txn is a Compare, not 'x'"),
        (lambda c: c.txn(Compare("k", "exists", "=", to=True)), "conditions are given as a list"),
        (lambda c: c.get("k", timeout="3"), "timeout is '3': it is a number of seconds"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_before_anything_is_sent(
    kind: str, call: Callable[[Any], Any], words: str, store: FakeStore
) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        with pytest.raises((TypeError, ValueError), match=words):
            call(client)
        assert store.requests == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda make: make(None), "endpoints are None: expected str"),
        (lambda make: make([7401]), "expected str, or a list of them"),
        (lambda make: make(b"tcp://a:1"), "expected str, or a list of them"),
        (lambda make: make(_NOWHERE, timeout=None), "timeout is None"),
        (lambda make: make(_NOWHERE, session_ttl="1"), "session_ttl is '1'"),
    ],
)
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_what_is_wrong_with_a_client_is_said(
    make: Callable[[Any], Any], words: str, client: Any
) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make(client)


def test_calls_that_travel_together_do_not_fail_together(store: FakeStore) -> None:
    """One task's mistake is not the others': they were asked in the same moment only."""

    async def main(endpoint: str) -> list[Any]:
        async with AsyncClient([endpoint]) as client:
            return [
                *await asyncio.gather(
                    client.incr("a"),
                    client.incr("b", 1 << 70),
                    client.set("c", "v", if_mod_rev=object()),  # type: ignore[arg-type]
                    client.incr("a"),
                    return_exceptions=True,
                )
            ]

    with playing(store) as nodes:
        first, *wrong, last = asyncio.run(main(nodes[0].endpoint))

    assert (first, last) == (1, 2)
    assert [type(one) for one in wrong] == [ValueError, TypeError]


@BOTH_CLIENTS
def test_buffers_are_bytes_too(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.set(bytearray(b"k"), memoryview(b"v"))
    assert store.values == {b"k": b"v"}


@BOTH_CLIENTS
def test_a_batch_takes_any_iterable(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        assert client.batch(Set(key, "v") for key in "ab") == [1, 2]
        assert client.batch(iter(())) == []


def test_a_codec_that_gives_no_bytes_is_told_so() -> None:
    with (
        Client(_NOWHERE, codec=Codec(str, bytes.decode)) as client,  # type: ignore[arg-type]
        pytest.raises(TypeError, match="encode gave str: it has to give bytes"),
    ):
        client.set("k", "v")


def test_a_list_of_no_endpoints_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFTCACHE_ENDPOINTS", " , ")
    with pytest.raises(NoLocalCluster, match="RAFTCACHE_ENDPOINTS is ' , ', which names no node"):
        local_endpoints()


# Values that the codec can't read


def strange(kind: str, store: FakeStore, client: Face) -> None:
    """Let others, who have another codec, write."""
    for key, value in ((b"a", b"1"), (b"b", b"{"), (b"c", b"3")):
        store._put(key, value, {})


@BOTH_CLIENTS
def test_a_value_that_can_t_be_read_is_shown_with_its_key(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes, codec="json") as client:
        strange(kind, store, client)
        for call in (client.get, client.get_record):
            with pytest.raises(Undecodable, match=r"b'b' holds b'\{', which this client") as told:
                call("b")
            again = copy.copy(told.value)  # taken apart and made anew, as between processes
            for error in (told.value, again):
                assert (error.key, error.stored, str(error)) == (b"b", b"{", str(told.value))
        with pytest.raises(Undecodable, match="b'b' holds"):
            client.range("")


@BOTH_CLIENTS
def test_a_value_that_can_t_be_read_costs_no_other_outcome(kind: str, store: FakeStore) -> None:
    """The writes of the batch were done, whatever it read."""
    with playing(store) as nodes, connected(kind, *nodes, codec="json") as client:
        strange(kind, store, client)
        read, revision = client.batch([Get("b"), Set("d", 4)])

    assert isinstance(read, Undecodable)
    assert revision == 4


@BOTH_CLIENTS
def test_a_watch_goes_on_behind_a_value_that_can_t_be_read(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes, codec="json") as client:
        strange(kind, store, client)
        watch = client.watch(prefix="", from_rev=1)
        told: list[Any] = []
        for _ in range(3):
            try:
                told.append(client.run(watch.next()).value)
            except Undecodable as error:
                told.append(error.key)
        watch.close()

    assert told == [1, b"b", 3]


@BOTH_CLIENTS
def test_a_transaction_that_was_done_says_so_whatever_it_read(kind: str, store: FakeStore) -> None:
    answer = [
        {"found": True, "value": b"{", "mod_rev": 2, "create_rev": 2, "key_version": 1},
        {"mod_rev": 4},
    ]
    store.refuse = lambda request: (
        {"succeeded": True, "results": answer[: len(request["then"])]}
        if request["op"] == "txn"
        else None
    )
    with playing(store) as nodes, connected(kind, *nodes, codec="json") as client:
        with pytest.raises(Undecodable):
            client.txn(then=[Get("b")])
        with pytest.raises(OutcomeUnknown, match="the txn was done, but b'b' holds") as told:
            client.txn(then=[Get("b"), Set("d", 4)])

    assert isinstance(told.value, IndefiniteError)
    assert told.value.applied == "yes"
