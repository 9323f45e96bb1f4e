"""A damaged snapshot is refused, whatever is wrong with it: nothing in it is believed."""

import tracemalloc

import msgspec
import pytest

from raftcache.store.commands import (
    COMMAND_VERSION,
    Set,
)
from raftcache.store.machine import StateMachine
from raftcache.store.records import Record, record_digest, state_digest
from raftcache.store.restore import Restorer
from raftcache.store.slices import (
    Changes,
    Clock,
    CorruptSnapshot,
    DatedChanges,
    Digests,
    End,
    Header,
    Part,
    Records,
    Slice,
    SnapshotError,
    TiedRecords,
    TimedRecords,
    UnknownContents,
    encode_slice,
)

from .snapshots import Entry, machine_of, restored, slices_of, with_end
from .test_snapshot_format import small, tied, timed


def restore_or_refuse(slices: list[bytes]) -> SnapshotError:
    """Return the refusal that restoring must end in."""
    restorer = Restorer()
    with pytest.raises(SnapshotError) as refusal:
        _restore(restorer, slices)
    return refusal.value


def _restore(restorer: Restorer, slices: list[bytes]) -> None:
    for data in slices:
        restorer.feed(data)
    restorer.finish()


EACH = pytest.mark.parametrize(
    "machine", [small(), timed(), tied()], ids=["version 1", "version 2", "version 3"]
)


@EACH
def test_every_flipped_bit_is_noticed(machine: StateMachine) -> None:
    """Wherever it is, and never by another error than the one for it (failure E1)."""
    slices = slices_of(machine, 256)
    for number, data in enumerate(slices):
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            restore_or_refuse([*slices[:number], bytes(damaged), *slices[number + 1 :]])


@EACH
def test_every_cut_is_noticed(machine: StateMachine) -> None:
    """Between slices and within them (failure D7)."""
    slices = slices_of(machine, 256)
    for number, data in enumerate(slices):
        for length in range(len(data)):
            restore_or_refuse([*slices[:number], data[:length]])
        restore_or_refuse(slices[:number])
        restore_or_refuse([*slices[:number], data + b"\x00", *slices[number + 1 :]])


@EACH
def test_slices_in_any_other_order_are_refused(machine: StateMachine) -> None:
    slices = slices_of(machine, 256)
    for number in range(len(slices)):
        error = restore_or_refuse(slices[:number] + slices[number + 1 :])
        assert isinstance(error, CorruptSnapshot)
        assert error.number == min(number, len(slices) - 1)
        restore_or_refuse([*slices[: number + 1], *slices[number:]])
        if number:
            swapped = list(slices)
            swapped[number - 1], swapped[number] = slices[number], slices[number - 1]
            restore_or_refuse(swapped)


def test_a_slice_of_another_snapshot_is_noticed() -> None:
    """A file put together of two is no state that ever was."""
    entries: list[Entry] = [[Set(b"a", b"1"), Set(b"b", b"2" * 300)], [Set(b"a", b"3")]]
    others: list[Entry] = [[Set(b"a", b"4"), Set(b"b", b"5" * 300)], [Set(b"a", b"6")]]
    ours, theirs = slices_of(machine_of(entries), 256), slices_of(machine_of(others), 256)
    assert len(ours) == len(theirs)

    changed = 0
    for number, data in enumerate(theirs):
        if data != ours[number]:
            changed += 1
            restore_or_refuse([*ours[:number], data, *ours[number + 1 :]])
    assert changed >= 5


@pytest.mark.parametrize("begin", ["920004", "97000403050002a0", "9400cd0100c0c3"])
def test_another_version_is_told_from_damage(begin: str) -> None:
    """It must be neither set aside nor guessed at (failure E15)."""
    error = restore_or_refuse([bytes.fromhex(begin)])

    assert isinstance(error, UnknownContents)
    assert "release" in str(error)


