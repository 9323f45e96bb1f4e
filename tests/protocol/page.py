"""The examples of docs/protocol.md: requests with their replies, in the order of the page.

A reply on the page is what a cluster says that is new and was asked nothing else. What differs from
cluster to cluster is compared by its kind only: who leads, in which term, times, digests.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
BLOCK = re.compile(
    r"^```json (request|reply)(?P<more>(?: \w+)*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
ANYTHING = "…"
"""Stands on the page for whatever there may be."""
VOLATILE = frozenset({"node", "term", "leader", "message", "digest", "at", "build", "cluster"})
AT_MOST = frozenset({"ttl_ms", "store_rev", "next_rev"})
"""A time is shown as it begins; a node that answers by itself may not have applied all yet."""


class Example(msgspec.Struct, frozen=True):
    """A request and the reply that the page promises."""

    request: dict[str, Any]
    reply: dict[str, Any]
    admin: bool
    """Whether it goes to the administration socket."""
    like: bool
    """Whether only the reply's fields and their kinds are promised."""

    @property
    def op(self) -> str:
        """The operation."""
        return str(self.request["op"])


def examples() -> list[Example]:
    """Return all of the page."""
    found = []
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    for asked, answered in zip(blocks[::2], blocks[1::2], strict=True):
        kinds = (asked[1], answered[1])
        assert kinds == ("request", "reply"), f"each request has a reply: {asked['text']}"
        found.append(
            Example(
                json.loads(asked["text"]),
                json.loads(answered["text"]),
                admin="admin" in asked["more"],
                like="like" in answered["more"],
            )
        )
    return found


def differences(example: Example, actual: dict[str, Any]) -> list[str]:
    """Say what is otherwise than the page says."""
    return list(_differences(example.reply, actual, "", same_kind if example.like else same))


Compare = Callable[[str, Any, Any], bool]


def same(name: str, shown: Any, actual: Any) -> bool:
    """Tell whether a value is as shown, as far as it can be."""
    if name in VOLATILE:
        return same_kind(name, shown, actual)
    if name in AT_MOST and type(shown) is int and type(actual) is int:
        return 0 <= actual <= shown
    return type(shown) is type(actual) and bool(shown == actual)


def same_kind(_name: str, shown: Any, actual: Any) -> bool:
    """Tell whether two values are of one kind, as JSON has them: 1.0 may be written 1."""
    kinds = [float if type(value) is int else type(value) for value in (shown, actual)]
    return kinds[0] is kinds[1]


def _differences(shown: Any, actual: Any, place: str, compare: Compare) -> Iterator[str]:
    name = place.rpartition(".")[2]
    if shown == ANYTHING:
        return
    if isinstance(shown, dict) and isinstance(actual, dict) and shown.keys() == actual.keys():
        for key, value in shown.items():
            inner = same_kind if key in VOLATILE else compare
            yield from _differences(value, actual[key], f"{place}.{key}", inner)
    elif isinstance(shown, list) and isinstance(actual, list) and len(shown) == len(actual):
        for position, (one, other) in enumerate(zip(shown, actual, strict=True)):
            yield from _differences(one, other, f"{place}[{position}]", compare)
    elif isinstance(shown, dict | list) or not compare(name, shown, actual):
        yield f"{place or 'the reply'}: the page has {shown!r}, there is {actual!r}"
