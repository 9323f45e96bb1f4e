"""What ``@cached`` keeps and who computes it: step by step, in any order, in memory."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import pytest

from raftcache.client import Client, Conflict, codec
from raftcache.client.recipes.caching import Caching, Found, cached
from raftcache.errors import OutcomeUnknown, RequestError, TooLarge, Unreachable

from .actor import Actor
from .fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def caching(**options: Any) -> Caching:
    def slow(x: int) -> int:
        return x

    return Caching(slow, int, **{"ttl": 60, "stale": 0, "wait": 30, "key": None, **options})


def test_one_claims_and_the_others_wait_for_what_he_keeps(store: FakeStore) -> None:
    cache = caching()
    key = cache.key_of((1,), {})
    first = Actor(store, lambda: cache.look_up(key))
    second = Actor(store, lambda: cache.look_up(key))
    found = first.run()
    assert found.value is None
    assert found.claim is not None
    assert second.run() is None

    first.begin_again(lambda: cache.keep(key, cache.encode(5), found.claim)).run()

    assert second.run() == Found(cache.encode(5))
    assert set(store.values) == {key}


@pytest.mark.parametrize("seed", range(60))
def test_in_any_order_a_result_is_computed_once(seed: int, store: FakeStore) -> None:
    chance, cache = random.Random(seed), caching()
    computed: list[Actor] = []
    actors = [Actor(store, lambda: cache.look_up(b"k")) for _ in range(5)]

    while able := [actor for actor in actors if actor.may_go_on]:
        actor = chance.choice(able)
        actor.step()
        found = actor.result
        if actor.done and isinstance(found, Found) and found.value is None:
            computed.append(actor)
            actor.result = None
            claim = found.claim
            actor.begin_again(lambda claim=claim: cache.keep(b"k", b"5", claim))  # type: ignore[misc]

    assert len(computed) == 1
    assert all(actor.done and actor.error is None for actor in actors)
    assert set(store.values) == {b"k"}


def test_who_fails_or_dies_leaves_it_to_the_next(store: FakeStore) -> None:
    cache = caching()
    actors = [Actor(store, lambda: cache.look_up(b"k")) for _ in range(3)]
    founds = [actor.run() for actor in actors]

    actors[0].begin_again(lambda: cache.let_go(founds[0].claim)).run()
    claimed = actors[1].run()
    assert claimed.claim is not None
    store.expire(actors[1].session.id)

    assert actors[2].run().claim is not None


@pytest.mark.parametrize("kept", [b"\xa3old", b"\xc1"])
def test_what_another_release_kept_as_another_type_is_computed_anew(
    kept: bytes, store: FakeStore
) -> None:
    cache = caching()
    store._apply({"op": "set", "key": b"k", "value": kept})
    actor = Actor(store, lambda: cache.look_up(b"k"))

    found = actor.run()
    assert found.value is None
    assert found.claim is not None
    actor.begin_again(lambda: cache.keep(b"k", cache.encode(5), found.claim)).run()
    assert Actor(store, lambda: cache.look_up(b"k")).run() == Found(cache.encode(5))


def test_a_coroutine_function_needs_the_other_decorator() -> None:
    async def slow() -> int:
        return 1

    with Client("tcp://127.0.0.1:1") as client, pytest.raises(TypeError, match="async_cached"):
        cached(client, ttl=1)(slow)


def test_a_claim_that_was_lost_keeps_nothing(store: FakeStore) -> None:
    """Whoever stood still for too long must not put an old result over a newer one."""
    cache = caching()
    slow = Actor(store, lambda: cache.look_up(b"k"))
    found = slow.run()
    store.expire(slow.session.id)

    slow.begin_again(lambda: cache.keep(b"k", b"old", found.claim)).run()

    assert b"k" not in store.values


def test_a_cluster_that_can_not_be_asked_is_no_reason_to_do_without(store: FakeStore) -> None:
    actor = Actor(store, lambda: caching().look_up(b"k"))
    actor.fails = lambda _request: OutcomeUnknown("no answer")

    assert actor.run() == Found(None)


def test_calls_are_told_apart_by_their_arguments() -> None:
    cache = caching()
    long = cache.key_of(("x" * 5_000,), {})

    assert cache.key_of((1,), {}) != cache.key_of((2,), {})
    assert cache.key_of((1,), {"a": 2, "b": 3}) == cache.key_of((1,), {"b": 3, "a": 2})
    assert len(long) < 300
    assert long != cache.key_of(("x" * 5_001,), {})
    assert caching(key=lambda x: f"user-{x}").key_of((7,), {}).endswith(b"/user-7")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"abc", "YWJj"),
        ({1: 2}, {"1": 2}),
        (dt.date(2020, 1, 1), "2020-01-01"),
        (Decimal(1), "1"),
        ([b"a"], ["YQ=="]),
        (1, True),
        (1, 1.0),
    ],
)
def test_arguments_that_look_alike_in_json_are_told_apart(one: object, other: object) -> None:
    """Who asked for the one must not be given the other's result."""
    assert caching().key_of((one,), {}) != caching().key_of((other,), {})