# A valid snapshot of one record and its history, made by hand; the cases below change it.
RECORD = Record(b"v", 3, 2, 2)
DIGEST = state_digest(record_digest(b"k", RECORD), 3)
HEADER = Header(1, 9, 3, 1, 1, DIGEST)
RECORDS = Records(1, [b"k"], [b"v"], [3], [2], [2])
CHANGES = Changes(2, [b"k", b"k"], [b"", b"u"], [0, 2], [0, 2], [0, 1])
DIGESTS = Digests(3, [7, DIGEST])


HEADER_2 = Header(2, 9, 3, 1, 1, DIGEST)
CLOCK = Clock(1, 7, 2)
HEADER_3 = Header(3, 9, 3, 1, 1, DIGEST)
CLOCK_3 = Clock(1, 7, 3)


def dated(revs: list[int], kinds: list[int]) -> DatedChanges:
    """Return a history of changes to as many keys, none of which was there before."""
    keys = [b"%d" % number for number in range(len(revs))]
    nothing = [0] * len(revs)
    return DatedChanges(2, keys, [b""] * len(revs), nothing, nothing, nothing, revs, kinds)


def test_a_snapshot_made_by_hand_is_restored() -> None:
    """So the cases below are refused for what is wrong in them, not for something else."""
    machine = restored(with_end(HEADER, RECORDS, CHANGES, DIGESTS))

    assert machine._keyspace.get(b"k") == RECORD
    assert (machine.last_applied, machine.store_rev, machine.digest()) == (9, 3, DIGEST)
    assert (machine.digest_at(8), machine.digest_at(9)) == (7, DIGEST)


def header(**fields: int) -> list[Slice]:
    """Return the slices with another header."""
    return [msgspec.structs.replace(HEADER, **fields), RECORDS, CHANGES, DIGESTS]


def records(*columns: list[bytes] | list[int]) -> list[Slice]:
    """Return the slices with other records."""
    return [HEADER, Records(1, *columns), CHANGES, DIGESTS]  # type: ignore[arg-type] # a table's


def changes(*columns: list[bytes] | list[int]) -> list[Slice]:
    """Return the slices with another history."""
    return [HEADER, RECORDS, Changes(2, *columns), DIGESTS]  # type: ignore[arg-type] # likewise


