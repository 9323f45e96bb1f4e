"""A snapshot holds the state of one moment, whatever is written while it is taken."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store import snapshot
from raftcache.store.commands import (
    Command,
    Delete,
    DeleteRange,
    Expire,
    Incr,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    SetFully,
)
from raftcache.store.keyspace import Keyspace
from raftcache.store.machine import StoreLimits
from raftcache.store.records import Record
from raftcache.store.slices import SLICE_BYTES_MIN

from ..effort import scaled
from .snapshots import (
    SMALL,
    Entry,
    apply,
    assert_is,
    assert_same,
    machine_of,
    model_of,
    numbered,
    rest_of,
    restored,
    slices_of,
)
from .test_model import COMMANDS, COMMANDS_3

KEYS = st.integers(0, 30).map(lambda number: b"k%02d" % number) | st.just(b"") | st.just(b"\xff")
SIMPLE = (
    st.builds(Set, KEYS, st.integers(0, 700).map(bytes))
    | st.builds(Delete, KEYS)
    | st.builds(Incr, KEYS)
    | st.builds(SetExpiring, KEYS, st.integers(0, 700).map(bytes), st.integers(1, 100))
    | st.builds(Expire, KEYS, st.none() | st.integers(1, 100))
)
ENTRIES = st.lists(st.lists(SIMPLE | COMMANDS, max_size=6), max_size=12)
NEWER = (
    SIMPLE
    | COMMANDS_3
    | st.builds(
        SetFully,
        KEYS,
        st.integers(0, 700).map(bytes),
        st.integers(1, 100),
        st.just(True),
        st.none(),
    )
    | st.builds(DeleteRange, KEYS, KEYS)
)
World = tuple[list[Entry], list[Entry | int], list[Entry]]
"""What is there before a snapshot; writes and slices; and what comes later."""


def worlds(first: list[Entry], commands: st.SearchStrategy[Command]) -> st.SearchStrategy[World]:
    """Return a strategy for what is done by ``commands``, after a first entry."""
    entries = st.lists(st.lists(commands, max_size=6), max_size=12)
    writes = st.lists(commands, max_size=3)
    steps = st.lists(writes | st.integers(SLICE_BYTES_MIN, 1500), max_size=40)
    return st.tuples(entries.map(lambda before: first + before), steps, entries)


WORLDS = worlds([], SIMPLE | COMMANDS) | worlds([[RaiseVersion(3)]], NEWER)


@settings(max_examples=scaled(300), deadline=None)
@given(WORLDS, st.sampled_from([SMALL, StoreLimits()]), st.sampled_from([1, 4096]))
def test_what_is_restored_is_the_state_at_the_beginning(
    world: World, limits: StoreLimits, passed_over_max: int
) -> None:
    """In any order of writes and slices; and from there on it goes on alike (failures D1, D13)."""
    before, steps, later = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_PASSED_OVER_MAX", passed_over_max)
        machine = machine_of(before, limits)
        run = machine.begin_snapshot()
        slices = []
        for step in steps:
            if isinstance(step, int):
                data = run.next_slice(step)
                assert len(data or b"") <= step
                slices += [data] if data else []
            else:
                apply(machine, *step)
        slices += rest_of(run, 500)

    twin = machine_of(before, limits)
    copy = restored(slices, limits)
    assert (run.last_applied, run.store_rev, run.digest) == (
        twin.last_applied,
        twin.store_rev,
        twin.digest(),
    )
    assert_same(copy, twin)
    assert_is(copy, model_of(before))
    for entry in later:
        apply(copy, *entry)
        apply(twin, *entry)
    assert_same(copy, twin)
    assert_same(machine, machine_of([*before, *(s for s in steps if isinstance(s, list))], limits))


@settings(max_examples=scaled(100), deadline=None)
@given(ENTRIES, st.lists(st.lists(SIMPLE, min_size=1, max_size=3), max_size=30))
def test_writes_meanwhile_do_not_change_a_byte(before: list[Entry], during: list[Entry]) -> None:
    """Servers that take one at the same index can compare theirs."""
    machine = machine_of(before)
    run = machine.begin_snapshot()
    slices = []
    for entry in during:
        slices.append(run.next_slice(400))
        apply(machine, *entry)
    slices += rest_of(run, 400)

    assert [data for data in slices if data is not None] == slices_of(machine_of(before), 400)


@pytest.mark.parametrize(
    ("meanwhile", "kept"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([Set(b"k00000", b"!")], 0, id="a key that was emitted is changed"),
        pytest.param([Delete(b"k00000")], 0, id="a key that was emitted is deleted"),
        pytest.param([Delete(b"k00000"), Set(b"k00000", b"!")], 0, id="and it comes back"),
        pytest.param([Set(b"k00099", b"!")], 1, id="a key that was not emitted is changed"),
        pytest.param([Set(b"k00099", b"!"), Incr(b"k00098")], 1, id="one that fails keeps nothing"),
        pytest.param([Set(b"k00099", b"!"), Set(b"k00099", b"?")], 1, id="it is changed twice"),
        pytest.param([Delete(b"k00099")], 1, id="a key that was not emitted is deleted"),
        pytest.param([Delete(b"k00099"), Set(b"k00099", b"!")], 1, id="it comes back"),
        pytest.param([Set(b"k00050!", b"!")], 0, id="a key is created"),
        pytest.param([Set(b"k00050!", b"!"), Delete(b"k00050!")], 0, id="it is deleted at once"),
        pytest.param([Set(b"", b"!"), Set(b"\xff", b"!")], 0, id="keys are created at both ends"),
        pytest.param([Delete(b"k%05d" % n) for n in range(100)], None, id="all are deleted"),
    ],
)
def test_what_is_kept_for_a_run(meanwhile: list[Command], kept: int | None) -> None:
    """Only what is not in a slice yet, and once: memory for a run is not wasted."""
    machine = machine_of(numbered(100))
    run = machine.begin_snapshot()
    slices = [run.next_slice(1000), run.next_slice(1000)]

    apply(machine, *meanwhile)

    assert kept is None or run.pre_image_count == kept
    slices += rest_of(run, 1000)
    assert run.pre_image_count == 0
    assert_same(restored([data for data in slices if data]), machine_of(numbered(100)))


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="an empty store"),
        pytest.param([[], []], id="no-ops only"),
        pytest.param([[Set(b"", b"")]], id="the empty key and value"),
        pytest.param([[Set(b"a", b"1")], [Delete(b"a")]], id="nothing but a past"),
        pytest.param([[Set(b"a", b"1" * 200_000)]], id="one huge value"),
        pytest.param([[Set(b"a", b"1" * 200_000)], [Delete(b"a")]], id="a huge one in the past"),
        pytest.param([[Set(b"a", b"1" * 3_000_000)] * 3], id="more than the past may hold"),
        pytest.param(numbered(300, 30), id="many keys"),
    ],
)
@pytest.mark.parametrize("bytes_max", [SLICE_BYTES_MIN, 1000, 65536, 10_000_000])
def test_every_state_comes_back(entries: list[Entry], bytes_max: int) -> None:
    """Of whatever size; and no slice is larger than was asked for (failures D1, D10)."""
    machine = machine_of(entries)

    slices = slices_of(machine, bytes_max)

    assert max(map(len, slices)) <= bytes_max
    assert_same(restored(slices), machine)
    assert_is(restored(slices), model_of(entries))


@pytest.mark.parametrize("size", range(SLICE_BYTES_MIN - 120, SLICE_BYTES_MIN + 5))
def test_a_value_that_just_fits_or_just_does_not(size: int) -> None:
    machine = machine_of([[Set(b"a", b""), Set(b"b", b"v" * size), Set(b"c", b"")]])

    slices = slices_of(machine, SLICE_BYTES_MIN)

    assert max(map(len, slices)) <= SLICE_BYTES_MIN
    assert_same(restored(slices), machine)


@pytest.mark.parametrize("size", [*range(0, 120, 7), 65535, 65536])
def test_large_revisions_need_more_room_and_have_it(size: int) -> None:
    """After years, each of a record's numbers takes nine bytes instead of one."""
    machine = machine_of([])
    machine._keyspace.store_rev = machine._keyspace.oldest_rev = 2**62
    apply(machine, *numbered(30, size)[0])

    slices = slices_of(machine, max(SLICE_BYTES_MIN, size + 2 * SLICE_BYTES_MIN))

    assert max(map(len, slices)) <= max(SLICE_BYTES_MIN, size + 2 * SLICE_BYTES_MIN)
    assert_same(restored(slices), machine)


