"""Events become sentences; the layout fits 80 columns."""

import io
from typing import Any

import pytest

from orchestrator.demo.history import Verdict
from orchestrator.demo.listener import Story, decode_event
from orchestrator.demo.narration import Line, Rules, listed, narrate
from orchestrator.demo.play import Report
from orchestrator.demo.show import Teller


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"t_ms": 1_000, "node": "n3", "term": 2} | {"kind": kind} | fields


@pytest.mark.parametrize(
    ("given", "text", "rule"),
    [
        (
            event("election_started", stage="pre_vote", reason="timeout"),
            "n3 asks the others: would you vote for me? (timeout)",
            Rules.PRE_VOTE,
        ),
        (
            event("role", role="candidate"),
            "n3 stands for election in term 2",
            Rules.CANDIDATE,
        ),
        (
            event("vote_granted", candidate="n1", pre_vote=True),
            "n3 would vote for n1",
            Rules.PRE_YES,
        ),
        (
            event("vote_granted", candidate="n1", pre_vote=False),
            "n3 votes for n1 in term 2",
            Rules.VOTE,
        ),
        (
            event("vote_refused", candidate="n1", pre_vote=True, reason="hears leader n2"),
            "n3 would not vote for n1: hears leader n2",
            Rules.REFUSED,
        ),
        (
            event("role", role="leader", votes=["n3", "n1"]),
            "n3 leads in term 2, by the votes of n1 and n3",
            Rules.ELECTED,
        ),
        (
            event("role", role="follower", was="leader"),
            "n3 steps down; the term is 2",
            Rules.STEPS_DOWN,
        ),
        (event("leader", leader="n1"), "n3 follows n1 in term 2", Rules.FOLLOWS),
        (
            event("leader_lost", leader="n1", reason="connection refused"),
            "n3 has lost n1 (connection refused)",
            Rules.SILENCE,
        ),
    ],
)
def test_an_event_is_told(given: dict[str, Any], text: str, rule: str) -> None:
    line = narrate(given)

    assert line is not None
    assert (line.at_ms, line.text, line.rule) == (1_000, text, rule)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"kind": "role"},
        event("commit", index=5),
        event("from_the_future"),
        event("role", role="pre_candidate"),
        event("role", role="follower", was="follower"),
        event("election_started", stage="request_vote"),
        event("leader", leader="n3"),
        event("leader", leader=None),
        event("leader_lost", leader="n3"),
    ],
)
def test_what_is_no_news_is_not_told(given: dict[str, Any]) -> None:
    assert narrate(given) is None


@pytest.mark.parametrize("frames", [[b""], [b"raft", b"\xc1"], [b"raft", b"\x01"]])
def test_what_is_no_event_is_empty(frames: list[bytes]) -> None:
    assert decode_event(frames) == {}