def test_arguments_are_known_again_whatever_their_order() -> None:
    """Also that of a set of strings, which differs from process to process."""
    words = [f"word-{number}" for number in range(50)]
    for one, other in (
        ({"a": 1, "b": b"2"}, {"b": b"2", "a": 1}),
        ({*words}, {*words[::-1]}),
        ((1, 2), [1, 2]),
    ):
        assert caching().key_of((one,), {}) == caching().key_of((other,), {})


def test_what_can_not_be_told_apart_or_kept_is_said() -> None:
    with pytest.raises(TypeError, match=r"arguments of .*slow have no form .*: name the call"):
        caching().key_of((object(),), {})
    with pytest.raises(TypeError, match="it has to give a str"):
        caching(key=lambda x: x).key_of((7,), {})
    with pytest.raises(TypeError, match=r"what .*slow returned can't be kept"):
        caching().encode(object())
    with pytest.raises(TypeError, match=r"can't be kept: Expected `int`, got `str`"):
        caching().encode("not what it says")
    with pytest.raises(TypeError, match="ttl is '60': it is a number of seconds"):
        caching(ttl="60")


def claimed(store: FakeStore, cache: Caching) -> tuple[Actor, Any]:
    actor = Actor(store, lambda: cache.look_up(b"k"))
    claim = actor.run().claim
    assert claim is not None
    return actor, claim


def test_a_result_that_is_too_large_keeps_nobody_waiting(store: FakeStore) -> None:
    cache = caching()
    worker, claim = claimed(store, cache)
    worker.fails = lambda request: TooLarge("as told") if request["op"] == "batch" else None

    worker.begin_again(lambda: cache.keep(b"k", b"5", claim)).run()

    assert store.values == {}


@pytest.mark.parametrize("recipe", ["keep", "let_go"])
@pytest.mark.parametrize("error", [Unreachable("as told"), OutcomeUnknown("as told")])
def test_a_claim_that_could_not_be_given_back_is_given_back_later(
    recipe: str, error: RequestError, store: FakeStore
) -> None:
    """Its worker lives on, and so would the claim: all others would wait in vain each time."""
    cache = caching()
    worker, claim = claimed(store, cache)
    worker.fails = lambda _request: error
    steps = cache.keep(b"k", b"5", claim) if recipe == "keep" else cache.let_go(claim)
    worker.begin_again(lambda: steps).run()
    assert set(store.values) == {b"k!"}

    worker.fails = lambda _request: None
    other = worker.begin_again(lambda: cache.look_up(b"other")).run()

    assert set(store.values) == {b"other!"}
    assert other.claim is not None


def test_only_the_own_claim_is_given_back(store: FakeStore) -> None:
    cache = caching()
    worker, claim = claimed(store, cache)
    store.expire(worker.session.id)
    _, newer = claimed(store, cache)

    worker.begin_again(lambda: cache.let_go(claim)).run()

    assert store.revs[b"k!"] == (newer.create_rev, newer.create_rev)
    assert b"k!" in store.values


def test_conflict_is_what_a_second_claim_meets(store: FakeStore) -> None:
    """The fake store must refuse as the real one does, or these tests would show nothing."""
    claim = {"op": "set", "key": b"k!", "value": b"", "if_mod_rev": 0}

    store._apply(claim)

    assert isinstance(codec.error_of(store._apply(claim)), Conflict)
