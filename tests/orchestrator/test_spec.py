"""cluster.yaml: what is accepted, and every sentence with which something is refused."""

from pathlib import Path

import pytest

from orchestrator.errors import BadConfiguration
from orchestrator.gateway import address_of
from orchestrator.spec import parse_spec, read_spec
from orchestrator.spec_values import MIB, Spec

ROOT = Path(__file__).resolve().parents[2]


def refusal(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(BadConfiguration) as caught:
        parse_spec(data)
    return caught.value.message


def test_the_file_in_the_repository_says_what_the_defaults_are() -> None:
    """All but chaos and HTTP, which are there because that file is for trying things out."""
    reading = read_spec(ROOT / "cluster.yaml")

    assert reading.spec == Spec(chaos_enabled=True, gateway_host="127.0.0.1", gateway_port=7480)
    assert reading.warnings == []


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "raft:\n", "{}"])
def test_what_is_left_out_has_its_default(text: str) -> None:
    assert parse_spec(text.encode()).spec == Spec()


def test_every_key_is_read() -> None:
    text = b"""
cluster: my-cache
nodes: 5
host: 127.0.0.2
base_port: 9_000
raft: {heartbeat: 10ms, election_timeout: 0.1s-1s}
storage: {durability: os, segment: 1MiB, snapshot_wal: 4MiB, snapshots_kept: 3}
limits: {value: 64KiB, request: 128KiB, clients: 50}
chaos: {enabled: yes}
restart: never
"""
    assert parse_spec(text).spec == Spec(
        cluster="my-cache",
        nodes=5,
        host="127.0.0.2",
        base_port=9000,
        heartbeat_ms=10,
        election_timeout_min_ms=100,
        election_timeout_max_ms=1000,
        durability="os",
        segment_bytes=MIB,
        snapshot_wal_bytes=4 * MIB,
        snapshots_kept=3,
        value_bytes=64 * 1024,
        request_bytes=128 * 1024,
        clients=50,
        chaos_enabled=True,
        restart="never",
    )


def test_ports_may_be_left_to_the_first_up() -> None:
    assert parse_spec(b"base_port: auto").spec.base_port is None


def test_a_byte_order_mark_and_windows_line_ends_mean_nothing() -> None:
    """Editors leave them behind (failure matrix: BOM, CRLF)."""
    assert parse_spec(b"\xef\xbb\xbfnodes: 5\r\ncluster: x\r\n").spec == Spec(nodes=5, cluster="x")


TOP = "cluster, nodes, host, base_port, raft, storage, limits, chaos, restart, gateway, cache"