def test_a_key_longer_than_a_slice_makes_a_longer_one() -> None:
    machine = machine_of([[Set(b"a" * 1000, b"v" * 1000)]])

    assert_same(restored(slices_of(machine, SLICE_BYTES_MIN)), machine)


def test_a_huge_value_is_in_parts_even_if_it_is_overwritten_between_them() -> None:
    before: list[Entry] = [[Set(b"a", b"1" * 2000), Set(b"b", b"2")]]
    machine = machine_of(before)
    run = machine.begin_snapshot()
    slices = []
    for number in range(5):
        slices.append(run.next_slice(300))
        apply(machine, Set(b"a", b"%d" % number), Delete(b"a"))
    slices += rest_of(run, 300)

    assert_same(restored([data for data in slices if data]), machine_of(before))


def test_a_run_ends_although_writes_outrun_it() -> None:
    """Every key is rewritten, and many made, for each slice (failure D11)."""
    before = numbered(200, 50)
    machine = machine_of(before)
    slices_in_peace = len(slices_of(machine, 600))
    run = machine.begin_snapshot()
    slices = []
    while (data := run.next_slice(600)) is not None:
        slices.append(data)
        apply(machine, *numbered(200, 51)[0])
        apply(machine, *(Set(b"k%05d%d" % (n, len(slices)), b"new") for n in range(200)))
        assert run.pre_image_count <= 200

    assert len(slices) == slices_in_peace
    assert_same(restored(slices), machine_of(before))


