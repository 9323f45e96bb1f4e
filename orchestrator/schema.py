"""cluster.yaml as a JSON Schema, made from the table by which it is checked."""

from typing import Any

from .checking import Check, Entry, Rule
from .spec import KEYS
from .spec_values import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MEANINGS = {
    "cluster": "The cluster's name: letters, digits, - and _.",
    "nodes": "How many nodes there are: n1, n2, n3. An odd number is better.",
    "host": "The loopback address that everything listens on.",
    "base_port": "Node k takes clients on base_port + k, the other nodes on base_port + 100 + k, "
    "and publishes its events on base_port + 200 + k. `auto`: free ports, found at the first `up`.",
    "raft": "Raft's timings.",
    "raft.heartbeat": "How often the leader says that it is there.",
    "raft.election_timeout": "Silence after which a node calls an election; each draws its own "
    "from this range. At least three heartbeats.",
    "raft.detect_disconnects": "Whether a dead process is noticed by its connections.",
    "storage": "What is on disk.",
    "storage.durability": "fsync: an acknowledged write survives a power cut. "
    "os: it survives a killed process, but not a power cut. "
    "memory: nothing is on disk; it survives the death of a minority, and goes with `down`.",
    "storage.segment": "The size of one file of the write-ahead log.",
    "storage.snapshot_wal": "After about so much of log a node writes a snapshot, and frees the "
    "log before it.",
    "storage.snapshots_kept": "How many snapshots stay on disk, with the log from the oldest on.",
    "limits": "What clients may do.",
    "limits.value": "The largest value.",
    "limits.request": "The largest request, a batch included.",
    "limits.clients": "How many connections a node takes.",
    "chaos": "Faults that are injected.",
    "chaos.enabled": "Whether they may be.",
    "restart": "on-crash: a node that crashes is started again. never: it stays down.",
    "gateway": "The HTTP gateway; left out, there is none.",
    "gateway.http": "Where it listens, as 127.0.0.1:7480; or auto.",
    "gateway.node_routes": "Who may add and remove nodes over HTTP. token: who has the token that "
    "`up` prints. open: whoever can reach it. off: nobody.",
    "cache": "What is kept in memory.",
    "cache.max_bytes": "How much memory the keys and values may take, in each node.",
    "cache.eviction": "What goes when that is full. volatile-lru: a key with a time to live that "
    "was not used for long. allkeys-lru: any such key. none: writes are refused.",
}
"""What an editor shows beside each key."""


def schema() -> dict[str, Any]:
    """Return the schema: of each value alone what is allowed, what it means, its default."""
    return {
        "$schema": DIALECT,
        "title": "cluster.yaml",
        "description": "A cluster of Raft Cache. Every key may be left out.",
        **_mapping(KEYS, ""),
    }


def _mapping(table: dict[str, Entry], path: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key, entry in table.items():
        if isinstance(entry, str):
            continue  # It comes later; until then it is refused.
        where = f"{path}{key}"
        if isinstance(entry, dict):
            made = {"description": MEANINGS[where], **_mapping(entry, f"{where}.")}
            made["type"] = ["object", "null"]  # a section may be empty
            properties[key] = made
        else:
            properties[key] = _leaf(entry, where)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _leaf(entry: tuple[Check, tuple[str, ...]], where: str) -> dict[str, Any]:
    check, fields = entry
    assert isinstance(check, Rule), f"{where} has a rule that can say what it takes"
    made = dict(check.schema)
    words = [MEANINGS[where]]
    if "description" in made:
        words.append(f"Allowed: {made['description'].removeprefix('use ')}.")
    made["description"] = " ".join(words)
    defaults = [getattr(Spec(), field) for field in fields]
    if "" not in defaults:
        made["default"] = check.write(*defaults)
    return made
