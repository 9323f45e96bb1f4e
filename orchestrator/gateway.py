"""The HTTP gateway of a cluster: one more program under supervisord, in front of the nodes.

It holds nothing, so it is started, stopped and moved without much ado: `up` brings it to what
cluster.yaml says, after the nodes are ready, and `down` ends it before them. Whether it works is
asked of itself, over HTTP.
"""

import os
import secrets
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from .errors import BadConfiguration, TryAgain
from .paths import Paths
from .processes import identify, sample, send, wait_gone
from .spec_values import GATEWAY, GATEWAY_OFFSET, Spec
from .state import ClusterState
from .supervisor import NEVER_RESTARTED, Child, Supervisor

SETTINGS_FORMAT = 1
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 5.0
ASK_SECONDS = 0.5
POLL_SECONDS = 0.02
TIMEOUT_MS = 5_000
"""How long a request may take: longer than any failover, at the usual pace of elections."""
CONNECTIONS_MAX = 2_000


class GatewayView(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway, as it is."""

    url: str
    state: str
    """ready, starting, silent, paused, crashed or down."""
    pid: int | None
    resident_bytes: int | None
    supervisor: str | None
    """supervisord's word for it."""


def address_of(spec: Spec, base_port: int) -> str:
    """Return where the gateway shall listen, ``host:port``; empty: there shall be none."""
    if not spec.gateway_host:
        return ""
    port = spec.gateway_port
    if port is None or spec.base_port is None:
        port = base_port + GATEWAY_OFFSET
    return f"{spec.host}:{port}"


def write_settings(paths: Paths, state: ClusterState, spec: Spec) -> bool:
    """Write the settings that the gateway is started with; tell whether that is news."""
    host, _, port = state.gateway.rpartition(":")
    settings = {
        "format": SETTINGS_FORMAT,
        "cluster": state.cluster,
        "host": host,
        "port": int(port),
        "nodes": _nodes(state),
        "value_bytes": spec.value_bytes,
        "timeout_ms": int(TIMEOUT_MS * state.slowness),
        "connections": min(CONNECTIONS_MAX, spec.clients),
        "node_routes": {
            "access": spec.node_routes,
            "token_file": str(paths.token),
            "command": _command(paths),
        },
    }
    path = paths.settings(GATEWAY)
    if path.exists() and path.read_bytes() == _formatted(settings):
        return False
    _replace(path, settings)
    return True


def write_nodes(paths: Paths, state: ClusterState) -> None:
    """Write which nodes there are into the settings of a gateway, which looks now and then."""
    path = paths.settings(GATEWAY)
    try:
        settings = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return  # there is none, or `up` writes it anew
    settings["nodes"] = _nodes(state)
    _replace(path, settings)


def token_of(paths: Paths) -> str:
    """Return the token for adding and removing nodes over HTTP; made once, for this user only.

    Raises:
        BadConfiguration: its file is somebody else's, or others can read it.
    """
    try:
        handle = os.open(paths.token, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return _make_token(paths)
    except OSError as error:
        raise BadConfiguration(f"{paths.token}: {error.strerror}") from error
    with open(handle) as file:  # noqa: PTH123 - of a handle
        found = os.fstat(handle)
        token = file.read(1_024).strip()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not token:
        raise BadConfiguration(
            f"{paths.token} must be yours alone (mode 0600) and hold a token",
            hint=f"rm {paths.token}   and the next `bin/cluster up` makes a new one",
        )
    return token


def _make_token(paths: Paths) -> str:
    token = secrets.token_hex(16)
    beside = paths.token.with_suffix(".tmp")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "w") as file:  # noqa: PTH123 - of a handle
        file.write(f"{token}\n")
    beside.replace(paths.token)
    return token


def _command(paths: Paths) -> list[str]:
    """Return the command line as the gateway can call it, for this cluster."""
    place = ["--state", str(paths.state)]
    if paths.file is not None:
        place += ["--file", str(paths.file)]
    package = (__package__ or "").partition(".")[0]
    return [sys.executable, "-P", "-m", f"{package}.cli", *place]


def _nodes(state: ClusterState) -> list[dict[str, str]]:
    return [{"id": node.name, "client": node.client} for node in state.nodes]


def _formatted(settings: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"


def _replace(path: Path, settings: dict[str, Any]) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_bytes(_formatted(settings))
    beside.replace(path)


def adjust(paths: Paths, state: ClusterState, spec: Spec) -> None:
    """Have the gateway run as the state says, with the settings of now, or not at all."""
    supervisor = Supervisor(paths)
    if not state.gateway:
        stop(supervisor)
        return
    if spec.node_routes == "token":
        token_of(paths)
    if write_settings(paths, state, spec):
        stop(supervisor)
    child = supervisor.gateway()
    if child is not None and child.has_process:
        process = identify(child.pid)
        if process is not None:
            send(process, signal.SIGCONT)  # one that was paused by hand goes on
        return
    supervisor.start_program(GATEWAY)


def stop(supervisor: Supervisor) -> None:
    """End the gateway in order, by force if it takes too long; one that is down is left alone."""
    child = supervisor.gateway()
    if child is None or child.state not in {"STARTING", "RUNNING", "STOPPING", "BACKOFF"}:
        return
    process = identify(child.pid) if child.has_process else None
    if process is not None:
        send(process, signal.SIGCONT)  # a paused one hears nothing else
    supervisor.stop_program(GATEWAY)
    if process is not None:
        for stubborn in wait_gone([process], STOP_SECONDS_MAX):
            send(stubborn, signal.SIGKILL)


def await_ready(paths: Paths, state: ClusterState) -> GatewayView:
    """Wait until the gateway answers.

    Raises:
        BadConfiguration: it refused to start; its last words are in the message.
        TryAgain: it did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        view = look(paths, state)
        assert view is not None, "only a gateway that shall be there is waited for"
        if view.state == "ready":
            return view
        refused = view.state == "crashed" and view.supervisor in {"EXITED", "FATAL"}
        if refused or time.monotonic() > deadline:
            raise _explain(paths, view)
        time.sleep(POLL_SECONDS)


def look(paths: Paths, state: ClusterState) -> GatewayView | None:
    """Look at the gateway; None when there shall be none."""
    if not state.gateway:
        return None
    child = Supervisor(paths).gateway()
    seen = sample(child.pid) if child is not None and child.has_process else None
    return GatewayView(
        url=f"http://{state.gateway}",
        state=_state_of(child, paused=seen is not None and seen.paused, address=state.gateway),
        pid=child.pid if child is not None and seen is not None else None,
        resident_bytes=None if seen is None else seen.resident_bytes,
        supervisor=None if child is None else child.state,
    )


def answers(address: str, seconds: float = ASK_SECONDS) -> bool:
    """Ask a gateway whether it works."""
    host, _, port = address.rpartition(":")
    request = f"GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            connection.sendall(request.encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def _state_of(child: Child | None, *, paused: bool, address: str) -> str:
    if child is None or child.state == "STOPPED":
        return "down"
    if child.has_process:
        if paused:
            return "paused"
        if answers(address):
            return "ready"
        return "starting" if child.state == "STARTING" else "silent"
    return "crashed"


def _explain(paths: Paths, view: GatewayView) -> BadConfiguration | TryAgain:
    from .readiness import last_log_lines  # noqa: PLC0415 - only for this bad news

    lines = [f"the cluster is up, but its HTTP gateway is {view.state}"]
    lines += [f"  | {line}" for line in last_log_lines(paths, GATEWAY, 3)]
    hint = "bin/cluster logs gateway   shows more"
    if view.supervisor == "EXITED" and Supervisor(paths).last_exit(GATEWAY) in NEVER_RESTARTED:
        return BadConfiguration("\n".join(lines), hint=hint)
    return TryAgain("\n".join(lines), hint=hint)
