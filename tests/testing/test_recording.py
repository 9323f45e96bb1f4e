"""Recording clients, around a client that may lie."""

from pathlib import Path

import pytest

from orchestrator.testing.recording import (
    Recording,
    RecordingClient,
    Text,
    assert_linearizable,
)
from orchestrator.verify.history import read_history
from raftcache.client import Conflict, OutcomeUnknown, Record, Written


class Dictionary:
    """A cache of one process; ``forgets`` makes it lose what it has acknowledged."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.forgets = forgets
        self.store: dict[Text, Record] = {}
        self.revision = 0

    def get_record(self, key: Text) -> Record | None:
        """Read a key."""
        return self.store.get(key)

    def write(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
    ) -> Written:
        """Write a key."""
        before = self._check(key, if_mod_rev, if_value)
        self.revision += 1
        data = value.encode() if isinstance(value, str) else value
        if not self.forgets:
            self.store[key] = Record(data, self.revision, self.revision, 1)
        return Written(self.revision, created=before is None)

    def delete(
        self, key: Text, *, if_mod_rev: int | None = None, if_value: Text | None = None
    ) -> bool:
        """Delete a key."""
        self._check(key, if_mod_rev, if_value)
        return self.store.pop(key, None) is not None

    def incr(self, key: Text, by: int = 1) -> int:
        """Say nothing."""
        raise OutcomeUnknown(f"no answer came to {by} more for {key!r}")

    def _check(self, key: Text, if_mod_rev: int | None, if_value: Text | None) -> Record | None:
        assert if_value is None, "no test needs it"
        before = self.store.get(key)
        if if_mod_rev is not None and if_mod_rev != (before.mod_rev if before else 0):
            assert before is not None, "no test needs it"
            raise Conflict("not so", mod_rev=before.mod_rev, value=before.value)
        return before


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_what_is_in_order_is_found_in_order(recording: Recording, tmp_path: Path) -> None:
    client = RecordingClient("c1", Dictionary(), recording)
    assert client.get("a") is None
    assert client.set("a", "1") == 1
    assert client.get("a") == b"1"
    with pytest.raises(Conflict):
        client.set("a", "2", if_mod_rev=0)
    assert client.delete("a")
    with pytest.raises(OutcomeUnknown):
        client.incr(b"\xff")

    history = recording.history()

    assert_linearizable(history, tmp_path / "history")
    assert [o.outcome for o in history.operations] == ["ok"] * 3 + ["failed", "ok", "unknown"]
    assert recording.keys == ["a", b"\xff"]
    assert not (tmp_path / "history").exists()


def test_a_lost_write_fails_the_test_and_leaves_the_history(
    recording: Recording, tmp_path: Path
) -> None:
    client = RecordingClient("c1", Dictionary(forgets=True), recording)
    client.set("a", "1")
    client.get("a")

    with pytest.raises(AssertionError, match="not linearizable") as caught:
        assert_linearizable(recording.history(), tmp_path / "history")

    assert str(tmp_path / "history") in str(caught.value)
    assert read_history(tmp_path / "history") == recording.history()


def test_an_operation_under_way_forbids_a_verdict(recording: Recording) -> None:
    """What is left out could be the write that explains a read."""
    recording.begin("c1: set 'a'")

    with pytest.raises(AssertionError, match=r"still at work .c1: set 'a'.: join the threads"):
        recording.history()


def test_no_operations_are_no_proof(recording: Recording) -> None:
    with pytest.raises(AssertionError, match=r"nothing was recorded.*recording_client"):
        recording.history()


def test_what_can_not_be_recorded_is_not_there(recording: Recording) -> None:
    client = RecordingClient("c1", Dictionary(), recording)

    with pytest.raises(AttributeError, match=r"no `expire`: .* raft_cluster.client"):
        client.expire("a", 1.0)
