"""Which node next, in virtual time: no sockets, no clock."""

import contextlib
import random

import pytest

from raftcache.client.patience import Options
from raftcache.client.routing import (
    Call,
    Kind,
    NotSent,
    Outcome,
    Refused,
    Routing,
    Send,
)
from raftcache.errors import (
    ERRORS_BY_CODE,
    Conflict,
    InternalError,
    NoLeader,
    OutcomeUnknown,
    Overloaded,
    RequestError,
    Timeout,
    Unreachable,
)

from .world import BOTH, DEADLINE_MS, DIES, DOWN, PAUSED, A, B, C, World, endpoints, no, ok


@BOTH
def test_the_leader_is_asked_when_it_is_known(kind: Kind) -> None:
    world = World(leader=B).at(B, ok(B))

    assert world.run(kind) == B
    assert world.log == [(0, B)]


@BOTH
def test_an_answer_teaches_who_leads(kind: Kind) -> None:
    world = World().at(A, ok(C)).at(C, ok(C))

    assert [world.run(kind), world.run(kind)] == [A, C]


@BOTH
def test_a_node_that_is_down_costs_no_deadline(kind: Kind) -> None:
    """What was never sent may go elsewhere, mutations too."""
    world = World().at(A, DOWN).at(B, DOWN).at(C, ok(C))

    assert world.run(kind) == C
    assert world.log == [(0, A), (1, B), (2, C)]


@BOTH
def test_a_hint_is_followed_at_once(kind: Kind) -> None:
    world = World().at(A, no("not_leader", C)).at(C, ok(C))

    assert world.run(kind) == C
    assert world.log == [(0, A), (1, C)]


@BOTH
def test_two_nodes_that_point_at_each_other_are_asked_ever_more_slowly(kind: Kind) -> None:
    """The redirects that take no time are few; what follows is spaced by backoff."""
    world = World().at(A, no("not_leader", B)).at(B, no("not_leader", A)).at(C, ok(C))

    with pytest.raises(RequestError) as caught:
        world.run(kind)

    assert caught.value.applied == "no"
    assert DEADLINE_MS - world.routing.options.last_try_ms <= world.now_ms <= DEADLINE_MS
    assert len(world.log) < 150


@BOTH
def test_no_leader_is_asked_again_until_there_is_one(kind: Kind) -> None:
    refused = no("no_leader")
    world = World().at(A, refused, refused, ok(A)).at(B, refused, refused).at(C, refused)

    assert world.run(kind) == A


@BOTH
def test_no_leader_till_the_deadline_is_a_definite_error(kind: Kind) -> None:
    world = World().at(A, no("no_leader")).at(B, no("no_leader")).at(C, no("no_leader"))

    with pytest.raises(NoLeader) as caught:
        world.run(kind)

    assert caught.value.applied == "no"
    assert DEADLINE_MS - world.routing.options.last_try_ms <= world.now_ms <= DEADLINE_MS


def test_silence_till_the_deadline_tells_what_each_node_did() -> None:
    """Whoever reads it wants to know where to look first."""
    world = World().at(A, PAUSED).at(B, no("no_leader")).at(C, DOWN)

    with pytest.raises(
        Timeout, match=r"no node answered .* \(tcp://a: no answer; tcp://c: refused;"
    ):
        world.run(Kind.READ)


def test_a_definite_no_is_not_risked_for_a_last_try() -> None:
    """A mutation sent at the last moment could end as unknown, though nothing was done so far."""
    world = World(leader=A).at(A, no("no_leader", A))
    world.routing.options = Options(backoff_ms=230, backoff_ms_max=250)

    with pytest.raises(NoLeader):
        world.run(Kind.MUTATION)

    assert world.log[-1][0] < DEADLINE_MS - world.routing.options.last_try_ms


def test_a_first_try_is_made_however_little_time_there_is() -> None:
    world = World(leader=A).at(A, ok(A))
    call = Call(world.routing, Kind.MUTATION, 10)

    assert isinstance(call.next_step(0), Send)


@BOTH
def test_overloaded_waits_as_long_as_it_is_told(kind: Kind) -> None:
    world = World(leader=A).at(A, no("overloaded", A, retry_after_ms=400), ok(A))

    world.run(kind)

    assert world.log == [(0, A), (401, A)]


