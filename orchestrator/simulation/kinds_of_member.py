"""What changes who takes part: nodes that come, go, are replaced, or lose all that they had.

Rules: one change is asked for at a time, and only while every voter that was ever lost has been
replaced; so the losses at any moment are a minority's. Two at once would lose data, as they should.
"""

from random import Random
from types import MappingProxyType
from typing import Any, Final

from raftcache.raft.configuration import Configuration, Member

from .calls import Call
from .faults import Faults, Kind
from .members import new_host, wipe

HOSTS_MAX = 7
VOTERS_MIN = 2
TIMEOUT_MS = 3_000


def member_add(faults: Faults, random: Random) -> bool:
    """Add a node on a new host; it may ask for its place before it was announced."""
    leader = faults.cluster.leader()
    if leader is None or _settled(faults) is None or len(faults.cluster.hosts) >= HOSTS_MAX:
        return False
    member = new_host(faults.cluster)
    _ask(faults, leader, "member_add", id=member.node_id, **_endpoints(member))
    _start_soon(faults, random, member)
    if faults.cluster.profile.hasty and len(faults.cluster.hosts) < HOSTS_MAX:
        another = new_host(faults.cluster)
        _ask(faults, leader, "member_add", id=another.node_id, **_endpoints(another))
        _start_soon(faults, random, another)
    return True


def member_remove(faults: Faults, random: Random) -> bool:
    """Remove a voter, perhaps the leader."""
    leader, present = faults.cluster.leader(), _settled(faults)
    if leader is None or present is None or len(present.voters) <= VOTERS_MIN:
        return False
    _ask(faults, leader, "member_remove", id=random.choice(present.voters).partition("#")[0])
    return True


def member_replace(faults: Faults, random: Random) -> bool:
    """Put a node on a new host in the place of a voter."""
    leader, present = faults.cluster.leader(), _settled(faults)
    if leader is None or present is None or len(faults.cluster.hosts) >= HOSTS_MAX:
        return False
    gone = random.choice(present.voters).partition("#")[0]
    member = new_host(faults.cluster)
    fields = {"id": gone, "to": member.node_id, **_endpoints(member)}
    _ask(faults, leader, "member_replace", **fields)
    _start_soon(faults, random, member)
    return True


def lose_state(faults: Faults, random: Random) -> bool:
    """Kill a voter and lose all that is on its disk: it must not vote as its former self."""
    present = _settled(faults)
    enough = 3 if set(faults.cluster.profile.faults) & {"member_remove"} == set() else 5
    if present is None or len(present.voters) < enough:
        return False
    server_id = random.choice(present.voters)
    name = server_id.partition("#")[0]
    process = faults.cluster.hosts[name].process
    runs = process is not None and process.alive
    if runs:
        faults.cluster.kill(name)
    _forget(faults, random, name, int(server_id.partition("#")[2]), runs=runs)
    faults.lost.add(server_id)
    faults.cluster.members_changed = True
    return True


def _forget(faults: Faults, random: Random, name: str, incarnation: int, *, runs: bool) -> None:
    """Let a node lose its state: its disk, or what its promise of durability does not cover."""
    host = faults.cluster.hosts[name]
    repair = faults.repairs.pop(name, None)
    if repair is not None:
        repair()
    faults.whole.discard(name)
    faults.rotten.discard(name)
    if host.durability == "memory" and runs:
        return  # It ended with its process.
    if host.durability == "os" and runs and random.random() < 0.7:
        faults.cluster.cut_power(name)
        return
    files = host.files()
    if host.durability == "fsync" and name not in faults.former_files:
        contents = {one: host.disk.content(f"{host.directory}/{one}") for one in files}
        faults.former_files[name] = (incarnation, contents)
    wipe(faults.cluster, name)


def _settled(faults: Faults) -> Configuration | None:
    """Return the configuration that is committed, if all that it names have what they had."""
    cluster = faults.cluster
    leader, present = cluster.leader(), cluster.checks.configuration
    if leader is None or present.voters_outgoing or faults.lost & set(present.voters):
        return None
    if faults.still_rotten():
        return None
    raft = cluster.process(leader).server.raft
    planned = any(member.change for member in raft.state.configuration.members)
    if planned or raft.change_in_progress or raft.state.configuration != present:
        return None
    if any(voter.partition("#")[0] not in cluster.hosts for voter in present.voters):
        return None
    asked = faults.member_call
    waited_us = cluster.scheduler.now_us - (asked.sent_us if asked is not None else 0)
    if asked is not None and not asked.done and waited_us < TIMEOUT_MS * 2_000:
        return None
    return present


def _ask(faults: Faults, leader: str, op: str, **fields: Any) -> Call:
    call = faults.cluster.request(leader, op, admin=True, timeout_ms=TIMEOUT_MS, **fields)

    def answered(call: Call) -> None:
        faults.cluster.record.counts[f"{op} {call.outcome}"] += 1

    call.on_answer = answered
    faults.member_call = call
    faults.cluster.members_changed = True
    return call


def _start_soon(faults: Faults, random: Random, member: Member) -> None:
    def start() -> None:
        if faults.running:
            faults.start(member.node_id)

    faults.cluster.scheduler.after(random.randint(0, 20_000), start)


def _endpoints(member: Member) -> dict[str, str]:
    return {"peer": member.peer_endpoint, "client": member.client_endpoint}


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {
        "member_add": member_add,
        "member_remove": member_remove,
        "member_replace": member_replace,
        "lose_state": lose_state,
    }
)
