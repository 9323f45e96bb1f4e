"""Fences, transactions, whole ranges that go, keys that slide, and eviction, one by one."""

import pytest

from raftcache.store.commands import (
    Batch,
    Command,
    Compare,
    Delete,
    DeleteRange,
    Evict,
    Expire,
    Fenced,
    Get,
    Incr,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    SetFully,
    Step,
    Touch,
    Txn,
)
from raftcache.store.machine import StateMachine, StoreLimits
from raftcache.store.records import DELETE, EVICT, EXPIRE, SET
from raftcache.store.results import (
    BatchResult,
    DeleteRangeResult,
    DeleteResult,
    Failure,
    GetResult,
    IncrResult,
    RangeResult,
    SetResult,
    TxnResult,
)
from raftcache.store.transactions import DELETED_MAX

from .snapshots import Entry, assert_same, machine_of, numbered, rest_of, restored, slices_of
from .test_expiry import at, keys


def ttl_of(machine: StateMachine, key: bytes) -> int | None:
    """Return what a key has left to live."""
    found = machine.read(Get(key))
    assert isinstance(found, GetResult)
    return found.ttl_ms


def kinds(machine: StateMachine) -> list[tuple[int, bytes, int]]:
    """Return what happened: revision, key and kind of each change."""
    return [(c.rev, c.key, c.kind) for c in machine._keyspace.changes_after(0)]


def failed(result: object) -> tuple[str, str]:
    """Return the code and the message of a failure."""
    assert isinstance(result, Failure)
    return result.error, result.message


def test_a_write_behind_a_fence_is_done_while_its_key_stands() -> None:
    """Its value may change; deleted and made anew it is another key."""
    machine = machine_of([[Set(b"lock", b"me")], [Set(b"lock", b"me, later")]])

    assert at(machine, 0, Fenced(b"lock", 1, Set(b"a", b"1"))) == [SetResult(3, True)]
    at(machine, 0, Delete(b"lock"))
    [gone] = at(machine, 0, Fenced(b"lock", 1, Set(b"a", b"2")))
    at(machine, 0, Set(b"lock", b"you"))
    [other] = at(machine, 0, Fenced(b"lock", 1, Set(b"a", b"2")))

    assert failed(gone)[0] == failed(other)[0] == "fenced"
    assert "is gone" in failed(gone)[1]
    assert "made anew, at 5" in failed(other)[1]
    assert machine.read(Get(b"a")) == GetResult(True, b"1", 3, 3, 1)


def test_a_fence_is_judged_when_the_command_is_done() -> None:
    """Not when it was sent: what comes before it in the same entry counts (failure B6)."""
    machine = machine_of([[Set(b"lock", b"me")]])

    results = at(machine, 0, Delete(b"lock"), Fenced(b"lock", 1, Incr(b"n")))

    assert failed(results[1])[0] == "fenced"


def test_a_whole_batch_stands_behind_a_fence_or_each_of_its_operations() -> None:
    machine = machine_of([[Set(b"lock", b"me")]])
    ops = (Delete(b"lock"), Fenced(b"lock", 1, Incr(b"n")), Incr(b"n"))

    [batch, again] = at(machine, 0, Fenced(b"lock", 1, Batch(ops)), Fenced(b"lock", 1, Batch(ops)))

    assert isinstance(batch, BatchResult)
    assert batch.results[0] == DeleteResult(1)
    assert failed(batch.results[1])[0] == "fenced"
    assert batch.results[2] == IncrResult(1, 3)
    assert failed(again)[0] == "fenced"


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        (Compare(b"a", "value", "=", b"m"), True),
        (Compare(b"a", "value", "!=", b"m"), False),
        (Compare(b"a", "value", "<", b"n"), True),
        (Compare(b"a", "value", ">", b"lzz"), True),
        (Compare(b"a", "mod_rev", "=", 3), True),
        (Compare(b"a", "create_rev", "<", 2), True),
        (Compare(b"a", "key_version", ">", 2), False),
        (Compare(b"a", "exists", "=", True), True),
        (Compare(b"a", "exists", "!=", True), False),
        (Compare(b"missing", "exists", "=", False), True),
        (Compare(b"missing", "mod_rev", "=", 0), True),
        (Compare(b"missing", "key_version", "<", 1), True),
        (Compare(b"missing", "value", "=", b""), False),
        (Compare(b"missing", "value", "!=", b"m"), False),
        (Compare(b"missing", "value", "<", b"m"), False),
    ],
)
def test_a_comparison_holds_or_does_not(compare: Compare, holds: bool) -> None:  # noqa: FBT001 - a table's column
    machine = machine_of([[Set(b"a", b"l"), Set(b"b", b""), Set(b"a", b"m")]])

    [done] = at(machine, 0, Txn((compare,), (Incr(b"then"),), (Incr(b"else"),)))

    assert done == TxnResult(holds, [IncrResult(1, 4)])
    assert machine.read(Get(b"then" if holds else b"else")) == GetResult(True, b"1", 4, 4, 1)


