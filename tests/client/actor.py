"""A program that takes the steps of a recipe, one at a time, against a store in memory."""

from collections.abc import Callable, Generator
from typing import Any

from raftcache.client import codec
from raftcache.client.calls import Plan
from raftcache.client.recipes.queue import LeaseLost
from raftcache.client.recipes.steps import Changed, Forget, NeedSession, Pause, Step
from raftcache.client.sessions import Session
from raftcache.errors import RequestError

from .fake_node import Request
from .fake_store import FakeStore

FOR_EVER_MS = 1e15


class Actor:
    """One program that takes the steps of a recipe, whenever it is let."""

    def __init__(self, store: FakeStore, steps: Callable[[], Generator[Step, Any, Any]]) -> None:
        self.store = store
        opened = store._answer({"op": "session_open"})
        assert opened is not None
        self.session = Session(opened["session"], FOR_EVER_MS, 0)
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.paused: list[float] = []
        self.fails: Callable[[Request], RequestError | None] = lambda _request: None
        self._begin = steps
        self._steps = steps()
        self._next: Step | None = next(self._steps)

    def begin_again(self, steps: Callable[[], Generator[Step, Any, Any]]) -> "Actor":
        """Begin another recipe."""
        self.done, self._steps = False, steps()
        self._advance(lambda: next(self._steps))
        return self

    @property
    def may_go_on(self) -> bool:
        """Whether there is a step that can be taken now."""
        if self.done:
            return False
        waits = self._next
        if not isinstance(waits, Changed):
            return True
        return any(
            event["rev"] >= waits.from_rev
            and (
                event["key"] == waits.key
                or (waits.prefix is not None and event["key"].startswith(waits.prefix))
            )
            for event in self.store.events
        )

    def step(self) -> None:
        """Take one step."""
        step = self._next
        match step:
            case NeedSession():
                self._advance(lambda: self._steps.send(self.session))
            case Plan():
                self._ask(step)
            case Forget(session=session):
                session.ended = True
                self.store.expire(session.id)
                self._advance(lambda: self._steps.send(None))
            case Pause(seconds=seconds):
                self.paused.append(seconds)
                self._advance(lambda: self._steps.send(None))
            case _:
                self._advance(lambda: self._steps.send(None))

    def run(self) -> Any:
        """Take all steps; return the result."""
        while self.may_go_on:
            self.step()
        if self.error is not None:
            raise self.error
        return self.result

    def _ask(self, plan: Plan[Any]) -> None:
        request = {"op": plan.op, "session": self.session.id, "ack": 0, **plan.fields}
        error = self.fails(request)
        if error is None:
            reply = self.store._answer(request)
            assert reply is not None
            reply = {"ok": True, **reply}
            if reply["ok"]:
                self._advance(lambda: self._steps.send(plan.read(reply)))
                return
            error = codec.error_of(reply)
        failed = error
        self._advance(lambda: self._steps.throw(failed))

    def _advance(self, resume: Callable[[], Step]) -> None:
        try:
            self._next = resume()
        except StopIteration as stop:
            self.done, self.result = True, stop.value
        except RequestError as error:
            self.done, self.error = True, error
        except LeaseLost as error:
            self.done, self.error = True, error
