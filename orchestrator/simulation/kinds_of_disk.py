"""What strikes disks: calls that fail, a disk that is full, hangs, or does not keep what it has.

Damage to what was written long ago must be noticed when the node starts: then it refuses, and an
operator restores the file. It never strikes a log's last write, for there it can't be told from a
write that a crash has torn (failures E1, E2).
"""

import errno
from random import Random
from types import MappingProxyType
from typing import Final

from raftcache.storage.frame import decode_header
from raftcache.storage.segment import segment_number

from .disk import SECTOR_BYTES
from .faults import Faults, Kind

CALLS = ("write", "sync", "create", "allocate", "rename", "sync_directory", "remove", "read")
"""File calls that may fail."""
ROOM_BYTES_MAX = 16_384
LOOK_US = 2_000
POWER_WITHIN_US = 2_000_000


def fail_sync(faults: Faults, random: Random) -> bool:
    """Let one of the next syncs of a node fail; its cache then claims to be clean (failure E6)."""
    name = faults.some_node(random)
    if name is not None:
        faults.cluster.hosts[name].disk.fail("sync", errno.EIO, after=random.randint(0, 10))
    return name is not None


def fail_call(faults: Faults, random: Random) -> bool:
    """Let one of the next calls of some name fail."""
    name = faults.some_node(random)
    if name is None:
        return False
    call, code = random.choice(CALLS), random.choice((errno.EIO, errno.ENOSPC))
    if call == "read" and code == errno.EIO:
        # A sector that can't be read is as good as a rotten one: one node at a time, and only where
        # nobody loses anything else (seed 50000286).
        others_lose = {"lose_state", "rot_snapshots"} & {*faults.cluster.profile.faults}
        if others_lose or (faults.unreadable or name) != name:
            code = errno.ENOSPC
        else:
            faults.unreadable = name
    faults.cluster.note(f"{name}: a {call} will fail with {errno.errorcode[code]}")
    faults.cluster.hosts[name].disk.fail(call, code, after=random.randint(0, 5))
    return True


def fill_disk(faults: Faults, random: Random) -> bool:
    """Leave a disk little room for a while."""
    name = faults.some_node(random)
    if name is None:
        return False
    disk = faults.cluster.hosts[name].disk
    disk.capacity_bytes = disk.used_bytes + random.randint(0, ROOM_BYTES_MAX)
    faults.cluster.note(f"{name}: its disk is nearly full")

    def room() -> None:
        disk.capacity_bytes = None

    faults.later(random, room)
    return True


def hang_disk(faults: Faults, random: Random) -> bool:
    """Let a disk finish nothing for a while (failure E14)."""
    name = faults.some_node(random)
    if name is None:
        return False
    process = faults.cluster.process(name)
    process.writer.held = True
    faults.cluster.note(f"{name}: its disk hangs")

    def go_on() -> None:
        if process.alive:
            process.writer.go_on()

    faults.later(random, go_on)
    return True


def rot_snapshot(faults: Faults, random: Random) -> bool:
    """Kill a process, and let a byte of its newest snapshot rot where an older one stands in.

    That takes an older one which the log goes on from: a log that has restarted behind the newest
    one does not (failure E10), be it by a write that is not synced yet (seed 30000249). Nor does a
    log that was freed for the newest alone, when a power cut brings an older back (seed 50000492).
    """
    if faults.cluster.profile.snapshots_kept < 2:
        return False
    name = faults.some_node(random)
    if name is None:
        return False
    process = faults.cluster.process(name)
    faults.cluster.kill(name)
    host = faults.cluster.hosts[name]
    positions = host.snapshots()
    if len(positions) < 2:
        return False
    # A kill takes nothing from the kernel. What still waits for the disk was never written.
    restarted = faults.cluster.checks.durable[name].restarted
    if max(restarted, process.writer.restart_under_way) > positions[-2]:
        return False
    faults.cluster.note(f"{name}: snapshot {positions[-1]} rots")
    host.damage_newest_snapshot(random)
    faults.whole.add(name)
    return True


