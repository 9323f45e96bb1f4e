"""What strikes whole directories: another's in the place of one's own, files of a former life.

Such a node must refuse to start, whatever it finds there; an operator puts back what was its own
(failures C10, C11).
"""

from random import Random
from types import MappingProxyType
from typing import Final

from raftcache.storage.identity import IDENTITY_NAME
from raftcache.storage.segment import segment_number

from .faults import Faults, Kind


def misplace(faults: Faults, random: Random) -> bool:
    """Kill a process, and put a copy of another node's directory where its own was."""
    name = faults.some_node(random)
    others = [one for one in faults.cluster.names if one != name and one not in faults.misplaced]
    if name is None or not others:
        return False
    other = faults.cluster.hosts[random.choice(others)]
    # A directory without an identity is nobody's: who finds it joins anew (seed 160179).
    if not other.disk.has_directory(other.directory) or IDENTITY_NAME not in other.files():
        return False
    faults.cluster.kill(name)
    theirs = {one: other.disk.content(f"{other.directory}/{one}") for one in other.files()}
    _exchange(faults, name, theirs, f"the directory of {other.member.node_id}")
    return True


def revive(faults: Faults, random: Random) -> bool:
    """Kill a node that lost its state once, and put its former life's log in the place of its own.

    The identity is that of today.
    """
    present = {process.name: process.server.about.incarnation for process in faults.cluster.running}
    names = [
        name
        for name, (incarnation, _) in sorted(faults.former_files.items())
        if present.get(name, incarnation) != incarnation
    ]
    if not names:
        return False
    name = random.choice(names)
    faults.cluster.kill(name)
    host = faults.cluster.hosts[name]
    _, former = faults.former_files[name]
    kept = {"identity": host.disk.content(f"{host.directory}/identity")}
    kept |= {one: data for one, data in former.items() if segment_number(one)}
    _exchange(faults, name, kept, "the log of its former life")
    return True


def _exchange(faults: Faults, name: str, files: dict[str, bytes], what: str) -> None:
    host = faults.cluster.hosts[name]
    host.set_aside = host.disk.durable_names(host.directory)
    own = host.disk.take_away(host.directory)
    host.disk.bring(host.directory, files)
    faults.cluster.note(f"{name} has {what}")
    faults.misplaced.add(name)

    def put_back() -> None:
        host.disk.take_away(host.directory)
        host.disk.bring(host.directory, own)
        host.set_aside = None
        faults.misplaced.discard(name)

    faults.repairs[name] = put_back


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {"misplace": misplace, "revive": revive}
)
