"""Times to live in both clients: seconds here, milliseconds on the wire."""

import pytest

from raftcache.client import Expire, Incr, Record, Set, calls, codec
from raftcache.client.calls import Plan


@pytest.mark.parametrize(
    ("plan", "op", "ttl_ms"),
    [
        (calls.write("k", "v", if_mod_rev=None, if_value=None, ttl=1.5), "set", 1_500),
        (calls.write("k", "v", if_mod_rev=None, if_value=None, ttl=0.0011), "set", 1),
        (calls.incr("k", 1, 30), "incr", 30_000),
        (calls.expire("k", 0.25), "expire", 250),
        (calls.expire("k", None), "expire", None),
    ],
)
def test_seconds_become_milliseconds(plan: Plan[object], op: str, ttl_ms: int | None) -> None:
    assert (plan.op, plan.fields["ttl_ms"]) == (op, ttl_ms)


def test_what_is_not_given_is_not_sent() -> None:
    """A server of an older release would refuse it."""
    write = calls.write("k", "v", if_mod_rev=None, if_value=None)

    assert "ttl_ms" not in write.fields
    assert "ttl_ms" not in calls.incr("k", 1).fields


@pytest.mark.parametrize("ttl", [0, -1, 0.0001])
def test_a_time_to_live_that_is_none_is_refused(ttl: float) -> None:
    for operation in (Set("k", "v", ttl=ttl), Incr("k", ttl=ttl), Expire("k", ttl)):
        with pytest.raises(ValueError, match="a millisecond at least"):
            codec.operation_fields(operation)


@pytest.mark.parametrize(("ttl_ms", "ttl"), [(None, None), (0, 0.0), (1_500, 1.5)])
def test_what_is_left_is_told_in_seconds(ttl_ms: int | None, ttl: float | None) -> None:
    reply = {"found": True, "value": b"v", "mod_rev": 7, "create_rev": 3, "key_version": 2}

    assert codec.record_of({**reply, "ttl_ms": ttl_ms}) == Record(b"v", 7, 3, 2, ttl)
    assert codec.record_of(reply) == Record(b"v", 7, 3, 2)


def test_expire_tells_whether_there_is_such_a_key() -> None:
    assert calls.expire("k", 1).read({"found": True}) is True
    assert codec.outcomes_of([Expire("k", 1)], [{"ok": True, "found": False}]) == [False]
