"""Cluster time in the state machine: when keys go, and what else time does not touch."""

import pytest

from raftcache.store.commands import (
    COMMAND_VERSION,
    Batch,
    CheckDigest,
    Command,
    Delete,
    Expire,
    Get,
    Incr,
    IncrExpiring,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    UnknownCommands,
    encode_commands,
)
from raftcache.store.machine import EXPIRED_MAX, StateDiverged, StateMachine
from raftcache.store.records import NEVER
from raftcache.store.results import (
    BatchResult,
    ExpireResult,
    GetResult,
    RangeResult,
    Result,
    SetResult,
)


def at(machine: StateMachine, stamp_ms: int, *commands: Command) -> list[Result]:
    """Apply an entry that was made at ``stamp_ms``."""
    return machine.apply(machine.last_applied + 1, encode_commands(commands, stamp_ms))


def keys(machine: StateMachine, at_rev: int | None = None) -> list[bytes]:
    """Return the keys that are there, or were."""
    page = machine.read(Range(b"", None, 10_000, keys_only=True, at_rev=at_rev))
    assert isinstance(page, RangeResult)
    return [item.key for item in page.items]


def test_a_key_goes_with_the_first_entry_made_at_its_deadline_and_no_earlier() -> None:
    """Not by any server's own clock (failures B8, B9)."""
    machine = StateMachine()
    at(machine, 1_000, SetExpiring(b"a", b"1", 500))

    at(machine, 1_499)
    assert machine.read(Get(b"a")) == GetResult(True, b"1", 1, 1, 1, 1)
    at(machine, 1_500)
    assert machine.read(Get(b"a")) == GetResult()
    assert machine.next_deadline_ms == NEVER


def test_an_expiry_is_a_change_with_a_revision() -> None:
    """So a page of an earlier moment still shows the key, and a watch could tell of it."""
    machine = StateMachine()
    at(machine, 0, SetExpiring(b"a", b"1", 5), Set(b"b", b"2"))

    at(machine, 5)

    assert machine.store_rev == 3
    assert keys(machine) == [b"b"]
    assert keys(machine, at_rev=2) == [b"a", b"b"]


def test_what_is_due_goes_before_the_entry_s_own_commands() -> None:
    machine = StateMachine()
    at(machine, 0, SetExpiring(b"lock", b"first", 10))

    [taken] = at(machine, 10, Set(b"lock", b"second", if_mod_rev=0))

    assert taken == SetResult(3, True)


def test_keys_go_in_the_order_of_deadline_and_key() -> None:
    machine = StateMachine()
    at(machine, 0, *[SetExpiring(key, b"", ttl) for key, ttl in [(b"c", 5), (b"b", 5), (b"z", 4)]])

    at(machine, 9)

    assert [keys(machine, at_rev=rev) for rev in (3, 4, 5, 6)] == [
        [b"b", b"c", b"z"],
        [b"b", b"c"],
        [b"c"],
        [],
    ]


def test_an_entry_lets_a_thousand_go_and_the_next_one_the_rest() -> None:
    """However many are due at once, no turn of a server takes long."""
    machine = StateMachine()
    for first in range(0, EXPIRED_MAX + 3, 500):
        names = [b"%05d" % n for n in range(first, min(first + 500, EXPIRED_MAX + 3))]
        at(machine, 0, *[SetExpiring(name, b"", 7) for name in names])

    at(machine, 7)
    assert keys(machine) == [b"01000", b"01001", b"01002"]
    assert machine.next_deadline_ms == 7
    at(machine, 7)
    assert keys(machine) == []


@pytest.mark.parametrize(
    ("command", "ttl_ms"),
    [
        pytest.param(Set(b"a", b"2"), None, id="a plain set makes it stay"),
        pytest.param(SetExpiring(b"a", b"2", 9), 9, id="a set with a time to live begins anew"),
        pytest.param(Incr(b"a"), 50, id="incr leaves it as it is"),
        pytest.param(IncrExpiring(b"a", 1, 9), 50, id="incr's own is for a key that it creates"),
        pytest.param(Expire(b"a", 9), 9, id="expire gives it another"),
        pytest.param(Expire(b"a", None), None, id="expire takes it away"),
        pytest.param(Set(b"a", b"2", if_mod_rev=9), 50, id="what fails changes nothing"),
        pytest.param(Batch((Expire(b"a", 8), Expire(b"a", 7))), 7, id="the last one counts"),
    ],
)
def test_what_becomes_of_a_deadline(command: Command, ttl_ms: int | None) -> None:
    machine = StateMachine()
    at(machine, 0, SetExpiring(b"a", b"1", 60))

    at(machine, 10, command)

    found = machine.read(Get(b"a"))
    assert isinstance(found, GetResult)
    assert found.ttl_ms == ttl_ms


