"""The state machine against a dict, over whatever hypothesis thinks of."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.commands import (
    Batch,
    Command,
    Delete,
    Get,
    Incr,
    Invalid,
    Query,
    Range,
    Set,
    decode_commands,
    encode_commands,
)
from raftcache.store.keyspace import record_digest
from raftcache.store.machine import StateMachine
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
MUTATIONS = PLAIN_SETS | SETS | PLAIN_DELETES | DELETES | INCRS
INVALIDS = st.builds(Invalid, st.just("bad_request"), st.just(""))
COMMANDS = MUTATIONS | st.builds(
    lambda first, mutation, last: Batch((*first, mutation, *last)),
    st.lists(MUTATIONS | GETS | RANGES | INVALIDS, max_size=4),
    MUTATIONS,
    st.lists(GETS | RANGES, max_size=4),
)
QUERIES = GETS | RANGES | st.builds(Batch, st.lists(GETS | RANGES).map(tuple))


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
    shares = sum(
        record_digest(key, value, *revisions) for key, (value, *revisions) in model.state.items()
    )
    empty = StateMachine()._keyspace
    empty._digest_sum = shares % 2**64
    empty.store_rev = model.store_rev
    assert machine.digest() == empty.digest()
    assert machine.key_count == len(model.state)
    assert machine.data_bytes == sum(64 + len(k) + len(r[0]) for k, r in model.state.items())


@settings(max_examples=scaled(400), deadline=None)
@given(st.lists(st.lists(COMMANDS, min_size=1, max_size=4) | QUERIES, max_size=25))
def test_the_store_does_what_a_dict_does(steps: list[list[Command] | Query]) -> None:
    """Every command and query, alone and in batches, and pages of every moment so far."""
    machine = StateMachine()
    model = Model()
    for step in steps:
        if not isinstance(step, list):
            assert plain(machine.read(step)) == model.do(step)
            continue
        results = machine.apply(machine.last_applied + 1, encode_commands(step))
        assert [plain(result) for result in results] == [model.do(command) for command in step]
        assert machine.store_rev == model.store_rev
    check_sums(machine, model)
    for rev in range(model.store_rev + 1):
        everything = Range(b"", None, 100, at_rev=rev)
        assert machine.read(everything) == model.do(everything)


@settings(max_examples=scaled(200), deadline=None)
@given(st.lists(COMMANDS, min_size=1))
def test_commands_come_back_from_their_bytes(commands: list[Command]) -> None:
    assert decode_commands(encode_commands(commands)) == commands
