"""Everything there is to say about a history, in one call."""

import msgspec

from .explain import explain
from .history import History, Text
from .linearizability import DEFAULT_BUDGET, Budget, Check, Verdict, check
from .shrink import Contradiction, shrink
from .summary import Summary, summarize

VIOLATIONS_MAX = 5
"""How many keys are explained; one violation often shows in many."""


class Violation(msgspec.Struct, frozen=True):
    """A promise that was broken."""

    key: Text
    sentence: str
    contradiction: Contradiction


class Judgement(msgspec.Struct, frozen=True):
    """The verdict and its reasons."""

    verdict: Verdict
    violations: tuple[Violation, ...]
    """What contradicts over several keys, and then the first few invalid keys, each a few."""
    check: Check
    summary: Summary


def judge(history: History, budget: Budget = DEFAULT_BUDGET) -> Judgement:
    """Judge a history, explain what is wrong, and count the rest.

    The budget is for the check; each explanation may cost as much again.
    """
    checked = check(history.operations, budget, early_ms=history.header.early_ms)
    violations = [
        Violation(breach.key, breach.sentence, Contradiction(breach.operations, (), minimal=True))
        for breach in checked.breaches[:VIOLATIONS_MAX]
    ]
    for fault in checked.faults[:VIOLATIONS_MAX]:
        if fault.verdict is not Verdict.INVALID:
            break
        contradiction = shrink(fault.operations, fault.stuck_ns, budget)
        sentence = explain(contradiction, fault.operations, history.start_ns)
        violations.append(Violation(fault.key, sentence, contradiction))
    return Judgement(checked.verdict, tuple(violations), checked, summarize(history))