def test_a_key_that_incr_creates_expires() -> None:
    machine = StateMachine()
    at(machine, 100, IncrExpiring(b"hits", 1, 50), Incr(b"hits"))

    at(machine, 149)
    assert machine.read(Get(b"hits")) == GetResult(True, b"2", 2, 1, 2, 1)
    at(machine, 150)
    assert machine.read(Get(b"hits")) == GetResult()


def test_expire_takes_no_revision() -> None:
    """A condition on ``mod_rev`` that was read before must still hold after it."""
    machine = StateMachine()
    at(machine, 0, Set(b"a", b"1"))
    digest = machine.digest()

    results = at(machine, 0, Expire(b"a", 9), Expire(b"missing", 9))

    assert results == [ExpireResult(found=True), ExpireResult(found=False)]
    assert machine.store_rev == 1
    assert machine.digest() != digest, "the states differ, though their revisions do not"
    at(machine, 0, Expire(b"a", None))
    assert machine.digest() == digest


def test_a_read_counts_from_the_latest_time_that_the_server_heard_of() -> None:
    """And shows a key whose time is up until the entry that lets it go."""
    machine = StateMachine()
    at(machine, 1_000, SetExpiring(b"a", b"1", 500))

    for heard_ms, left_ms in ((0, 500), (1_200, 300), (9_000, 0)):
        machine.heard_ms = heard_ms
        found = machine.read(Get(b"a"))
        assert isinstance(found, GetResult)
        assert (found.found, found.ttl_ms) == (True, left_ms)


def test_what_a_server_has_heard_of_is_no_part_of_what_an_entry_does() -> None:
    machine = StateMachine()
    machine.heard_ms = 9_000

    [result] = at(machine, 100, Batch((SetExpiring(b"a", b"1", 500), Get(b"a"))))

    assert isinstance(result, BatchResult)
    assert result.results[1] == GetResult(True, b"1", 1, 1, 1, 500)


def test_a_deleted_key_leaves_no_deadline_behind() -> None:
    machine = StateMachine()
    at(machine, 0, SetExpiring(b"a", b"1", 5), Delete(b"a"), Set(b"a", b"2"))

    at(machine, 50)

    assert machine.read(Get(b"a")) == GetResult(True, b"2", 3, 3, 1)


def test_the_state_of_another_time_is_another_state() -> None:
    """Two servers that differ in nothing else would part at the next deadline."""
    early, late = StateMachine(), StateMachine()
    at(early, 1, Set(b"a", b"1"))
    at(late, 2, Set(b"a", b"1"))

    assert early.digest() != late.digest()


def test_the_version_rises_and_never_falls() -> None:
    machine = StateMachine()
    assert machine.command_version == 1
    digest = machine.digest()

    at(machine, 0, RaiseVersion(COMMAND_VERSION), RaiseVersion(1))

    assert machine.command_version == COMMAND_VERSION
    assert machine.digest() != digest


def test_a_server_that_does_not_know_the_next_version_stops() -> None:
    """It says so before the first entry that it could not read."""
    machine = StateMachine()

    with pytest.raises(UnknownCommands, match="run a newer release on this node"):
        at(machine, 0, RaiseVersion(COMMAND_VERSION + 1))


def test_a_digest_that_is_right_or_no_longer_kept_passes() -> None:
    machine = StateMachine()
    at(machine, 0, Set(b"a", b"1"))
    right = machine.digest()

    at(machine, 0, Set(b"a", b"2"), CheckDigest(1, right))
    for _ in range(1_100):
        at(machine, 0)
    at(machine, 0, CheckDigest(1, right ^ 1))


def test_a_server_whose_state_had_another_digest_stops() -> None:
    machine = StateMachine()
    at(machine, 0, Set(b"a", b"1"))
    wrong = machine.digest() ^ 1

    with pytest.raises(StateDiverged, match="after entry 1"):
        at(machine, 0, CheckDigest(1, wrong))
