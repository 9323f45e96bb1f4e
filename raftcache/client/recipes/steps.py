"""A recipe is written once, as steps; either client takes them.

A recipe is a generator that yields what is to be done next and gets the result sent back. So the
part that is hard to get right knows neither threads nor an event loop.
"""

import contextlib
import time
from collections.abc import Generator
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from ...errors import Compacted
from ..calls import Plan, Plans
from ..sync import Client
from ..values import BYTES

T = TypeVar("T")

PLANS: Final = Plans(BYTES)
"""Recipes keep bytes, whatever codec the client has."""


class NeedSession(msgspec.Struct, frozen=True):
    """Step: give the client's session, opened if need be."""


class Pause(msgspec.Struct, frozen=True):
    """Step: wait so many seconds."""

    seconds: float


class Changed(msgspec.Struct, frozen=True):
    """Step: wait for a change of a key, or under a prefix, from a revision on.

    Whoever has waited looks anew: the change may have come, or the time is over, or changes are no
    longer kept that far.
    """

    from_rev: int
    key: bytes | None = None
    prefix: bytes | None = None
    seconds: float | None = None
    """No longer than this; None: for ever."""


class Forget(msgspec.Struct, frozen=True):
    """Step: give up the session: it is kept alive no more, and what is bound to it goes."""

    session: Any


Step: TypeAlias = Plan[Any] | NeedSession | Pause | Changed | Forget
Steps: TypeAlias = Generator[Step, Any, T]


def left(deadline: float | None) -> float | None:
    """Return the seconds until a moment of the monotonic clock; None: there is no end."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def deadline_of(timeout: float | None) -> float | None:
    """Return the moment that is ``timeout`` seconds from now."""
    return None if timeout is None else time.monotonic() + timeout


def perform(client: Client[Any], steps: Steps[T]) -> T:
    """Take the steps of a recipe, blocking; return what it returns."""
    try:
        step = next(steps)
        while True:
            try:
                result = _do(client, step)
            except BaseException as error:  # noqa: BLE001 - the recipe decides
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        done: T = stop.value
        return done


def _do(client: Client[Any], step: Step) -> Any:
    match step:
        case Plan():
            return client._perform(step, None)  # noqa: SLF001 - what all its methods do
        case NeedSession():
            return client.session()
        case Pause(seconds=seconds):
            return time.sleep(seconds)
        case Forget(session=session):
            return client._forget(session)  # noqa: SLF001 - for recipes only
        case Changed():
            watch = client.watch(step.key, prefix=step.prefix, from_rev=step.from_rev)
            with watch, contextlib.suppress(Compacted):
                watch.next(step.seconds)
            return None
