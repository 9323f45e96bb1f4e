"""The format of commands: fixed bytes for version 1, and no guessing at anything else."""

import pytest

from raftcache.store.commands import (
    Batch,
    Command,
    Delete,
    Get,
    Incr,
    Invalid,
    Range,
    Set,
    UnknownCommands,
    decode_commands,
    encode_commands,
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


@pytest.mark.parametrize(("command", "golden"), GOLDEN)
def test_version_1_is_these_bytes_for_ever(command: Command, golden: str) -> None:
    """What an old release wrote must be read, and the reverse (failure E15)."""
    assert encode_commands([command]).hex() == golden
    assert decode_commands(bytes.fromhex(golden)) == [command]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param("9202919303c4016b02", id="another version"),
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


def test_a_flipped_bit_never_decodes_to_another_kind_of_error() -> None:
    data = encode_commands([command for command, _ in GOLDEN])
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
