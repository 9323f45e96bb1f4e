"""What values are to a program, which cluster is meant, and what type checkers make of it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import raftcache.client
from raftcache.client import AsyncClient, Client, Codec, NoLocalCluster, connect, local_endpoints

from .both import BOTH_CLIENTS, connected, playing
from .fake_store import FakeStore

ROOT = Path(__file__).resolve().parents[2]


class Point(msgspec.Struct):
    """A value of a user's own."""

    x: int
    y: int


POINTS = Codec(msgspec.json.encode, msgspec.json.Decoder(Point).decode)


@BOTH_CLIENTS
@pytest.mark.parametrize(
    ("codec", "value", "stored"),
    [
        ("bytes", b"\xff", b"\xff"),
        ("str", "ü", b"\xc3\xbc"),
        ("json", {"a": [1, None]}, b'{"a":[1,null]}'),
        ("msgpack", [1, "a"], b"\x92\x01\xa1a"),
        (POINTS, Point(1, 2), b'{"x":1,"y":2}'),
    ],
)
def test_values_go_through_the_codec_and_back(
    kind: str, codec: Any, value: object, stored: bytes
) -> None:
    store = FakeStore()
    with playing(store) as nodes, connected(kind, *nodes, codec=codec) as client:
        client.set("k", value)
        client.set("k", value, if_mod_rev=1)

        assert store.values[b"k"] == stored
        assert client.get("k") == value
        assert client.get_record("k").value == value
        assert client.range("").items[0].value == value


def test_a_codec_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="one of bytes, str, json, msgpack"):
        Client("tcp://127.0.0.1:1", codec="yaml")  # type: ignore[call-overload]


# Which cluster


def cluster_in(folder: Path, *, run_id: str = "r") -> None:
    (folder / ".cluster").mkdir()
    nodes = [{"name": "n1", "client": "tcp://127.0.0.1:7401", "peer": "x"}]
    content = {"format": 1, "run_id": run_id, "nodes": nodes}
    (folder / ".cluster" / "cluster.json").write_text(json.dumps(content))


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAFTCACHE_ENDPOINTS", raising=False)


def test_the_cluster_of_a_folder_above_is_found(
    unset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_in(tmp_path)
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert local_endpoints() == ("tcp://127.0.0.1:7401",)
    with Client.local() as client:
        assert client._routing.endpoints == ("tcp://127.0.0.1:7401",)


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`bin/cluster run` sets it for its command, wherever that runs."""
    cluster_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAFTCACHE_ENDPOINTS", "tcp://127.0.0.1:9, tcp://127.0.0.1:10")

    assert local_endpoints() == ("tcp://127.0.0.1:9", "tcp://127.0.0.1:10")
    assert local_endpoints(tmp_path) == ("tcp://127.0.0.1:7401",)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_client_of_a_folder_takes_all_options(kind: Any, unset: None, tmp_path: Path) -> None:
    cluster_in(tmp_path)
    client = kind.local(tmp_path, codec="json", timeout=1, session_ttl=2, exactly_once=False)

    assert repr(client) == f"<{kind.__name__} of tcp://127.0.0.1:7401: no session yet>"
    with pytest.raises(ValueError, match="one of bytes, str, json"):
        kind.local(tmp_path, codec="yaml")
    asyncio.run(client.close()) if kind is AsyncClient else client.close()
    assert repr(client).endswith(": closed>")


def test_what_is_missing_is_said(unset: None, tmp_path: Path) -> None:
    with pytest.raises(NoLocalCluster, match=r"RAFTCACHE_ENDPOINTS is not set.*bin/cluster up"):
        local_endpoints(tmp_path)

    cluster_in(tmp_path, run_id="")
    with pytest.raises(NoLocalCluster, match=r"does not run.*bin/cluster up"):
        Client.local(tmp_path)

    (tmp_path / ".cluster" / "cluster.json").write_text("{")
    with pytest.raises(NoLocalCluster, match="can't be read"):
        local_endpoints(tmp_path)


def test_connect_makes_a_client() -> None:
    with connect("tcp://127.0.0.1:1", timeout=1) as client:
        assert isinstance(client, Client)


# What others see


PROGRAM = """
from typing import assert_type

from raftcache.client import AsyncClient, Client, Codec, Record, connect


def blocking(cache: Client) -> int:
    assert_type(cache.get("k"), bytes | None)
    assert_type(cache.get_record("k"), Record[bytes] | None)
    for event in cache.watch(prefix="k"):
        assert_type(event.value, bytes | None)
    with cache.pipeline() as pipe:
        hits, seen = pipe.incr("hits"), pipe.get("seen")
    assert_type(seen.result(), bytes | None)
    assert_type(hits.result(), int)
    return cache.set("k", "v", ttl=1.5)


async def awaited(cache: AsyncClient[str]) -> None:
    assert_type(await cache.get("k"), str | None)
    async for key in cache.keys():
        assert_type(key, bytes)


with connect("tcp://127.0.0.1:1") as plain, Client("tcp://127.0.0.1:1", codec="str") as text:
    blocking(plain)
    assert_type(text.get("k"), str | None)
numbers = Client("tcp://127.0.0.1:1", codec=Codec(lambda n: b"%d" % n, int))
assert_type(numbers.get("k"), int | None)
assert_type(Client.local(), Client[bytes])
assert_type(Client.local(codec="str", timeout=1), Client[str])
assert_type(AsyncClient.local("folder", codec=Codec(lambda n: b"%d" % n, int)), AsyncClient[int])
"""


def test_a_users_program_is_typed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_what_is_imported_later_is_listed_all_the_same() -> None:
    """For the tab key of an interactive session."""
    assert set(raftcache.client.__all__) <= set(dir(raftcache.client))


def test_the_client_needs_nothing_heavy_to_be_imported() -> None:
    """What takes a script's time is left out until it is asked for."""
    heavy = ["asyncio", "logging", "zmq.asyncio", "raftcache.store"]
    program = f"import sys, raftcache.client; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
