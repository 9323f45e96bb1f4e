"""Planning a change of the membership: who comes, who goes, and whether that may be.

Nothing here asks or starts anything: a plan is made from what is remembered and what was seen.
"""

import re
import time
from collections.abc import Callable

from .demo.narration import listed
from .errors import BadConfiguration, NoQuorum, UsageError
from .ports import is_free, owner_of
from .selectors import WORDS
from .spec_values import GATEWAY, GATEWAY_OFFSET, NODES_MAX, PORT_BAND
from .state import Change, ClusterState, NodeRecord, new_record
from .view import ClusterView

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}", re.ASCII)
RESERVED = {GATEWAY, "supervisord", *WORDS}


def plan_addition(
    state: ClusterState,
    count: int,
    words: str,
    *,
    name: str = "",
    peer_port: int | None = None,
    free: Callable[[str, int], bool] = is_free,
) -> tuple[Change, list[NodeRecord]]:
    """Return the change that adds so many nodes, and their records: the next free names.

    One alone may be given another ``name``, and a port of its own for its peers.

    Raises:
        UsageError: there would be more than can be.
        BadConfiguration: a port of one is taken.
    """
    names = {record.name for record in state.nodes}
    numbers = [k for k in range(1, NODES_MAX + 1) if f"n{k}" not in names][:count]
    if len(names) + count > NODES_MAX:
        raise UsageError(f"a cluster has at most {NODES_MAX} nodes; this one has {len(names)}")
    taken = {port for _, _, port in state.ports()}
    records = []
    for k in numbers:
        record = new_record(f"n{k}", state.host, _port_of(state, k, taken, free))
        taken.update(_ports(record))
        records.append(record)
    if name or peer_port is not None:
        records = [_particular(records[0], name, peer_port, state, free)]
    for record in records:
        record.voter = False
    return Change(words=words, added=[record.name for record in records]), records


def _particular(
    record: NodeRecord,
    name: str,
    peer_port: int | None,
    state: ClusterState,
    free: Callable[[str, int], bool],
) -> NodeRecord:
    if name and (name in RESERVED or NAME.fullmatch(name) is None):
        raise UsageError(f"'{name[:40]}' is no name for a node; n4 would be one")
    record.name = name or record.name
    k = _number(record.name)
    if 1 <= k <= NODES_MAX and record.name == f"n{k}":  # its ports go by its number
        taken = {port for _, _, port in state.ports()}
        record = new_record(record.name, state.host, _port_of(state, k, taken, free))
    if peer_port is not None and not record.peer.endswith(f":{peer_port}"):
        if not free(state.host, peer_port) or peer_port in _ports(record):
            raise BadConfiguration(
                f"port {peer_port} is in use by {owner_of(peer_port)}; the cluster starts its "
                "nodes itself, and nothing was done",
                hint="leave the port out: there is one by the cluster's own rule",
            )
        record.peer = f"tcp://{state.host}:{peer_port}"
    return record


def plan_removal(state: ClusterState, view: ClusterView, names: list[str], words: str) -> Change:
    """Return the change that removes nodes, if those that stay can go on without them.

    Raises:
        UsageError: none would be left.
        NoQuorum: too few of those that stay are up.
    """
    if len(names) == len(state.nodes):
        raise UsageError(
            "a cluster has at least one node: the last can't be removed",
            hint="bin/cluster down --wipe   ends it and deletes its data",
        )
    require_quorum(view)
    stay = [name for name in state.voters() if name not in names]
    up = [name for name in stay if view.node(name).status is not None]
    if len(up) < len(stay) // 2 + 1:
        away = [name for name in stay if name not in up]
        raise NoQuorum(
            f"nothing was done: {listed(stay)} would be left, and {_only(up)}:\n"
            "that is no quorum, so nothing could be decided any more",
            hint=f"bin/cluster start {','.join(away)}   brings back what is down\n"
            f"bin/cluster remove {','.join(away)}   removes that instead",
        )
    return Change(words=words, removed=names)