def test_no_slice_looks_at_more_than_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first, not the last, and not where thousands of keys are new (failure D10)."""
    monkeypatch.setattr(snapshot, "_PASSED_OVER_MAX", 50)
    before = numbered(1000, 20)
    machine = machine_of(before)
    looked_at = 0
    behind = Keyspace.behind

    def counted(keyspace: Keyspace, cursor: bytes | None) -> Iterator[tuple[bytes, Record]]:
        nonlocal looked_at
        for item in behind(keyspace, cursor):
            looked_at += 1
            yield item

    monkeypatch.setattr(Keyspace, "behind", counted)
    run = machine.begin_snapshot()
    apply(machine, *(Set(b"k00500new%d" % number, b"") for number in range(1000)))
    slices = []
    while True:
        looked_at = 0
        data = run.next_slice(1000)
        assert looked_at <= 1000 // 30 + 50 + 1
        if data is None:
            break
        slices.append(data)

    monkeypatch.undo()
    assert_same(restored(slices), machine_of(before))


def test_one_snapshot_is_taken_at_a_time() -> None:
    machine = machine_of(numbered(10))
    run = machine.begin_snapshot()

    with pytest.raises(AssertionError, match="one snapshot"):
        machine.begin_snapshot()

    assert rest_of(run)
    assert run.over
    assert run.next_slice(1000) is None
    assert rest_of(machine.begin_snapshot())


@pytest.mark.parametrize("slices_before", range(8))
def test_an_aborted_run_leaves_nothing_behind(slices_before: int) -> None:
    machine = machine_of(numbered(20), SMALL)
    run = machine.begin_snapshot()
    for _ in range(slices_before):
        run.next_slice(300)
    apply(machine, Set(b"k00019", b"!"))

    run.abort()
    run.abort()

    assert (run.over, run.pre_image_count) == (True, 0)
    with pytest.raises(AssertionError, match="aborted"):
        run.next_slice(300)
    assert machine._keyspace._watcher is None
    assert_same(restored(slices_of(machine), SMALL), machine)


def test_a_run_that_ended_is_not_undone_by_a_late_abort() -> None:
    machine = machine_of(numbered(20))
    run = machine.begin_snapshot()
    rest_of(run)
    later = machine.begin_snapshot()

    run.abort()
    apply(machine, Set(b"k00019", b"!"))

    assert later.pre_image_count == 1
    assert_same(restored(rest_of(later)), machine_of(numbered(20)))


def test_nothing_is_kept_when_no_snapshot_is_taken() -> None:
    machine = machine_of(numbered(20))
    run = machine.begin_snapshot()
    rest_of(run)
    apply(machine, Set(b"k00019", b"!"))

    assert run.pre_image_count == 0


def test_a_snapshot_that_lost_a_record_is_never_finished() -> None:
    """The log is cut off for it, so a defect must show before, not at the restore."""
    machine = machine_of(numbered(20))
    machine._keyspace._records[b"k00007"] = Record(b"other", 8, 8, 1)

    with pytest.raises(AssertionError, match="records of the snapshot"):
        slices_of(machine)


def test_a_restored_past_keeps_to_the_limits_of_its_new_home() -> None:
    machine = machine_of([[Set(b"a", b"%d" % number)] for number in range(10)])

    small = restored(slices_of(machine), SMALL)

    assert small._keyspace.oldest_rev == 4
    assert len(small._digests) == 4
    assert_same(small, machine_of([[Set(b"a", b"%d" % number)] for number in range(10)], SMALL))


def test_a_server_without_digests_makes_no_secret_of_its_state() -> None:
    entries: list[Entry] = [[Set(b"a", b"1")], [Set(b"b", b"1")]]
    slices = slices_of(machine_of(entries, StoreLimits(digests=0)))

    machine = restored(slices)

    twin = machine_of(entries)
    assert machine.digest_at(2) == twin.digest()
    assert machine.digest_at(1) is None


def test_a_page_goes_on_after_a_restore() -> None:
    """At the revision of the first page, which the new leader knows from its snapshot."""
    machine = machine_of([*numbered(5), [Delete(b"k00003"), Set(b"k00004", b"new")]])
    query = Range(b"k00002", None, 10, at_rev=5)

    assert restored(slices_of(machine)).read(query) == machine.read(query)
