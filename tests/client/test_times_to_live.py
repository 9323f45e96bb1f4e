"""Times to live in both clients: seconds here, milliseconds on the wire."""

import pytest

from raftcache.client import Expire, Incr, Record, Set, codec
from raftcache.client.calls import Plan, Plans
from raftcache.client.values import BYTES

PLANS = Plans(BYTES)


@pytest.mark.parametrize(
    ("plan", "op", "ttl_ms"),
    [
        (PLANS.write(Set("k", "v", ttl=1.5)), "set", 1_500),
        (PLANS.write(Set("k", "v", ttl=0.0011)), "set", 1),
        (PLANS.incr(Incr("k", 1, 30)), "incr", 30_000),
        (PLANS.expire(Expire("k", 0.25)), "expire", 250),
        (PLANS.expire(Expire("k", None)), "expire", None),
    ],
)
def test_seconds_become_milliseconds(plan: Plan[object], op: str, ttl_ms: int | None) -> None:
    assert (plan.op, plan.fields["ttl_ms"]) == (op, ttl_ms)


def test_what_is_not_given_is_not_sent() -> None:
    """A server of an older release would refuse it."""
    write = PLANS.write(Set("k", "v"))

    assert "ttl_ms" not in write.fields
    assert "ttl_ms" not in PLANS.incr(Incr("k", 1)).fields


@pytest.mark.parametrize("ttl", [0, -1, 0.0001])
def test_a_time_to_live_that_is_none_is_refused(ttl: float) -> None:
    for operation in (Set("k", "v", ttl=ttl), Incr("k", ttl=ttl), Expire("k", ttl)):
        with pytest.raises(ValueError, match="a millisecond at least"):
            codec.operation_fields(operation, BYTES)


@pytest.mark.parametrize(("ttl_ms", "ttl"), [(None, None), (0, 0.0), (1_500, 1.5)])
def test_what_is_left_is_told_in_seconds(ttl_ms: int | None, ttl: float | None) -> None:
    reply = {"found": True, "value": b"v", "mod_rev": 7, "create_rev": 3, "key_version": 2}

    assert codec.record_of(b"k", {**reply, "ttl_ms": ttl_ms}, BYTES) == Record(b"v", 7, 3, 2, ttl)
    assert codec.record_of(b"k", reply, BYTES) == Record(b"v", 7, 3, 2)


def test_expire_tells_whether_there_is_such_a_key() -> None:
    assert PLANS.expire(Expire("k", 1)).read({"found": True}) is True
    assert codec.outcomes_of([Expire("k", 1)], [{"ok": True, "found": False}], BYTES) == [False]
