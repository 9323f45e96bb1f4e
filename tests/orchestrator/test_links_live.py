"""Partitions and one-way cuts of real nodes, and the heal that brings all back."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from orchestrator.cli import main
from orchestrator.cluster import Cluster
from orchestrator.probe import Prober, Reply
from orchestrator.view import endpoints

from .shell import BOUND_S, Shell, until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    made = Shell(tmp_path_factory.mktemp("links"), "base_port: auto\nchaos: {enabled: true}\n")
    Cluster.at(made.folder / "cluster.yaml").up(seconds=BOUND_S)
    yield made
    made.end()


@pytest.fixture
def cluster(shell: Shell) -> Iterator[Cluster]:
    found = Cluster.at(shell.folder / "cluster.yaml")
    yield found
    found.heal()
    found.wait("ready", seconds=BOUND_S)


def ask(cluster: Cluster, node: str, **fields: Any) -> Reply:
    with closing(Prober(endpoints(cluster.state))) as prober:
        reply = prober.ask([node], {"timeout_ms": 30_000, **fields}, BOUND_S)[node].reply
    assert reply is not None, f"{node} did not answer"
    return reply


def new_leader(cluster: Cluster, old: str) -> str:
    """Return who leads instead of ``old``; wait for it, however slow the host is."""
    deadline = time.monotonic() + BOUND_S
    while True:
        leader = cluster.wait("leader", seconds=BOUND_S).leader
        if leader not in {None, old}:
            assert leader is not None
            return leader
        assert time.monotonic() < deadline


def heal(cluster: Cluster) -> None:
    """Heal, and see that every node has the same state."""
    healed = cluster.heal()
    assert not healed.left
    nodes = cluster.wait("ready", seconds=BOUND_S).nodes
    index = max(int(node.commit or 0) for node in nodes)
    found = {node.name: ask(cluster, node.name, op="hash", at=index)["digest"] for node in nodes}
    assert len(set(found.values())) == 1, found


def test_a_leader_cut_off_is_replaced_and_nothing_acknowledged_is_lost(cluster: Cluster) -> None:
    """What it takes on meanwhile is acknowledged to nobody (failures B1, A17)."""
    assert ask(cluster, "n1", op="incr", key="hits")["ok"]
    seen = cluster.wait("ready", seconds=BOUND_S)
    old = seen.leader
    assert old is not None
    others = [node.name for node in seen.nodes if node.name != old]

    cluster.partition(f"{old}|{','.join(others)}", wait=False)
    cut_off = ask(cluster, old, op="incr", key="hits", timeout_ms=1_000)
    leader = new_leader(cluster, old)
    assert ask(cluster, leader, op="incr", key="hits")["ok"]
    stale = ask(cluster, old, op="get", key="hits", timeout_ms=500)

    assert (cut_off["ok"], stale["ok"]) == (False, False)
    assert (cut_off["error"], cut_off["applied"]) in {("timeout", "unknown"), ("no_leader", "no")}
    heal(cluster)
    assert ask(cluster, old, op="incr", key="hits")["value"] == 3


def test_a_leader_that_speaks_and_hears_nobody_steps_down(cluster: Cluster) -> None:
    """By CheckQuorum: nobody could tell it of a later term (thesis §6.2, failures A17, A18)."""
    before = cluster.wait("ready", seconds=BOUND_S)
    assert before.leader is not None

    cluster.isolate(before.leader, outward=False, wait=False)
    leader = new_leader(cluster, before.leader)

    status = ask(cluster, before.leader, op="status")
    assert status["role"] != "leader"
    assert status["term"] == before.term
    assert ask(cluster, leader, op="set", key="after", value="1")["ok"]
    heal(cluster)


def test_the_verbs_say_what_they_did_and_an_interrupt_undoes_it(
    shell: Shell, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb(*words: str) -> tuple[int, str]:
        # Without a process of its own: only the one that is interrupted needs that.
        code = main(["--file", str(shell.folder / "cluster.yaml"), *words])
        return code, capsys.readouterr().out

    cluster.wait("ready", seconds=BOUND_S)
    with shell.running("isolate", "n1", "--for", "1h") as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=3 * BOUND_S)

    assert said.startswith("cut: ")
    assert "healed: all links are whole" in rest
    assert verb("faults") == (0, "none: all links are whole\n")

    document = json.loads(
        verb("link", "n1", "n2", "--drop", "0.5", "--type", "answer", "--json")[1]
    )
    assert [(one["from"], one["to"], one["types"]) for one in document["links"]] == [
        ("n1", "n2", ["Answer"]),
        ("n2", "n1", ["Answer"]),
    ]
    until(lambda: "1 link is disturbed" in verb("status")[1], "the status tells of it")
    assert json.loads(verb("heal", "n1", "--json")[1])["links"] == []
