"""Processes, known by more than their pid.

A pid is reused by the system; a process is (pid, time it was created), and ours also carry the
run's id in their environment (``RAFTCACHE_RUN_ID``), which no stranger has. Linux is read through
/proc, without psutil, because `status` and `kill` are in a hurry; elsewhere psutil does it.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

RUN_ID_VARIABLE = "RAFTCACHE_RUN_ID"
_PROC = Path("/proc")
_LINUX = sys.platform == "linux"
# Of /proc/PID/stat, after the name:
_STATE_FIELD, _THREADS_FIELD, _STARTED_FIELD, _RESIDENT_FIELD = 0, 17, 19, 21


class Process(msgspec.Struct, frozen=True):
    """A process that was seen: still the same one only while ``created`` matches."""

    pid: int
    created: int
    """Clock ticks since boot on Linux, else milliseconds since 1970: only ever compared."""


class Sample(msgspec.Struct, frozen=True):
    """What the system says of a process right now."""

    created: int
    paused: bool
    zombie: bool
    """It has ended, with all its threads: nothing is left of it but what its parent has to hear."""
    resident_bytes: int


def sample(pid: int) -> Sample | None:
    """Look at a process; None when there is none."""
    return _sample_proc(pid) if _LINUX else _sample_psutil(pid)


def identify(pid: int) -> Process | None:
    """Return the process that has this pid now, or None (a zombie counts as gone)."""
    found = sample(pid)
    return None if found is None or found.zombie else Process(pid, found.created)


def is_alive(process: Process) -> bool:
    """Tell whether it is still this very process."""
    return identify(process.pid) == process


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this very process; False when it is gone.

    On Linux a pid file descriptor rules out that a newcomer with the same pid gets it.
    """
    try:
        if not hasattr(os, "pidfd_open"):
            if not is_alive(process):
                return False
            os.kill(process.pid, number)
            return True
        handle = os.pidfd_open(process.pid)
        try:
            if not is_alive(process):
                return False
            signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
    except ProcessLookupError:
        return False
    return True


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait until all of these are gone; return those that are still there at the end."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.005)
        left = [process for process in left if is_alive(process)]
    return left


def find_run(run_id: str) -> list[Process]:
    """Return all processes, but this one, that carry the run's id in their environment."""
    found = _scan_proc(run_id) if _LINUX else _scan_psutil(run_id)
    return [process for process in found if process.pid != os.getpid()]


def command_line(pid: int) -> str:
    """Return what a process was started as, for a message; empty when that can't be seen."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return " ".join(raw.replace(b"\0", b" ").decode("utf-8", "replace").split())


def _sample_proc(pid: int) -> Sample | None:
    try:
        raw = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name is in parentheses and may hold spaces and parentheses of its own.
    fields = raw[raw.rindex(b")") + 2 :].split()
    state = fields[_STATE_FIELD]
    # The state is its first thread's. Another that the disk holds up still has ports and files.
    is_alone = int(fields[_THREADS_FIELD]) <= 1
    return Sample(
        created=int(fields[_STARTED_FIELD]),
        paused=state in {b"T", b"t"},
        zombie=state in {b"Z", b"X"} and is_alone,
        resident_bytes=int(fields[_RESIDENT_FIELD]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _scan_proc(run_id: str) -> list[Process]:
    wanted = f"{RUN_ID_VARIABLE}={run_id}".encode()
    found = []
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = _environment(folder)
        except OSError:  # gone meanwhile, or another user's: then it is not of this run
            continue
        if wanted in environment.split(b"\0"):
            process = identify(int(folder.name))
            if process is not None:
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def _environment(folder: Path) -> bytes:
    """Return a process's environment, as any thread of it shows it: the first may have ended.

    Raises:
        OSError: it is gone, or another user's.
    """
    try:
        return (folder / "environ").read_bytes()
    except ProcessLookupError:
        for thread in (folder / "task").iterdir():
            if thread.name != folder.name:
                return (thread / "environ").read_bytes()
        raise


def _sample_psutil(pid: int) -> Sample | None:
    import psutil  # noqa: PLC0415 - not needed on Linux

    try:
        process = psutil.Process(pid)
        status = process.status()
        return Sample(
            created=int(process.create_time() * 1000),
            paused=status == psutil.STATUS_STOPPED,
            zombie=status == psutil.STATUS_ZOMBIE,
            resident_bytes=process.memory_info().rss,
        )
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return Sample(created=0, paused=False, zombie=False, resident_bytes=0)


def _scan_psutil(run_id: str) -> list[Process]:
    import psutil  # noqa: PLC0415 - not needed on Linux

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_ID_VARIABLE) == run_id:
                found.append(Process(process.pid, int(process.create_time() * 1000)))
        except (psutil.Error, OSError):
            continue
    return found
