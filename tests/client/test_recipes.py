"""Who holds what: recipes step by step, in any order, against a store in memory."""

import random

import pytest

from raftcache.client import Fenced, codec
from raftcache.client.recipes.queue import Held, LeaseLost, Queue
from raftcache.client.recipes.steps import Forget, NeedSession
from raftcache.client.sessions import Session
from raftcache.errors import OutcomeUnknown, RequestError

from .actor import Actor
from .fake_node import Request
from .fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def enter(store: FakeStore, queue: Queue, timeout: float | None = None) -> Actor:
    return Actor(store, lambda: queue.enter(timeout))


def test_a_free_lock_is_taken_and_given_back(store: FakeStore) -> None:
    queue = Queue("lock", "l")
    actor = enter(store, queue)

    held = actor.run()

    assert held.fence.key in store.values
    assert store.bound[held.fence.key] == actor.session.id
    held.check()
    actor.begin_again(lambda: queue.leave(held)).run()
    assert store.values == {}
    assert (held.lost, held.at_risk, held.remaining) == (True, True, 0.0)
    with pytest.raises(LeaseLost, match="given back"):
        held.check()


def test_who_gets_no_place_in_time_leaves_nothing_behind(store: FakeStore) -> None:
    """A contender who stays would keep others waiting for ever."""
    queue = Queue("lock", "l")
    held = enter(store, queue).run()

    assert enter(store, queue, timeout=0).run() is None
    assert set(store.values) == {held.fence.key}


def test_nobody_is_overtaken(store: FakeStore) -> None:
    queue = Queue("lock", "l")
    first = enter(store, queue)
    held = first.run()
    second = enter(store, queue)
    assert second.run() is None
    assert enter(store, queue, timeout=0).run() is None

    first.begin_again(lambda: queue.leave(held)).run()

    assert enter(store, queue, timeout=0).run() is None, "the second was there before"
    assert second.run() is not None


def test_a_holder_who_dies_goes_with_his_session(store: FakeStore) -> None:
    queue = Queue("lock", "l")
    first = enter(store, queue)
    held = first.run()
    second = enter(store, queue)
    second.run()

    store.expire(first.session.id)

    assert isinstance(second.run(), Held)
    with pytest.raises(Fenced):
        raise codec.error_of(store._apply(_write("k", held)))
    assert store._apply(_write("k", second.result))["mod_rev"] > 0


def _write(key: str, held: Held) -> Request:
    fence = {"key": held.fence.key, "create_rev": held.fence.create_rev}
    return {"op": "set", "key": key.encode(), "value": b"v", "fence": fence}


def test_a_waiting_session_that_ends_is_told_so(store: FakeStore) -> None:
    queue = Queue("lock", "l")
    enter(store, queue).run()
    second = enter(store, queue)
    second.run()
    third = enter(store, queue)
    third.run()

    store.expire(second.session.id)
    second._advance(lambda: second._steps.send(None))

    with pytest.raises(LeaseLost, match="while this waited"):
        second.run()
    assert third.run() is None, "the holder is still there"


def test_a_contender_whose_write_is_in_doubt_is_taken_back(store: FakeStore) -> None:
    """Failures of this kind leave locks that nobody holds and nobody gets."""
    queue = Queue("lock", "l")
    actor = enter(store, queue)

    def in_doubt(request: Request) -> RequestError | None:
        if request["op"] != "set":
            return None
        store._answer(request)
        return OutcomeUnknown("no answer")

    actor.fails = in_doubt
    with pytest.raises(OutcomeUnknown):
        actor.run()

    assert store.values == {}
    assert not actor.session.ended


def test_a_contender_that_can_not_be_taken_back_goes_with_the_session(store: FakeStore) -> None:
    queue = Queue("lock", "l")
    actor = enter(store, queue)

    def nothing_is_answered(request: Request) -> RequestError | None:
        if request["op"] == "set":
            store._answer(request)
        return OutcomeUnknown("no answer")

    actor.fails = nothing_is_answered
    with pytest.raises(OutcomeUnknown):
        actor.run()

    assert actor.session.ended
    assert store.values == {}


def test_after_a_holder_who_did_not_give_it_back_the_next_one_waits(store: FakeStore) -> None:
    queue = Queue("lock", "l", delay=15)
    dies = enter(store, queue)
    dies.run()
    store.expire(dies.session.id)

    second = enter(store, queue)
    held = second.run()
    assert second.paused == [15]
    second.begin_again(lambda: queue.leave(held)).run()

    third = enter(store, queue)
    third.run()
    assert third.paused == []


def test_a_leader_is_known_by_his_label(store: FakeStore) -> None:
    queue = Queue("election", "e", label="ada")

    assert Actor(store, queue.first).run() is None
    enter(store, queue).run()
    enter(store, Queue("election", "e", label="bob")).run()

    assert Actor(store, queue.first).run() == b"ada"


@pytest.mark.parametrize("name", ["", "a/b"])
def test_names_that_would_mix_with_others_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Queue("lock", name)


@pytest.mark.parametrize("places", [1, 3])
@pytest.mark.parametrize("seed", range(60))
def test_in_any_order_no_more_hold_than_there_are_places_and_all_get_one(
    places: int, seed: int, store: FakeStore
) -> None:
    """Some die while they wait or hold; nobody waits for them longer than their sessions."""
    chance = random.Random(seed)
    queue = Queue("semaphore", "s", places=places)
    actors = [enter(store, queue) for _ in range(12)]
    holders: dict[Actor, Held] = {}
    served: list[int] = []
    dead: set[Actor] = set()

    while able := [
        actor for actor in actors if actor not in dead and (actor in holders or actor.may_go_on)
    ]:
        actor = chance.choice(able)
        if actor not in holders and actor.may_go_on:
            actor.step()
            if actor.done and isinstance(actor.result, Held) and actor.result is not None:
                holders[actor] = actor.result
                served.append(actor.result.fence.create_rev)
                actor.result = None
        elif chance.random() < 0.3:
            held = holders.pop(actor)
            if chance.random() < 0.3:
                dead.add(actor)
                store.expire(actor.session.id)
            else:
                leaving = held
                actor.begin_again(lambda leaving=leaving: queue.leave(leaving)).run()  # type: ignore[misc]
        assert len(holders) <= places

    assert len(served) == 12
    if places == 1:
        assert served == sorted(served), "in the order in which they came"
    assert store.bound == {}


@pytest.mark.parametrize("delay", [-1.0, float("nan"), float("inf")])
def test_a_delay_that_is_none_is_refused(delay: float) -> None:
    with pytest.raises(ValueError, match="delay"):
        Queue("lock", "l", delay=delay)


def test_who_is_interrupted_twice_gives_his_session_up() -> None:
    """The second Ctrl-C hits the clearing away: the key would stay as long as the program."""
    session = Session(7, 1e15, 0)
    steps = Queue("lock", "l").enter(None)
    assert isinstance(next(steps), NeedSession)
    assert steps.send(session).op == "set"  # type: ignore[union-attr]
    assert steps.throw(KeyboardInterrupt()).op == "delete"  # type: ignore[union-attr]

    assert steps.throw(KeyboardInterrupt()) == Forget(session)
    with pytest.raises(KeyboardInterrupt):
        steps.send(None)
