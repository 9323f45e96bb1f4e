"""The judge by revisions can find somebody guilty, and acquits the innocent."""

import msgspec
import pytest

from orchestrator.simulation.judge import judge
from orchestrator.simulation.workload import FAILED, OK, UNKNOWN, Operation


def operation(number: int, op: str, **fields: object) -> Operation:
    given = {"client": number, "node": "n1", "key": "k", "returned_us": None, **fields}
    return msgspec.convert({"number": number, "op": op, **given}, Operation)


def wrote(number: int, value: str, at: tuple[int, int], mod_rev: int) -> Operation:
    return operation(
        number,
        "set",
        argument=value,
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields={"mod_rev": mod_rev},
    )


def read(number: int, value: str | None, at: tuple[int, int], mod_rev: int) -> Operation:
    return operation(
        number,
        "get",
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields={"value": value, "mod_rev": mod_rev},
    )


def counted(number: int, value: int, at: tuple[int, int]) -> Operation:
    return operation(
        number,
        "incr",
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields={"value": value, "mod_rev": value},
    )


def unsettled(number: int, op: str, outcome: str, **fields: object) -> Operation:
    return operation(number, op, invoked_us=0, outcome=outcome, **fields)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([wrote(1, "a", (0, 10), 1), read(2, None, (20, 30), 0)], id="a lost write"),
        pytest.param(
            [wrote(1, "a", (0, 10), 1), wrote(2, "b", (20, 30), 2), read(3, "a", (40, 50), 1)],
            id="a stale read",
        ),
        pytest.param(
            [wrote(1, "a", (0, 90), 1), read(2, "a", (10, 20), 1), read(3, None, (30, 40), 0)],
            id="a read that goes back",
        ),
        pytest.param([read(1, "a", (0, 10), 1)], id="a value out of nowhere"),
        pytest.param(
            [unsettled(1, "set", FAILED, argument="a"), read(2, "a", (20, 30), 1)],
            id="a refused write that happened",
        ),
        pytest.param(
            [wrote(1, "a", (0, 10), 1), read(2, "a", (20, 30), 4)], id="a write that happened twice"
        ),
        pytest.param(
            [wrote(1, "a", (0, 10), 1), wrote(2, "b", (0, 10), 1)], id="two writes, one revision"
        ),
        pytest.param([wrote(1, "a", (0, 10), 2), wrote(2, "b", (20, 30), 1)], id="out of order"),
        pytest.param([counted(1, 1, (0, 10)), counted(2, 1, (20, 30))], id="a lost increment"),
        pytest.param([counted(1, 2, (0, 10))], id="an increment that counted twice"),
        pytest.param(
            [unsettled(1, "incr", FAILED), counted(2, 2, (20, 30))], id="a refused one that counted"
        ),
        pytest.param(
            [unsettled(1, "incr", UNKNOWN), counted(2, 3, (20, 30))], id="an unknown one, twice"
        ),
    ],
)
def test_the_judge_finds(history: list[Operation]) -> None:
    assert judge(history) != []


@pytest.mark.parametrize(
    "history",
    [
        [wrote(1, "a", (0, 10), 1), read(2, "a", (20, 30), 1)],
        [wrote(1, "a", (0, 90), 1), read(2, None, (10, 20), 0), read(3, "a", (30, 40), 1)],
        [unsettled(1, "set", UNKNOWN, argument="a"), read(2, "a", (20, 30), 1)],
        [unsettled(1, "set", UNKNOWN, argument="a"), read(2, None, (20, 30), 0)],
        [unsettled(1, "incr", UNKNOWN), counted(2, 2, (20, 30))],
        [unsettled(1, "incr", UNKNOWN), counted(2, 1, (20, 30))],
    ],
)
def test_the_judge_accepts(history: list[Operation]) -> None:
    """What may happen is no offence: an unknown write may take effect, or never."""
    assert judge(history) == []


def fleeting(number: int, op: str, value: str | None, at: tuple[int, int]) -> Operation:
    key, fields = "fleeting-0", {"found": value is not None, "value": value}
    argument = value if op == "set" else None
    return operation(
        number,
        op,
        key=key,
        argument=argument,
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields=fields,
    )


def test_what_has_expired_may_not_come_back() -> None:
    """Nor may be seen what nobody wrote; that it goes, and when, is the leader's affair."""
    wrote, seen = fleeting(1, "set", "a", (0, 10)), fleeting(2, "get", "a", (20, 30))
    gone, back = fleeting(3, "get", None, (40, 50)), fleeting(4, "get", "a", (60, 70))
    early = fleeting(5, "get", "a", (45, 70))

    assert judge([wrote, seen, gone]) == []
    assert judge([wrote, seen, gone, early]) == []
    assert [line[:28] for line in judge([wrote, gone, back])] == ["fleeting-0 had expired, and "]
    assert [line[:28] for line in judge([seen])] == ["fleeting-0 was never written"]
