"""``@cached``: what a slow function returns, kept in the cluster; one worker at a time computes it.

Who finds nothing claims the key, by a key beside it that is bound to his session; who finds it
claimed waits for that one, or takes the value before if that may still be used. A worker who dies
loses his claim with his session, and the next one computes.
"""

import functools
import hashlib
import inspect
import math
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeGuard, TypeVar, get_type_hints

import msgspec

from ...errors import Conflict, RequestError
from ..records import Delete, Fence, Record, Set
from ..sync import Client
from .steps import PLANS, Changed, Steps, deadline_of, left, perform

P = ParamSpec("P")
R = TypeVar("R")

KEY_BYTES: Final = 200
"""Arguments that take more than this stand in the key as a digest."""
WAIT_S: Final = 30.0


class Found(msgspec.Struct, frozen=True):
    """What was found: a value, or that it is to be computed here."""

    value: bytes | None
    claim: Fence | None = None
    """Held by whoever is to compute; None beside no value: compute, and keep it to yourself."""


class Caching:
    """How the results of one function are kept."""

    def __init__(
        self,
        function: Callable[..., Any],
        result: Any,
        *,
        ttl: float,
        stale: float,
        wait: float,
        key: Callable[..., str] | None,
    ) -> None:
        if not 0 < ttl < math.inf or not 0 <= stale < math.inf:
            raise ValueError("ttl is more than 0 seconds, and stale is not negative")
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._ttl = ttl
        self._stale = stale
        self._wait = wait
        self._key = key
        self._decoder = msgspec.msgpack.Decoder(result)

    def key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the key of a call.

        Raises:
            TypeError: arguments that have no form of their own need ``key``.
        """
        if self._key is not None:
            shown = self._key(*args, **kwargs).encode()
        else:
            shown = msgspec.json.encode([args, sorted(kwargs.items())])
        if len(shown) > KEY_BYTES:
            shown = hashlib.blake2b(shown, digest_size=20).hexdigest().encode()
        return b"cached/" + self._name.encode() + b"/" + shown

    def encode(self, result: object) -> bytes:
        """Return a result as it is kept."""
        return msgspec.msgpack.encode(result)

    def decode(self, value: bytes) -> Any:
        """Return a result from what was kept and found by :meth:`look_up`."""
        return self._decoder.decode(value)

    def look_up(self, key: bytes) -> Steps[Found]:
        """Look for a value that may be used, or claim the right to compute it."""
        deadline = deadline_of(self._wait)
        claim = key + b"!"
        try:
            while True:
                record = self._ours((yield PLANS.get_record(key, local=False)))
                if self._is_fresh(record):
                    return Found(record.value)
                try:
                    written = yield PLANS.write(Set(claim, b"", if_mod_rev=0, bind=True))
                except Conflict as conflict:
                    if record is not None:
                        return Found(record.value)
                    seconds = left(deadline)
                    if seconds == 0:
                        return Found(None)
                    yield Changed(conflict.mod_rev + 1, key=claim, seconds=seconds)
                else:
                    fence = Fence(claim, written.mod_rev)
                    # Between looking and claiming another may have claimed, kept and let go.
                    record = self._ours((yield PLANS.get_record(key, local=False)))
                    if not self._is_fresh(record):
                        return Found(None, fence)
                    yield from self.let_go(fence)
                    return Found(record.value)
        except RequestError:
            # A cache that can't be asked is no reason to do without a result.
            return Found(None)

    def _ours(self, record: Record[bytes] | None) -> Record[bytes] | None:
        """Return a record, but none that another release of the program kept as another type."""
        if record is not None:
            try:
                self.decode(record.value)
            except msgspec.MsgspecError:
                return None
        return record

    def _is_fresh(self, record: Record[bytes] | None) -> TypeGuard[Record[bytes]]:
        return record is not None and (record.ttl is None or record.ttl > self._stale)

    def keep(self, key: bytes, value: bytes, claim: Fence | None) -> Steps[None]:
        """Keep a value, if the claim is still there, and give the claim back."""
        if claim is None:
            return
        life = self._ttl + self._stale
        try:
            yield PLANS.batch([Set(key, value, ttl=life, fence=claim), Delete(claim.key)])
        except RequestError:
            return  # it is computed again another time

    def let_go(self, claim: Fence | None) -> Steps[None]:
        """Give a claim back without a value: the function failed."""
        if claim is None:
            return
        try:
            yield PLANS.delete(Delete(claim.key))
        except RequestError:
            return  # it goes with the session


def result_type(function: Callable[..., Any]) -> Any:
    """Return what a function says that it returns, so that it comes back as the same type."""
    try:
        return get_type_hints(function).get("return", Any)
    except NameError:
        return Any


def cached(
    client: Client[Any],
    *,
    ttl: float,
    stale: float = 0.0,
    wait: float = WAIT_S,
    key: Callable[..., str] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that keeps a function's results in the cluster for ``ttl`` seconds.

    While one worker anywhere computes a result the others wait for it, at most ``wait`` seconds;
    then they compute it themselves. For ``stale`` seconds after a result's time is over it is still
    returned to all but the one who computes the next. If the cluster can't be asked, the function
    is called. What it raises is not kept.

    A call is known by the function's module and name, and by its arguments, as JSON, or by what
    ``key`` makes of them: programs that share a cluster do not call different functions alike, as
    two ``report`` of two scripts (``__main__``) would be. Results are kept as MessagePack, and come
    back as the type that the function is annotated with; one that does not fit it is computed anew.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is a coroutine function: use async_cached")
        caching = Caching(function, result_type(function), ttl=ttl, stale=stale, wait=wait, key=key)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            name = caching.key_of(args, kwargs)
            found = perform(client, caching.look_up(name))
            if found.value is not None:
                kept: R = caching.decode(found.value)
                return kept
            try:
                result = function(*args, **kwargs)
                value = caching.encode(result)
            except BaseException:
                perform(client, caching.let_go(found.claim))
                raise
            perform(client, caching.keep(name, value, found.claim))
            return result

        return call

    return decorate
