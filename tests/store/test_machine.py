"""What the state machine promises beside the plain effects of its commands."""

import pytest

from raftcache.store.commands import (
    Batch,
    Command,
    Delete,
    Get,
    Incr,
    Operation,
    Range,
    Set,
    UnknownCommands,
    encode_commands,
)
from raftcache.store.machine import StateMachine, StoreLimits
from raftcache.store.results import (
    BatchResult,
    DeleteResult,
    Failure,
    GetResult,
    IncrResult,
    RangeResult,
    Result,
    SetResult,
)
from raftcache.store.writes import parse_integer


def apply(machine: StateMachine, *commands: Command) -> list[Result]:
    """Apply commands as the next entry."""
    return machine.apply(machine.last_applied + 1, encode_commands(list(commands)))


def machine_with(**values: bytes) -> StateMachine:
    """Return a machine in which these keys were set in turn, with a small past and answers."""
    machine = StateMachine(
        StoreLimits(page_bytes=1000, reply_bytes=3000, history_changes=5, digests=4)
    )
    for key, value in values.items():
        apply(machine, Set(key.encode(), value))
    return machine


def batch(machine: StateMachine, *ops: Operation) -> list[Result]:
    """Read a batch and return its results."""
    result = machine.read(Batch(ops))
    assert isinstance(result, BatchResult)
    return list(result.results)


def test_each_change_takes_the_next_revision_and_nothing_else_does() -> None:
    machine = StateMachine()

    results = apply(
        machine,
        Set(b"a", b"1"),
        Delete(b"missing"),
        Set(b"a", b"2", if_mod_rev=9),
        Incr(b"a"),
        Set(b"a", b"2"),
        Delete(b"a"),
    )

    assert results[0] == SetResult(1, True)
    assert results[1] == DeleteResult(0)
    assert isinstance(results[2], Failure)
    assert results[3:] == [IncrResult(2, 2), SetResult(3, False), DeleteResult(1)]
    assert machine.store_rev == 4


def test_a_key_that_returns_begins_anew() -> None:
    """A fence or a compare on ``create_rev`` must see that it is another key now."""
    machine = machine_with(a=b"1")
    apply(machine, Set(b"a", b"2"), Delete(b"a"), Set(b"a", b"3"))

    assert machine.read(Get(b"a")) == GetResult(True, b"3", 4, 4, 1)


def test_a_command_that_fails_changes_nothing() -> None:
    machine = machine_with(a=b"x")
    before = (machine.digest(), machine.store_rev, machine.data_bytes, machine.key_count)

    results = apply(
        machine,
        Incr(b"a"),
        Set(b"a", b"y", if_value=b"z"),
        Delete(b"a", if_mod_rev=7),
        Set(b"new", b"", if_mod_rev=1),
    )

    assert [result.error for result in results if isinstance(result, Failure)] == [
        "wrong_type",
        "conflict",
        "conflict",
        "conflict",
    ]
    assert before == (machine.digest(), machine.store_rev, machine.data_bytes, machine.key_count)


def test_both_conditions_must_hold() -> None:
    machine = machine_with(a=b"x")

    unmet = apply(
        machine,
        Set(b"a", b"y", if_mod_rev=1, if_value=b"z"),
        Set(b"a", b"y", if_mod_rev=2, if_value=b"x"),
    )

    assert [type(result) for result in unmet] == [Failure, Failure]
    assert apply(machine, Set(b"a", b"y", 1, b"x")) == [SetResult(2, False)]


def test_an_empty_value_is_a_value() -> None:
    machine = machine_with(a=b"")

    assert machine.read(Get(b"a")) == GetResult(True, b"", 1, 1, 1)
    assert apply(machine, Set(b"b", b"", if_value=b"")) == [
        Failure("conflict", _message(machine, Set(b"b", b"", if_value=b"")), mod_rev=0)
    ]
    assert apply(machine, Delete(b"a", if_value=b"", prev=True)) == [DeleteResult(1, b"", True)]


def _message(machine: StateMachine, command: Command) -> str:
    [failure] = apply(machine, command)
    assert isinstance(failure, Failure)
    return failure.message


@pytest.mark.parametrize(
    ("value", "integer"),
    [
        (b"0", 0),
        (b"7", 7),
        (b"-1", -1),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"", None),
        (b"-", None),
        (b"-0", None),
        (b"00", None),
        (b"+1", None),
        (b" 1", None),
        (b"1 ", None),
        (b"1\n", None),
        (b"1_000", None),
        (b"1.0", None),
        (b"1e3", None),
        (b"0x1", None),
        (b"--1", None),
        ("٣".encode(), None),
        ("²".encode(), None),
    ],
)
def test_only_canonical_decimals_are_integers(value: bytes, integer: int | None) -> None:
    """``int()`` takes much more, and what differs between releases of Python must not decide."""
    assert parse_integer(value) == integer


