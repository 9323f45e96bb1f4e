"""Takes the steps of a recipe under asyncio."""

import asyncio
import contextlib
from typing import Any, TypeVar

from ...errors import Compacted
from ..aio import AsyncClient
from ..calls import Plan
from .steps import Changed, Forget, NeedSession, Pause, Step, Steps

T = TypeVar("T")


async def perform_async(client: AsyncClient[Any], steps: Steps[T]) -> T:
    """Take the steps of a recipe, awaited; return what it returns."""
    try:
        step = next(steps)
        while True:
            try:
                result = await _do_async(client, step)
            except BaseException as error:  # noqa: BLE001 - the recipe decides
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        done: T = stop.value
        return done


async def _do_async(client: AsyncClient[Any], step: Step) -> Any:
    match step:
        case Plan():
            return await client._perform(step, None)  # noqa: SLF001 - what all its methods do
        case NeedSession():
            return await client.session()
        case Pause(seconds=seconds):
            return await asyncio.sleep(seconds)
        case Forget(session=session):
            return client._forget(session)  # noqa: SLF001 - for recipes only
        case Changed():
            watch = client.watch(step.key, prefix=step.prefix, from_rev=step.from_rev)
            async with watch:
                with contextlib.suppress(Compacted):
                    await watch.next(step.seconds)
            return None
