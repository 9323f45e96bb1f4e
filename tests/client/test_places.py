"""Locks, semaphores and elections of both clients, over real sockets."""

from typing import Any

import pytest

from raftcache.client import recipes
from raftcache.client.recipes import Held, LeaseLost

from .both import BOTH_CLIENTS, Face, connected, playing
from .fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def recipe(kind: str, name: str) -> Any:
    return getattr(recipes, name if kind == "sync" else f"Async{name}")


class Block:
    """A recipe's ``with`` block, whichever it is."""

    def __init__(self, client: Face, kind: str, made: Any) -> None:
        self._client = client
        self._made = made
        self._names = ("__enter__", "__exit__") if kind == "sync" else ("__aenter__", "__aexit__")

    def __enter__(self) -> Held:
        """Enter it."""
        held = self._client.run(getattr(self._made, self._names[0])())
        assert isinstance(held, Held)
        return held

    def __exit__(self, *error: object) -> None:
        """Leave it."""
        self._client.run(getattr(self._made, self._names[1])(*error))


@BOTH_CLIENTS
def test_a_block_holds_a_lock(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        lock = recipe(kind, "Lock")(client.inner, "l")
        with Block(client, kind, lock) as held:
            assert store.values.keys() == {held.fence.key}
            assert not held.at_risk
            assert 0 < held.remaining <= 15
            held.check()
            assert client.run(lock.acquire(timeout=0)) is None
        assert store.values == {}


@BOTH_CLIENTS
def test_a_semaphore_has_so_many_places(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        places = recipe(kind, "Semaphore")(client.inner, "s", 2)
        first, second, third = (client.run(places.acquire(timeout=0)) for _ in range(3))
        assert third is None
        client.run(places.release(first))
        assert client.run(places.acquire(timeout=0)) is not None
        client.run(places.release(second))


@BOTH_CLIENTS
def test_an_election_tells_who_leads(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        election = recipe(kind, "Election")(client.inner, "e", "ada")
        assert client.run(election.leader()) is None
        with Block(client, kind, election):
            assert client.run(election.leader()) == b"ada"


@BOTH_CLIENTS
def test_a_holder_hears_of_the_risk_and_a_block_of_the_loss(kind: str, store: FakeStore) -> None:
    """Whoever only finds out at the end must not take his work for done under the lock."""
    told: list[Held] = []
    with playing(store) as nodes, connected(kind, *nodes, session_ttl=1.0) as client:
        store.keepalives_answered = False
        lock = recipe(kind, "Lock")(client.inner, "l", on_risk=told.append)
        block = Block(client, kind, lock)
        held = block.__enter__()
        client.until(lambda: held.lost and bool(told))

        assert {id(one) for one in told} == {id(held)}
        assert held.remaining == 0
        with pytest.raises(LeaseLost):
            held.check()
        with pytest.raises(LeaseLost, match="another may hold it"):
            block.__exit__(None, None, None)
        store.keepalives_answered = True


@BOTH_CLIENTS
def test_an_error_of_the_block_is_not_hidden_by_a_lost_lock(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        lock = recipe(kind, "Lock")(client.inner, "l")
        block = Block(client, kind, lock)
        block.__enter__().session.ended = True

        block.__exit__(ZeroDivisionError, ZeroDivisionError(), None)


@BOTH_CLIENTS
def test_a_result_is_computed_once_and_kept(kind: str, store: FakeStore) -> None:
    calls: list[int] = []

    def slow(x: int) -> dict[str, int]:
        calls.append(x)
        if x < 0:
            raise ValueError("not that one")
        return {"x": x}

    async def slow_too(x: int) -> dict[str, int]:
        return slow(x)

    with playing(store) as nodes, connected(kind, *nodes) as client:
        decorate = recipes.cached if kind == "sync" else recipes.async_cached
        function = decorate(client.inner, ttl=60)(slow if kind == "sync" else slow_too)  # type: ignore[arg-type]

        assert [client.run(function(5)) for _ in range(3)] == [{"x": 5}] * 3
        assert calls == [5]
        for _ in range(2):
            with pytest.raises(ValueError, match="not that one"):
                client.run(function(-1))
        assert calls == [5, -1, -1]
        assert not [key for key in store.values if key.endswith(b"!")]