@pytest.mark.parametrize("there", [(), (b"a",), (b"b",), (b"a", b"b")])
def test_all_comparisons_of_a_transaction_must_hold(there: tuple[bytes, ...]) -> None:
    """Whichever of them does not."""
    machine = machine_of([[Set(key, b"1")] for key in there])
    compares = (Compare(b"a", "exists", "=", True), Compare(b"b", "exists", "=", True))

    [done] = at(machine, 0, Txn(compares, (Incr(b"then"),), (Incr(b"else"),)))

    assert isinstance(done, TxnResult)
    assert done.succeeded == (there == (b"a", b"b"))
    assert keys(machine) == [*there, b"then" if done.succeeded else b"else"]


def test_all_changes_of_a_transaction_share_a_revision_and_see_each_other() -> None:
    machine = machine_of([[Set(b"a", b"1"), Set(b"gone", b"")]])
    steps: tuple[Step, ...] = (
        Set(b"b", b"2"),
        Incr(b"b"),
        Delete(b"gone"),
        Get(b"b"),
        Range(b"", None, 9, keys_only=True),
        Set(b"gone", b"back", if_mod_rev=0),
    )

    [done] = at(machine, 0, Txn((), steps, ()))

    assert isinstance(done, TxnResult)
    page = done.results.pop(4)
    assert isinstance(page, RangeResult)
    assert ([item.key for item in page.items], page.at_rev) == ([b"a", b"b"], 3)
    assert done == TxnResult(
        True,
        [
            SetResult(3, True),
            IncrResult(3, 3),
            DeleteResult(1),
            GetResult(True, b"3", 3, 3, 2),
            SetResult(3, True),
        ],
    )
    assert machine.store_rev == 3
    assert machine.read(Get(b"gone")) == GetResult(True, b"back", 3, 3, 1)
    assert kinds(machine)[2:] == [(3, b"b", SET), (3, b"gone", SET)]
    assert keys(machine, at_rev=2) == [b"a", b"gone"]


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (Set(b"a", b"", if_mod_rev=0), "conflict"),
        (Incr(b"a"), "wrong_type"),
        (Incr(b"n", -(2**63)), "out_of_range"),
        (SetFully(b"a", b"", None, False, 7), "session_expired"),
        (Range(b"", None, 9, at_rev=1), "bad_request"),
    ],
)
def test_an_operation_that_fails_undoes_its_transaction(failing: Step, error: str) -> None:
    """Nothing of it was ever there: no revision, no deadline, no past."""
    entries: list[list[Command]] = [[Set(b"a", b"x"), SetExpiring(b"t", b"", 90), Incr(b"n", -1)]]
    machine, twin = machine_of(entries), machine_of(entries)
    doing = (Set(b"a", b"y"), Delete(b"t"), Set(b"new", b""), Expire(b"n", 5), failing)

    [done] = at(machine, 7, Txn((), doing, ()))
    at(twin, 7)

    assert failed(done)[0] == error
    assert failed(done)[1].startswith("`then[4]`: ")
    assert_same(machine, twin)


def test_a_transaction_that_fails_leaves_a_snapshot_meanwhile_as_it_was() -> None:
    """And so does one that succeeds (failure D13)."""
    entries: list[Entry] = [*numbered(50), [SetExpiring(b"k00049", b"", 10**6)]]
    machine = machine_of(entries)
    run = machine.begin_snapshot()
    slices = [run.next_slice(400)]
    touched = (Expire(b"k00049", 5), DeleteRange(b"k00000", b"k00030"), Set(b"k00040", b"!"))
    for compare in (Compare(b"k00001", "exists", "=", False), Compare(b"x", "exists", "=", False)):
        at(machine, machine.time_ms, Txn((compare,), touched, (*touched, Incr(b"k00041"))))
    slices += rest_of(run, 400)

    assert_same(restored([data for data in slices if data]), machine_of(entries))


