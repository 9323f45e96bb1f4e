"""``@async_cached``: what :mod:`.caching` does, for coroutine functions."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from ..aio import AsyncClient
from .async_steps import perform_async
from .caching import WAIT_S, Caching, result_type

P = ParamSpec("P")
R = TypeVar("R")


def async_cached(
    client: AsyncClient[Any],
    *,
    ttl: float,
    stale: float = 0.0,
    wait: float = WAIT_S,
    key: Callable[..., str] | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Return a decorator that keeps a coroutine function's results in the cluster.

    The arguments are those of :func:`.caching.cached`, and so is all else.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        caching = Caching(function, result_type(function), ttl=ttl, stale=stale, wait=wait, key=key)

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            name = caching.key_of(args, kwargs)
            found = await perform_async(client, caching.look_up(name))
            if found.value is not None:
                kept: R = caching.decode(found.value)
                return kept
            try:
                result = await function(*args, **kwargs)
                value = caching.encode(result)
            except BaseException:
                await perform_async(client, caching.let_go(found.claim))
                raise
            await perform_async(client, caching.keep(name, value, found.claim))
            computed: R = caching.decode(value)  # just what all others get
            return computed

        return call

    return decorate