REFUSALS = [
    # Keys.
    ("nod: 3", f"1:1: unknown key `nod`; did you mean `nodes`? Allowed here: {TOP}"),
    ("zzz: 3", f"1:1: unknown key `zzz`. Allowed here: {TOP}"),
    (
        "Base-Port: 1",
        f"1:1: unknown key `Base-Port`; did you mean `base_port`? Allowed here: {TOP}",
    ),
    (
        "raft:\n  hartbeat: 5ms",
        (
            "2:3: unknown key `raft.hartbeat`; did you mean `heartbeat`? "
            "Allowed in `raft`: heartbeat, election_timeout, detect_disconnects"
        ),
    ),
    ("nodes: 3\nnodes: 5", "2:1: 'nodes' is here twice; first in line 1"),
    ("? [a]\n: b", "1:3: a key must be a single word"),
    # Shapes.
    ("- a", "1:1: expected keys and values, such as `nodes: 3`"),
    ("hello", "1:1: expected keys and values, such as `nodes: 3`"),
    (
        "storage: 5",
        "1:10: storage: expected keys: durability, segment, snapshot_wal, snapshots_kept",
    ),
    ("nodes: [3]", "1:8: nodes: expected a single value"),
    # Whole numbers.
    ("nodes: 0", "1:8: nodes: 0 is not allowed; expected a whole number from 1 to 25"),
    ("nodes: -3", "1:8: nodes: -3 is not allowed; expected a whole number from 1 to 25"),
    ("nodes: 3.5", "1:8: nodes: '3.5' is not allowed; expected a whole number from 1 to 25"),
    ("nodes: '3'", "1:8: nodes: '3' is not allowed; expected a whole number from 1 to 25"),
    (
        "nodes: no",
        "1:8: nodes: 'no' is a truth value in YAML; expected a whole number from 1 to 25",
    ),
    (
        f"nodes: {'9' * 100}",
        f"1:8: nodes: '{'9' * 37}...' is not allowed; expected a whole number from 1 to 25",
    ),
    (
        "base_port: 99999",
        (
            "1:12: base_port: 99999 is not allowed; "
            "expected a whole number from 1024 to 65235, or auto for free ports"
        ),
    ),
    (
        "base_port: 80",
        (
            "1:12: base_port: 80 is not allowed; "
            "expected a whole number from 1024 to 65235, or auto for free ports"
        ),
    ),
    # Names and words.
    (
        "cluster: no",
        "1:10: cluster: 'no' is a truth value in YAML; put it in quotes if it is a name",
    ),
    (
        "cluster: a b",
        (
            "1:10: cluster: 'a b' is not allowed; use 1 to 32 letters, digits, - and _, "
            "a letter or digit first"
        ),
    ),
    (
        "storage: {durability: fsinc}",
        (
            "1:23: storage.durability: 'fsinc' is not allowed; did you mean fsync? use fsync or "
            "os or memory"
        ),
    ),
    ("restart: always", "1:10: restart: 'always' is not allowed; use on-crash or never"),
    ("chaos: {enabled: 1}", "1:18: chaos.enabled: '1' is not allowed; use true or false"),
    # Addresses.
    (
        "host: 0.0.0.0",
        (
            "1:7: host: 0.0.0.0 is not a loopback address; "
            "a cluster over several hosts comes later, use 127.0.0.1"
        ),
    ),
    ("host: example", "1:7: host: 'example' is no IPv4 address; use 127.0.0.1"),
    # Durations and sizes.
    ("raft: {heartbeat: 50}", "1:19: raft.heartbeat: 50 of what? Write 50ms or 50s"),
    (
        "raft: {heartbeat: 5 parsecs}",
        "1:19: raft.heartbeat: 'parsecs' is no unit of time; use ms, s, m or h",
    ),
    ("raft: {heartbeat: 0ms}", "1:19: raft.heartbeat: 0ms is not allowed; use 1ms to 1m"),
    ("raft: {heartbeat: 1.5ms}", "1:19: raft.heartbeat: 1.5ms is finer than a millisecond"),
    (
        "raft: {heartbeat: soon}",
        "1:19: raft.heartbeat: 'soon' is not a duration such as 50ms, 2s or 5m",
    ),
    (
        "raft: {election_timeout: 300ms}",
        (
            "1:26: raft.election_timeout: '300ms' is not a range; each node draws its own timeout, "
            "so write two durations such as 150ms-300ms"
        ),
    ),
    (
        "raft: {election_timeout: 300ms-200ms}",
        (
            "1:26: raft.election_timeout: 300ms-200ms is empty; "
            "the second must be the longer, as in 150ms-300ms"
        ),
    ),
    (
        "raft: {election_timeout: 1s-1h}",
        "1:26: raft.election_timeout: 1s-1h is too long; at most 10m",
    ),
    (
        "storage: {segment: 16}",
        "1:20: storage.segment: 16 of what? Write 16B, 16KiB or 16MiB",
    ),
    ("storage: {segment: 1B}", "1:20: storage.segment: 1B is not allowed; use 64KiB to 1GiB"),
    (
        "storage: {segment: 16Mib}",
        (
            "1:20: storage.segment: 'Mib' is no unit of size; "
            "did you mean MiB? use B, KiB, MiB or GiB"
        ),
    ),
    (
        "raft: {heartbeat: 50msec}",
        "1:19: raft.heartbeat: 'msec' is no unit of time; did you mean ms? use ms, s, m or h",
    ),
    # What no single value shows.
    (
        "raft: {heartbeat: 100ms}",
        (
            "1:19: raft.election_timeout: begins at 150ms, but must be at least 3 heartbeats "
            "(300ms), or a late heartbeat becomes an election"
        ),
    ),
    (
        "raft: {election_timeout: 100ms-300ms}",
        (
            "1:26: raft.election_timeout: begins at 100ms, but must be at least 3 heartbeats "
            "(150ms), or a late heartbeat becomes an election"
        ),
    ),
    (
        "limits: {value: 8MiB}",
        "1:17: limits.value: 8MiB would never fit in a request (limits.request: 4MiB)",
    ),
    (
        "raft: {detect_disconnects: 1}",
        "1:28: raft.detect_disconnects: '1' is not allowed; use true or false",
    ),
    (
        "storage: {snapshot_wal: 64}",
        "1:25: storage.snapshot_wal: 64 of what? Write 64B, 64KiB or 64MiB",
    ),
    (
        "storage: {snapshot_wal: 1KiB}",
        "1:25: storage.snapshot_wal: 1KiB is not allowed; use 256KiB to 64GiB",
    ),
    (
        "storage: {snapshots_kept: 0}",
        "1:27: storage.snapshots_kept: 0 is not allowed; expected a whole number from 1 to 10",
    ),
    ("cache: {max_bytes: 1B}", "1:20: cache.max_bytes: 1B is not allowed; use 1MiB to 64TiB"),
    (
        "cache: {eviction: lru}",
        "1:19: cache.eviction: 'lru' is not allowed; use volatile-lru or allkeys-lru or none",
    ),
    ("cache: {size: 1B}", "1:9: unknown key `cache.size`. Allowed in `cache`: max_bytes, eviction"),
    (
        "gateway: {http: 7480}",
        "1:17: gateway.http: '7480' is no address and port; use 127.0.0.1:7480 or auto",
    ),
    (
        "gateway: {http: '0.0.0.0:7480'}",
        (
            "1:17: gateway.http: 0.0.0.0 is not a loopback address; "
            "a cluster over several hosts comes later, use 127.0.0.1"
        ),
    ),
    (
        "gateway: {http: '127.0.0.1:x'}",
        (
            "1:17: gateway.http: 'x' is not allowed; "
            "expected a whole number from 1024 to 65535 after the colon"
        ),
    ),
    (
        "gateway: {http: '127.0.0.1:7403'}",
        "1:17: gateway.http: 7403 is among the ports of the nodes; 7480 is not",
    ),
    (
        "gateway: {http: '127.0.0.2:7480'}",
        "1:17: gateway.http: the cluster lives at 127.0.0.1; use 127.0.0.1:7480",
    ),
    # Text that is not YAML of our kind.
    ("raft:\n\theartbeat: 3ms", "2:1: a tab; YAML is indented with spaces only"),
    ("x: &a 1\ny: *a", "1:4: an anchor (&name); write the value out where it is needed"),
    ("*a", "1:1: an alias (*name); write the value out instead"),
    ("nodes: !!python/object:os.system 3", "1:8: a tag (!name); only plain values are taken"),
    ("nodes: 3\n---\nnodes: 4", "2:1: a second document; there can be only one"),
    ("[" * 10_000, "1:21: nested more than 20 levels deep"),
    ("{a: " * 10_000, "1:81: nested more than 20 levels deep"),
    ("nodes: \x00", "1:1: character U+0000 is not allowed here"),
    (b"nodes: 3\n\xff", "2:1: this line is not UTF-8; save the file as UTF-8"),
    (b"#" * 1_000_001, "1:1: 1,000,001 bytes; a configuration has at most 1 MB"),
]


