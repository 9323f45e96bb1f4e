"""The recording clients: what they write down is what they were told."""

import pytest

from orchestrator.demo.history import Outcome
from orchestrator.demo.writers import Writers, record
from raftcache.client import Client

from ..client.fake_node import FakeNode, Fields, Request, refusal


def answer(fields: Fields) -> FakeNode:
    return FakeNode(lambda _node, _request: fields)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"mod_rev": 1}, Outcome.ACKNOWLEDGED),
        (refusal("no_space"), Outcome.REFUSED),
        (refusal("timeout", "unknown"), Outcome.UNKNOWN),
        (refusal("internal", "unknown"), Outcome.UNKNOWN),
    ],
)
def test_a_writer_records_what_it_was_told(fields: Fields, outcome: Outcome) -> None:
    with answer(fields) as node, Client(node.endpoint, exactly_once=False) as client:
        write = record(client, b"k", b"v")

    assert (write.key, write.value, write.outcome) == (b"k", b"v", outcome)
    assert write.sent_ms <= write.done_ms


def test_every_value_is_written_once_and_keys_with_an_unknown_write_are_left() -> None:
    """Else an unknown write that took effect could stand in for one that was lost."""
    unknown = refusal("timeout", "unknown")
    answers: list[Fields] = []

    def script(_node: FakeNode, _request: Request) -> Fields:
        answers.append(unknown if len(answers) % 7 == 3 else {"mod_rev": 1})
        return answers[-1]

    with FakeNode(script) as node:
        writers = Writers([node.endpoint], 2)
        writers.start()
        for _ in range(300):
            assert node.received.acquire(timeout=120)
        writers.stop()

    writes = writers.writes()
    closed = set()
    for write in writes:
        assert write.key not in closed
        if write.outcome is Outcome.UNKNOWN:
            closed.add(write.key)
    assert closed
    assert len({write.value for write in writes}) == len(writes) == len(node.requests)


def test_a_defect_in_recording_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account with a write missing would be a lie."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("orchestrator.demo.writers.record", broken)
    writers = Writers(["tcp://127.0.0.1:1"], 1)
    writers.start()
    writers._threads[0].join()

    with pytest.raises(RuntimeError, match="recording client"):
        writers.writes()


def test_stopping_what_was_not_started_is_harmless() -> None:
    Writers(["tcp://127.0.0.1:1"], 1).stop()
