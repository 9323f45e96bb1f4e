"""PySyncObj: three processes with a replicated dict; the one that leads asks itself.

That is how it is used: it has no clients, only members. So its CPU is of members and callers
together, and it syncs no journal.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import msgspec

from .etcd import free_ports
from .system import Missing, System, installing
from .work import Sample, Work

_PROGRAM = Path(__file__).with_name("syncobj_process.py")


class SyncObj(System):
    """A cluster of three in memory, that sends each command at once."""

    name = "PySyncObj"
    driver = ""
    durability = "memory"
    mixes = ("set",)

    @classmethod
    def look(cls) -> None:
        """Look for the package."""
        if importlib.util.find_spec("pysyncobj") is None:
            raise Missing(f"no PySyncObj: {installing('pysyncobj')}")

    def start(self) -> None:
        """Start three, and wait until one says that it leads."""
        ports = free_ports(3)
        for own in ports:
            others = [str(port) for port in ports if port != own]
            command = [sys.executable, "-P", str(_PROGRAM), str(own), *others]
            self.processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )
        self._leader = next(process for process in self.processes if _says(process) == "leader")

    def target(self) -> str:
        """Return nothing: nobody connects."""
        return ""

    def measure(self, work: Work) -> Sample:
        """Let the leader ask itself."""
        assert self._leader.stdin is not None, "it was asked for"
        self._leader.stdin.write(msgspec.json.encode(work) + b"\n")
        self._leader.stdin.flush()
        assert self._leader.stdout is not None, "it was asked for"
        return self.listen(self._leader.stdout)


def _says(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None, "it was asked for"
    return process.stdout.readline().decode().strip()