@pytest.mark.parametrize(("text", "expected"), REFUSALS, ids=[str(e)[:60] for _, e in REFUSALS])
def test_a_refusal_names_place_and_remedy(text: str | bytes, expected: str) -> None:
    """Place, what is wrong, what is allowed, the nearest right word (failure F16)."""
    assert refusal(text) == f"cluster.yaml:{expected}"


def test_text_that_is_not_yaml_is_refused_where_it_breaks() -> None:
    """The words are PyYAML's, the place is what counts."""
    assert refusal("nodes: 3\nraft: [").startswith("cluster.yaml:2:8: ")
    assert refusal("a: 'open").startswith("cluster.yaml:1:9: ")


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    lines = refusal("nodes: x\nrestart: x\nfoo: 1\n").split("\n")

    assert [line.split(": ")[0] for line in lines] == [
        "cluster.yaml:1:8",
        "cluster.yaml:2:10",
        "cluster.yaml:3:1",
    ]


def test_an_even_number_of_nodes_is_warned_about_and_taken() -> None:
    reading = parse_spec(b"nodes: 4")

    assert reading.spec.nodes == 4
    assert reading.warnings == [
        "cluster.yaml:1:8: nodes: 4 survive no more deaths than 3 would; an odd number is better"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [("storage: {snapshot_wal: 1MiB}", "1:25"), ("storage: {segment: 128MiB}", "1:20")],
)
def test_a_log_that_could_not_be_freed_as_often_as_asked_is_warned_about(
    text: str, place: str
) -> None:
    reading = parse_spec(text.encode())

    (warning,) = reading.warnings
    assert warning.startswith(f"cluster.yaml:{place}: storage.snapshot_wal: ")
    assert warning.endswith("and the log is freed by whole segments")