def rot_snapshots(faults: Faults, random: Random) -> bool:
    """Kill a process, and let all its snapshots rot: another node must send it one (failure E10).

    That takes others which have what it lost: it strikes one node at a time.
    """
    cluster = faults.cluster
    name, present = faults.some_node(random), cluster.checks.configuration
    voters = {voter.partition("#")[0] for voter in present.voters}
    if name not in voters or len(voters) < 3 or present.is_joint:
        return False
    if faults.lost & set(present.voters) or faults.still_rotten():
        return False
    state = cluster.process(name).server.raft.state
    if not cluster.hosts[name].snapshots() or state.needs_snapshot:
        return False
    cluster.kill(name)
    for index in range(len(cluster.hosts[name].snapshots())):
        cluster.hosts[name].damage_snapshot(random, index)
    cluster.note(f"{name}: all its snapshots rot")
    cluster.members_changed = True  # Nobody can be left out who has what it lacks.
    faults.whole.discard(name)
    faults.rotten.add(name)
    return True


def lose_sync(faults: Faults, random: Random) -> bool:
    """Let a sync of a node's log fail, and cut its power when it has been started again.

    What the failed sync left in the cache alone is gone then, unless the start has seen to it
    (failure E6).
    """
    name = faults.some_node(random)
    if name is None:
        return False
    cluster, host = faults.cluster, faults.cluster.hosts[name]
    process = host.process
    host.disk.fail_path("sync", "wal-", errno.EIO, after=random.randint(0, 4))
    end_us = cluster.scheduler.now_us + POWER_WITHIN_US
    unharmed_us = random.choice((20_000, 100_000))

    def look() -> None:
        if not faults.running or host.process is None or cluster.scheduler.now_us > end_us:
            return
        is_back = host.process is not process and host.process.alive
        if is_back or (process is not None and process.alive):
            faults.cluster.scheduler.after(random.randint(0, unharmed_us), cut)
        else:
            cluster.scheduler.after(LOOK_US, look)

    def cut() -> None:
        if faults.running and host.process is not None and host.process.alive:
            cluster.kill(name, power=True)

    cluster.scheduler.after(random.randint(5_000, unharmed_us), look)
    return True


def rot_log(faults: Faults, random: Random) -> bool:
    """Kill a process, and damage a sector of its log: flipped, lost, or another's (E2, E11)."""
    name = faults.some_node(random)
    if name is None:
        return False
    faults.cluster.kill(name, power=random.random() < 0.5)
    host = faults.cluster.hosts[name]
    paths = [
        f"{host.directory}/{one}" for one in host.disk.names(host.directory) if segment_number(one)
    ]
    path = random.choice(paths)
    settled = host.disk.settled_bytes(path) // SECTOR_BYTES
    if settled == 0:
        return False
    content = host.disk.content(path)
    start = random.randrange(settled) * SECTOR_BYTES
    frames = [
        offset
        for offset in range(0, settled * SECTOR_BYTES, SECTOR_BYTES)
        if decode_header(content, offset) is not None
    ]
    before = content[start : start + SECTOR_BYTES]
    how = random.choice(("flip", "lose", "misdirect", "misdirect"))
    if how == "flip":
        at = random.randrange(SECTOR_BYTES)
        after = before[:at] + bytes([before[at] ^ 1 << random.randrange(8)]) + before[at + 1 :]
    elif how == "lose":
        after = bytes(SECTOR_BYTES)
    else:
        start, other = random.choice(frames or [start]), random.choice(frames or [0])
        before = content[start : start + SECTOR_BYTES]
        after = content[other : other + SECTOR_BYTES]
    if after == before:
        return False
    faults.cluster.note(f"{name}: {path} is damaged at {start}: {how}")
    host.disk.overwrite(path, start, after)
    faults.repairs[name] = lambda: host.disk.overwrite(path, start, before)
    return True


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {
        "fail_sync": fail_sync,
        "fail_call": fail_call,
        "fill_disk": fill_disk,
        "hang_disk": hang_disk,
        "lose_sync": lose_sync,
        "rot_snapshot": rot_snapshot,
        "rot_snapshots": rot_snapshots,
        "rot_log": rot_log,
    }
)