@BOTH
def test_overloaded_till_the_deadline_says_so(kind: Kind) -> None:
    world = World(leader=A).at(A, no("overloaded", A, retry_after_ms=900))

    with pytest.raises(Overloaded):
        world.run(kind)


@BOTH
@pytest.mark.parametrize(
    "code", ["bad_request", "unsupported", "too_large", "conflict", "wrong_type", "no_space"]
)
def test_a_definite_refusal_is_raised_at_once(kind: Kind, code: str) -> None:
    world = World(leader=A).at(A, no(code, A))

    with pytest.raises(ERRORS_BY_CODE[code]):
        world.run(kind)

    assert world.log == [(0, A)]


@BOTH
def test_internal_is_raised_at_once(kind: Kind) -> None:
    world = World(leader=A).at(A, no("internal", A))

    with pytest.raises(InternalError):
        world.run(kind)

    assert world.log == [(0, A)]


@BOTH
def test_nobody_there_is_unreachable_and_names_each_node(kind: Kind) -> None:
    world = World().at(A, DOWN).at(B, DOWN).at(C, DOWN)

    with pytest.raises(Unreachable, match=f"{A}: refused; {B}: refused; {C}: refused"):
        world.run(kind)

    assert world.now_ms == DEADLINE_MS
    assert len(world.log) < 3 * DEADLINE_MS / 40, "the pauses grow to their bound"


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (DIES, OutcomeUnknown),
        (PAUSED, Timeout),
        (no("timeout"), Timeout),
        (no("overloaded", applied="unknown"), Overloaded),
    ],
)
def test_a_mutation_that_may_have_happened_is_sent_once(
    outcome: tuple[float, Outcome], error: type[RequestError]
) -> None:
    """A second sending could apply it twice (failure B6)."""
    world = World(leader=A).at(A, outcome, ok()).at(B, ok()).at(C, ok())

    with pytest.raises(error):
        world.run(Kind.MUTATION)

    assert world.log == [(0, A)]


def test_a_lost_connection_ends_a_mutation_at_once_and_not_at_the_deadline() -> None:
    world = World(leader=A).at(A, DIES)

    with pytest.raises(OutcomeUnknown) as caught:
        world.run(Kind.MUTATION)

    assert not isinstance(caught.value, Timeout)
    assert world.now_ms == 1


@pytest.mark.parametrize("outcome", [DIES, DOWN, PAUSED, no("timeout"), no("no_leader")])
def test_a_read_goes_elsewhere(outcome: tuple[float, Outcome]) -> None:
    world = World(leader=A).at(A, outcome).at(B, ok(B)).at(C, ok(B))

    assert world.run(Kind.READ) in {B, C}


def test_a_paused_leader_costs_a_read_no_more_than_its_first_wait() -> None:
    world = World(leader=A).at(A, PAUSED).at(B, ok(B))

    world.run(Kind.READ)

    assert world.log == [(0, A), (round(Options().silence_ms), B)]


def test_a_slow_cluster_is_given_more_time_at_each_silence() -> None:
    """Else a cluster that is merely slow would be asked for ever, and never heard."""
    slow = ok(None, after_ms=390)
    world = World().at(A, slow).at(B, slow).at(C, slow)

    world.run(Kind.READ)

    assert [
        round(send.answer_by_ms - at) for (at, _), send in zip(world.log, world.sends, strict=True)
    ] == [
        100,
        200,
        400,
    ]


def test_silence_till_the_deadline_is_a_timeout() -> None:
    world = World().at(A, PAUSED).at(B, PAUSED).at(C, PAUSED)

    with pytest.raises(Timeout):
        world.run(Kind.READ)

    assert world.now_ms == DEADLINE_MS


@BOTH
def test_the_node_is_told_less_time_than_this_side_waits(kind: Kind) -> None:
    """Its own word, perhaps a definite one, is to arrive before this side gives up."""
    world = World(leader=A).at(A, ok(A))

    world.run(kind)

    (send,) = world.sends
    assert 0 < send.timeout_ms < world.deadline_ms


def test_a_mutation_is_held_only_briefly_by_a_node_that_is_not_known_to_lead() -> None:
    """A node that is cut off from the majority would hold it until the deadline."""
    refused = Refused(NoLeader("no leader"), None)
    world = World().at(A, (900, refused)).at(B, ok(B))

    assert world.run(Kind.MUTATION) == B
    assert world.sends[0].timeout_ms == 900
    assert world.sends[0].answer_by_ms == DEADLINE_MS, "its word is awaited all the same"


