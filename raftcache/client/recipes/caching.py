"""``@cached``: what a slow function returns, kept in the cluster; one worker at a time computes it.

Who finds nothing claims the key, by a key beside it that is bound to his session; who finds it
claimed waits for that one, or takes the value before if that may still be used. A worker who dies
loses his claim with his session, and the next one computes.
"""

import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeGuard, TypeVar, get_type_hints

import msgspec

from ...errors import Conflict, DefiniteError, NoLeader, RequestError, Unreachable
from ..records import Delete, Fence, Record, Set
from ..sync import Client
from .steps import PLANS, Changed, Steps, deadline_of, left, perform

P = ParamSpec("P")
R = TypeVar("R")

_to_json: Final = msgspec.json.Encoder(order="deterministic")
_to_msgpack: Final = msgspec.msgpack.Encoder(order="deterministic")
_PLAIN: Final = frozenset({type(None), bool, int, float, str})

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
        for name, seconds in (("ttl", ttl), ("stale", stale), ("wait", wait)):
            if not isinstance(seconds, int | float):
                raise TypeError(f"{name} is {seconds!r}: it is a number of seconds")
        if not 0 < ttl < math.inf or not 0 <= stale < math.inf:
            raise ValueError("ttl is more than 0 seconds, and stale is not negative")
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._ttl = ttl
        self._stale = stale
        self._wait = wait
        self._key = key
        self._decoder = msgspec.msgpack.Decoder(result)
        self._owed: set[Fence] = set()
        """Claims that could not be given back: the next call does, before anything else."""

    def key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the key of a call.

        Raises:
            TypeError: arguments that have no form of their own need ``key``.
        """
        if self._key is not None:
            named = self._key(*args, **kwargs)
            if not isinstance(named, str):
                raise TypeError(f"key= of {self._name} gave {named!r}: it has to give a str")
            shown = named.encode()
        else:
            try:
                shown = _shown([args, sorted(kwargs.items())])
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"arguments of {self._name} have no form that tells them apart ({error}): name"
                    " the call yourself, with key="
                ) from error
        if len(shown) > KEY_BYTES:
            shown = hashlib.blake2b(shown, digest_size=20).hexdigest().encode()
        return b"cached/" + self._name.encode() + b"/" + shown

    def encode(self, result: object) -> bytes:
        """Return a result as it is kept.

        Raises:
            TypeError: MessagePack has no form for it, or it is not what the function says.
        """
        try:
            value = msgspec.msgpack.encode(result)
            self.decode(value)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise TypeError(f"what {self._name} returned can't be kept: {error}") from error
        return value

    def decode(self, value: bytes) -> Any:
        """Return a result from what was kept and found by :meth:`look_up`."""
        return self._decoder.decode(value)

    def look_up(self, key: bytes) -> Steps[Found]:
        """Look for a value that may be used, or claim the right to compute it."""
        deadline = deadline_of(self._wait)
        claim = key + b"!"
        try:
            for owed in [*self._owed]:
                yield from self.let_go(owed)
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
        except (NoLeader, Unreachable):
            self._owed.add(claim)  # it is computed again another time
        except DefiniteError:
            yield from self.let_go(claim)  # nothing was done: it is too large, say
        except BaseException as error:
            self._owed.add(claim)
            if not isinstance(error, RequestError):
                raise

    def let_go(self, claim: Fence | None) -> Steps[None]:
        """Give a claim back without a value: the function failed."""
        if claim is None:
            return
        try:
            yield PLANS.delete(Delete(claim.key, if_mod_rev=claim.create_rev))
        except Conflict:
            self._owed.discard(claim)  # it went with its session, and another has claimed since
        except BaseException as error:
            # While its session lives it would keep all others waiting.
            self._owed.add(claim)
            if not isinstance(error, RequestError):
                raise
        else:
            self._owed.discard(claim)


def _shown(arguments: list[Any]) -> bytes:
    """Return arguments as JSON, and what JSON does not tell apart (b"YQ==" and "a") as a digest."""
    try:
        shown = _to_json.encode(arguments)
        packed = _to_msgpack.encode
    except TypeError:  # numbers as keys can't be sorted: then the order counts
        shown = msgspec.json.encode(arguments)
        packed = msgspec.msgpack.encode
    strange = [*_strange_types(arguments)]
    if not strange:
        return shown
    digest = hashlib.blake2b(" ".join(strange).encode(), digest_size=8)
    digest.update(packed(arguments))
    return shown + b"~" + digest.hexdigest().encode()


def _strange_types(value: object) -> Iterator[str]:
    """Yield the types of all values that JSON writes as it writes others."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list | tuple):
            waiting.extend(one)
        elif type(one) is dict:
            waiting.extend(one.values())
            if any(type(key) is not str for key in one):
                yield "keys"
        elif type(one) not in _PLAIN:
            yield f"{type(one).__module__}.{type(one).__qualname__}"


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
    back, the first time too, as the type that the function is annotated with; without annotation as
    MessagePack has them: a tuple as a list.
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
            computed: R = caching.decode(value)  # just what all others get
            return computed

        return call

    return decorate
