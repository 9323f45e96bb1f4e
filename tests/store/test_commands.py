"""The format of commands: fixed bytes for each version, and no guessing at anything else."""

import pytest

from raftcache.store.commands import (
    Batch,
    CheckDigest,
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
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    SetFully,
    Touch,
    Txn,
    UnknownCommands,
    decode_commands,
    decode_entry,
    encode_commands,
    stamp_of,
    version_of,
)

GOLDEN: list[tuple[Command, str]] = [
    (Set(b"k", b"v"), "9201919601c4016bc40176c0c0c2"),
    (Set(b"k", b"", 0, b"w", True), "9201919601c4016bc40000c40177c3"),
    (Delete(b"k", 300, None, True), "9201919502c4016bcd012cc0c3"),
    (Incr(b"k", -1), "9201919303c4016bff"),
    (
        Batch((Get(b"k"), Range(b"a", None, 5, True, False, 9), Invalid("e", "m"), Incr(b"k", 2))),
        "9201919207949204c4016b9705c40161c005c3c2099306a165a16d9303c4016b02",
    ),
]  # fmt: skip


GOLDEN_2: list[tuple[int, list[Command], str]] = [
    (0, [], "93020090"),
    (1_000, [Set(b"k", b"v")], "9302cd03e891" + "9601c4016bc40176c0c0c2"),
    (1, [SetExpiring(b"k", b"v", 30_000)], "93020191" + "9708c4016bc40176cd7530c0c0c2"),
    (1, [SetExpiring(b"k", b"", 1, 0, b"w", True)], "93020191" + "9708c4016bc400" + "0100c40177c3"),
    (1, [IncrExpiring(b"k", -1, 5)], "93020191" + "9409c4016bff05"),
    (1, [Expire(b"k", 5), Expire(b"k", None)], "93020192" + "930ac4016b05" + "930ac4016bc0"),
    (1, [Batch((Expire(b"k", 5),))], "93020191" + "920791" + "930ac4016b05"),
    (2**40, [RaiseVersion(2)], "9302cf0000010000000000" + "91" + "920b02"),
    (1, [CheckDigest(7, 2**64 - 1)], "93020191" + "930c07cf" + "ff" * 8),
]  # fmt: skip


GOLDEN_3: list[tuple[Command, str]] = [
    (Fenced(b"l", 7, Incr(b"k", 2)), "9411c4016c07" + "9303c4016b02"),
    (Fenced(b"l", 7, Batch((Get(b"k"),))), "9411c4016c07" + "920791" + "9204c4016b"),
    (SetFully(b"k", b"v", 5, True, None), "9912c4016bc4017605c3c0c0c0c2"),
    (SetFully(b"k", b"v", None, False, 9, 0, b"w", True), "9912c4016bc40176c0c20900c40177c3"),
    (Touch(b"k", 3), "9313c4016b03"),
    (DeleteRange(b"a", None), "9314c40161c0"),
    (
        Txn((Compare(b"k", "value", "=", b"v"),), (Set(b"k", b"w"),), ()),
        "941591" + "94c4016ba576616c7565a13dc40176" + "91" + "9601c4016bc40177c0c0c2" + "90",
    ),
    (
        Txn((Compare(b"k", "mod_rev", "<", 9), Compare(b"k", "exists", "!=", True)), (), ()),
        "941592" + "94c4016ba76d6f645f726576a13c09" + "94c4016ba6657869737473a2213dc3" + "9090",
    ),
    (Evict(b"k", 3), "9316c4016b03"),
    (Compact(), "9217c0"),
    (Compact(7), "921707"),
    (Batch((DeleteRange(b"a", b"b"),)), "920791" + "9314c40161c40162"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "golden"), GOLDEN_3)
def test_version_3_is_these_bytes_for_ever(command: Command, golden: str) -> None:
    """An entry is of the oldest version that has all that is in it (failure E15)."""
    assert encode_commands([command], 1).hex() == "93030191" + golden
    assert decode_entry(bytes.fromhex("93030191" + golden)) == (1, [command])
    assert version_of(command) == 3
    together = encode_commands([Set(b"k", b"v"), command], 1)
    assert together.hex() == "93030192" + "9601c4016bc40176c0c0c2" + golden
    with pytest.raises(UnknownCommands):
        decode_entry(b"\x93\x02" + together[2:])