def test_what_comes_and_goes_in_a_transaction_takes_its_revision() -> None:
    """Its operations have told that revision, so it must be one (failure B17)."""
    machine = StateMachine()

    [done] = at(machine, 0, Txn((), (Set(b"a", b""), Delete(b"a")), ()))

    assert done == TxnResult(True, [SetResult(1, True), DeleteResult(1)])
    assert machine.store_rev == 1
    assert kinds(machine) == [(1, b"a", DELETE)]
    assert keys(machine, at_rev=0) == keys(machine) == []
    assert_same(restored(slices_of(machine)), machine)


def test_whatever_a_transaction_changes_takes_one_revision() -> None:
    """Also what goes behind what is set, and what was never there before or after."""
    machine = machine_of([[Set(key, b"") for key in (b"a", b"b", b"c", b"d")]])
    steps: tuple[Step, ...] = (
        Delete(b"b"),
        Set(b"a", b"1"),
        DeleteRange(b"c", b"d"),
        Set(b"e", b""),
        Delete(b"e"),
        Delete(b"d"),
    )

    at(machine, 0, Txn((), steps, ()))

    assert machine.store_rev == 5
    assert sorted(kinds(machine)[4:]) == [
        (5, b"a", SET),
        (5, b"b", DELETE),
        (5, b"c", DELETE),
        (5, b"d", DELETE),
        (5, b"e", DELETE),
    ]
    assert keys(machine, at_rev=4) == [b"a", b"b", b"c", b"d"]
    assert keys(machine) == [b"a"]


def test_a_transaction_that_only_reads_takes_no_revision() -> None:
    machine = machine_of([[Set(b"a", b"1")]])

    [done] = at(machine, 0, Txn((), (Get(b"a"), Expire(b"a", 50), DeleteRange(b"b", None)), ()))

    assert isinstance(done, TxnResult)
    assert machine.store_rev == 1
    assert ttl_of(machine, b"a") == 50


def test_the_answer_of_a_transaction_is_bounded_alike_on_every_server() -> None:
    """A limit of one server's own must not decide whether it is done (failure B10)."""
    values = [Set(b"%d" % n, b"v" * 10**6) for n in range(5)]
    reads = tuple(Get(b"%d" % n) for n in range(5))
    states = []
    for limits in (StoreLimits(), StoreLimits(reply_bytes=100, page_bytes=100)):
        machine = machine_of([list(values)], limits)
        [few, many] = at(
            machine, 0, Txn((), (Incr(b"n"), *reads[:4]), ()), Txn((), (Incr(b"n"), *reads), ())
        )
        assert isinstance(few, TxnResult)
        assert failed(many)[0] == "too_large"
        states.append(machine.digest())

    assert states[0] == states[1]


@pytest.mark.parametrize("changes_max", [1, 4, 5, 100])
def test_the_past_is_forgotten_by_whole_revisions(changes_max: int) -> None:
    """So no page is of half a transaction, before a snapshot and after it (failure B16)."""
    machine = StateMachine(StoreLimits(history_changes=changes_max))
    at(machine, 0, RaiseVersion(3), *[Set(b"%d" % n, b"") for n in range(4)])
    at(machine, 0, DeleteRange(b"0", b"3"), Set(b"9", b""), DeleteRange(b"3", None))

    copy = restored(slices_of(machine, 256), StoreLimits(history_changes=changes_max))

    assert_same(copy, machine)
    oldest = machine._keyspace.oldest_rev
    assert oldest == {1: 7, 4: 5, 5: 5, 100: 0}[changes_max]
    pages = {4: [b"0", b"1", b"2", b"3"], 5: [b"3"], 6: [b"3", b"9"], 7: []}
    for rev in range(max(4, oldest), 8):
        assert keys(machine, at_rev=rev) == pages[rev]
    [too_old] = [machine.read(Range(b"", None, 9, at_rev=oldest - 1))] if oldest else [None]
    assert too_old is None or failed(too_old)[0] == "compacted"


def test_a_range_that_goes_goes_at_one_revision() -> None:
    machine = machine_of(numbered(5))
    at(machine, 0, RaiseVersion(3))

    assert at(machine, 0, DeleteRange(b"k00001", b"k00003")) == [DeleteRangeResult(2)]
    assert at(machine, 0, DeleteRange(b"k00001", b"k00003")) == [DeleteRangeResult(0)]

    assert keys(machine) == [b"k00000", b"k00003", b"k00004"]
    assert kinds(machine) == [(6, b"k00001", DELETE), (6, b"k00002", DELETE)]


