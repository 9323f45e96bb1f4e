"""The judge of batches, pages of the past and expiry finds what is wrong, and nothing else."""

from typing import Any

import pytest

from orchestrator.simulation.moments import judge_moments
from orchestrator.simulation.profile import Profile
from orchestrator.simulation.workload import FAILED, OK, UNKNOWN, Operation

PROFILE = Profile()


def operation(number: int, op: str, times_ms: tuple[int, int], **more: Any) -> Operation:
    """Return an operation that was answered well, unless ``more`` says otherwise."""
    fields: dict[str, Any] = {
        "client": 0,
        "node": "n1",
        "key": more.get("asked", {}).get("key", ""),
        "outcome": OK,
        **more,
    }
    return Operation(
        number=number,
        op=op,
        invoked_us=times_ms[0] * 1_000,
        returned_us=None if fields["outcome"] == UNKNOWN else times_ms[1] * 1_000,
        **fields,
    )


def batch(*results: tuple[str, int]) -> Operation:
    """Return a batch on one key: each operation and the revision that it told."""
    return operation(
        1,
        "batch",
        (0, 10),
        asked={"ops": [{"op": op, "key": "mixed-0"} for op, _ in results]},
        fields={
            "results": [
                {"ok": True, "found": True, "deleted": True, "mod_rev": rev} for _, rev in results
            ]
        },
    )


@pytest.mark.parametrize(
    ("results", "is_wrong"),
    [
        ([("get", 3), ("set", 7), ("get", 7)], False),
        ([("set", 7), ("get", 9)], False),
        ([("set", 7), ("delete", 0), ("get", 3)], False),
        ([("set", 7), ("get", 3)], True),
        ([("incr", 7), ("set", 8), ("get", 7)], True),
    ],
)
def test_a_batch_reads_what_it_has_written(
    results: list[tuple[str, int]], *, is_wrong: bool
) -> None:
    """Somebody else may have come later, never earlier."""
    assert bool(judge_moments([batch(*results)], PROFILE)) is is_wrong


def page(number: int, at_rev: int, **shown: int) -> Operation:
    """Return a page of a moment gone by."""
    return operation(
        number,
        "range",
        (number, number + 1),
        asked={"prefix": "mixed-", "at_rev": at_rev},
        fields={
            "at_rev": at_rev,
            "items": [{"key": key, "mod_rev": rev} for key, rev in shown.items()],
        },
    )


def test_a_page_shows_one_moment_and_always_the_same() -> None:
    """Failure B7."""
    right, again, other = page(1, 5, a=3, b=5), page(2, 5, a=3, b=5), page(3, 4, a=3)
    late, changed = page(4, 5, a=6), page(5, 5, b=5)

    assert judge_moments([right, again, other], PROFILE) == []
    assert "shows later ones" in judge_moments([late], PROFILE)[0]
    assert "has changed" in judge_moments([right, changed], PROFILE)[0]


def fleeting(number: int, op: str, times_ms: tuple[int, int], **asked: Any) -> Operation:
    """Return something that was done to a key that expires; a get that found nothing."""
    outcome = asked.pop("outcome", OK)
    return operation(
        number,
        op,
        times_ms,
        outcome=outcome,
        asked={"key": "fleeting-0", **asked},
        fields={"found": False},
    )


def test_no_key_is_gone_before_its_time() -> None:
    """By the fastest clock that there may be; what may have shortened its life explains all."""
    wrote = fleeting(1, "set", (0, 10), ttl_ms=100)
    gone, early = fleeting(2, "get", (90, 101)), fleeting(3, "get", (60, 70))
    shorter = fleeting(4, "expire", (20, 30), ttl_ms=5)
    perhaps = fleeting(5, "expire", (20, 30), ttl_ms=5, outcome=UNKNOWN)
    refused = fleeting(6, "expire", (20, 30), ttl_ms=5, outcome=FAILED)
    again = fleeting(7, "set", (40, 50), ttl_ms=400)

    assert judge_moments([wrote, gone], PROFILE) == []
    assert judge_moments([wrote, shorter, early], PROFILE) == []
    assert judge_moments([wrote, perhaps, early], PROFILE) == []
    for history in ([wrote, early], [wrote, refused, early], [wrote, shorter, again, gone]):
        assert "gone before its time" in judge_moments(history, PROFILE)[0]
    assert judge_moments([wrote, early], Profile(clock_rates=(1_000, 1_900))) == []
    assert judge_moments([wrote, early], Profile(faults=("clock_jump",))) == []
