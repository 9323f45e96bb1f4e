"""TCP ports: whether one is free, who has it, and where a row of free ones begins."""

import errno
import socket
from collections.abc import Iterable

from .processes import command_line

AUTO_FIRST, AUTO_LAST, AUTO_STEP = 10_000, 32_000, 400


def is_free(host: str, port: int) -> bool:
    """Tell whether a node could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As libzmq does: a port whose last connection lingers in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
                return False
            raise
    return True


def owner_of(port: int) -> str:
    """Describe who listens on a port: pid and command line, as far as it can be seen."""
    import psutil  # noqa: PLC0415 - 30 ms, needed only for this bad news

    try:
        for connection in psutil.net_connections(kind="tcp"):
            if not connection.laddr or connection.laddr.port != port:
                continue
            if connection.status != psutil.CONN_LISTEN:
                continue
            if connection.pid is None:
                return "a process of another user"
            command = command_line(connection.pid) or psutil.Process(connection.pid).name()
            return f"pid {connection.pid}: {command[:200]}"
    except (psutil.Error, OSError):
        pass
    return "a process that can't be seen from here"


class Claim:
    """A row of ports that nobody else who asks for one gets, until this is closed, or we end.

    The port at its base, which no node uses, is bound and never listened on.

    Raises:
        OSError: another has it.
    """

    def __init__(self, host: str, base: int) -> None:
        self.base = base
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.bind((host, base))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Let go of it: by now the nodes listen there, or the row is not used."""
        self._socket.close()


def claim_base(host: str, offsets: Iterable[int], *, start: int) -> Claim | None:
    """Claim the first row in which all ``offsets`` are free; None: there is none on this host.

    ``start`` (any number) says where to begin looking.
    """
    wanted = sorted(offsets)
    count = (AUTO_LAST - AUTO_FIRST) // AUTO_STEP
    for step in range(count):
        try:
            claim = Claim(host, AUTO_FIRST + (start + step) % count * AUTO_STEP)
        except OSError:
            continue
        if all(is_free(host, claim.base + offset) for offset in wanted):
            return claim
        claim.close()
    return None


def find_base(host: str, offsets: Iterable[int], *, start: int) -> int | None:
    """Return the first base port from which all ``offsets`` are free now, or None."""
    claim = claim_base(host, offsets, start=start)
    if claim is None:
        return None
    claim.close()
    return claim.base
