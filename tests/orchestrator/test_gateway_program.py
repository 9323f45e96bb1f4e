"""The HTTP gateway under supervisord: up after the nodes, shown, moved, restarted, and gone."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from orchestrator.cluster import Cluster
from orchestrator.errors import BadConfiguration
from orchestrator.gateway import GatewayView, look
from orchestrator.processes import identify, wait_gone
from orchestrator.supervisor import Supervisor
from raftcache.gateway.settings import SettingsError, read_settings

from .shell import BOUND_S, Shell, until

T = TypeVar("T")
YAML = "base_port: auto\nnodes: 1\nlimits: {clients: 200, value: 1KiB}\ngateway: {http: auto}\n"

pytestmark = pytest.mark.processes


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a command line in a folder of its own; what it started is gone at the end."""
    made = Shell(tmp_path, YAML)
    yield made
    made.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a command line whose cluster is up; a test leaves it so."""
    made = Shell(tmp_path_factory.mktemp("running"), YAML)
    assert made("up")[0] == 0
    yield made
    made.end()


def seen(shell: Shell) -> GatewayView:
    """Return the gateway as the orchestrator sees it."""
    cluster = Cluster.at(shell.folder / "cluster.yaml")
    view = look(cluster.paths, cluster.state)
    assert view is not None
    return view


def http(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Make one request."""
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_gateway_serves_when_up_returns_and_is_gone_after_down(shell: Shell) -> None:
    brought = shell.document("up")
    gateway = brought["gateway"]
    url = gateway["url"]
    assert gateway["state"] == "ready"
    assert http("PUT", f"{url}/api/v1/key/greeting", b"hello")[0] == 201
    assert shell("get", "greeting")[1] == "hello\n"

    os.kill(gateway["pid"], signal.SIGSTOP)  # frozen, and yet `down` ends it
    assert shell("down")[0] == 0
    with pytest.raises(urllib.error.URLError):
        http("GET", f"{url}/healthz")

    assert shell("up")[0] == 0
    assert http("GET", f"{url}/api/v1/key/greeting") == (200, b"hello\n")


def test_a_second_up_leaves_the_gateway_alone(running: Shell) -> None:
    before = running.pids()

    code, out, _ = running("up")

    assert code == 0
    assert f"curl {seen(running).url}/api/v1/key/greeting" in out
    assert running.pids() == before


def test_the_gateway_is_shown_where_the_nodes_are(running: Shell) -> None:
    running.status("ok")
    code, out, _ = running("status")

    assert code == 0
    assert f"HTTP at {seen(running).url}" in out
    assert running.status("ok")["gateway"]["pid"] == running.pids()["gateway"]
    assert "listens at" in running("logs", "gateway")[1]


def test_the_limits_of_cluster_yaml_are_the_gateway_s(running: Shell) -> None:
    assert http("PUT", f"{seen(running).url}/api/v1/key/a", b"x" * 1024)[0] == 201
    assert http("PUT", f"{seen(running).url}/api/v1/key/b", b"x" * 1025)[0] == 413


def test_a_gateway_that_is_frozen_makes_the_status_degraded_until_up_lets_it_go_on(
    running: Shell,
) -> None:
    """Under supervisord it still shows as RUNNING (failure G3)."""
    pid = seen(running).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    status = running.status("degraded")

    assert status["gateway"]["state"] == "paused"
    assert running("up")[0] == 0
    until(lambda: seen(running).state == "ready", "it goes on")
    assert seen(running).pid == pid


def test_a_gateway_that_is_killed_is_started_again(running: Shell) -> None:
    running.settled("gateway")
    victim = seen(running).pid
    assert victim is not None

    os.kill(victim, signal.SIGKILL)

    until(lambda: seen(running).pid not in {None, victim}, "it is started again")
    until(lambda: seen(running).state == "ready", "it works again")


