"""What is counted: only what was sent and answered in time, and only what succeeded."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest

from orchestrator.bench.drive import Clock, slot_in
from orchestrator.bench.loads import Load, requests_of
from orchestrator.bench.measure import Row, Times, measure_both, speed_of, started_floor
from orchestrator.bench.suite import Site, run_suite
from orchestrator.cli.bench import _HEAD, _many, _short
from orchestrator.errors import CheckFailed
from orchestrator.throwaway import Throwaway
from raftcache.client import Client

T = TypeVar("T")


def reply(**fields: object) -> bytes:
    return msgspec.msgpack.encode({"ok": True, "id": "000007", "node": "n1", **fields})


def test_a_reply_names_its_slot() -> None:
    assert slot_in(reply()) == 7


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (
            msgspec.msgpack.encode({"ok": False, "id": "000007", "error": "e", "message": "why"}),
            "a request was refused: e: why",
        ),
        (
            reply(results=[{"ok": True}, {"ok": False, "error": "too_large", "message": "big"}]),
            "a request was refused: too_large: big",
        ),
        (b"\xc1", "a request was refused: the answer can't be read"),
    ],
)
def test_a_refusal_ends_the_measurement_in_the_node_s_words(frame: bytes, words: str) -> None:
    """Errors are quick to answer: a bench that counted them would praise a broken cluster."""
    with pytest.raises(CheckFailed) as caught:
        slot_in(frame)

    assert caught.value.message == words


def test_only_what_was_sent_after_the_warm_up_counts() -> None:
    clock = Clock(1.0, 2.0)
    begin, end = clock.begin, clock.end

    assert clock.note(begin - 0.5, begin + 0.1)
    assert clock.note(begin + 0.1, begin + 0.3)
    assert not clock.note(begin + 0.2, end)

    assert clock.latencies == [pytest.approx(0.2)]
    assert clock.answered == 3


def test_latencies_are_ranked_and_batches_count_by_the_operation() -> None:
    clock = Clock(0.0, 2.0)
    clock.latencies = [number / 1_000 for number in range(100, 0, -1)]
    clock.answered = 200

    speed = speed_of(clock, Load(clients=1, batch=10), 4.0, 0.5)

    assert (speed.p50_ms, speed.p90_ms, speed.p99_ms, speed.max_ms) == (51.0, 91.0, 100.0, 100.0)
    assert speed.per_second == 500.0
    assert speed.cpu_us == 2_000.0


def test_when_nothing_was_answered_there_is_no_speed() -> None:
    with pytest.raises(CheckFailed, match="nothing was answered in time"):
        speed_of(Clock(0.0, 1.0), Load(clients=1), 0.0, 0.0)


def test_the_table_fits_a_terminal() -> None:
    assert len(_HEAD) <= 80
    assert {len(_short(number)) for number in (0.123, 9.994, 99.94, 1234.5)} == {4}
    assert len(_many(999_999)) == 7
    assert _many(1_970_533) == "1.97M"


def patiently(measure: Callable[[Times], T], times: Times) -> T:
    """Measure; longer, where a busy host has answered nothing in so short a time."""
    for factor in (1, 10):
        with contextlib.suppress(CheckFailed):
            return measure(
                Times(times.warm_up * factor, times.cluster * factor, times.floor * factor)
            )
    return measure(Times(times.warm_up, times.cluster * 100, times.floor * 100))


@pytest.mark.processes
def test_a_load_is_put_on_both_and_the_floor_answers_with_as_many_bytes() -> None:
    with Throwaway(1, prefix="raftcache-test-") as throwaway:
        throwaway.up()
        (endpoint,) = throwaway.endpoints.values()
        pids = [node.pid for node in throwaway.cluster.status().nodes if node.pid is not None]
        site = Site(endpoint, pids, pids[0], "fsync", own=True)
        loads = [Load(clients=2, in_flight=4, mix="90/10"), Load(clients=2, batch=5)]

        told: list[str] = []

        def measure(times: Times) -> list[Row]:
            told.clear()
            begins = told.append
            return list(
                run_suite(site, loads, times, begins=lambda load: begins(load.name), tick=None)
            )

        rows = patiently(measure, Times(warm_up=0.05, cluster=0.3, floor=0.2))

        assert told == [load.name for load in loads]
        for row in rows:
            assert row.cluster.per_second > 0
            assert row.floor.per_second > 0
            assert 0 < row.cluster.p50_ms <= row.cluster.p99_ms <= row.cluster.max_ms
        with Client(endpoint) as client:
            assert client.count("bench:") == loads[0].keys


@pytest.mark.processes
def test_the_floor_answers_what_a_node_would() -> None:
    load = Load(clients=1)
    with started_floor({"set": 120, "batch": 3_000}) as (endpoint, pid):
        row = patiently(
            lambda times: measure_both(endpoint, load, [pid], times), Times(0.0, 0.1, 0.1)
        )

    assert row.cluster.per_second > 0
    assert requests_of(load)[0].head[5:8] == b"set"