def test_ranges_of_one_request_take_away_so_many_keys_and_no_more() -> None:
    """However many there are, no turn of a server takes long."""
    machine = machine_of(numbered(DELETED_MAX + 2))

    [all_of_it] = at(machine, 0, DeleteRange(b"", None))
    [batch] = at(
        machine,
        0,
        Batch((DeleteRange(b"k00000", b"k00002"), DeleteRange(b"", None), Delete(b"k00002"))),
    )
    [rest] = at(machine, 0, DeleteRange(b"", None))

    assert failed(all_of_it)[0] == "too_large"
    assert "10002 keys" in failed(all_of_it)[1]
    assert isinstance(batch, BatchResult)
    assert failed(batch.results[1])[0] == "too_large"
    assert rest == DeleteRangeResult(DELETED_MAX - 1)


def test_a_key_that_slides_lives_on_from_its_last_touch() -> None:
    machine = StateMachine()
    at(machine, 1_000, SetFully(b"a", b"1", 500, True, None))

    at(machine, 1_400, Touch(b"a", 1))
    at(machine, 1_899)
    assert ttl_of(machine, b"a") == 1
    at(machine, 1_900)
    assert machine.read(Get(b"a")) == GetResult()
    assert kinds(machine) == [(1, b"a", SET), (2, b"a", EXPIRE)]


def test_a_touch_of_what_was_written_since_does_nothing() -> None:
    """It speaks of another value; and what does not slide does not begin to."""
    machine = StateMachine()
    at(machine, 0, SetFully(b"a", b"1", 500, True, None), SetFully(b"a", b"2", 500, True, None))
    at(machine, 0, SetExpiring(b"fixed", b"", 500), Set(b"stays", b""))

    at(machine, 100, Touch(b"a", 1), Touch(b"fixed", 3), Touch(b"stays", 4), Touch(b"no", 1))

    assert [ttl_of(machine, key) for key in (b"a", b"fixed", b"stays")] == [400, 400, None]


@pytest.mark.parametrize(
    ("command", "left_ms"),
    [
        pytest.param(Incr(b"a"), 60, id="incr leaves it as it is"),
        pytest.param(Expire(b"a", 40), 40, id="expire gives it another time"),
        pytest.param(Expire(b"a", None), None, id="expire takes it away"),
        pytest.param(Set(b"a", b"2"), None, id="a plain set clears it"),
        pytest.param(SetExpiring(b"a", b"2", 500), 450, id="a plain time does not slide"),
        pytest.param(SetFully(b"a", b"2", 70, True, None), 70, id="a set that slides begins anew"),
        pytest.param(SetFully(b"a", b"2", 500, False, None), 450, id="or does not slide"),
    ],
)
def test_what_becomes_of_the_sliding(command: Command, left_ms: int | None) -> None:
    machine = StateMachine()
    at(machine, 0, SetFully(b"a", b"1", 60, True, None))
    at(machine, 0, command)
    found = machine.read(Get(b"a"))
    assert isinstance(found, GetResult)

    at(machine, 30, Touch(b"a", found.mod_rev))
    if left_ms in {40, 60, 70}:
        assert ttl_of(machine, b"a") == left_ms
        return
    at(machine, 50)
    assert ttl_of(machine, b"a") == left_ms


def test_an_eviction_is_of_what_was_seen() -> None:
    """A key that was written since stays: someone needs it."""
    machine = StateMachine()
    at(machine, 0, Set(b"a", b"1"), Set(b"b", b"1"), Set(b"b", b"2"))

    at(machine, 0, Evict(b"a", 1), Evict(b"b", 2), Evict(b"missing", 1))

    assert keys(machine) == [b"b"]
    assert kinds(machine)[-1] == (4, b"a", EVICT)


def test_with_version_3_the_past_begins_anew() -> None:
    """What a server was told by an old snapshot has no kinds: all forget it alike (failure B16)."""
    entries: list[list[Command]] = [[Set(b"a", b"1")], [Set(b"a", b"2")]]
    direct, copied = machine_of(entries), restored(slices_of(machine_of(entries)))
    for machine in (direct, copied):
        at(machine, 5, RaiseVersion(2), Set(b"a", b"3"))
        at(machine, 5, RaiseVersion(3), Delete(b"a"))

    assert_same(direct, copied)
    assert kinds(direct) == kinds(copied) == [(4, b"a", DELETE)]
    assert failed(direct.read(Range(b"", None, 9, at_rev=2)))[0] == "compacted"
    assert keys(copied, at_rev=3) == [b"a"]