KK, UV = [b"k", b"k"], [b"", b"u"]


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        pytest.param(header(digest=DIGEST ^ 1), "digest", id="another digest"),
        pytest.param(header(key_count=2), "1 keys", id="another number of keys"),
        pytest.param(header(store_rev=4), "leads to revision 3, not 4", id="a longer history"),
        pytest.param(header(store_rev=2), "revisions that can not be", id="a shorter history"),
        pytest.param(header(oldest_rev=2), "behind store_rev", id="a history that begins later"),
        pytest.param(header(oldest_rev=4), "oldest_rev 4 is above", id="oldest above newest"),
        pytest.param(header(oldest_rev=-1), "unreadable", id="a negative number"),
        pytest.param(header(last_applied=0), "its digests", id="more digests than entries"),
        pytest.param(
            records([b"k", b"k"], [b"v"] * 2, [3, 3], [2, 2], [2, 2]), "in order", id="a key twice"
        ),
        pytest.param(
            records([b"k", b"a"], [b"v"] * 2, [3, 3], [2, 2], [2, 2]), "in order", id="no order"
        ),
        pytest.param(
            [HEADER, RECORDS, msgspec.structs.replace(RECORDS, number=2)],
            "do not go on",
            id="a key in two slices",
        ),
        pytest.param(records([b"k"], [], [3], [2], [2]), "differ in length", id="no value"),
        pytest.param(records([b"k"], [b"v"], [3, 3], [2], [2]), "differ in length", id="two revs"),
        pytest.param(records([], [], [], [], [1]), "differ in length", id="a number without a key"),
        pytest.param(records([b"k"], [b"v"], [4], [2], [2]), "revisions", id="a rev to come"),
        pytest.param(records([b"k"], [b"v"], [2], [3], [2]), "revisions", id="changed, then made"),
        pytest.param(records([b"k"], [b"v"], [3], [0], [2]), "revisions", id="created at 0"),
        pytest.param(records([b"k"], [b"v"], [3], [2], [0]), "revisions", id="key version 0"),
        pytest.param(records([b"k"], [b"v"], [3], [2], [-1]), "unreadable", id="key version -1"),
        pytest.param(records([b"k"], [b"w"], [3], [2], [2]), "digest", id="another value"),
        pytest.param(records([b"k"], [b"v"], [3], [2], [1]), "digest", id="another key version"),
        pytest.param(records([], [], [], [], []), "0 keys", id="no records"),
        pytest.param(changes(KK, UV, [0, 3], [0, 2], [0, 1]), "revisions", id="before, and later"),
        pytest.param(changes(KK, UV, [0, 2], [0, 0], [0, 1]), "revisions", id="never created"),
        pytest.param(changes(KK, UV, [0, 2], [0, 2], [0, 0]), "revisions", id="a past version 0"),
        pytest.param(changes(KK, UV, [0, 0], [0, 0], [0, 0]), "without a rev", id="a stray value"),
        pytest.param(changes(KK, UV, [0, 0], [0, 0], [0, 1]), "without a rev", id="a stray number"),
        pytest.param(changes(KK, UV, [0, 2], [0, 2], [0]), "differ in length", id="a list short"),
        pytest.param(changes([], [], [], [], []), "leads to revision 1", id="no history"),
        pytest.param(
            [HEADER, RECORDS, CHANGES, Digests(3, [DIGEST, 7])], "its digests", id="another last"
        ),
        pytest.param(
            [HEADER, Part(1, b""), msgspec.structs.replace(RECORDS, number=2)],
            "empty",
            id="an empty part",
        ),
        pytest.param(
            [HEADER, Part(1, b"v"), Records(2, [], [], [], [], [])], "parts", id="parts of nothing"
        ),
        pytest.param(
            [HEADER, RECORDS, CHANGES, DIGESTS, Part(4, b"v")], "parts", id="a part at the end"
        ),
        pytest.param(
            [HEADER, RECORDS, Digests(2, [DIGEST]), msgspec.structs.replace(CHANGES, number=3)],
            "Changes do not follow",
            id="the past too late",
        ),
        pytest.param(
            [HEADER, Clock(1, 7, 2), msgspec.structs.replace(RECORDS, number=2)],
            "Clock in a snapshot of version 1",
            id="a clock in version 1",
        ),
        pytest.param(
            [HEADER, TimedRecords(1, [b"k"], [b"v"], [3], [2], [2], [9])],
            "TimedRecords in a snapshot of version 1",
            id="a deadline in version 1",
        ),
        pytest.param(header(version=2), "the clock is not", id="version 2 without a clock"),
        pytest.param(
            [HEADER_2, CLOCK, msgspec.structs.replace(CLOCK, number=2)],
            "the clock",
            id="two clocks",
        ),
        pytest.param(
            [HEADER_2, CLOCK, TimedRecords(2, [b"k"], [b"v"], [3], [2], [2], [])],
            "differ in length",
            id="a deadline short",
        ),
        pytest.param(
            [HEADER_2, CLOCK, TimedRecords(2, [b"k"], [b"v"], [3], [2], [2], [-1])],
            "unreadable",
            id="a negative deadline",
        ),
        pytest.param(
            [HEADER_2, CLOCK, TiedRecords(2, [b"k"], [b"v"], [3], [2], [2], [0], [0], [9])],
            "TiedRecords in a snapshot of version 2",
            id="ties in version 2",
        ),
        pytest.param(
            [HEADER_2, CLOCK, dated([2], [1])],
            "DatedChanges in a snapshot",
            id="kinds in version 2",
        ),
        pytest.param([HEADER_2, Clock(1, 7, 3)], "in a cluster of another", id="another clock"),
        pytest.param(
            [HEADER_3, CLOCK_3, msgspec.structs.replace(CHANGES, number=2)],
            "Changes in a snapshot of version 3",
            id="a past without kinds in version 3",
        ),
        pytest.param(
            [HEADER_3, CLOCK_3, dated([1], [1])], "leaves revisions out", id="a revision too early"
        ),
        pytest.param(
            [HEADER_3, CLOCK_3, dated([3], [1])], "leaves revisions out", id="a revision left out"
        ),
        pytest.param(
            [HEADER_3, CLOCK_3, dated([2, 4], [1, 1])], "behind store_rev", id="a later revision"
        ),
        pytest.param(
            [HEADER_3, CLOCK_3, dated([2, 3, 2], [1, 1, 1])],
            "leaves revisions out",
            id="revisions that fall",
        ),
        pytest.param([HEADER_3, CLOCK_3, dated([2], [0])], "unreadable", id="a kind that is none"),
        pytest.param([HEADER_3, CLOCK_3, dated([2], [])], "differ in length", id="a kind short"),
        pytest.param([HEADER, HEADER], "slice 0", id="two headers"),
        pytest.param([RECORDS], "slice 0 of a snapshot was expected", id="no header"),
        pytest.param(
            [msgspec.structs.replace(RECORDS, number=number) for number in range(2)],
            "slice 0 of a snapshot was expected",
            id="another first",
        ),
        pytest.param(
            [msgspec.structs.replace(RECORDS, number=7)],
            "slice 0 of a snapshot was expected",
            id="a late slice as the first",
        ),
    ],
)
def test_what_no_server_writes_is_refused(slices: list[Slice], message: str) -> None:
    """Even with every number and checksum right: a defect elsewhere must not become a state."""
    error = restore_or_refuse(with_end(*slices))

    assert isinstance(error, CorruptSnapshot)
    assert message in str(error)