def test_every_rule_cites_the_paper() -> None:
    rules = [rule for name, rule in vars(Rules).items() if name.isupper()]

    assert rules
    assert all("§" in rule or "Figure" in rule for rule in rules)
    assert max(map(len, rules)) <= 68, "each fits on one line"


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["b", "a"], "a and b"), (["c", "a", "b"], "a, b and c")],
)
def test_names_are_listed_as_in_a_sentence(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_lines_are_told_in_the_order_in_which_things_happened() -> None:
    """Events of different nodes arrive out of order: the vote must come before the election."""
    told: list[str] = []
    story = Story([], lambda line: told.append(line.text))

    for at_ms, text in [(3.0, "third"), (1.0, "first"), (2.0, "second"), (2.0, "second too")]:
        story.add(Line(at_ms, text))
    story.stop()

    assert told == ["first", "second", "second too", "third"]


def test_causes_come_before_what_they_cause_within_a_millisecond() -> None:
    """Times are whole milliseconds, and an election needs only a few of them."""
    told: list[str] = []
    story = Story([], lambda line: told.append(line.text))

    for given in (
        event("leader", leader="n1"),
        event("role", node="n1", role="leader", votes=["n1", "n3"]),
        event("vote_granted", candidate="n1"),
        event("role", node="n1", role="candidate"),
        event("vote_granted", candidate="n1", pre_vote=True),
        event("election_started", node="n1", stage="pre_vote"),
        event("leader_lost", node="n1", leader="n2"),
    ):
        line = narrate(given)
        assert line is not None
        story.add(line)
    story.stop()

    assert [text.split()[1] for text in told] == [
        "has",
        "asks",
        "would",
        "stands",
        "votes",
        "leads",
        "follows",
    ]


# The layout


def report(**changes: Any) -> Report:
    fields: dict[str, Any] = {
        "verdict": Verdict(acknowledged=5_165, unknown=4, unknown_applied=1),
        "unavailable_ms": 249.4,
        "elected_ms": 243.0,
        "killed": "n2",
        "leader": "n3",
        "term": 2,
        "caught_up": True,
        "hashes_equal": True,
        "hash_note": "the same on n1, n2 and n3, at index 3,447",
    }
    return Report(**(fields | changes))


def shown(*lines: Line, explain: bool = False, colour: bool = False) -> list[str]:
    out = io.StringIO()
    teller = Teller(out, explain=explain, colour=colour)
    for line in lines:
        teller.tell(line)
    teller.account(report())
    return out.getvalue().splitlines()


LONG = Line(2_000, "n3 does not vote for n1: " + "its log ends long before " * 8, Rules.REFUSED)


@pytest.mark.parametrize("explain", [False, True])
def test_everything_fits_in_80_columns(*, explain: bool) -> None:
    rules = [Line(1_000, "x", rule) for name, rule in vars(Rules).items() if name.isupper()]

    assert max(map(len, shown(LONG, *rules, explain=explain))) < 80


def test_rules_are_shown_when_asked_for() -> None:
    line = Line(1_000, "n1 votes for n3 in term 2", Rules.VOTE)

    assert not any("§5.2" in text for text in shown(line))
    assert any("§5.2" in text for text in shown(line, explain=True))


def test_colour_is_used_only_where_it_is_wanted() -> None:
    assert not any("\x1b" in text for text in shown(LONG, explain=True))
    assert any("\x1b" in text for text in shown(LONG, colour=True))


def test_times_count_from_the_kill_while_the_cluster_has_no_leader() -> None:
    out = io.StringIO()
    teller = Teller(out, explain=False, colour=False)

    teller.tell(Line(1_000, "begin"))
    teller.tell(Line(3_500, "kill"))
    teller.count_from(3_500)
    teller.tell(Line(3_543, "elected"))
    teller.count_from(None)
    teller.tell(Line(5_000, "started"))

    assert out.getvalue().splitlines() == [
        "   0.00 s  begin",
        "   2.50 s  kill",
        "   +43 ms  elected",
        "   4.00 s  started",
    ]


# The verdict


def test_a_good_report_is_good() -> None:
    assert report().is_good
    assert report().sentence.startswith("Nothing acknowledged was lost")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"verdict": Verdict(acknowledged=9, lost=1)}, "1 acknowledged writes were lost"),
        ({"verdict": Verdict(acknowledged=9, twice=1)}, "done twice"),
        ({"verdict": Verdict(acknowledged=9, wrong=1)}, "nobody wrote"),
        ({"verdict": Verdict()}, "nothing was acknowledged"),
        ({"leader": None}, "no new leader"),
        ({"unavailable_ms": None}, "no write was acknowledged any more"),
        ({"caught_up": False}, "n2 did not catch up"),
        ({"hashes_equal": False}, "differ"),
    ],
)
def test_whatever_went_wrong_fails_the_demo_and_is_named(
    changes: dict[str, Any], complaint: str
) -> None:
    failed = report(**changes)

    assert not failed.is_good
    assert complaint in failed.sentence
