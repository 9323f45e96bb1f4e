"""What a leader believes of the others' logs: true of their disks, and it never falls (§5.3)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftcache.raft.types import Index, Role, ServerId, Term

if TYPE_CHECKING:
    from .checks import DurableLog
    from .process import Process


class Matches:
    """Watches ``matchIndex`` of every leader.

    Args:
        log_of: the disk of a server; None: nothing is known of that one.
    """

    def __init__(self, log_of: Callable[[ServerId], "DurableLog | None"]) -> None:
        self._log_of = log_of
        self._known: dict[str, tuple[Process, Term, dict[ServerId, Index]]] = {}

    def on_turn(self, process: "Process") -> None:
        """Check what a leader has learnt in its turn."""
        state = process.server.raft.state
        if state.role is not Role.LEADER:
            return
        life, term, known = self._known.get(process.name, (None, 0, {}))
        if life is not process or term != state.current_term:
            known = {}
            self._known[process.name] = (process, state.current_term, known)
        for peer, progress in state.progress.items():
            index = progress.match_index
            if index == known.get(peer, 0):
                continue
            assert index > known.get(peer, 0), f"what matches at {peer} never falls: {index}"
            known[peer] = index
            self._check_disk(process, peer, index)

    def _check_disk(self, process: "Process", peer: ServerId, index: Index) -> None:
        state, disk = process.server.raft.state, self._log_of(peer)
        if disk is None or disk.hard_state.current_term > state.current_term:
            return  # A later leader may have replaced it already.
        term = state.log.term_at(index)
        stored = disk.reaches(index) if term is None else disk.has(index, term)
        assert stored, f"entry {index} is on the disk of {peer}, as {process.name} believes (§5.3)"
