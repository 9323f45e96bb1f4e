"""The state machine against a dict, over whatever hypothesis thinks of."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.commands import (
    Batch,
    Command,
    Compact,
    Compare,
    Delete,
    DeleteRange,
    Evict,
    Expire,
    Fenced,
    Get,
    Incr,
    IncrExpiring,
    Invalid,
    Query,
    Range,
    Set,
    SetExpiring,
    SetFully,
    Touch,
    Txn,
    decode_entry,
    encode_commands,
    stamp_of,
)
from raftcache.store.machine import StateMachine
from raftcache.store.records import (
    DELETE,
    EVICT,
    EXPIRE,
    NEVER,
    SET,
    made_record,
    record_digest,
)
from raftcache.store.results import BatchResult, Failure, Result

from ..effort import scaled
from .model import Model

KEYS = st.sampled_from([b"a", b"aa", b"ab", b"b", b"b\x00", b"\xff", b"\xff\xff", b"n"])
WORDS = [b"", b"x", b"y" * 300, b"-0", b"01", b"+1", b" 1", "\u0663".encode()]
NUMBERS = [b"%d" % n for n in (0, 7, -3, 10**18, -(10**18), 2**63 - 1, -(2**63), 2**63, -(10**25))]
VALUES = st.sampled_from([*WORDS, *NUMBERS])
REVISIONS = st.none() | st.integers(0, 12)
BOUNDS = st.sampled_from([b"", b"a", b"aa", b"ab\x00", b"b", b"c", b"\xff", b"\xff\xff"])
INTEGERS = st.sampled_from([0, 1, -1, 17, 2**63 - 1, -(2**63)])

SETS = st.builds(Set, KEYS, VALUES, REVISIONS, st.none() | VALUES, st.booleans())
PLAIN_SETS = st.builds(Set, KEYS, VALUES)
DELETES = st.builds(Delete, KEYS, REVISIONS, st.none() | VALUES, st.booleans())
PLAIN_DELETES = st.builds(Delete, KEYS)
INCRS = st.builds(Incr, KEYS, INTEGERS)
GETS = st.builds(Get, KEYS)
RANGES = st.builds(
    Range, BOUNDS, st.none() | BOUNDS, st.integers(1, 9), st.booleans(), st.booleans(), REVISIONS
)
TTLS = st.integers(1, 30) | st.sampled_from([1000, 2**40])
TIMED_SETS = st.builds(
    SetExpiring, KEYS, VALUES, TTLS, REVISIONS, st.none() | VALUES, st.booleans()
)
TIMED_INCRS = st.builds(IncrExpiring, KEYS, INTEGERS, TTLS)
TOUCHES = st.builds(Expire, KEYS, st.none() | TTLS)
TIMED = st.builds(SetExpiring, KEYS, VALUES, TTLS) | TIMED_SETS | TIMED_INCRS | TOUCHES
PLAIN_MUTATIONS = PLAIN_SETS | SETS | PLAIN_DELETES | DELETES | INCRS
MUTATIONS = PLAIN_MUTATIONS | TIMED
SESSIONS = st.none() | st.none() | st.none() | st.just(1)
"""There is no session here; what a bound key is to one is tested with the sessions."""
FULL_SETS = st.builds(
    SetFully,
    KEYS,
    VALUES,
    st.none() | TTLS,
    st.booleans(),
    SESSIONS,
    REVISIONS,
    st.none() | VALUES,
    st.booleans(),
)
SLIDING_SETS = st.builds(SetFully, KEYS, VALUES, TTLS, st.just(True), st.none())
DELETED_RANGES = st.builds(DeleteRange, BOUNDS, st.none() | BOUNDS)
SINGLES = MUTATIONS | SLIDING_SETS | FULL_SETS | DELETED_RANGES
SIGNS = st.sampled_from(["=", "!=", "<", ">"])
COMPARES = (
    st.builds(Compare, KEYS, st.just("value"), SIGNS, VALUES)
    | st.builds(
        Compare,
        KEYS,
        st.sampled_from(["mod_rev", "create_rev", "key_version"]),
        SIGNS,
        st.integers(0, 12),
    )
    | st.builds(Compare, KEYS, st.just("exists"), st.sampled_from(["=", "!="]), st.booleans())
)
STEPS = st.lists(PLAIN_SETS | SINGLES | GETS | RANGES, max_size=5).map(tuple)
TXNS = st.builds(Txn, st.lists(COMPARES, max_size=2).map(tuple), STEPS, STEPS)
BATCHES_3 = st.lists(
    SINGLES | GETS | RANGES | st.builds(Fenced, KEYS, st.integers(0, 12), SINGLES), max_size=4
).map(lambda ops: Batch(tuple(ops)))
PLAIN_3 = SINGLES | TXNS | BATCHES_3
COMMANDS_3 = (
    PLAIN_3
    | st.builds(Fenced, KEYS, st.integers(0, 12), PLAIN_3)
    | st.builds(Touch, KEYS, st.integers(0, 12))
    | st.builds(Evict, KEYS, st.integers(0, 12))
    | st.builds(Compact, REVISIONS)
)
"""What version 3 of the commands has, and all before it."""
INVALIDS = st.builds(Invalid, st.just("bad_request"), st.just(""))
COMMANDS = MUTATIONS | st.builds(
    lambda first, mutation, last: Batch((*first, mutation, *last)),
    st.lists(MUTATIONS | GETS | RANGES | INVALIDS, max_size=4),
    MUTATIONS,
    st.lists(GETS | RANGES, max_size=4),
)
PAUSES = st.integers(0, 20) | st.sampled_from([500, 2**20])
"""How much cluster time passes before an entry."""
QUERIES = GETS | RANGES | st.builds(Batch, st.lists(GETS | RANGES).map(tuple))


KIND_NAMES = {SET: "set", DELETE: "delete", EXPIRE: "expire", EVICT: "evict"}


def plain(result: Result) -> Result:
    """Take the messages away: they are for people."""
    if isinstance(result, BatchResult):
        return BatchResult(
            [
                msgspec.structs.replace(x, message="") if isinstance(x, Failure) else x
                for x in result.results
            ]
        )
    return msgspec.structs.replace(result, message="") if isinstance(result, Failure) else result


def check_sums(machine: StateMachine, model: Model) -> None:
    """Compare what the machine keeps up to date by differences with what it would be anew."""
    shares = 0
    for key, (value, mod_rev, create_rev, key_version) in model.state.items():
        times = model.deadlines.get(key, 0), model.sliding.get(key, 0)
        revisions = mod_rev, create_rev, key_version
        shares += record_digest(key, made_record(value, revisions, *times))
    empty = StateMachine()._keyspace
    empty._digest_sum = shares % 2**64
    empty.store_rev, empty.time_ms = model.store_rev, model.time_ms
    assert machine.digest() == empty.digest()
    assert machine.key_count == len(model.state)
    assert machine.next_deadline_ms == min(model.deadlines.values(), default=NEVER)
    assert machine.data_bytes == sum(64 + len(k) + len(r[0]) for k, r in model.state.items())


ENTRIES = st.tuples(PAUSES, st.lists(COMMANDS, max_size=4))


@settings(max_examples=scaled(400), deadline=None)
@given(st.lists(ENTRIES | QUERIES, max_size=25))
def test_the_store_does_what_a_dict_does(
    steps: list[tuple[int, list[Command]] | Query],
) -> None:
    """Every command and query, alone and in batches, keys that expire, and pages of the past."""
    machine = StateMachine()
    model = Model()
    for step in steps:
        if not isinstance(step, tuple):
            assert plain(machine.read(step)) == model.do(step)
            continue
        pause_ms, commands = step
        stamp_ms = model.time_ms + pause_ms
        data = encode_commands(commands, stamp_ms)
        results = machine.apply(machine.last_applied + 1, data)
        assert [plain(result) for result in results] == model.apply(commands, stamp_ms)
        assert machine.store_rev == model.store_rev
    check_sums(machine, model)
    for rev in range(model.store_rev + 1):
        everything = Range(b"", None, 100, at_rev=rev)
        assert plain(machine.read(everything)) == model.do(everything)


ENTRIES_3 = st.tuples(PAUSES, st.lists(COMMANDS_3, max_size=4))


@settings(max_examples=scaled(400), deadline=None)
@given(st.lists(ENTRIES_3 | QUERIES, max_size=20))
def test_the_store_of_version_3_does_what_a_dict_does(
    steps: list[tuple[int, list[Command]] | Query],
) -> None:
    """Transactions, fences, keys that slide, whole ranges that go; and the kinds of changes."""
    machine = StateMachine()
    model = Model()
    for step in steps:
        if not isinstance(step, tuple):
            assert plain(machine.read(step)) == model.do(step)
            continue
        pause_ms, commands = step
        stamp_ms = model.time_ms + pause_ms
        data = encode_commands(commands, stamp_ms)
        results = machine.apply(machine.last_applied + 1, data)
        assert [plain(result) for result in results] == model.apply(commands, stamp_ms)
        assert machine.store_rev == model.store_rev
    check_sums(machine, model)
    told: list[dict[bytes, str]] = [{} for _ in model.kinds]
    assert machine._keyspace.oldest_rev == model.oldest
    for change in machine._keyspace.changes_after(0):
        assert change.key not in told[change.rev], "a key has one change in a revision"
        told[change.rev][change.key] = KIND_NAMES[change.kind]
        assert (change.before and change.before.value) == model.moments[change.rev - 1].get(
            change.key, (None,)
        )[0]
    kept = model.oldest + 1
    assert told == [{}] * kept + model.kinds[kept:]
    for rev in range(model.store_rev + 1):
        everything = Range(b"", None, 100, at_rev=rev)
        assert plain(machine.read(everything)) == model.do(everything)


@settings(max_examples=scaled(100), deadline=None)
@given(st.lists(st.lists(PLAIN_MUTATIONS, min_size=1, max_size=4), max_size=10))
def test_entries_without_a_stamp_do_the_same(entries: list[list[Command]]) -> None:
    """What the first release wrote is applied as it was then, digest and all (failure E15)."""
    machine = StateMachine()
    model = Model()
    for entry in entries:
        results = machine.apply(machine.last_applied + 1, encode_commands(entry))
        assert [plain(result) for result in results] == model.apply(entry, 0)
    check_sums(machine, model)


@settings(max_examples=scaled(200), deadline=None)
@given(st.lists(COMMANDS | COMMANDS_3), st.integers(0, 2**62))
def test_commands_come_back_from_their_bytes(commands: list[Command], stamp_ms: int) -> None:
    data = encode_commands(commands, stamp_ms)

    assert decode_entry(data) == (stamp_ms, commands)
    assert stamp_of(data) == stamp_ms
