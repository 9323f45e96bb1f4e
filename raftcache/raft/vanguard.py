"""Whom a leader sends its entries first: no more servers than a majority takes.

What an entry costs a follower besides its commands, its turns and its wake-ups, is most of what a
small one costs at all; and on one host it takes the processor from those whom the majority waits
for. So entries go at once to those followers only who were the quickest to store some, the
*vanguard*; all others, the *rear*, get what has been committed meanwhile once per tick, in one
message. The paper leaves open when a leader sends (§5.3); what a majority is, and what it takes to
commit, is untouched.

The vanguard is chosen anew once in an election timeout: it is disbanded, so that entries go to all,
and those are the next one whose disks commit the first of them that all were sent alike. It is
disbanded at once when it leaves an entry uncommitted for a tick, when one of it is gone, when the
configuration changes, and when the leadership is handed over. So nobody is waited for who is dead,
slow, cut off or full for more than two ticks.
"""

from collections.abc import Iterable

from .quorum import has_quorum
from .state import RaftState
from .types import Index, Role, ServerId


def on_tick(state: RaftState) -> None:
    """Let the rear have what is committed, and all have what the vanguard left uncommitted.

    Once in an election timeout let all of them show how quick they are.
    """
    if state.role is not Role.LEADER:
        return
    vanguard = state.vanguard
    vanguard.ticks += 1
    is_time = vanguard.ticks >= state.options.election_ticks_min
    if is_time or state.commit_index < vanguard.overdue_index:
        _disband(state)
    vanguard.overdue_index = state.log.last_index
    vanguard.rear_index = state.commit_index


def on_disconnected(state: RaftState, server_id: ServerId) -> None:
    """Wait no longer for a follower whose process is gone."""
    if state.vanguard.peers is not None and server_id in state.vanguard.peers:
        _disband(state)


def choose(state: RaftState) -> None:
    """Make the voters the vanguard whose disks committed the newest entry, if it is to be chosen.

    The leader counts itself only if its own disk was among them; one that hangs is not waited for.
    """
    vanguard, index = state.vanguard, state.commit_index
    if vanguard.peers is not None or index < vanguard.race_index:
        return
    chosen = {state.server_id} if state.persisted_index >= index else set[ServerId]()
    for peer, progress in state.progress.items():  # in the servers' order
        if has_quorum(state.configuration, chosen.__contains__):
            break
        if progress.match_index >= index and state.configuration.is_voter(peer):
            chosen.add(peer)
    vanguard.peers = frozenset(chosen)
    vanguard.ticks = 0
    vanguard.configuration_index = state.configurations[-1][0]
    vanguard.rear_index = state.commit_index


def review(state: RaftState) -> None:
    """Disband the vanguard if it will not do any more."""
    if (
        not state.options.majority_first
        or state.vanguard.configuration_index != state.configurations[-1][0]
        or state.transfer_target is not None  # Who is to lead next must have everything.
    ):
        _disband(state)


def last_index_for(state: RaftState, peer: ServerId) -> Index:
    """Return up to where ``peer`` may be sent the log now."""
    vanguard = state.vanguard
    if vanguard.peers is None or peer in vanguard.peers:
        return state.log.last_index
    return vanguard.rear_index


def bring_up(state: RaftState, peers: Iterable[ServerId]) -> None:
    """Let the rear have what is committed now, if any of ``peers``, who read, is there."""
    vanguard = state.vanguard
    if vanguard.peers is not None and not vanguard.peers.issuperset(peers):
        vanguard.rear_index = state.commit_index


def _disband(state: RaftState) -> None:
    """Send entries to all. The next vanguard is told by the first entry that all get alike."""
    vanguard = state.vanguard
    if vanguard.peers is not None:
        vanguard.peers = None
        # What is in the log already, the old vanguard has had for longer than the others.
        vanguard.race_index = state.log.last_index + 1
