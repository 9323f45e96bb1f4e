"""Proves that a run left nothing behind: no process, no port, no socket."""

import msgspec

from .paths import Paths
from .ports import is_free, owner_of
from .processes import command_line, find_run
from .state import ClusterState


class Proof(msgspec.Struct, frozen=True):
    """What was found at the end; each list is empty when all is well."""

    processes: list[str]
    ports: list[str]
    sockets: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing is left."""
        return not (self.processes or self.ports or self.sockets)

    @property
    def leftovers(self) -> list[str]:
        """All that is left, a line each."""
        return [*self.processes, *self.ports, *self.sockets]


def prove(paths: Paths, state: ClusterState) -> Proof:
    """Look for all that the run could have left."""
    processes = find_run(state.run_id) if state.run_id else []
    return Proof(
        processes=[f"pid {one.pid}: {command_line(one.pid)}" for one in processes],
        ports=[
            f"port {port} ({node}, {what}): {owner_of(port)}"
            for node, what, port in state.ports()
            if not is_free(state.host, port)
        ],
        sockets=[f"socket {path}" for path in paths.socket_files()],
    )
