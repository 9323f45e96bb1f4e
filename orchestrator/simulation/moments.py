"""A third judge of histories: order within a batch, pages of the past, and when keys may expire.

None of it needs a search: revisions and times tell.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from .histories import fastest_rate, text_of
from .profile import Profile
from .workload import FAILED, FLEETING, OK, Operation

ROUNDED_US = 2_000
"""By so much a deadline may be off, for clocks tell whole milliseconds."""


def judge_moments(history: Iterable[Operation], profile: Profile) -> list[str]:
    """Return what is wrong with a history, in sentences."""
    answered = [one for one in history if one.outcome == OK]
    found = _judge_batches([one for one in answered if one.op == "batch"])
    found += _judge_pages([one for one in answered if one.op == "range"])
    rate = fastest_rate(profile)
    if rate is None:
        return found
    fleeting = [one for one in history if one.key in FLEETING and one.outcome != FAILED]
    return found + _judge_expiry(fleeting, rate)


def _judge_batches(batches: Sequence[Operation]) -> list[str]:
    """What a batch has written, it reads afterwards, unless somebody was there later."""
    found = []
    for batch in batches:
        written: dict[str, int] = {}
        for asked, result in zip(batch.asked["ops"], batch.fields["results"], strict=True):
            key = asked["key"]
            if not result["ok"] or asked["op"] == "delete":
                written.pop(key, None)
            elif asked["op"] != "get":
                written[key] = result["mod_rev"]
            elif result["found"] and result["mod_rev"] < written.get(key, 0):
                found.append(f"{key}: a batch reads revision {result['mod_rev']}: {batch}")
    return found


def _judge_pages(pages: Sequence[Operation]) -> list[str]:
    """A page shows nothing that came later, and one moment is always the same."""
    found = []
    known: dict[tuple[str, int], Any] = {}
    for page in pages:
        at_rev = int(page.fields["at_rev"])
        shown = {text_of(item["key"]): int(item["mod_rev"]) for item in page.fields["items"]}
        late = {key: rev for key, rev in shown.items() if rev > at_rev}
        if late:
            found.append(f"a page of revision {at_rev} shows later ones: {late}: {page}")
        if known.setdefault((page.asked["prefix"], at_rev), shown) != shown:
            found.append(f"a page of revision {at_rev} has changed: {page}")
    return found


def _judge_expiry(operations: Sequence[Operation], rate: int) -> list[str]:
    """Nothing ends early, by the fastest clock that any leader may have had."""
    found = []
    for sight in operations:
        if sight.op != "get" or sight.outcome != OK or sight.fields["found"]:
            continue
        before = [
            one
            for one in operations
            if one.key == sight.key and _may_matter(one, sight, operations)
        ]
        certain = any(one.op == "set" and _ended(one, sight.invoked_us) for one in before)
        deadlines_us = [_deadline_us(one, rate) for one in before]
        if certain and min(deadlines_us) > (sight.returned_us or 0):
            found.append(f"{sight.key} is gone before its time: {before}, then {sight}")
    return found


def _may_matter(one: Operation, sight: Operation, operations: Sequence[Operation]) -> bool:
    """Tell whether what decides when a key goes may have been this, when it was seen."""
    if one.op == "get" or one.invoked_us > (sight.returned_us or 0):
        return False
    return not any(
        later.op == "set"
        and later.key == one.key
        and later.outcome == OK
        and _ended(one, later.invoked_us)
        and _ended(later, sight.invoked_us)
        for later in operations
    )


def _ended(one: Operation, before_us: int) -> bool:
    return one.outcome == OK and one.returned_us is not None and one.returned_us < before_us


def _deadline_us(one: Operation, rate: int) -> float:
    ttl_ms: int | None = one.asked.get("ttl_ms")
    if ttl_ms is None:
        return float("inf")
    return one.invoked_us + ttl_ms * 1_000 * 1_000 / rate - ROUNDED_US
