"""add, remove, replace, scale and transfer on a real cluster, under load, and killed midway.

The load is the client library in a thread: every write must be answered, and none is repeated here
that the client did not repeat by itself.
"""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from orchestrator import resize
from orchestrator.cluster import Cluster
from orchestrator.hands import RealHands
from orchestrator.membership import Work
from orchestrator.state import load_existing
from raftcache.client import Client
from raftcache.errors import RaftCacheError

from .shell import BOUND_S, Shell, until

YAML = "base_port: auto\nlimits: {clients: 300}\nchaos: {enabled: true}\n"

pytestmark = pytest.mark.processes


class Load:
    """Writes without a pause, and counts what was not acknowledged."""

    def __init__(self, shell: Shell) -> None:
        places = [node["client"] for node in shell.remembered()["nodes"]]
        self._client = Client(places, timeout=BOUND_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        """Begin, and return once a write was acknowledged."""
        self._thread.start()
        self.go_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; all that was acknowledged is there."""
        try:
            if kind is None:
                self.go_on()
        finally:
            self._stop.set()
            self._thread.join(2 * BOUND_S)
        try:
            if kind is None:
                assert self.failed == []
                assert self._client.get("counter") == str(self.written).encode()
        finally:
            self._client.close()

    def go_on(self) -> None:
        """Wait until more writes are acknowledged."""
        wait_until(lambda before=self.written: self.written > before or bool(self.failed), "writes")  # type: ignore[misc]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._client.set("counter", str(self.written + 1))
            except RaftCacheError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                return
            self.written += 1


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def roles(shell: Shell) -> dict[str, str]:
    """Return who takes part, by the leader's word."""
    cluster = Cluster.at(shell.folder / "cluster.yaml")
    members = RealHands(cluster.paths, cluster.state).members()
    assert members.quiet
    return {member.id: member.role for member in members.members}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a command line whose cluster of three is up; a test leaves it at three."""
    made = Shell(tmp_path_factory.mktemp("members"), YAML)
    # Slower elections: a busy host must not hold one in the middle of a write.
    assert made("up", "--slow", "4")[0] == 0
    yield made
    made.end()


def test_a_cluster_grows_and_shrinks_under_load_without_a_failed_write(shell: Shell) -> None:
    with Load(shell):
        code, out, err = shell("add")
        assert code == 0, err
        assert "added n4: 4 nodes vote now, 3 must agree" in out
        assert "warning: 4 nodes survive no more deaths than 3 would" in err
        assert "n4 has caught up, and votes" in err
        assert "n4" in shell.pids()

        assert shell("scale", "5")[0] == 0
        # On a busy host it may be behind for a moment, or too slow to take over in time.
        until(lambda: shell("transfer", "n5")[0] == 0, "n5 takes over")
        assert shell.document("wait", "--for", "leader")["leader"] == "n5"

        code, out, err = shell("scale", "3")  # the leader goes as well
        assert code == 0, err
        assert "removed n4, n5: 3 nodes vote now, 2 must agree" in out
        assert "n5.removed-" in out
    assert roles(shell) == dict.fromkeys(["n1", "n2", "n3"], "voter")
    assert shell("wait", "--for", "ready")[0] == 0
    assert {"n1", "n2", "n3", "supervisord"} == {*shell.pids()}


def test_the_leader_is_removed_and_its_name_returns_with_a_new_life(shell: Shell) -> None:
    with Load(shell):
        leader = shell.document("wait", "--for", "leader")["leader"]
        removed = shell.document("remove", "leader")
        assert removed["changes"][0]["removed"] == [leader]
        assert removed["leader"] != leader
        kept = Path(removed["changes"][0]["kept"][leader])
        assert (kept / "identity").exists()

        added = shell.document("add")
        assert added["changes"][0]["added"] == [leader]
    [life] = [one for one in added["changes"][0]["members"] if one["id"] == leader]
    assert life["incarnation"] > 1
    assert shell("wait", "--for", "ready")[0] == 0


def test_a_node_whose_directory_is_gone_is_replaced(shell: Shell) -> None:
    """It voted once, so it may only come back with a new life (failure C10)."""
    with Load(shell):
        [victim] = shell.document("kill", "one-follower")["nodes"]
        shutil.rmtree(shell.folder / ".cluster/nodes" / victim)

        replaced = shell.document("replace", victim)

        assert replaced["changes"][0]["replaced"] == [victim]
        assert replaced["changes"][0]["kept"] == {}
    assert shell("wait", "--for", "ready")[0] == 0


def test_a_damaged_log_says_what_helps_and_it_does(shell: Shell) -> None:
    [victim] = shell.document("stop", "one-follower")["nodes"]
    directory = shell.folder / ".cluster/nodes" / victim
    segment = min(directory.glob("wal-*.seg"))
    data = bytearray(segment.read_bytes())
    data[20] ^= 0xFF
    segment.write_bytes(data)

    code, _, err = shell("start")
    assert code == 78
    assert f"bin/cluster replace {victim}" in err
    assert f"bin/cluster replace {victim}" in shell("status")[1]
    assert f"bin/cluster replace {victim}" in shell("logs", victim)[1]

    code, out, err = shell("replace", victim)
    assert code == 0, err
    assert f"{victim}.damaged-" in out
    [kept] = directory.parent.glob(f"{victim}.damaged-*")
    assert (kept / segment.name).read_bytes() == data
    assert shell("wait", "--for", "ready")[0] == 0


def test_what_would_lose_the_quorum_is_refused_with_the_way_out(shell: Shell) -> None:
    [victim] = shell.document("kill", "n3")["nodes"]
    try:
        code, _, err = shell("remove", "n2")
        assert code == 69
        assert "that is no quorum" in err
        assert f"bin/cluster start {victim}" in err
        assert shell("replace", "n2")[0] == 69
        assert shell("remove", "n1,n2,n3")[0] == 64
        assert shell("transfer", victim)[0] == 64
    finally:
        assert shell("start")[0] == 0
    assert roles(shell) == dict.fromkeys(["n1", "n2", "n3"], "voter")


def test_a_command_that_is_killed_midway_is_finished_by_the_next(shell: Shell) -> None:
    """The newcomer's seat is agreed upon, its process perhaps started, and nobody waits for it."""
    with shell.running("add") as adding:
        wait_until(
            lambda: (shell.remembered()["change"] or {}).get("step") == "committed", "agreed"
        )
    assert adding.returncode == -signal.SIGKILL

    code, out, err = shell("status")

    assert "`add` was interrupted: it is finished first" in err
    assert "`add` is finished" in err
    assert code in {0, 1, 69}, out  # a node may be a moment behind
    assert roles(shell)["n4"] == "voter"
    assert shell.remembered()["change"] is None
    assert shell("wait", "--for", "ready")[2] == ""


@pytest.mark.parametrize("point", ["planned", "stopped"])
def test_a_removal_that_dies_is_settled_by_the_next(shell: Shell, point: str) -> None:
    """Each step there is, in a model: test_membership.py."""

    class Died(BaseException):
        pass

    def die(where: str) -> None:
        if where == point:
            raise Died

    if len(shell.remembered()["nodes"]) == 3:
        assert shell("add")[0] == 0
    cluster = Cluster.at(shell.folder / "cluster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            resize._Site,
            "work",
            lambda site: Work(site.state, RealHands(site.paths, site.state), at=die),
        )
        with pytest.raises(Died):
            resize.remove(cluster.paths, ["n4"])

    code, out, err = shell("status")

    assert code in {0, 1, 69}, (out, err)
    done = "n4" not in roles(shell)
    assert done == (point != "planned")
    assert ("is finished" if done else "undone") in err
    assert {node.name for node in load_existing(cluster.paths).nodes} == {*roles(shell)}
    assert ("n4" in shell.pids()) == (not done)


def test_what_takes_part_is_remembered_over_down_and_up(shell: Shell) -> None:
    assert shell("set", "kept", "over it")[0] == 0
    assert shell("add")[0] == 0
    assert shell("down")[0] == 0

    code, out, err = shell("up")

    assert code == 0, err
    assert "leads 4 nodes" in out
    assert "cluster.yaml says nodes: 3, and the cluster has 4" in err
    assert "bin/cluster scale 3" in err
    assert roles(shell) == dict.fromkeys(["n1", "n2", "n3", "n4"], "voter")
    assert shell("get", "kept")[1] == "over it\n"
