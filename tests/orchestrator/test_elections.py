"""Elections in words: why they began, who voted how and why, from the nodes' events."""

from typing import Any

from orchestrator.elections import Election, Elections, explain


def event(t_ms: float, node: str, kind: str, term: int = 2, **fields: Any) -> dict[str, Any]:
    return {"t_ms": t_ms, "node": node, "term": term, "kind": kind, **fields}


def settled(*events: dict[str, Any]) -> Election:
    elections = Elections()
    found = [election for one in events if (election := elections.add(one)) is not None]
    assert len(found) == 1
    return found[0]


SILENT = "timeout: n1 is silent"
FAILOVER = [
    event(100, "n3", "election_started", 1, stage="pre_vote", reason=SILENT),
    event(100, "n3", "leader_lost", 1, leader="n1"),
    event(103, "n2", "vote_granted", 1, candidate="n3", pre_vote=True),
    event(105, "n3", "role", role="candidate", reason=SILENT),
    event(109, "n2", "vote_granted", candidate="n3", pre_vote=False),
    event(110, "n3", "role", role="leader", votes=["n2", "n3"], reason=SILENT),
]


def test_an_election_is_told_with_its_cause_and_every_vote() -> None:
    assert explain(settled(*FAILOVER), ["n1", "n2", "n3"]) == [
        "n3 leads in term 2, 10 ms after the first sign",
        "why: n3 heard nothing from n1, its leader, for a whole election timeout",
        "n2 voted for n3: its log is not ahead of n3's, and it hears no leader",
        "n1: no vote was heard, and none was needed",
    ]


def test_a_refusal_is_told_with_its_reason() -> None:
    refused = event(104, "n4", "vote_refused", candidate="n3", reason="log ends at 5@1, behind 6@1")

    told = explain(settled(*FAILOVER[:-1], refused, FAILOVER[-1]))

    assert "n4 did not: log ends at 5@1, behind 6@1" in told


def test_one_who_refused_before_it_voted_is_told_as_a_voter() -> None:
    refused = event(101, "n2", "vote_refused", candidate="n3", reason="hears leader n1")

    assert settled(FAILOVER[0], refused, *FAILOVER[1:]).refusals == {}


def test_a_rival_is_told() -> None:
    rival = event(104, "n4", "election_started", 1, stage="pre_vote", reason=SILENT)

    told = explain(settled(*FAILOVER[:-1], rival, FAILOVER[-1]))

    assert told[-1] == "n4 asked for votes as well, and got too few"


def test_one_that_came_back_and_asked_in_vain_began_no_election() -> None:
    """Else an election would seem to last since then."""
    in_vain = [
        event(1, "n2", "election_started", 1, stage="pre_vote", reason="timeout: no leader known"),
        event(2, "n1", "vote_refused", 1, candidate="n2", reason="hears leader n1"),
        event(5, "n2", "leader", 1, leader="n1"),
    ]

    found = settled(*in_vain, *FAILOVER)

    assert (found.began_ms, found.rivals) == (100, [])


def test_a_handover_says_whose_wish_it_was() -> None:
    told = explain(
        settled(
            event(1, "n3", "role", role="candidate", reason="transfer from n1"),
            event(3, "n3", "role", role="leader", votes=["n2", "n3"], reason="transfer from n1"),
        )
    )

    assert told[1] == "why: n1 handed the leadership over, with all that is in its log"


def test_events_that_say_nothing_of_elections_are_passed_over() -> None:
    elections = Elections()

    for strange in ({}, {"kind": "role"}, event(1, "n1", "commit", index=5), {"t_ms": "x"}):
        assert elections.add(strange) is None
