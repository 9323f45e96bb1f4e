"""What a test may let a node do, and what it looks at: for both clients' tests."""

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path

from raftcache.client import RequestError

from .fake_node import FakeNode, Fields, Request, Script

LEFT_S = 30.0
"""So long only what is never closed stays open."""


def always(fields: Fields) -> Script:
    """Answer every request so."""
    return lambda _node, _request: fields


def never(_node: FakeNode, _request: Request) -> None:
    """Receive, and say nothing."""


def die(node: FakeNode, _request: Request) -> None:
    """Drop the connection instead of an answer."""
    node.die()


def paged(_node: FakeNode, request: Request) -> Fields:
    """Hold the keys a to e; two to a page, at revision 40."""
    keys = [key for key in (b"a", b"b", b"c", b"d", b"e") if key > request.get("after", b"")]
    items = [
        {"key": key, "value": key * 2, "mod_rev": 1, "create_rev": 1, "key_version": 1}
        for key in keys[:2]
    ]
    return {"items": items, "count": len(items), "more": len(keys) > 2, "at_rev": 40}


PATIENCE_S = (0.1, 1.0, 20.0)
"""Deadlines that end in an outcome: a host that stands still for the first leaves the second."""


def ends_with(
    kind: type[RequestError], call: Callable[[float], object], *, match: str = ""
) -> RequestError:
    """Check that a call ends at its deadline, and how; the argument is the deadline in seconds.

    What the deadline cuts off on a busy host (the sending, an answer) makes another outcome: then
    it is tried with a longer one.
    """
    seen = []
    for seconds in PATIENCE_S:
        try:
            call(seconds)
        except RequestError as error:
            if isinstance(error, kind) and re.search(match, str(error)):
                return error
            seen.append(f"{type(error).__name__} after {seconds} s: {error}")
        else:
            seen.append(f"a result within {seconds} s")
    raise AssertionError(f"not {kind.__name__} but {'; '.join(seen)}")


def what_is_open() -> set[str]:
    """Return this process's descriptors, and its threads as the kernel has them (libzmq's, too)."""
    found = {f"thread {task.name}" for task in Path("/proc/self/task").iterdir()}
    for number in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # the listing's own descriptor
            found.add(f"{number} {number.readlink()}")
    return found


def assert_nothing_is_left(before: set[str]) -> None:
    """See that nothing is open that was not ``before``.

    The other ends of the client's connections belong to this process, too, where its nodes are
    played; libzmq closes these when it hears of it.
    """
    end = time.monotonic() + LEFT_S
    while (left := what_is_open() - before) and time.monotonic() < end:
        time.sleep(0.01)
    assert left == set()
