"""The format of snapshots: fixed bytes for each version."""

from collections.abc import Callable

import pytest

from raftcache.store.commands import (
    Delete,
    Evict,
    Expire,
    Incr,
    RaiseVersion,
    Set,
    SetExpiring,
    SetFully,
    Txn,
)
from raftcache.store.machine import StateMachine

from .snapshots import assert_same, machine_of, restored, slices_of

GOLDEN = [
    "97000103050002cf3c0ddcde21ddd6b4",
    "97020191c4016191c40133910391019102",
    "930102c4d0" + "34" * 208,
    "97020391c4016391c45c" + "34" * 92 + "910591059101",
    "97030495c40161c40162c40161c40162c40163" + "95c400c400c40131c40132c400"
    + "950000010200" * 2 + "950000010100",
    "9304059400cf8a63330aad4dd98dcf8a63330aad4dd98dcf3c0ddcde21ddd6b4",
    "930506ce374190ef",
]  # fmt: skip


GOLDEN_2 = [
    "97000203050003cf38c9f6acd2f8003b",
    "9406011502",
    "98070292c40161c4016392c40131c4013392010492010492010192ce0001388e00",
    "930103c4d0" + "34" * 208,
    "98070491c4016491c45c" + "34" * 92 + "91059105910191ce00011185",
    "97030595c40161c40162c40162c40163c4016495c400c400c40132c400c400"
    + "950000020000" * 2 + "950000010000",
    "9304069400cf06be83ee9e7317dbcf0157329daac0c315cf38c9f6acd2f8003b",
    "930507ce181f8943",
]  # fmt: skip


GOLDEN_3 = [
    "97000304070105cfcec46e9cc2869b45",
    "9406011c03",
    "97020291c4016391c40131910391039101",
    "930103c4c0" + "33" * 192,
    "9a080491c4016491c46c" + "33" * 108 + "91049104910191ce0001118591ce000111709100",
    "98070593c40165c40166c4047061737493c400c400c40093050701930507019301010193ce000138950000",
    "99090693c40161c40162c4016193c400c400c401319300000293000002930000019302030393010102",
    "99090793c40163c40164c4016593c400c400c4009300000093000000930000009303040593010101",
    "99090892c40162c4016692c40132c400920300920300920100920607920401",
    "9304099500cf250c96bc64afb02dcfc06568cfd8c7c8a1cfb95db5372fd50e78cfcec46e9cc2869b45",
    "93050ace3c84b010",
]  # fmt: skip


def small() -> StateMachine:
    """Return a machine with all that a snapshot can hold, and no more of it than needed."""
    return machine_of(
        [
            [Set(b"a", b"1"), Set(b"b", b"2")],
            [],
            [Set(b"a", b"3"), Delete(b"b"), Set(b"c", b"4" * 300)],
        ]
    )


def test_version_1_is_these_bytes_for_ever() -> None:
    """What an old release wrote must be read, and the reverse (failure E15)."""
    slices = slices_of(small(), 256)

    assert [data.hex() for data in slices] == GOLDEN
    assert_same(restored(map(bytes.fromhex, GOLDEN)), small())


def timed() -> StateMachine:
    """Return a machine with what version 2 has added."""
    return machine_of(
        [
            [RaiseVersion(2), SetExpiring(b"a", b"1", 90_000), SetExpiring(b"b", b"2", 1)],
            [Set(b"c", b"3"), Expire(b"a", 80_000)],
            [SetExpiring(b"d", b"4" * 300, 70_000)],
        ]
    )


def test_version_2_is_these_bytes_for_ever() -> None:
    """With a clock behind the header, and deadlines (failure E15)."""
    slices = slices_of(timed(), 256)

    assert [data.hex() for data in slices] == GOLDEN_2
    assert_same(restored(map(bytes.fromhex, GOLDEN_2)), timed())


def tied() -> StateMachine:
    """Return a machine with what version 3 has added: sliding, kinds, shared revisions."""
    return machine_of(
        [
            [Set(b"past", b""), RaiseVersion(3), SetFully(b"a", b"1", 90_000, True, None)],
            [Txn((), (Set(b"b", b"2"), Delete(b"a"), Incr(b"c")), ())],
            [SetFully(b"d", b"3" * 300, 70_000, True, None), SetExpiring(b"e", b"", 80_000)],
            [Evict(b"b", 3), SetFully(b"f", b"", None, True, None)],
        ]
    )


def test_version_3_is_these_bytes_for_ever() -> None:
    """With what keys are tied to, and a history that tells kinds (failure E15)."""
    slices = slices_of(tied(), 256)

    assert [data.hex() for data in slices] == GOLDEN_3
    assert_same(restored(map(bytes.fromhex, GOLDEN_3)), tied())


@pytest.mark.parametrize("machine_of_version", [small, timed, tied])
def test_a_state_that_holds_nothing_newer_is_written_for_the_oldest_release(
    machine_of_version: Callable[[], StateMachine],
) -> None:
    """A member that has not been upgraded yet may be sent it."""
    run = machine_of_version().begin_snapshot()

    assert run.contents_version == {small: 1, timed: 2, tied: 3}[machine_of_version]
