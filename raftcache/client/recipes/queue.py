"""Who waits for a name, in order: what locks, semaphores and elections have in common (sans-I/O).

Everybody who wants a place makes a key of his own under the name, bound to his session, and the
keys' ``create_rev`` is the order: the first ``places`` of them hold one. So

- it is fair: nobody is overtaken, and with one place each waits for the one before him only;
- a holder who dies goes when his session ends, and his key with it;
- the key with its ``create_rev`` is the *fence*: once its owner has a place nobody can get before
  him any more, so while the key is there the place is his.
"""

import itertools
import math
import time
from typing import Final

from ...errors import RaftCacheError, RequestError
from ..records import Delete, Fence, Item, Set
from ..sessions import Session, State
from ..values import Text, as_bytes
from .steps import PLANS, Changed, Forget, NeedSession, Pause, Steps, deadline_of, left

PEOPLE_MAX: Final = 10_000
"""How many may wait for one name: one page."""

_count = itertools.count(1)


class LeaseLost(RaftCacheError):  # noqa: N818 - as the errors of the wire: the fact
    """The place is held no more: the session ended meanwhile, or it was given back."""


class Held:
    """A place that is held: a lock, one of a semaphore, a leadership."""

    def __init__(self, name: str, fence: Fence, session: Session) -> None:
        self.name = name
        self.fence = fence
        """For ``fence=`` of writes: refused once the place is lost, whatever this side believes."""
        self.session = session
        self.given_back = False
        """It was released by its own holder, and is held no more."""

    def __repr__(self) -> str:
        """Tell what is held, and whether it still is."""
        if self.given_back:
            how = "given back"
        elif self.lost:
            how = "lost"
        else:
            risk = "at risk, " if self.at_risk else ""
            how = f"{risk}held for {self.remaining:.1f} s or more"
        return f"<{type(self).__name__} {self.name!r}: {how}>"

    @property
    def remaining(self) -> float:
        """The seconds that the place is held for certain if no renewal succeeds from now on."""
        if self.session.ended or self.given_back:
            return 0.0
        return max(0.0, self.session.ends_at_ms() / 1_000 - time.monotonic())

    @property
    def at_risk(self) -> bool:
        """Whether renewals have failed for two thirds of the lease: stop what can't be undone."""
        return self._state() is not State.CONNECTED

    @property
    def lost(self) -> bool:
        """Whether it was given back, or the lease has ended, or may have."""
        return self._state() is State.LOST

    def check(self) -> None:
        """Go on only if the place is still held.

        Raises:
            LeaseLost: it is not.
        """
        if self.lost:
            how = "it was given back" if self.given_back else "the session ended"
            raise LeaseLost(f"{self.name}: {how}, and another may hold it by now")

    def _state(self) -> State:
        if self.given_back:
            return State.LOST
        return self.session.state(time.monotonic() * 1_000)


class Queue:
    """Everybody who wants one of ``places`` under a name."""

    def __init__(
        self, kind: str, name: str, *, places: int = 1, label: Text = b"", delay: float = 0.0
    ) -> None:
        if not name or "/" in name:
            raise ValueError(f"{name!r} is no name: at least one character, and no slash")
        if places < 1:
            raise ValueError("there is at least one place")
        if not 0 <= delay < math.inf:
            raise ValueError(f"delay is {delay!r}: it is a number of seconds, 0 or more")
        self.name = name
        self.prefix = f"{kind}/{name}/".encode()
        self._mark = f"{kind}-held/{name}".encode()
        self.places = places
        self._label = as_bytes(label)
        self._delay = delay

    def enter(self, timeout: float | None) -> Steps[Held | None]:
        """Wait for a place, no longer than ``timeout`` seconds (None: for ever); None: no place.

        However it ends but with a place, nothing of it stays behind.
        """
        deadline = deadline_of(timeout)
        while True:
            session: Session = yield NeedSession()
            held = yield from self._enter(session, deadline)
            # A session that ended before the key was made is replaced unseen: once more, then.
            if held is None or not held.lost:
                return held

    def _enter(self, session: Session, deadline: float | None) -> Steps[Held | None]:
        key = self.prefix + b"%x-%x" % (session.id, next(_count))
        held = Held(self.name, Fence(key, 0), session)
        try:
            written = yield PLANS.write(Set(key, self._label, if_mod_rev=0, bind=True))
            held = Held(self.name, Fence(key, written.mod_rev), session)
            if not held.lost and (yield from self._wait(held, deadline)):
                yield from self._heed_delay(held)
                return held
        except BaseException as error:
            yield from self._withdraw(held, error)
            raise
        yield from self._withdraw(held, None)
        return held if held.lost else None

    def leave(self, held: Held) -> Steps[None]:
        """Give a place back."""
        operations = [Delete(held.fence.key)]
        if self._delay > 0:
            operations.insert(0, Delete(self._mark, fence=held.fence))
        *_, deleted = yield PLANS.batch(operations)
        if isinstance(deleted, RequestError):
            raise deleted
        held.given_back = True  # not before: a release that failed may be tried again

    def first(self) -> Steps[bytes | None]:
        """Return the label of who holds the (first) place; None: nobody does."""
        while True:
            people, _ = yield from self._people()
            if not people:
                return None
            record = yield PLANS.get_record(people[0].key, local=False)
            if record is not None:  # else he has gone meanwhile
                label: bytes = record.value
                return label

    def _wait(self, held: Held, deadline: float | None) -> Steps[bool]:
        mine = held.fence
        while True:
            people, at_rev = yield from self._people()
            if not any(one.create_rev == mine.create_rev for one in people):
                raise LeaseLost(f"{self.name}: the session ended while this waited")
            ahead = [one for one in people if one.create_rev < mine.create_rev]
            if len(ahead) < self.places:
                return True
            seconds = left(deadline)
            if seconds == 0:
                return False
            if self.places == 1:
                yield Changed(at_rev + 1, key=ahead[-1].key, seconds=seconds)
            else:
                yield Changed(at_rev + 1, prefix=self.prefix, seconds=seconds)

    def _people(self) -> Steps[tuple[list[Item[bytes]], int]]:
        """Return who is there, in order, and the moment."""
        page = yield PLANS.page(self.prefix, limit=PEOPLE_MAX, keys_only=True)
        return sorted(page.items, key=_create_rev), page.at_rev

    def _heed_delay(self, held: Held) -> Steps[None]:
        """Wait if the holder before did not give the lock back: what he began may go on a while."""
        if self._delay <= 0:
            return
        if (yield PLANS.get_record(self._mark, local=False)) is not None:
            yield Pause(self._delay)
        yield PLANS.set(Set(self._mark, held.fence.key, fence=held.fence))

    def _withdraw(self, held: Held, error: BaseException | None) -> Steps[None]:
        """See that no key stays behind that would keep others waiting.

        If that can't be made sure the session is given up, for with it the key goes, too.
        """
        if isinstance(error, GeneratorExit):
            return
        try:
            yield PLANS.delete(Delete(held.fence.key))
        except RequestError:
            yield Forget(held.session)
        except GeneratorExit:
            raise
        except BaseException:  # a second Ctrl-C, or cancelled once more
            yield Forget(held.session)
            raise


def _create_rev(item: Item[bytes]) -> int:
    return item.create_rev
