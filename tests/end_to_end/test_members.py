"""Members of real processes: one is added, one loses its disk, and some live in memory."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from raftcache.storage.identity import Durability

from .nodes import HOST, Node, Nodes, wait_until, write_settings

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("durability", ["fsync", "memory"])
def test_a_node_is_added_another_loses_all_it_had_and_one_is_removed(
    tmp_path: Path, durability: Durability
) -> None:
    """Connections follow the configuration, without a restart of anybody (failures C10, C17)."""
    with Nodes(tmp_path, durability=durability) as nodes:
        let_join(nodes)
        nodes.start()
        write(nodes, "a")

        added = new_node(nodes, 9)
        peer, client = added.values["peer_endpoint"], added.client_endpoint
        administer(nodes, "member_add", id="n9", peer=peer, client=client)
        added.start()
        assert voters(nodes) == ["n1#1", "n2#1", "n3#1", "n9#2"]
        write(nodes, "b")

        (lost, *_) = [name for name in nodes.followers() if name != "n9"]
        nodes[lost].kill()
        shutil.rmtree(nodes[lost].directory)
        nodes[lost].start()
        assert wait_until(lambda: f"{lost}#3" in voters(nodes), f"{lost} is a member anew")
        write(nodes, "c")
        nodes.wait_ready()
        nodes.assert_equal_hashes()

        administer(nodes, "member_remove", id="n9")
        wait_until(lambda: role(nodes, "n9") == "removed", "n9 knows that it was removed")
        assert len(voters(nodes)) == 3
        write(nodes, "d")
        nodes.assert_no_defects()


def let_join(nodes: Nodes) -> None:
    """Tell every node whom to ask for a place, should it have no state."""
    for node in nodes:
        peers = [other.values["peer_endpoint"] for other in nodes if other is not node]
        node.values["join"] = {"peers": peers}
        write_settings(node)


def new_node(nodes: Nodes, number: int) -> Node:
    """Return a node that the cluster does not know yet; it has no directory."""
    pattern = nodes["n1"].values
    port = int(str(pattern["client_endpoint"]).rpartition(":")[2]) - 1 + number
    name = f"n{number}"
    values: dict[str, Any] = {
        **pattern,
        "node_id": name,
        "incarnation": 0,
        "directory": str(nodes.folder / "nodes" / name),
        "client_endpoint": f"tcp://{HOST}:{port}",
        "peer_endpoint": f"tcp://{HOST}:{port + 100}",
        "events_endpoint": f"tcp://{HOST}:{port + 200}",
        "admin_endpoint": f"ipc://{nodes.folder}/{name}.admin",
        "join": {"peers": [node.values["peer_endpoint"] for node in nodes]},
    }
    node = nodes.by_name[name] = Node(name, nodes.folder / f"{name}.json", values)
    write_settings(node)
    return node


def administer(nodes: Nodes, op: str, **fields: Any) -> None:
    """Have a change begun, by any node's administration socket."""

    def is_done() -> bool:
        endpoint = nodes["n1"].values["admin_endpoint"]
        reply = nodes.ask_at(endpoint, op, **fields)
        return reply is not None and bool(reply["ok"])

    wait_until(is_done, f"{op} is done")


def voters(nodes: Nodes) -> list[str]:
    """Return the voters with their incarnations, once no change is planned or under way."""

    def settled() -> list[str] | None:
        reply = nodes.ask(nodes.leader(), "members")
        if reply is None or not reply["ok"] or reply["changing"]:
            return None
        members = reply["members"]
        if any(one["joins"] or one["leaves"] for one in members):
            return None
        return [f"{one['id']}#{one['incarnation']}" for one in members if one["role"] == "voter"]

    return wait_until(settled, "no change is planned or under way")


def write(nodes: Nodes, key: str) -> None:
    """Have a write done; nobody refuses it."""
    nodes.done("n1", "set", key=key, value="x")


def role(nodes: Nodes, name: str) -> str | None:
    status = nodes.status(name)
    return None if status is None else str(status["role"])
