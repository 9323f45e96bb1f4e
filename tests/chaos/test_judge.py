"""The verdict: what breaks a promise is told in a sentence, what can't be decided is not fine."""

from orchestrator.chaos.account import Writes
from orchestrator.chaos.judge import Judgement, States, judge
from orchestrator.verify.history import Arguments, Header, History, Operation, Result
from orchestrator.verify.judgement import judge as verify

EQUAL = States(True, "the same on n1 and n2")
SECOND = 1_000_000_000


def set_to(value: str, mod_rev: int, *, begin: int, end: int) -> Operation:
    return Operation(
        client="c1",
        op="set",
        key="register/1",
        args=Arguments(value=value),
        outcome="ok",
        call_ns=begin * SECOND,
        return_ns=end * SECOND,
        result=Result(mod_rev=mod_rev),
    )


def read(value: str, mod_rev: int, *, begin: int, end: int) -> Operation:
    return Operation(
        client="c2",
        op="get",
        key="register/1",
        outcome="ok",
        call_ns=begin * SECOND,
        return_ns=end * SECOND,
        result=Result(found=True, value=value, mod_rev=mod_rev),
    )


GOOD = [set_to("a", 1, begin=1, end=2), set_to("b", 2, begin=3, end=4)]


def verdict(
    operations: list[Operation],
    writes: Writes | None = None,
    states: States = EQUAL,
    heal_failure: str = "",
) -> Judgement:
    counted = Writes(acknowledged=2) if writes is None else writes
    verified = verify(History(Header(started_ns=0), tuple(operations)))
    return judge(verified, counted, ["register/1"], states, heal_failure=heal_failure)


def test_a_history_that_fits_one_order_is_fine() -> None:
    found = verdict([*GOOD, read("b", 2, begin=5, end=6)])

    assert (found.verdict, found.linearizable) == ("ok", "valid")
    assert "all 3 operations fit one order" in found.sentence


def test_a_stale_read_is_a_violation_with_its_story() -> None:
    found = verdict([*GOOD, read("a", 1, begin=5, end=6)])

    assert (found.verdict, found.linearizable) == ("violated", "invalid")
    assert found.sentence.startswith("VIOLATED: ")
    assert "register/1" in found.sentence
    assert "by c2 at 5.000 s" in found.sentence


def test_a_lost_write_is_a_violation() -> None:
    found = verdict(GOOD, Writes(acknowledged=2, lost=1))

    assert found.verdict == "violated"
    assert "1 acknowledged write was lost (register/1)" in found.sentence


def test_states_that_differ_and_a_failed_heal_are_violations() -> None:
    assert verdict(GOOD, states=States(False, "n1: x, n2: y")).verdict == "violated"
    assert verdict(GOOD, heal_failure="n1 is not ready").verdict == "violated"


def test_what_could_not_be_found_out_is_not_fine() -> None:
    assert verdict(GOOD, states=States(None, "n2 does not answer")).verdict == "unknown"
    assert verdict(GOOD, Writes(acknowledged=2, unread=1)).verdict == "unknown"
    assert verdict([], Writes()).sentence.startswith("UNKNOWN: no write was acknowledged")
