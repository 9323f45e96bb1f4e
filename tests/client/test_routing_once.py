"""Writes that are numbered in a session: sent again until there is an answer, done once."""

import contextlib
import random

import pytest

from raftcache.client.patience import Options, Patience
from raftcache.client.routing import Call, Kind, Lost, Outcome, Refused, Send, Silent
from raftcache.errors import (
    Conflict,
    DefiniteError,
    InternalError,
    NoLeader,
    NoSpace,
    OutcomeUnknown,
    RequestError,
    SessionExpired,
    StaleSeq,
    Timeout,
    TooLarge,
    Unreachable,
)

from .world import DEADLINE_MS, DIES, DOWN, PAUSED, A, B, C, World, endpoints, no, ok

ELECTION_TIMEOUT_MS = 300


@pytest.mark.parametrize(
    "outcome",
    [DIES, DOWN, PAUSED, no("timeout"), no("no_leader"), no("overloaded", applied="unknown")],
)
def test_what_is_not_answered_is_sent_again_elsewhere(outcome: tuple[float, Outcome]) -> None:
    """The session tells the second sending from a second write (failure B6)."""
    world = World(leader=A).at(A, outcome).at(B, ok(B)).at(C, ok(B))

    assert world.run(Kind.ONCE) in {B, C}


@pytest.mark.parametrize("kind", [Kind.READ, Kind.ONCE])
def test_a_paused_leader_is_left_in_under_one_election_timeout(kind: Kind) -> None:
    world = World(leader=A).at(A, PAUSED).at(B, ok(B)).at(C, ok(B))

    world.run(kind)

    assert world.log == [(0, A), (100, B)]
    assert Options().silence_ms < ELECTION_TIMEOUT_MS / 2


def test_who_hears_of_a_new_leader_goes_there_at_once() -> None:
    """A follower that had handed it on to the old leader gives it back when that was replaced."""
    given_back = (150.0, no("timeout", C)[1])
    world = World(leader=A).at(A, PAUSED).at(B, given_back).at(C, ok(C))

    assert world.run(Kind.ONCE) == C
    assert world.log == [(0, A), (100, B), (250, C)]


def test_an_answer_to_an_earlier_sending_settles_the_call() -> None:
    world = World(leader=A)
    call = Call(world.routing, Kind.ONCE, DEADLINE_MS)
    call.next_step(0)
    call.settle(100, Silent(), A)
    call.next_step(100)

    assert call.settle(120, ok(A)[1], A)


def test_after_a_doubt_no_refusal_at_a_door_is_taken_for_the_outcome() -> None:
    """The first sending may have been done, though the second finds the disk full."""
    world = (
        World(leader=A).at(A, DIES).at(B, no("no_space", B), no("no_space", B), ok(B)).at(C, DOWN)
    )

    assert world.run(Kind.ONCE) == B


def test_without_a_doubt_a_refusal_is_the_outcome() -> None:
    world = World(leader=A).at(A, no("no_space", A))

    with pytest.raises(NoSpace):
        world.run(Kind.ONCE)


def test_the_store_s_own_word_is_the_outcome_of_all_sendings() -> None:
    """A conflict is recorded: the second sending gets the first one's."""
    world = World(leader=A).at(A, DIES).at(B, no("conflict", B)).at(C, DOWN)

    with pytest.raises(Conflict):
        world.run(Kind.ONCE)


@pytest.mark.parametrize(
    ("code", "error"),
    [("session_expired", SessionExpired), ("stale_seq", StaleSeq), ("internal", InternalError)],
)
def test_what_no_repetition_could_clear_up_is_raised_at_once(
    code: str, error: type[RequestError]
) -> None:
    world = World(leader=A).at(A, no(code, A))

    with pytest.raises(error):
        world.run(Kind.ONCE)

    assert world.log == [(0, A)]


def test_a_doubt_that_lasts_is_unknown_however_definite_the_last_refusal() -> None:
    world = World(leader=A).at(A, DIES, no("no_leader")).at(B, no("no_leader")).at(C, DOWN)

    with pytest.raises(Timeout, match="may have been done"):
        world.run(Kind.ONCE)

    assert world.now_ms == DEADLINE_MS, "in doubt the last moment is worth a try"


