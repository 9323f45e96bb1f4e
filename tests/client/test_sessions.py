"""The numbers and the lease of a session, in virtual time."""

import random

import pytest

from raftcache.client.sessions import WINDOW, Numbers, Session, State


def test_ack_passes_what_is_settled_and_nothing_else() -> None:
    numbers = Numbers()
    first, second, third = numbers.take(1), numbers.take(2), numbers.take(1)

    numbers.settle(second)
    assert numbers.ack == 0
    numbers.settle(first)
    assert numbers.ack == 3
    numbers.settle(third)
    assert numbers.ack == 4
    numbers.settle(numbers.take(0))
    assert numbers.ack == 4


def test_no_more_numbers_are_out_than_the_window_holds() -> None:
    numbers = Numbers()
    taken = [numbers.take(1) for _ in range(WINDOW)]

    assert numbers.free == 0
    assert taken[-1][0] == numbers.ack + WINDOW
    numbers.settle(taken[1])
    assert numbers.free == 0, "the oldest holds the window"
    numbers.settle(taken[0])
    assert numbers.free == 2


@pytest.mark.parametrize("seed", range(50))
def test_whatever_the_order_every_number_above_ack_that_was_settled_is_remembered(
    seed: int,
) -> None:
    chance, numbers = random.Random(seed), Numbers()
    out: list[range] = []
    settled: set[int] = set()
    for _ in range(2_000):
        if numbers.free and chance.random() < 0.55:
            out.append(numbers.take(min(numbers.free, chance.randrange(1, 40))))
        elif out:
            together = out.pop(chance.randrange(len(out)))
            numbers.settle(together)
            settled.update(together)
        assert all(together[0] > numbers.ack for together in out)
        assert numbers.ack + 1 not in settled
        assert set(range(1, numbers.ack + 1)) <= settled


def test_a_lease_is_counted_from_when_its_renewal_was_sent() -> None:
    """The answer may have been under way for long: then less is left than it seems."""
    session = Session(7, ttl_ms=900, renewed_ms=0)

    session.renewed(300)

    assert session.ends_at_ms() == 1_200
    assert session.at_risk_at_ms() == 900
    assert session.renew_at_ms() == 600


def test_a_renewal_that_is_answered_late_takes_nothing_back() -> None:
    session = Session(7, ttl_ms=900, renewed_ms=0)

    session.renewed(300)
    session.renewed(100)

    assert session.renewed_ms == 300


def test_a_lease_is_at_risk_before_it_is_lost() -> None:
    session = Session(7, ttl_ms=900, renewed_ms=0)

    told = [(at, session.state(at)) for at in (0, 599, 600, 899, 900)]

    assert told == [
        (0, State.CONNECTED),
        (599, State.CONNECTED),
        (600, State.SUSPENDED),
        (899, State.SUSPENDED),
        (900, State.LOST),
    ]


def test_what_is_lost_stays_lost() -> None:
    """Locks were given up by then: a late answer must not bring them back."""
    session = Session(7, ttl_ms=900, renewed_ms=0)

    session.state(900)
    session.renewed(850)

    assert session.state(900) is State.LOST


def test_the_changes_to_come_are_told() -> None:
    session = Session(7, ttl_ms=900, renewed_ms=0)

    assert session.next_change_ms(0) == 600
    assert session.next_change_ms(600) == 900