def test_a_deadline_in_the_far_future_asks_for_no_more_than_the_protocol_allows() -> None:
    call = Call(Routing((A,)), Kind.MUTATION, deadline_ms=1e9, pinned=A)

    step = call.next_step(0)

    assert isinstance(step, Send)
    assert (step.timeout_ms, step.answer_by_ms) == (600_000, 1e9)


def test_a_leader_that_went_down_is_forgotten() -> None:
    world = World(leader=A).at(A, DOWN).at(B, no("no_leader"), ok(B)).at(C, no("no_leader"))

    assert world.run(Kind.MUTATION) == B
    assert world.routing.leader == B


def test_a_leader_hint_that_leads_nowhere_is_ignored_for_a_while() -> None:
    """Behind an address translation the hint can't be reached; the node hands requests on."""
    stranger = "tcp://10.0.0.1:7401"
    world = World().at(A, ok(stranger)).at(stranger, DOWN).at(B, ok(stranger)).at(C, ok(stranger))

    for _ in range(10):
        world.run(Kind.MUTATION)

    assert endpoints(world).count(stranger) == 1


def test_strangers_are_not_remembered_for_ever() -> None:
    world = World()

    for number in range(100):
        world.routing.on_trouble(f"tcp://10.0.0.1:{number}", now_ms=number)

    assert len(world.routing._health) == 1


def test_a_node_that_comes_back_is_healthy_at_its_first_answer() -> None:
    world = World().at(A, DOWN, ok(A)).at(B, DOWN).at(C, DOWN)

    assert world.run(Kind.READ) == A
    assert A not in world.routing._health


def test_what_many_calls_report_of_one_moment_counts_once() -> None:
    """A hundred calls on one lost connection are one failure, not a hundred."""
    once, often = World(), World()

    once.routing.on_trouble(A, 0)
    for _ in range(100):
        often.routing.on_trouble(A, 0)

    assert often.routing._health[A].failures == once.routing._health[A].failures == 1
    assert often.routing._health[A].retry_at_ms <= once.routing.options.backoff_ms


def test_a_question_about_one_node_goes_to_no_other() -> None:
    world = World(leader=A).at(B, DOWN, DIES, no("no_leader", A), ok(A))

    assert world.run(Kind.READ, pinned=B) == B
    assert set(endpoints(world)) == {B}


def test_a_question_about_a_node_that_is_gone_ends_at_the_deadline() -> None:
    world = World(leader=A).at(B, DOWN)

    with pytest.raises(Unreachable, match=B):
        world.run(Kind.READ, pinned=B)

    assert world.now_ms == DEADLINE_MS
    assert len(world.log) < 150


def test_clients_begin_at_different_nodes() -> None:
    first = {Routing((A, B, C), random=random.Random(seed)).choose(0)[0] for seed in range(20)}

    assert first == {A, B, C}


def test_a_conflict_keeps_what_it_carries() -> None:
    world = World(leader=A).at(A, no("conflict", A, mod_rev=4, value=b"v"))

    with pytest.raises(Conflict) as caught:
        world.run(Kind.MUTATION)

    assert (caught.value.mod_rev, caught.value.value) == (4, b"v")


@pytest.mark.parametrize("seed", range(200))
def test_any_weather_ends_by_the_deadline_and_sends_no_mutation_twice(seed: int) -> None:
    """Random outcomes for ever: the call ends in time, and after what is indefinite it is over."""
    chance = random.Random(seed)
    weather = [DOWN, DIES, PAUSED, no("no_leader"), no("not_leader", B), no("timeout"), ok()]
    world = World(leader=chance.choice([None, A, B]), seed=seed)
    for endpoint in (A, B, C):
        world.at(endpoint, *(chance.choice(weather) for _ in range(50)), DOWN)

    with contextlib.suppress(RequestError):
        world.run(Kind.MUTATION)

    assert world.now_ms <= DEADLINE_MS
    assert all(had_no_effect(outcome) for outcome in world.outcomes[:-1])


def had_no_effect(outcome: Outcome) -> bool:
    """Tell whether a request that ended so may be sent again."""
    return isinstance(outcome, NotSent) or (
        isinstance(outcome, Refused) and outcome.error.applied == "no"
    )
