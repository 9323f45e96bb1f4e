"""The account of the demo: each way in which a cluster can break its word must show in it."""

import itertools

import pytest

from orchestrator.demo.history import (
    Found,
    Outcome,
    Verdict,
    Write,
    judge,
    percentile_ms,
    unavailable_ms,
)

K = b"demo/0/000"


def history(outcomes: str, key: bytes = K) -> list[Write]:
    """Make one write for each letter: a acknowledged, u unknown, r refused; values 1, 2, 3..."""
    meaning = {"a": Outcome.ACKNOWLEDGED, "u": Outcome.UNKNOWN, "r": Outcome.REFUSED}
    return [
        Write(key, b"%d" % number, number * 10.0, number * 10.0 + 5, meaning[letter])
        for number, letter in enumerate(outcomes, 1)
    ]


def found(value: int, changes: int) -> dict[bytes, Found]:
    return {K: Found(b"%d" % value, changes)}


@pytest.mark.parametrize(
    ("outcomes", "there", "expected"),
    [
        ("", {}, Verdict()),
        ("a", found(1, 1), Verdict(acknowledged=1)),
        ("aaa", found(3, 3), Verdict(acknowledged=3)),
        ("u", {}, Verdict(unknown=1)),
        ("u", found(1, 1), Verdict(unknown=1, unknown_applied=1)),
        ("au", found(1, 1), Verdict(acknowledged=1, unknown=1)),
        ("au", found(2, 2), Verdict(acknowledged=1, unknown=1, unknown_applied=1)),
        ("ua", found(2, 1), Verdict(acknowledged=1, unknown=1)),
        ("ua", found(2, 2), Verdict(acknowledged=1, unknown=1, unknown_applied=1)),
        # What is unknown may take effect at any later time, after later writes too.
        ("ua", found(1, 2), Verdict(acknowledged=1, unknown=1, unknown_applied=1)),
        ("ar", found(1, 1), Verdict(acknowledged=1, refused=1)),
        ("r", {}, Verdict(refused=1)),
    ],
)
def test_a_kept_promise_is_good(
    outcomes: str, there: dict[bytes, Found], expected: Verdict
) -> None:
    verdict = judge(history(outcomes), there)

    assert verdict == expected
    assert verdict.is_good


@pytest.mark.parametrize(
    ("outcomes", "there", "expected"),
    [
        # All of it is gone.
        ("a", {}, Verdict(acknowledged=1, lost=1)),
        ("aaa", {}, Verdict(acknowledged=3, lost=3)),
        # The last is gone.
        ("aa", found(1, 1), Verdict(acknowledged=2, lost=1)),
        ("aaa", found(1, 1), Verdict(acknowledged=3, lost=2)),
        # One in the middle is gone, though the last is there.
        ("aaa", found(3, 2), Verdict(acknowledged=3, lost=1)),
        # The last is gone, and an older one was done again in its place.
        ("aa", found(1, 2), Verdict(acknowledged=2, lost=1)),
        # An unknown write took effect; that does not make up for one that is gone.
        ("au", found(2, 1), Verdict(acknowledged=1, lost=1, unknown=1, unknown_applied=1)),
        ("aau", found(3, 2), Verdict(acknowledged=2, lost=1, unknown=1, unknown_applied=1)),
        ("uaa", found(2, 2), Verdict(acknowledged=2, lost=1, unknown=1)),
        # Done twice.
        ("a", found(1, 2), Verdict(acknowledged=1, twice=1)),
        ("au", found(2, 4), Verdict(acknowledged=1, unknown=1, unknown_applied=1, twice=2)),
        # What was refused is there.
        ("r", found(1, 1), Verdict(refused=1, wrong=1, twice=1)),
        ("ar", found(2, 1), Verdict(acknowledged=1, refused=1, lost=1, wrong=1)),
        # A value that nobody wrote.
        ("a", found(9, 1), Verdict(acknowledged=1, lost=1, wrong=1)),
        ("", found(9, 1), Verdict(wrong=1)),
    ],
)
def test_a_broken_promise_shows(
    outcomes: str, there: dict[bytes, Found], expected: Verdict
) -> None:
    verdict = judge(history(outcomes), there)

    assert verdict == expected
    assert not verdict.is_good


@pytest.mark.parametrize("outcomes", ["a", "aa", "aaaa", "au", "aaau"])
def test_any_loss_in_a_history_as_writers_make_it_is_seen(outcomes: str) -> None:
    """Writers leave a key after an unknown write; then any subset of effects can be told apart."""
    writes = history(outcomes)
    missed = []
    for applied in itertools.product([True, False], repeat=len(writes)):
        effects = [write for write, is_there in zip(writes, applied, strict=True) if is_there]
        there = {K: Found(effects[-1].value, len(effects))} if effects else {}
        gone = sum(
            write.outcome is Outcome.ACKNOWLEDGED and not is_there
            for write, is_there in zip(writes, applied, strict=True)
        )
        if judge(writes, there).lost != gone:
            missed.append((applied, gone))
    assert missed == []


def test_keys_are_judged_apart_and_summed() -> None:
    other = b"demo/1/000"
    writes = history("aa") + history("a", other)

    assert judge(writes, found(2, 2)) == Verdict(acknowledged=3, lost=1)


def acknowledged_at(*times: float) -> list[Write]:
    return [Write(K, b"v", time - 1, time, Outcome.ACKNOWLEDGED) for time in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((10, 20, 30), None),  # nothing after the kill
        ((), None),
        ((10, 90, 95, 300, 310), 205),  # the gap across the kill
        ((10, 95, 105, 400, 410), 295),  # one answer was still on its way
        ((10, 95, 120, 600, 2_000), 480),  # what comes after `until` is another story
        ((150, 160), 50),  # nothing before the kill
    ],
)
def test_the_window_is_the_longest_wait_around_the_kill(
    times: tuple[float, ...], expected: float | None
) -> None:
    assert unavailable_ms(acknowledged_at(*times), killed_ms=100, until_ms=500) == expected


def test_the_window_counts_no_write_that_was_not_acknowledged() -> None:
    unknown = Write(K, b"v", 0, 150, Outcome.UNKNOWN)

    assert unavailable_ms([*acknowledged_at(90, 300), unknown], 100, 500) == 210


def test_percentiles_are_of_acknowledged_writes() -> None:
    writes = [Write(K, b"v", 0, float(ms), Outcome.ACKNOWLEDGED) for ms in range(1, 101)]
    unknown = Write(K, b"v", 0, 9_999, Outcome.UNKNOWN)

    assert percentile_ms([*writes, unknown], 0.5) == 51
    assert percentile_ms([unknown], 0.5) == 0