def plan_replacement(state: ClusterState, view: ClusterView, name: str, words: str) -> Change:
    """Return the change that gives a node a new life, if the others can go on meanwhile.

    Raises:
        NoQuorum: too few of the others are up.
    """
    others = [voter for voter in state.voters() if voter != name]
    up = [voter for voter in others if view.node(voter).status is not None]
    if not others:
        raise NoQuorum(
            f"nothing was done: {name} is alone, and nobody else has what it knows",
            hint="bin/cluster add   first: then there are others\n"
            "bin/cluster snapshot save FILE   keeps what there is",
        )
    if len(up) < state.quorum():
        away = [voter for voter in others if voter not in up]
        raise NoQuorum(
            f"nothing was done: it takes {state.quorum()} others to replace {name}, and "
            f"{_only(up)}",
            hint=f"bin/cluster start {','.join(away)}   brings back what is down"
            if away
            else "bin/cluster add   first: two nodes can't do without each other",
        )
    require_quorum(view)
    return Change(words=words, replaced=[name])


def leavers(view: ClusterView, count: int) -> list[str]:
    """Return whom a cluster can spare best.

    First what is down, then the highest numbers: who stays is no surprise. A leader among them
    hands over, which takes milliseconds.
    """
    backwards = sorted(view.nodes, key=lambda node: in_order(node.name), reverse=True)
    order = sorted(backwards, key=lambda node: node.status is not None)
    chosen = {node.name for node in order[:count]}
    return [node.name for node in view.nodes if node.name in chosen]


def require_quorum(view: ClusterView) -> None:
    """Refuse to go on where nothing can be decided.

    Raises:
        NoQuorum: there is no leader, or too few answer.
    """
    if view.leader is None or view.answering < view.quorum:
        raise NoQuorum(
            f"nothing was done: {view.answering} of {view.size} nodes answer, "
            f"{view.quorum} must agree, and {view.leader or 'nobody'} leads",
            hint="bin/cluster start   brings back what is down",
        )


def parity_warning(size: int) -> str:
    """Return what is to be said of an even number of nodes; empty for an odd one."""
    if size % 2:
        return ""
    fewer = size - 1
    return (
        f"{size} nodes survive no more deaths than {fewer} would; an odd number is better"
        if fewer
        else ""
    )


def in_order(name: str) -> tuple[bool, int, str]:
    """Sort nodes as people count: n2 before n10, and other names last."""
    number = _number(name)
    return number == 0, number, name


def aside_name(name: str, why: str) -> str:
    """Return where the directory of a node that goes is kept, beside the others."""
    return f"{name}.{why}-{time.strftime('%Y%m%dT%H%M%S')}"


def _only(up: list[str]) -> str:
    if not up:
        return "none of them is up"
    return f"only {listed(up)} {'is' if len(up) == 1 else 'are'} up"


def _number(name: str) -> int:
    digits = name.removeprefix("n")
    return int(digits) if digits.isdigit() else 0


def _ports(record: NodeRecord) -> list[int]:
    places = (record.client, record.peer, record.events)
    return [int(place.rpartition(":")[2]) for place in places]


def _port_of(state: ClusterState, k: int, taken: set[int], free: Callable[[str, int], bool]) -> int:
    """Return the client port of node k: by the rule, or under `auto` another if that is taken."""
    first = state.base_port + k
    beyond = range(state.base_port + NODES_MAX + 1, state.base_port + GATEWAY_OFFSET)
    for port in [first, *beyond] if state.base_port_auto else [first]:
        row = [port + band * PORT_BAND for band in range(3)]
        if not taken & {*row} and all(free(state.host, one) for one in row):
            return port
    row = [first + band * PORT_BAND for band in range(3)]
    busy: int = next((port for port in row if not free(state.host, port)), first)
    raise BadConfiguration(
        f"port {busy} (n{k}) is in use by {owner_of(busy)}; nothing was done",
        hint="end that process first",
    )
