"""Redis: one process, nothing replicated; what a server in C does with a connection per caller."""

import shutil
import socket
import subprocess
import tempfile
import time

from .etcd import free_ports
from .system import Missing, System

START_SECONDS_MAX = 10.0


class Redis(System):
    """One server that syncs every write."""

    name = "redis, one process"
    driver = "redis"
    durability = "fsync"
    replicated = False
    mixes = ("set", "get")

    @classmethod
    def look(cls) -> None:
        """Look for the server and its benchmark."""
        if shutil.which("redis-server") is None or shutil.which("redis-benchmark") is None:
            raise Missing("no `redis-server`: Debian's redis-server has it and its benchmark")

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._folder = tempfile.mkdtemp(prefix="raftcache-redis-")
        (self._port,) = free_ports(1)
        command = ["redis-server", "--port", str(self._port), "--dir", self._folder, "--save", ""]
        if self.durability == "fsync":
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def target(self) -> str:
        """Return its port."""
        return str(self._port)

    def stop(self) -> None:
        """End it and remove its data."""
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class RedisMemory(Redis):
    """The same with nothing on disk."""

    durability = "memory"