@pytest.mark.parametrize(("outcome", "error"), [(no("no_leader"), NoLeader), (DOWN, Unreachable)])
def test_what_was_never_in_doubt_is_definite(
    outcome: tuple[float, Outcome], error: type[RequestError]
) -> None:
    world = World().at(A, outcome).at(B, outcome).at(C, outcome)

    with pytest.raises(error):
        world.run(Kind.ONCE)


@pytest.mark.parametrize("seed", range(200))
def test_any_weather_ends_by_the_deadline_and_tells_doubt_from_certainty(seed: int) -> None:
    chance = random.Random(seed)
    weather = [DOWN, DIES, PAUSED, no("no_leader"), no("not_leader", B), no("timeout")]
    world = World(leader=chance.choice([None, A, B]), seed=seed)
    for endpoint in (A, B, C):
        world.at(endpoint, *(chance.choice(weather) for _ in range(50)), DOWN)

    error: RequestError | None = None
    with contextlib.suppress(OutcomeUnknown, DefiniteError):
        try:
            world.run(Kind.ONCE)
        except RequestError as caught:
            error = caught
            raise

    doubt = any(
        isinstance(outcome, Lost | Silent)
        or (isinstance(outcome, Refused) and outcome.error.applied != "no")
        for outcome in world.outcomes
    )
    assert world.now_ms <= DEADLINE_MS
    assert isinstance(error, OutcomeUnknown if doubt else DefiniteError)
    assert len(world.log) < 300


def test_who_needs_no_leader_is_not_sent_to_it() -> None:
    world = World(leader=C)
    call = Call(world.routing, Kind.READ, DEADLINE_MS, anyone=True)

    step = call.next_step(0)

    assert isinstance(step, Send)
    assert step.endpoint == A


# Patience


def test_patience_follows_the_times_of_answers_within_its_bounds() -> None:
    patience = Patience(100, 75, 2_000)

    assert patience.silence_ms == 100
    for _ in range(50):
        patience.learn(1)
    assert patience.silence_ms == 75
    for _ in range(50):
        patience.learn(300)
    assert 300 <= patience.silence_ms < 400
    for _ in range(50):
        patience.learn(60_000)
    assert patience.silence_ms == 2_000


def test_a_busy_cluster_is_given_time_after_its_first_slow_answer() -> None:
    patience = Patience(100, 75, 2_000)

    patience.learn(200)

    assert patience.silence_ms == 600


def test_what_was_asked_twice_teaches_nothing_of_times() -> None:
    """The answer may be that to either sending (Karn)."""
    world = World(leader=A).at(A, PAUSED).at(B, ok(B, after_ms=50))

    world.run(Kind.READ)

    assert world.routing.patience.silence_ms == Options().silence_ms


def test_endpoints_are_all_tried_in_turn() -> None:
    world = World().at(A, DIES).at(B, DIES).at(C, ok(C))

    world.run(Kind.ONCE)

    assert endpoints(world) == [A, B, C]


def test_a_definite_no_to_each_sending_ends_the_doubt() -> None:
    """A batch that is too large may take long to refuse: each node is silent, and then says no."""
    world = World(leader=A)
    call = Call(world.routing, Kind.ONCE, DEADLINE_MS)
    for endpoint in (A, B):
        step = call.next_step(world.now_ms)
        assert isinstance(step, Send)
        assert step.endpoint == endpoint
        world.now_ms += 100
        assert not call.settle(world.now_ms, Silent(), endpoint)
    _, refused = no("too_large", A)

    assert not call.settle(world.now_ms, refused, A)
    assert call.in_doubt, "what B was sent may be done yet"
    with pytest.raises(TooLarge):
        call.settle(world.now_ms, refused, B)


def test_a_no_to_one_sending_does_not_speak_of_a_lost_one() -> None:
    world = World(leader=A).at(A, DIES).at(B, no("no_space", A)).at(C, no("no_space", A))

    with pytest.raises(Timeout) as caught:
        world.run(Kind.ONCE)

    assert caught.value.applied == "unknown"