def test_a_snapshot_of_a_later_command_version_is_told_from_damage() -> None:
    error = restore_or_refuse(with_end(HEADER_2, Clock(1, 7, COMMAND_VERSION + 1)))

    assert isinstance(error, UnknownContents)


def test_nothing_follows_the_last_slice() -> None:
    slices = with_end(HEADER, RECORDS, CHANGES, DIGESTS)

    for more in (slices[-1], encode_slice(End(5, 0)), b""):
        assert "behind the last" in str(restore_or_refuse([*slices, more]))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param("c0", id="nil"),
        pytest.param("970001", id="cut short"),
        pytest.param("97000107ffffffff", id="negative numbers"),
        pytest.param("970001cb3ff000000000000000000000", id="a float"),
        pytest.param("9800010900000000" + "00", id="a field too many"),
        pytest.param("960602ddffffffffddffffffff", id="an unknown kind"),
        pytest.param("91" * 5000, id="too deep"),
        pytest.param("ddffffffff", id="an array beyond the end"),
        pytest.param("9700ddffffffff", id="a version that is an array"),
    ],
)
def test_bytes_that_are_no_header_are_corrupt(data: str) -> None:
    error = restore_or_refuse([bytes.fromhex(data)])

    assert isinstance(error, CorruptSnapshot)
    assert error.number == 0


def test_an_absurd_length_takes_no_memory() -> None:
    """A length is believed only as far as there are bytes (failure E5)."""
    first = encode_slice(HEADER)
    for data in (
        "960201ddffffffff",
        "960201dd10000000",
        "960201dc0001c6ffffffff",
        "9301c6fffffff0",
    ):
        tracemalloc.start()
        restore_or_refuse([first, bytes.fromhex(data)])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


def test_nothing_is_given_out_before_the_end_or_after_an_error() -> None:
    slices = slices_of(small(), 256)
    restorer = Restorer()
    for data in slices[:-1]:
        restorer.feed(data)
    with pytest.raises(CorruptSnapshot, match="without its last slice"):
        restorer.finish()
    with pytest.raises(AssertionError, match="nothing to give"):
        restorer.finish()
    with pytest.raises(AssertionError, match="no more slices"):
        restorer.feed(slices[-1])


def test_a_machine_is_given_out_once() -> None:
    restorer = Restorer()
    for data in slices_of(small()):
        restorer.feed(data)
    restorer.finish()

    with pytest.raises(AssertionError, match="nothing to give"):
        restorer.finish()