def test_a_new_address_moves_the_gateway_and_no_key_ends_it(shell: Shell) -> None:
    first = shell.document("up")["gateway"]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    yaml = shell.folder / "cluster.yaml"
    base = shell.remembered()["base_port"]
    fixed = YAML.replace("auto\nnodes", f"{base}\nnodes")

    yaml.write_text(fixed.replace("http: auto", f"http: 127.0.0.1:{port}"))
    second = shell.document("up")["gateway"]
    assert second["url"] == f"http://127.0.0.1:{port}" != first["url"]
    assert second["pid"] != first["pid"]

    yaml.write_text(fixed.replace("gateway: {http: auto}\n", ""))
    assert shell.document("up")["gateway"] is None
    assert "gateway" not in shell.pids()
    assert shell.status("ok")["gateway"] is None


def test_a_taken_port_is_found_before_anything_is_started(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            base = probe.getsockname()[1] // 100 * 100 - 1_000
        text = YAML.replace("base_port: auto", f"base_port: {base}")
        (shell.folder / "cluster.yaml").write_text(text.replace("auto", f"127.0.0.1:{port}"))

        code, _, err = shell("up")

    assert code == 78
    assert f"port {port} (gateway, HTTP) is in use by pid {os.getpid()}" in err


def test_a_killed_supervisord_takes_the_gateway_along_and_up_brings_it_back(shell: Shell) -> None:
    """Failure G1."""
    shell("up")
    cluster = Cluster.at(shell.folder / "cluster.yaml")
    keeper = Supervisor(cluster.paths).process()
    pid = seen(shell).pid
    assert keeper is not None
    assert pid is not None
    gateway = identify(pid)
    assert gateway is not None

    os.kill(keeper.pid, signal.SIGKILL)

    assert wait_gone([gateway], BOUND_S) == []
    assert cluster.up().gateway is not None
    until(lambda: seen(shell).state == "ready", "HTTP is served")


def test_a_node_that_does_not_come_up_leaves_the_gateway_in_front_of_the_others(
    tmp_path: Path,
) -> None:
    shell = Shell(tmp_path, YAML.replace("nodes: 1", "nodes: 3"))
    try:
        shell("up")
        shell("down")
        (tmp_path / ".cluster/nodes/n3/identity").write_bytes(b"damaged")
        cluster = Cluster.at(tmp_path / "cluster.yaml")

        with pytest.raises(BadConfiguration, match="n3 is not ready"):
            cluster.up()

        until(lambda: seen(shell).state == "ready", "HTTP is served")
        url = f"{seen(shell).url}/api/v1/key/a"
        # A busy host may hold an election meanwhile: then it is 503 or 504.
        until(lambda: http("PUT", url, b"v")[0] in {200, 201}, "a write is answered")
    finally:
        shell.end()


def test_a_failover_is_not_noticed_over_http(tmp_path: Path) -> None:
    """A gateway waits for the next leader, so that its clients need not know of elections."""
    shell = Shell(tmp_path, YAML.replace("nodes: 1", "nodes: 3"))
    try:
        # Slower elections are waited for longer, which is what a busy host needs.
        url = shell.document("up", "--slow", "3")["gateway"]["url"]
        key = f"{url}/api/v1/key/counter"
        until(lambda: http("PUT", key, b"0")[0] in {201, 204}, "a write is answered")

        assert shell("kill", "leader", "--no-wait")[0] == 0
        read = http("GET", key)
        written = http("PUT", key, b"1")
        view = http("GET", f"{url}/api/v1/cluster")[1]

        assert read == (200, b"0\n")
        assert written[0] == 204
        assert b'"answers":false' in view
        assert shell("kill", "one", "--no-wait")[0] == 0
        until(lambda: http("GET", f"{url}/readyz")[0] == 503, "the lost quorum is noticed")
        assert http("GET", f"{url}/healthz")[0] == 200
    finally:
        shell.end()


def test_settings_that_make_no_sense_end_it_with_a_sentence(tmp_path: Path) -> None:
    settings = tmp_path / "gateway.json"
    for text in (b"", b"{", b'{"format": 1}', b'{"format": 2}'):
        settings.write_bytes(text)
        with pytest.raises(SettingsError, match=r"gateway\.json"):
            read_settings(str(settings))

    done = subprocess.run(
        [sys.executable, "-m", "raftcache.gateway", str(settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )

    assert done.returncode == 78
    assert "gateway.json" in done.stderr
    assert "Traceback" not in done.stderr
