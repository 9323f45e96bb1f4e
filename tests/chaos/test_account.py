"""The account of writes by the final reads, and the windows without any, laid to their causes."""

from orchestrator.chaos.account import Writes, count_writes, describe, find_windows
from orchestrator.chaos.faults import Fault
from orchestrator.elections import Election
from orchestrator.verify.history import Arguments, Operation, Result
from raftcache.client import Record


def write(key: str, mod_rev: int | None, outcome: str = "ok", op: str = "set") -> Operation:
    return Operation(
        client="c1",
        op=op,  # type: ignore[arg-type]
        key=key,
        args=Arguments(value=f"v{mod_rev}"),
        outcome=outcome,  # type: ignore[arg-type]
        call_ns=1,
        return_ns=2,
        result=Result(mod_rev=mod_rev),
    )


def record(mod_rev: int, key_version: int) -> Record:
    return Record(b"v", mod_rev, 1, key_version)


def test_what_is_there_was_not_lost() -> None:
    operations = [write("a", 1), write("a", 2), write("a", 3, "failed"), write("b", 4)]

    counted = count_writes(operations, {"a": record(2, 2), "b": record(4, 1)})

    assert counted == (Writes(acknowledged=3, refused=1), [])


def test_a_change_too_few_is_a_lost_write() -> None:
    operations = [write("a", 1), write("a", 2), write("a", 3)]

    assert count_writes(operations, {"a": record(3, 2)}) == (Writes(acknowledged=3, lost=1), ["a"])


def test_a_key_that_is_gone_lost_all_its_writes() -> None:
    assert count_writes([write("a", 1), write("a", 2)], {"a": None})[0].lost == 2


def test_a_later_revision_than_the_key_s_own_is_a_lost_write() -> None:
    """Unknown writes could have made up the number of changes."""
    operations = [write("a", 1), write("a", 9), write("a", None, "unknown")]

    assert count_writes(operations, {"a": record(2, 2)})[0].lost == 1


def test_an_unknown_write_may_be_there_or_not() -> None:
    operations = [write("a", 1), write("a", None, "unknown")]

    for key_version in (1, 2):
        found = {"a": record(key_version, key_version)}
        assert count_writes(operations, found)[0] == Writes(acknowledged=1, unknown=1)


def test_more_changes_than_writes_were_done_twice() -> None:
    operations = [write("a", None, op="incr"), write("a", None, "unknown", op="incr")]

    assert count_writes(operations, {"a": record(3, 3)})[0].twice == 1


def test_a_deleted_key_says_nothing_of_what_was_before() -> None:
    operations = [write("a", 1), write("a", 2), write("a", None, op="delete")]

    assert count_writes(operations, {"a": None})[0] == Writes(acknowledged=3)


def test_a_key_that_could_not_be_read_is_counted_apart() -> None:
    assert count_writes([write("a", 1)], {})[0] == Writes(acknowledged=1, unread=1)


def at(seconds: float) -> Operation:
    return Operation(
        client="c1",
        op="incr",
        key="a",
        outcome="ok",
        call_ns=int((seconds - 0.001) * 1e9),
        return_ns=int(seconds * 1e9),
        result=Result(value="1"),
    )


def kill(number: int, at_s: float, undone_s: float | None = None) -> Fault:
    return Fault(
        number=number,
        line=1,
        action="kill",
        selector="leader",
        planned_ms=0,
        at_ms=at_s * 1000,
        targets=["n2"],
        leader="n2",
        term=4,
        undone_ms=None if undone_s is None else undone_s * 1000,
    )


def won(at_s: float) -> Election:
    return Election(
        began_ms=0, won_ms=at_s * 1000, leader="n1", term=5, before="n2", reason="", votes=[],
        late=[], refusals={}, rivals=[],
    )  # fmt: skip


def test_a_window_is_laid_to_the_nearest_blow_with_its_election() -> None:
    times = [10 + k / 50 for k in range(50)] + [11.5 + k / 50 for k in range(50)]
    faults = [kill(1, 10.2), kill(2, 11.0, undone_s=11.4)]

    windows = find_windows(map(at, times), faults, [won(11.25)], began_ms=10_000, ended_ms=12_500)

    assert len(windows) == 1
    window = windows[0]
    assert (window.begin_s, window.end_s, window.ms) == (0.98, 1.5, 520.0)
    assert (window.fault, window.elected_ms) == (2, 250.0)
    assert window.cause == "kill n2 (the leader of term 4)"


def test_a_window_without_a_fault_is_laid_to_none() -> None:
    times = [10.0, 10.2, 10.7, 10.71, 10.72]

    windows = find_windows(map(at, times), [], [], began_ms=9_990, ended_ms=10_730)

    assert [(window.ms, window.cause, window.fault) for window in windows] == [(500.0, "", None)]


def test_a_window_far_from_any_blow_is_laid_to_what_was_in_force_on_the_links() -> None:
    lossy = Fault(
        number=1, line=1, action="link", selector="all all", planned_ms=0, at_ms=2_000,
        targets=["n1", "n2"], leader="n1", term=4, words="n1 <-> n2: 10 % lost",
    )  # fmt: skip
    times = [10.0, 10.2, 10.7, 10.71, 10.72]

    [window] = find_windows(map(at, times), [lossy], [won(10.5)], began_ms=9_990, ended_ms=10_730)

    assert (window.cause, window.elected_ms) == ("during: link n1 <-> n2: 10 % lost", 300.0)
    lossy.undone_ms = 5_000
    [window] = find_windows(map(at, times), [lossy], [], began_ms=9_990, ended_ms=10_730)
    assert window.cause == ""


def test_a_load_that_never_came_back_has_a_window_without_an_end() -> None:
    windows = find_windows([at(10.0)], [kill(1, 10.01)], [], began_ms=10_000, ended_ms=15_000)

    assert [(window.begin_s, window.end_s, window.fault) for window in windows] == [(0.0, None, 1)]


def test_a_slow_load_is_not_taken_for_unavailability() -> None:
    times = [10 + k / 2 for k in range(40)]

    assert find_windows(map(at, times), [], [], began_ms=10_000, ended_ms=29_900) == []


def test_a_fault_is_described_with_who_it_hit() -> None:
    assert describe(kill(1, 0)) == "kill n2 (the leader of term 4)"
