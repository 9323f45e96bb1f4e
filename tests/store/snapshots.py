"""Machines, their snapshots, and what it means that two are equal."""

from collections.abc import Iterable
from zlib import crc32

from raftcache.store.commands import Command, Get, Range, Set, encode_commands, version_of
from raftcache.store.keyspace import TELLING_VERSION, Keyspace
from raftcache.store.machine import StateMachine, StoreLimits
from raftcache.store.records import UNTOLD, Change, lived_record
from raftcache.store.restore import Restorer
from raftcache.store.slices import End, Slice, encode_slice
from raftcache.store.snapshot import SnapshotRun

from .model import Model

SMALL = StoreLimits(history_changes=6, history_bytes=2000, digests=4)
Entry = list[Command]
"""What one entry of the log holds; an empty one: a no-op."""


def apply(machine: StateMachine, *commands: Command) -> None:
    """Apply the next entry; from the first on that needs it, each is stamped, and time passes."""
    index = machine.last_applied + 1
    if commands:
        machine.apply(index, encode_commands(list(commands), stamp(machine.time_ms, commands)))
    else:
        machine.apply_empty(index)


def stamp(time_ms: int, commands: Iterable[Command]) -> int | None:
    """Return when an entry is made; None: it and all before it are of version 1."""
    timed = time_ms or any(version_of(command) > 1 for command in commands)
    return time_ms + 7 if timed else None


def machine_of(entries: Iterable[Entry], limits: StoreLimits | None = None) -> StateMachine:
    """Return a machine that has applied ``entries``."""
    machine = StateMachine(limits)
    for entry in entries:
        apply(machine, *entry)
    return machine


def model_of(entries: Iterable[Entry]) -> Model:
    """Return the model after ``entries``."""
    model = Model()
    for entry in entries:
        if entry:
            model.apply(entry, stamp(model.time_ms, entry) or 0)
    return model


def numbered(count: int, size: int = 1) -> list[Entry]:
    """Return one entry that sets ``count`` keys."""
    return [[Set(b"k%05d" % number, b"v" * size) for number in range(count)]]


def rest_of(run: SnapshotRun, bytes_max: int = 65536) -> list[bytes]:
    """Return all further slices."""
    slices = []
    while (data := run.next_slice(bytes_max)) is not None:
        slices.append(data)
    return slices


def slices_of(machine: StateMachine, bytes_max: int = 65536) -> list[bytes]:
    """Return a snapshot that is taken in peace."""
    return rest_of(machine.begin_snapshot(), bytes_max)


def restored(slices: Iterable[bytes], limits: StoreLimits | None = None) -> StateMachine:
    """Return what a snapshot holds."""
    restorer = Restorer(limits)
    for data in slices:
        restorer.feed(data)
    return restorer.finish()


def with_end(*slices: Slice) -> list[bytes]:
    """Return these slices and one that ends them with the right checksum."""
    row = [encode_slice(made) for made in slices]
    return [*row, encode_slice(End(len(row), crc32(b"".join(row))))]


def assert_same(machine: StateMachine, other: StateMachine) -> None:
    """Assert that two machines are in one state, history and all."""
    ours, theirs = machine._keyspace, other._keyspace
    assert machine.last_applied == other.last_applied
    assert machine.store_rev == other.store_rev
    assert machine.digest() == other.digest()
    assert machine.data_bytes == other.data_bytes
    assert list(ours.behind(None)) == list(theirs.behind(None))
    assert ours.oldest_rev == theirs.oldest_rev
    assert _past(ours) == _past(theirs)
    assert list(ours._deadlines) == list(theirs._deadlines)
    assert ours.next_deadline_ms == theirs.next_deadline_ms
    assert (ours.time_ms, ours.command_version) == (theirs.time_ms, theirs.command_version)
    assert ours._history.size_bytes == theirs._history.size_bytes
    assert machine._digests == other._digests
    ours._ordered._check()


def _past(keyspace: Keyspace) -> list[Change]:
    """Return what can be asked of the past: no deadlines, and no kinds of an earlier version."""
    told = keyspace.command_version >= TELLING_VERSION
    return [
        Change(
            change.rev,
            change.key,
            change.before and lived_record(change.before, 0),
            change.kind if told else UNTOLD,
        )
        for change in keyspace.history()
    ]


def assert_is(machine: StateMachine, model: Model) -> None:
    """Assert that a machine shows what the model does, at every moment that it still keeps."""
    assert machine.store_rev == model.store_rev
    assert machine.key_count == len(model.state)
    for key in model.state:
        assert machine.read(Get(key)) == model.do(Get(key))
    for rev in range(machine._keyspace.oldest_rev, machine.store_rev + 1):
        everything = Range(b"", None, 1000, at_rev=rev)
        assert machine.read(everything) == model.do(everything)
