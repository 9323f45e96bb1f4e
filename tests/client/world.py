"""A cluster as one call sees it, in virtual time: scripts of outcomes, and a log of sendings."""

import random
from typing import Any

import pytest

from raftcache.client.routing import (
    Answered,
    Call,
    Kind,
    Lost,
    NotSent,
    Outcome,
    Pause,
    Refused,
    Routing,
    Send,
    Silent,
)
from raftcache.errors import (
    ERRORS_BY_CODE,
)

A, B, C = "tcp://a", "tcp://b", "tcp://c"
DEADLINE_MS = 5_000.0


class World:
    """A cluster as one call sees it: what each endpoint does, and how long it takes.

    ``log`` is the sendings as (ms, endpoint), ``outcomes`` what became of each.
    """

    def __init__(self, *, leader: str | None = None, seed: int = 1) -> None:
        self.routing = Routing((A, B, C), random=random.Random(seed), leader=leader)
        self.routing._position = 0
        self.now_ms = 0.0
        self.deadline_ms = 0.0
        self.log: list[tuple[int, str]] = []
        self.sends: list[Send] = []
        self.outcomes: list[Outcome] = []
        self.scripts: dict[str, list[tuple[float, Outcome]]] = {}

    def at(self, endpoint: str, *outcomes: tuple[float, Outcome]) -> "World":
        """Let ``endpoint`` give these outcomes in turn, each after so many ms; the last stays."""
        self.scripts[endpoint] = list(outcomes)
        return self

    def run(self, kind: Kind, pinned: str | None = None) -> str:
        """Run one call to its end; return who answered."""
        self.deadline_ms = self.now_ms + DEADLINE_MS
        call = Call(self.routing, kind, self.deadline_ms, pinned)
        while True:
            step = call.next_step(self.now_ms)
            if isinstance(step, Pause):
                assert step.until_ms > self.now_ms, "a pause that is over must not be asked for"
                self.now_ms = step.until_ms
                continue
            self.log.append((round(self.now_ms), step.endpoint))
            self.sends.append(step)
            outcome = self._outcome(step)
            self.outcomes.append(outcome)
            if call.settle(self.now_ms, outcome, step.endpoint):
                return step.endpoint

    def _outcome(self, step: Send) -> Outcome:
        script = self.scripts[step.endpoint]
        after_ms, outcome = script.pop(0) if len(script) > 1 else script[0]
        by_ms = step.connect_by_ms if isinstance(outcome, NotSent) else step.answer_by_ms
        assert by_ms <= self.deadline_ms, "no step passes the deadline"
        if isinstance(outcome, Silent):
            after_ms = by_ms - self.now_ms
        elif self.now_ms + after_ms > by_ms:
            after_ms, outcome = by_ms - self.now_ms, Silent()
        self.now_ms += after_ms
        return outcome


def ok(leader: str | None = A, after_ms: float = 1) -> tuple[float, Outcome]:
    return after_ms, Answered(leader)


def no(code: str, leader: str | None = None, **extra: Any) -> tuple[float, Outcome]:
    error = ERRORS_BY_CODE[code]
    return 1, Refused(error(code, **extra), leader)


DOWN: tuple[float, Outcome] = (1, NotSent("refused"))
DIES: tuple[float, Outcome] = (1, Lost())
PAUSED: tuple[float, Outcome] = (0, Silent())
BOTH = pytest.mark.parametrize("kind", list(Kind))


def endpoints(world: World) -> list[str]:
    return [endpoint for _, endpoint in world.log]
