"""How fast is the HTTP gateway: PUT and GET per second, latency, and its own CPU.

    benchmarks/run http_load http://127.0.0.1:7480
    benchmarks/run http_load --cluster          # starts a cluster of its own, and ends it

wrk makes the load where it is installed; else a generator of one process and plain sockets, which
takes more of the cores that the cluster needs. The floor is /healthz under the same load: what the
gateway answers when it asks nobody.
"""

import argparse
import json
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

KEYS = 10_000
VALUE = "x" * 256
PUT_SCRIPT = f"""
local n = 0
local body = string.rep("x", {len(VALUE)})
request = function()
  n = n + 7919
  return wrk.format("PUT", "/api/v1/key/key-" .. string.format("%012d", n % {KEYS}), nil, body)
end
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Load(NamedTuple):
    """A kind of load."""

    name: str
    method: str
    path: str


FIRST_KEY = "/api/v1/key/key-000000007919"
"""The key that the script writes first: it is there when it is read."""

LOADS = (
    Load("PUT", "PUT", "/api/v1/key/key-%012d"),
    Load("GET", "GET", FIRST_KEY),
    Load("floor", "GET", "/healthz"),
)


class Row(NamedTuple):
    """One line of the result."""

    load: str
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    gateway_cpu_us: float
    """CPU of the gateway, in microseconds per request."""


def with_wrk(url: str, load: Load, *, connections: int, seconds: float) -> tuple[float, ...]:
    """Let wrk put the load on; return requests per second, p50, p99 and errors."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(PUT_SCRIPT)
        script.flush()
        if load.method == "PUT":
            command += ["-s", script.name, url]
        else:
            command.append(url + load.path)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    out = done.stdout

    def latency(share: str) -> float:
        found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s)$", out, re.MULTILINE)
        assert found, out
        return float(found[1]) * UNITS[found[2]]

    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert rate, out
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = int(bad[1]) if bad else 0
    errors += sum(int(count) for count in broken.groups()) if broken else 0
    return float(rate[1]), latency("50"), latency("99"), errors


def by_hand(url: str, load: Load, *, connections: int, seconds: float) -> tuple[float, ...]:
    """Put the load on with sockets of our own: one request in flight on each."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    requests = list(_requests(load, f"{host}:{port}"))
    chooser = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    latencies: list[float] = []
    errors = number = 0
    begin = time.perf_counter()
    for _ in range(connections):
        each = socket.create_connection((host, int(port)))
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chooser.register(each, selectors.EVENT_READ, each)
        sent[each] = time.perf_counter()
        each.sendall(requests[(number := number + 1) % len(requests)])
    while (now := time.perf_counter()) < begin + seconds:
        for key, _ in chooser.select(1.0):
            each = key.data
            errors += b" 20" not in each.recv(65_536)[:13]
            latencies.append(now - sent[each])
            sent[each] = time.perf_counter()
            each.sendall(requests[(number := number + 1) % len(requests)])
    for each in sent:
        each.close()
    latencies.sort()
    count = len(latencies)
    return (
        count / seconds,
        latencies[count // 2] * 1e3,
        latencies[count * 99 // 100] * 1e3,
        errors,
    )


def _requests(load: Load, host: str) -> Iterator[bytes]:
    for number in range(1_000):
        path = load.path % ((number + 1) * 7_919 % KEYS) if "%" in load.path else load.path
        body = VALUE if load.method == "PUT" else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        yield f"{load.method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{body}".encode()


def gateway_process(url: str) -> psutil.Process | None:
    """Return who listens there, if that can be seen."""
    port = int(url.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


def measure(url: str, load: Load, options: argparse.Namespace) -> Row:
    """Put one load on, after a second of it that does not count."""
    drive = with_wrk if shutil.which("wrk") and not options.by_hand else by_hand
    drive(url, load, connections=options.connections, seconds=1)
    process = gateway_process(url)
    before = _cpu(process)
    rate, p50, p99, errors = drive(
        url, load, connections=options.connections, seconds=options.seconds
    )
    spent = (_cpu(process) - before) / (rate * options.seconds) * 1e6
    return Row(load.name, round(rate), round(p50, 2), round(p99, 2), int(errors), round(spent, 1))


def _cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return times.user + times.system


def benchmark(url: str, options: argparse.Namespace) -> int:
    """Measure a running gateway."""
    rows = [measure(url, load, options) for load in LOADS]
    if options.json:
        print(json.dumps({"schema": 1, "rows": [row._asdict() for row in rows]}))
        return 0
    print(f"{options.connections} connections, value {len(VALUE)} B, {options.seconds:g} s each\n")
    print(f"{'load':<8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'CPU us/req':>12}")
    for row in rows:
        print(
            f"{row.load:<8}{row.per_second:>9,.0f}{row.p50_ms:>9.2f}{row.p99_ms:>9.2f}"
            f"{row.errors:>8}{row.gateway_cpu_us:>12.1f}"
        )
    print("\nCPU: of the gateway. Nodes and generator share the cores with it.")
    return 0


@contextmanager
def own_cluster() -> Iterator[str]:
    """Start a cluster with a gateway in a folder of its own; give the gateway's address."""
    from orchestrator.cluster import Cluster  # noqa: PLC0415 - else not needed

    with tempfile.TemporaryDirectory(prefix="raftcache-http-") as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text("base_port: auto\nlimits: {clients: 500}\ngateway: {http: auto}\n")
        cluster = Cluster.at(file)
        try:
            gateway = cluster.up().gateway
            assert gateway is not None, "the file asks for a gateway"
            yield gateway.url
        finally:
            cluster.down(wipe=True)


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("url", nargs="?", help="the gateway, http://127.0.0.1:7480")
    parser.add_argument("--cluster", action="store_true", help="start a throwaway cluster")
    parser.add_argument("--connections", type=int, default=64, help="at a time (64)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each load (5)")
    parser.add_argument("--by-hand", action="store_true", help="without wrk")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.cluster:
        with own_cluster() as url:
            return benchmark(url, options)
    if not options.url:
        parser.error("give the address of a gateway, or --cluster")
    return benchmark(options.url.rstrip("/"), options)


if __name__ == "__main__":
    sys.exit(main())