@pytest.mark.parametrize(("stamp_ms", "commands", "golden"), GOLDEN_2)
def test_version_2_is_these_bytes_for_ever(
    stamp_ms: int, commands: list[Command], golden: str
) -> None:
    """What this release writes, later ones must read (failure E15)."""
    assert encode_commands(commands, stamp_ms).hex() == golden
    assert decode_entry(bytes.fromhex(golden)) == (stamp_ms, commands)


@pytest.mark.parametrize(("command", "golden"), GOLDEN)
def test_what_was_in_version_1_is_the_same_in_version_2(command: Command, golden: str) -> None:
    assert encode_commands([command], 0).hex() == "93020091" + golden.removeprefix("920191")
    assert version_of(command) == 1


@pytest.mark.parametrize(("command", "golden"), GOLDEN)
def test_version_1_is_these_bytes_for_ever(command: Command, golden: str) -> None:
    """What an old release wrote must be read, and the reverse (failure E15)."""
    assert encode_commands([command]).hex() == golden
    assert decode_commands(bytes.fromhex(golden)) == [command]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param("9304009303c4016b02", id="another version"),
        pytest.param("93030091" + "9318c4016b02", id="an unknown command of version 3"),
        pytest.param("93030091" + "9204c4016b", id="a read in version 3"),
        pytest.param("93030091" + "9411c4016c07" + "9204c4016b", id="a read behind a fence"),
        pytest.param("93030091" + "94159090" + "91" + "94159090" + "90", id="a txn in a txn"),
        pytest.param("9202919303c4016b02", id="version 2 without a stamp"),
        pytest.param("930291c0", id="a stamp that is none"),
        pytest.param("9302ff90", id="a time before the beginning"),
        pytest.param("920191930ac4016b05", id="version 1 with a command of version 2"),
        pytest.param("9201919207" + "91930ac4016b05", id="and in a batch"),
        pytest.param("9302009193" + "0dc4016b05", id="an unknown command of version 2"),
        pytest.param("9302009192" + "04c4016b", id="a read in version 2"),
        pytest.param("9201919308c4016b02", id="an unknown command"),
        pytest.param("9201919403c4016b02c3", id="a field too many"),
        pytest.param("9201919203", id="cut short"),
        pytest.param("9201919303c4016b0200", id="bytes behind the end"),
        pytest.param("9201919204c4016b", id="a read, which has no place in a log"),
        pytest.param("9201919303a16b02", id="a key that is a str"),
        pytest.param("9301919303c4016b0200", id="an array of three"),
        pytest.param("920191" + "9207" * 3 + "90", id="a batch in a batch"),
        pytest.param("9201" + "91" * 5000, id="too deep"),
        pytest.param("9201ddffffffff", id="a length beyond the end"),
    ],
)
def test_what_is_not_known_is_not_guessed_at(data: str) -> None:
    """A server that skipped what it does not know would differ from the others from then on."""
    with pytest.raises(UnknownCommands, match="release"):
        decode_commands(bytes.fromhex(data))


def test_a_stamp_is_read_without_the_commands_behind_it() -> None:
    assert stamp_of(encode_commands([Set(b"k", b"v")], 17)) == 17
    assert stamp_of(encode_commands([Set(b"k", b"v")])) is None
    for nonsense in ("", "9302", "9302c4", "80"):
        assert stamp_of(bytes.fromhex(nonsense)) is None


def test_a_batch_is_as_new_as_what_is_in_it() -> None:
    assert version_of(Batch((Get(b"a"), Incr(b"a")))) == 1
    assert version_of(Batch((Get(b"a"), Expire(b"a", 1)))) == 2
    assert version_of(Batch((Expire(b"a", 1), DeleteRange(b"a", None)))) == 3


@pytest.mark.parametrize("stamp_ms", [None, 1_000_000])
def test_a_flipped_bit_never_decodes_to_another_kind_of_error(stamp_ms: int | None) -> None:
    commands = [command for command, _ in GOLDEN]
    if stamp_ms is not None:
        commands += [command for _, of_2, _ in GOLDEN_2 for command in of_2]
    data = encode_commands(commands, stamp_ms)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                decode_commands(bytes(damaged))
            except UnknownCommands:
                continue


def test_a_batch_knows_whether_it_changes_anything() -> None:
    assert Batch((Get(b"a"), Incr(b"a"))).changes()
    assert not Batch((Get(b"a"), Invalid("bad_request", ""))).changes()