@pytest.mark.parametrize("value", [b"9223372036854775808", b"9" * 1000, b"-" + b"9" * 1000])
def test_a_number_too_large_for_64_bits_is_out_of_range(value: bytes) -> None:
    [result] = apply(machine_with(n=value), Incr(b"n", 0))

    assert isinstance(result, Failure)
    assert result.error == "out_of_range"


@pytest.mark.parametrize(("value", "by"), [(b"%d" % (2**63 - 1), 1), (b"%d" % -(2**63), -1)])
def test_incr_never_wraps_around(value: bytes, by: int) -> None:
    machine = machine_with(n=value)

    [result] = apply(machine, Incr(b"n", by))

    assert isinstance(result, Failure)
    assert result.error == "out_of_range"
    assert machine.read(Get(b"n")) == GetResult(True, value, 1, 1, 1)


def test_keys_are_ordered_bytewise() -> None:
    keys = [b"\x00", b"A", b"a", b"a\x00", b"aa", b"\xc3\xa4", b"\xff", b"\xff\xff"]
    machine = StateMachine()
    apply(machine, *(Set(key, b"") for key in reversed(keys)))

    result = machine.read(Range(b"", None, 100))

    assert isinstance(result, RangeResult)
    assert [item.key for item in result.items] == keys


def test_a_page_ends_at_its_bytes_but_is_never_empty() -> None:
    machine = machine_with(a=b"x" * 2000, b=b"x" * 400, c=b"x" * 400, d=b"x" * 400)

    pages = []
    start = b""
    more = True
    while more:
        page = machine.read(Range(start, None, 100, at_rev=4))
        assert isinstance(page, RangeResult)
        pages.append([item.key for item in page.items])
        start = page.items[-1].key + b"\x00"
        more = page.more

    assert pages == [[b"a"], [b"b", b"c"], [b"d"]]


def test_a_moment_that_is_no_longer_kept_is_refused_and_never_wrong() -> None:
    """At the last kept revision, one before and one after it (failure B16)."""
    machine = machine_with(a=b"1", b=b"2", c=b"3")
    apply(machine, *(Set(b"a", b"%d" % number) for number in range(4)))

    refused = machine.read(Range(b"", None, 10, at_rev=1))
    oldest = machine.read(Range(b"", None, 10, at_rev=2))
    later = machine.read(Range(b"", None, 10, at_rev=3))

    assert isinstance(refused, Failure)
    assert (refused.error, refused.oldest) == ("compacted", 2)
    assert isinstance(oldest, RangeResult)
    assert [item.key for item in oldest.items] == [b"a", b"b"]
    assert isinstance(later, RangeResult)
    assert [item.key for item in later.items] == [b"a", b"b", b"c"]


def test_the_past_is_bounded_in_bytes_too() -> None:
    machine = StateMachine(StoreLimits(history_bytes=1000))
    apply(machine, *(Set(b"a", b"x" * 300) for _ in range(10)))

    assert machine._keyspace.oldest_rev == 7
    assert machine._keyspace._history.size_bytes == 3 * 301


def test_a_moment_yet_to_come_is_refused() -> None:
    result = machine_with(a=b"1").read(Range(b"", None, 10, at_rev=2))

    assert isinstance(result, Failure)
    assert result.error == "bad_request"


def test_a_batch_can_not_answer_more_than_its_budget() -> None:
    """Reads behind it are refused one by one; writes are done and tell that prev is left out."""
    machine = machine_with(a=b"x" * 1400, b=b"y")

    results = apply(
        machine,
        Batch(
            (
                Get(b"a"),
                Get(b"a"),
                Get(b"a"),
                Set(b"a", b"z" * 1400, prev=True),
                Set(b"a", b"0", if_mod_rev=0),
                Delete(b"a", prev=True),
                Get(b"a"),
            )
        ),
    )

    [result] = results
    assert isinstance(result, BatchResult)
    first, second, third, write, conflict, delete, last = result.results
    assert (type(first), type(second)) == (GetResult, GetResult)
    assert isinstance(third, Failure)
    assert third.error == "too_large"
    assert write == SetResult(3, False, prev_omitted=True)
    assert isinstance(conflict, Failure)
    assert (conflict.mod_rev, conflict.value, conflict.value_omitted) == (3, None, True)
    assert delete == DeleteResult(1, prev_omitted=True)
    assert last == GetResult()