def test_how_much_is_kept_and_what_goes() -> None:
    reading = parse_spec(b"cache: {max_bytes: 64MiB, eviction: allkeys-lru}")

    assert reading.spec == Spec(cache_bytes=64 * 1024**2, eviction="allkeys-lru")
    assert reading.warnings == []
    assert parse_spec(b"cache: {max_bytes: 512MiB, eviction: volatile-lru}").spec == Spec()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ""),
        ("gateway: {http: 127.0.0.1:7480}", "127.0.0.1:7480"),
        ("gateway: {http: localhost:9000}", "127.0.0.1:9000"),
        ("gateway: {http: auto}", "127.0.0.1:7480"),
        ("gateway: {http: auto}\nbase_port: auto", "127.0.0.1:20080"),
        ("gateway: {http: 127.0.0.1:7480}\nbase_port: auto", "127.0.0.1:20080"),
        ("gateway: {http: auto}\nbase_port: 8000\nhost: 127.0.0.3", "127.0.0.3:8080"),
    ],
)
def test_the_gateway_listens_where_it_is_told_or_where_nobody_else_does(
    text: str, address: str
) -> None:
    """No key, no gateway; and `base_port: auto` chooses its port as well."""
    spec = parse_spec(text.encode()).spec

    assert address_of(spec, spec.base_port or 20_000) == address


def test_a_port_that_is_not_used_is_warned_about() -> None:
    reading = parse_spec(b"base_port: auto\ngateway: {http: 127.0.0.1:7480}")

    (warning,) = reading.warnings
    assert warning.startswith("cluster.yaml:2:17: gateway.http: ")
    assert "7480 is not used" in warning


def test_ports_that_others_may_take_at_any_moment_are_warned_about() -> None:
    assert parse_spec(b"base_port: 40000").warnings == [
        (
            "cluster.yaml:1:12: base_port: ports above 32768 may be taken at any moment by the "
            "outgoing connections of other programs"
        )
    ]


def test_a_file_that_cant_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"nowhere\.yaml: can't be read: No such file"):
        read_spec(tmp_path / "nowhere.yaml")
    with pytest.raises(BadConfiguration, match="can't be read: Is a directory"):
        read_spec(tmp_path)
