"""A cluster for a moment: in a temporary folder, on free ports, and gone afterwards.

    with Throwaway() as cluster:
        cluster.up()

Leaving the block ends it and proves that nothing is left; Ctrl-C, SIGTERM and SIGHUP leave the
block like any exception, and are not listened to while it is cleaned up. After a SIGKILL a guardian
cleans up instead.
"""

import shutil
import signal
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from .cluster import Cluster
from .errors import BadConfiguration, CheckFailed, NoCluster
from .guardian import Guardian
from .paths import FILE_NAME
from .ports import Claim, claim_base
from .spec import parse_spec
from .state import NodeRecord, new_state, port_offsets

NODES = 3
UP_SECONDS_MAX = 60.0
START_SECONDS_MAX = 60.0
"""Bounds for a host that has much else to do; it mostly takes one second."""
CLIENTS = 500
"""Connections for which file descriptors are asked: few, so that it runs anywhere."""
_CHAOS = "chaos: {enabled: true}\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Throwaway:
    """A cluster of its own, for one block."""

    def __init__(
        self,
        nodes: int = NODES,
        *,
        prefix: str = "raftcache-",
        shape: str = "",
        clients: int = CLIENTS,
        signals: bool = True,
    ) -> None:
        """Describe a cluster; ``shape`` is what else its cluster.yaml says, already checked.

        ``clients`` is how many connections it has file descriptors for.

        Without ``signals`` they are left to whoever else handles them in this process; if it ends
        without leaving the block, the guardian cleans up.
        """
        self._signals = _SIGNALS if signals else ()
        self.keep = False
        """Set it to leave folder, logs and data where they are, for whoever has to look."""
        self._folder = Path(tempfile.mkdtemp(prefix=prefix))
        self._handlers: dict[int, Any] = {}
        self._guardian: Guardian | None = None
        self._claim: Claim | None = None
        """The ports, until the nodes listen there: no other command gets the same."""
        try:
            self.records = self._describe(nodes, clients, shape)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.cluster = Cluster.at(self._folder / FILE_NAME)

    @property
    def folder(self) -> Path:
        """Where cluster.yaml, logs and data are."""
        return self._folder

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Client endpoints by node; known before the cluster is up."""
        return {record.name: record.client for record in self.records}

    @property
    def events(self) -> list[str]:
        """Where the nodes publish their events; known before the cluster is up."""
        return [record.events for record in self.records]

    def up(self) -> None:
        """Start all nodes and wait until they are ready.

        Raises:
            TryAgain: they were not, in time.
        """
        self.cluster.up(seconds=UP_SECONDS_MAX)
        self._let_go_of_ports()

    def kill(self, node: str) -> None:
        """Send SIGKILL to a node; it stays down. Waits for no election."""
        self.cluster.kill(node, wait=False)

    def start(self, node: str) -> None:
        """Start a node that is down, and wait until it has caught up.

        Raises:
            TryAgain: it had not, in time.
        """
        self.cluster.start(node, seconds=START_SECONDS_MAX)

    def down(self) -> None:
        """End it, prove it, and delete everything, unless it is to be kept.

        Raises:
            CheckFailed: something is left; the message names it, and nothing is deleted.
        """
        self._let_go_of_ports()
        try:
            ended = self.cluster.down(wipe=not self.keep)
        except NoCluster:
            ended = None  # it never came so far as to start anything
        if ended is not None and not ended.proof.holds:
            raise CheckFailed("still there: " + "; ".join(ended.proof.leftovers))
        if not self.keep:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Let signals end the block in order."""
        for number in self._signals:
            self._handlers[number] = signal.signal(number, _interrupt)
        self._guardian = Guardian(self._folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tear it down."""
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
        interrupted = False
        try:
            self.down()
        except KeyboardInterrupt:
            interrupted = True  # then the guardian goes on with it, once this process has ended
            raise
        finally:
            if self._guardian is not None and not interrupted:
                self._guardian.dismiss()
            for handled, handler in self._handlers.items():
                signal.signal(handled, handler)

    def _describe(self, nodes: int, clients: int, shape: str) -> list[NodeRecord]:
        """Write cluster.yaml, with ports that are free now; return what the nodes will be."""
        text = (
            f"cluster: throwaway\nnodes: {nodes}\nlimits: {{clients: {clients}}}\n{_CHAOS}{shape}"
        )
        spec = parse_spec(text.encode()).spec
        start = zlib.crc32(bytes(self._folder))
        self._claim = claim_base(spec.host, port_offsets(nodes), start=start)
        if self._claim is None:
            raise BadConfiguration("found no free row of ports on this host")
        base_port = self._claim.base
        (self._folder / FILE_NAME).write_text(f"{text}base_port: {base_port}\n")
        return new_state(spec, nodes, base_port).nodes

    def _let_go_of_ports(self) -> None:
        if self._claim is not None:
            self._claim.close()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