def test_a_batch_of_ranges_pays_for_every_item() -> None:
    """A thousand pages of a megabyte each would stall a server for seconds."""
    machine = machine_with(a=b"x" * 500, b=b"x" * 500, c=b"x" * 500)

    results = batch(machine, *(Range(b"", None, 100) for _ in range(100)))

    items = sum(len(result.items) for result in results if isinstance(result, RangeResult))
    refused = [result.error for result in results if isinstance(result, Failure)]
    assert items == 5
    assert set(refused) == {"too_large"}
    assert len(refused) > 90


def test_looking_back_is_paid_for_too() -> None:
    machine = StateMachine(StoreLimits(reply_bytes=3000))
    apply(machine, *(Set(b"a", b"") for _ in range(20)))

    results = batch(machine, *(Range(b"", None, 9, count_only=True, at_rev=0) for _ in range(9)))

    assert [type(result) for result in results] == [RangeResult] * 5 + [Failure] * 4


def test_the_budget_of_one_command_is_not_spent_by_another() -> None:
    machine = machine_with(a=b"x" * 2000)

    assert all(isinstance(machine.read(Get(b"a")), GetResult) for _ in range(3))
    results = apply(machine, *(Set(b"a", b"x" * 2000, prev=True) for _ in range(3)))
    assert [result.has_prev for result in results if isinstance(result, SetResult)] == [True] * 3


def test_entries_are_applied_in_order_and_once() -> None:
    machine = machine_with(a=b"1")
    data = encode_commands([Incr(b"a")])

    for index in (0, 1, 3):
        with pytest.raises(AssertionError, match="in order and once"):
            machine.apply(index, data)
    machine.apply_empty(2)

    assert (machine.last_applied, machine.store_rev) == (2, 1)
    assert machine.read(Get(b"a")) == GetResult(True, b"1", 1, 1, 1)


def test_an_unknown_entry_stops_the_machine_as_it_is() -> None:
    machine = machine_with(a=b"1")
    before = machine.digest()

    with pytest.raises(UnknownCommands):
        machine.apply(2, b"\x92\x02\x90")

    assert (machine.last_applied, machine.digest()) == (1, before)


def test_digests_are_kept_for_the_last_indexes() -> None:
    machine = machine_with()
    digests = [machine.digest()]
    for number in range(6):
        apply(machine, Set(b"a", b"%d" % number))
        digests.append(machine.digest())
    machine.apply_empty(7)

    assert [machine.digest_at(index) for index in range(9)] == [
        None,
        None,
        None,
        None,
        digests[4],
        digests[5],
        digests[6],
        digests[6],
        None,
    ]
    assert len(set(digests)) == 7


def test_the_digest_tells_states_apart_that_are_nearly_equal() -> None:
    """Swapped values, swapped order, moved bytes, one change more: each must be noticed."""
    logs: list[list[Command]] = [
        [Set(b"a", b"1"), Set(b"b", b"2")],
        [Set(b"a", b"2"), Set(b"b", b"1")],
        [Set(b"b", b"2"), Set(b"a", b"1")],
        [Set(b"b", b"1"), Set(b"a", b"2")],
        [Set(b"a1", b""), Set(b"b", b"2")],
        [Set(b"a", b"1"), Set(b"b2", b"")],
        [Set(b"a", b"1"), Set(b"b", b"2"), Set(b"c", b""), Delete(b"c")],
        [Set(b"a", b"1"), Set(b"b", b"2"), Set(b"b", b"2")],
        [Set(b"a", b"1"), Set(b"a", b"1"), Set(b"b", b"2")],
        [Set(b"a", b"1"), Delete(b"a"), Set(b"a", b"1"), Set(b"b", b"2")],
        [],
        [Set(b"a", b""), Delete(b"a")],
    ]
    digests = set()
    for log in logs:
        machine = StateMachine()
        for command in log:
            apply(machine, command)
        digests.add(machine.digest())

    assert len(digests) == len(logs)


def test_the_digest_is_the_same_in_every_release() -> None:
    """Nodes of two releases compare digests during an upgrade (failure E15)."""
    machine = StateMachine()
    apply(machine, Set(b"a", b"1"), Set(b"b", b"2"), Incr(b"a", 5), Delete(b"b"), Set(b"c", b""))

    assert f"{machine.digest():016x}" == "7373d6d3acbfee1b"


@pytest.mark.parametrize(
    "command", [Set(b"a", b""), Delete(b"a"), Incr(b"a"), Batch((Get(b"a"), Incr(b"a")))]
)
def test_a_command_is_never_taken_for_a_query(command: Command) -> None:
    machine = machine_with(a=b"1")

    with pytest.raises(AssertionError, match="goes through the log"):
        machine.read(command)  # type: ignore[arg-type] # the mistake in question

    assert machine.store_rev == 1
