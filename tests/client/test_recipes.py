"""Who holds what: recipes step by step, in any order, against a store in memory."""

import random
from collections.abc import Callable, Generator
from typing import Any

import pytest

from raftcache.client import Conflict, Fenced, codec
from raftcache.client.calls import Plan
from raftcache.client.recipes.caching import Caching, Found
from raftcache.client.recipes.queue import Held, LeaseLost, Queue
from raftcache.client.recipes.steps import Changed, Forget, NeedSession, Pause, Step
from raftcache.client.sessions import Session
from raftcache.errors import OutcomeUnknown, RequestError

from .fake_node import Request
from .fake_store import FakeStore

FOR_EVER_MS = 1e15


class Actor:
    """One program that takes the steps of a recipe, whenever it is let."""

    def __init__(self, store: FakeStore, steps: Callable[[], Generator[Step, Any, Any]]) -> None:
        self.store = store
        opened = store._answer({"op": "session_open"})
        assert opened is not None
        self.session = Session(opened["session"], FOR_EVER_MS, 0)
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.paused: list[float] = []
        self.fails: Callable[[Request], RequestError | None] = lambda _request: None
        self._begin = steps
        self._steps = steps()
        self._next: Step | None = next(self._steps)

    def begin_again(self, steps: Callable[[], Generator[Step, Any, Any]]) -> "Actor":
        """Begin another recipe."""
        self.done, self._steps = False, steps()
        self._advance(lambda: next(self._steps))
        return self

    @property
    def may_go_on(self) -> bool:
        """Whether there is a step that can be taken now."""
        if self.done:
            return False
        waits = self._next
        if not isinstance(waits, Changed):
            return True
        return any(
            event["rev"] >= waits.from_rev
            and (
                event["key"] == waits.key
                or (waits.prefix is not None and event["key"].startswith(waits.prefix))
            )
            for event in self.store.events
        )

    def step(self) -> None:
        """Take one step."""
        step = self._next
        match step:
            case NeedSession():
                self._advance(lambda: self._steps.send(self.session))
            case Plan():
                self._ask(step)
            case Forget(session=session):
                session.ended = True
                self.store.expire(session.id)
                self._advance(lambda: self._steps.send(None))
            case Pause(seconds=seconds):
                self.paused.append(seconds)
                self._advance(lambda: self._steps.send(None))
            case _:
                self._advance(lambda: self._steps.send(None))

    def run(self) -> Any:
        """Take all steps; return the result."""
        while self.may_go_on:
            self.step()
        if self.error is not None:
            raise self.error
        return self.result

    def _ask(self, plan: Plan[Any]) -> None:
        request = {"op": plan.op, "session": self.session.id, "ack": 0, **plan.fields}
        error = self.fails(request)
        if error is None:
            reply = self.store._answer(request)
            assert reply is not None
            reply = {"ok": True, **reply}
            if reply["ok"]:
                self._advance(lambda: self._steps.send(plan.read(reply)))
                return
            error = codec.error_of(reply)
        failed = error
        self._advance(lambda: self._steps.throw(failed))

    def _advance(self, resume: Callable[[], Step]) -> None:
        try:
            self._next = resume()
        except StopIteration as stop:
            self.done, self.result = True, stop.value
        except RequestError as error:
            self.done, self.error = True, error
        except LeaseLost as error:
            self.done, self.error = True, error


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
    actor.begin_again(lambda: queue.leave(held)).run()
    assert store.values == {}


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


# What a function returned


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


def test_conflict_is_what_a_second_claim_meets(store: FakeStore) -> None:
    """The fake store must refuse as the real one does, or these tests would show nothing."""
    claim = {"op": "set", "key": b"k!", "value": b"", "if_mod_rev": 0}

    store._apply(claim)

    assert isinstance(codec.error_of(store._apply(claim)), Conflict)
