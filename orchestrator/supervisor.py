"""supervisord: its configuration, its start, and what is asked of it over its socket.

It keeps the nodes: starts them, restarts one that crashes, stores what they print. Whether a node
*works* is never taken from here, but from the node itself (`probe`): a stopped process, or one
that has not bound its port, still shows as RUNNING (failure G3).
"""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

import raftcache

from .errors import BadConfiguration, TryAgain
from .paths import Paths
from .processes import RUN_ID_VARIABLE, Process, identify, is_alive, send, wait_gone
from .spec_values import GATEWAY
from .xmlrpc import Fault, Unreachable, call

NEVER_RESTARTED = (0, 65, 74, 78)
"""Exit codes of a node that is not to be started again: stopped, astray, disk failed, refused."""
LOG_BYTES_MAX = 5 * 1024 * 1024
LOG_BACKUPS = 3
START_SECONDS_MAX = 60.0
STOP_SECONDS = 10.0
"""How long a node may take to end when it is asked to."""
GATEWAY_STOP_SECONDS = 4
"""How long the gateway may take to end, before supervisord kills it."""
DESCRIPTORS_BESIDE_CLIENTS = 256
"""File descriptors that a node needs for its log, its peers and itself."""

_FAULT_NOT_RUNNING, _FAULT_ALREADY_STARTED = 70, 60
_FAULT_BAD_NAME, _FAULT_ALREADY_ADDED = 10, 90
_COMMAND_VARIABLE = "RAFTCACHE_NODE_COMMAND"
_GATEWAY_COMMAND_VARIABLE = "RAFTCACHE_GATEWAY_COMMAND"
_MISLEADING = ("PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONSTARTUP", "PYTHONINSPECT")


class Child(msgspec.Struct, frozen=True):
    """A node as supervisord sees it."""

    name: str
    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN."""
    pid: int
    exit_status: int

    @property
    def has_process(self) -> bool:
        """Whether there is a process, or is about to be one."""
        return self.state in {"STARTING", "RUNNING", "STOPPING"} and self.pid > 0


class Supervisor:
    """The supervisord of one cluster; it may or may not be running."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._socket = str(paths.supervisor_socket)

    def is_running(self) -> bool:
        """Tell whether it answers."""
        try:
            call(self._socket, "supervisor.getState")
        except (Unreachable, Fault):
            return False
        return True

    def process(self) -> Process | None:
        """Return its process, or None when it does not answer."""
        try:
            return identify(int(call(self._socket, "supervisor.getPID")))
        except (Unreachable, Fault):
            return None

    def children(self) -> dict[str, Child]:
        """Return all nodes by name; empty when it does not answer."""
        return {name: child for name, child in self._programs().items() if name != GATEWAY}

    def gateway(self) -> Child | None:
        """Return the HTTP gateway, running or not; None when it does not answer."""
        return self._programs().get(GATEWAY)

    def _programs(self) -> dict[str, Child]:
        try:
            found: list[dict[str, Any]] = call(self._socket, "supervisor.getAllProcessInfo")
        except (Unreachable, Fault):
            return {}
        return {
            item["name"]: Child(item["name"], item["statename"], item["pid"], item["exitstatus"])
            for item in found
        }

    def start_node(self, name: str) -> None:
        """Have a node started, without waiting for it; one that runs is left alone."""
        self._command("supervisor.startProcess", name, _FAULT_ALREADY_STARTED)

    def kill_node(self, name: str) -> None:
        """SIGKILL a node and keep it down; one that is down is left alone.

        ``stopsignal`` is KILL in our configuration: only a process that supervisord itself stops
        is not started again behind our back.
        """
        self._command("supervisor.stopProcess", name, _FAULT_NOT_RUNNING)

    def end_nodes(self, names: list[str]) -> None:
        """Have nodes end in order, by force if that takes too long; they stay down."""
        children = self.children()
        found = [identify(child.pid) for name in names if (child := children.get(name)) is not None]
        processes = [process for process in found if process is not None]
        for process in processes:
            send(process, signal.SIGCONT)  # a paused one hears nothing else
            send(process, signal.SIGTERM)
        wait_gone(processes, STOP_SECONDS)
        # Also for one that has ended: within its first second it would be started once more.
        for name in names:
            self.kill_node(name)
        wait_gone(processes, 2.0)

    def start_program(self, name: str) -> None:
        """Have any program started, as :meth:`start_node` does."""
        self.start_node(name)

    def stop_program(self, name: str) -> None:
        """Have any program stopped by its own ``stopsignal``, without waiting for it."""
        self.kill_node(name)

    def keep(self, names: list[str]) -> None:
        """Keep exactly these nodes from now on: new ones are started, others must have ended.

        All others run on untouched.

        Raises:
            TryAgain: supervisord does not answer, or refuses.
        """
        paths = self._paths
        known = paths.conf.read_text()
        restart = "on-crash" if "autorestart=unexpected" in known else "never"
        text = configuration(paths, names, restart=restart)
        beside = paths.conf.with_suffix(".tmp")
        beside.write_text(text)
        beside.replace(paths.conf)
        try:
            [[added, _, removed]] = call(self._socket, "supervisor.reloadConfig")
            for name in removed:
                self._group("supervisor.stopProcessGroup", name)
                self._group("supervisor.removeProcessGroup", name)
            for name in added:
                self._group("supervisor.addProcessGroup", name)
        except Fault as fault:
            raise TryAgain(f"{fault}", hint="bin/cluster down && bin/cluster up") from fault
        except Unreachable as error:
            raise TryAgain(
                f"supervisord does not answer ({error})", hint="bin/cluster up   mends that"
            ) from error

    def _group(self, method: str, name: str) -> None:
        try:
            call(self._socket, method, name)
        except Fault as fault:
            # Another command that was killed here may have done it already.
            if fault.number not in {_FAULT_BAD_NAME, _FAULT_ALREADY_ADDED}:
                raise

    def _command(self, method: str, name: str, harmless: int) -> None:
        try:
            call(self._socket, method, name, False)
        except Fault as fault:
            if fault.number != harmless:
                raise TryAgain(f"{name}: {fault}") from fault
        except Unreachable as error:
            raise TryAgain(
                f"supervisord does not answer ({error})", hint="bin/cluster up   mends that"
            ) from error

    def shutdown(self) -> None:
        """Have it end; whatever it still keeps is killed. Not answering is as good."""
        try:
            call(self._socket, "supervisor.shutdown")
        except (Unreachable, Fault):
            return

    def launch(self, run_id: str, nodes: list[str], *, restart: str, descriptors: int) -> Process:
        """Start supervisord, which starts the nodes; return when it answers.

        Raises:
            BadConfiguration: it refused to start; the message has its words.
        """
        paths = self._paths
        paths.conf.write_text(configuration(paths, nodes, restart=restart))
        raise_descriptor_limit(descriptors)
        with paths.supervisor_output.open("wb") as output:
            started = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(paths.conf)],
                cwd=paths.run,
                env=_environment(run_id),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C or a closed terminal is not for it (failure G9)
            )
        process = identify(started.pid)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if started.poll() is not None or process is None:
                break
            if self.process() == process:
                # It outlives us on purpose: Popen must not complain that we don't wait for it.
                started.returncode = 0
                return process
            time.sleep(0.005)
        if started.poll() is None:
            started.kill()
            started.wait()
        words = paths.supervisor_output.read_text(errors="replace").strip().splitlines()
        raise BadConfiguration(
            f"supervisord did not start: {words[-1] if words else 'it said nothing'}",
            hint=f"cat {paths.supervisor_output}",
        )

    def last_exit(self, name: str) -> int | None:
        """Return the code of a node's last exit, from the log: a quick one is told nowhere else."""
        try:
            text = self._paths.supervisor_log.read_text(errors="replace")[-65_536:]
        except OSError:
            return None
        found = re.findall(rf"exited: {re.escape(name)} \(exit status (\d+)", text)
        return int(found[-1]) if found else None


def configuration(paths: Paths, nodes: list[str], *, restart: str) -> str:
    """Return the text of supervisord.conf.

    Its parser gives meaning to ``%``, and to `` ;`` and `` #`` after a space. Paths may contain all
    of them, so none is written out: they come in by ``%(here)s`` and the environment, which are
    filled in after parsing.
    """
    here = _Here(paths.run)
    lines = [
        "; Written by `bin/cluster up` at every start: changes are lost.",
        "[unix_http_server]",
        f"file={here.path(paths.supervisor_socket)}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"logfile={here.path(paths.supervisor_log)}",
        f"logfile_maxbytes={LOG_BYTES_MAX}",
        f"logfile_backups={LOG_BACKUPS}",
        "pidfile=%(here)s/supervisord.pid",
        f"childlogdir={here.path(paths.logs)}",
        "minfds=512",
    ]
    if os.getuid() == 0:
        lines.append("user=root")
    for node in nodes:
        lines += [
            f"[program:{node}]",
            f"command=%(ENV_{_COMMAND_VARIABLE})s {node}.json",
            "directory=%(here)s",
            "autostart=true",
            f"autorestart={'unexpected' if restart == 'on-crash' else 'false'}",
            f"exitcodes={','.join(str(code) for code in NEVER_RESTARTED)}",
            "startsecs=1",
            f"startretries={3 if restart == 'on-crash' else 0}",
            "stopsignal=KILL",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            # This one value is expanded twice, so its first expansion must yield the second.
            f"stdout_logfile={here.path(paths.log(node)).replace('%', '%%')}",
            f"stdout_logfile_maxbytes={LOG_BYTES_MAX}",
            f"stdout_logfile_backups={LOG_BACKUPS}",
        ]
    lines += _gateway_section(paths, here, restart=restart)
    return "\n".join(lines) + "\n"


def _gateway_section(paths: Paths, here: "_Here", *, restart: str) -> list[str]:
    """Return the gateway's program: always known, and started only when it is wanted."""
    return [
        f"[program:{GATEWAY}]",
        f"command=%(ENV_{_GATEWAY_COMMAND_VARIABLE})s {GATEWAY}.json",
        "directory=%(here)s",
        "autostart=false",
        f"autorestart={'unexpected' if restart == 'on-crash' else 'false'}",
        f"exitcodes={','.join(str(code) for code in NEVER_RESTARTED)}",
        "startsecs=1",
        f"startretries={3 if restart == 'on-crash' else 0}",
        "stopsignal=TERM",
        f"stopwaitsecs={GATEWAY_STOP_SECONDS}",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={here.path(paths.log(GATEWAY)).replace('%', '%%')}",
        f"stdout_logfile_maxbytes={LOG_BYTES_MAX}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
    ]


class _Here:
    """Writes paths relative to the configuration's folder, so that no odd name gets into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, path: Path) -> str:
        if path.is_relative_to(self._folder.parent):
            return f"%(here)s/{os.path.relpath(path, self._folder)}"
        return str(path).replace("%", "%%")  # a sockets' folder elsewhere: its name is ours


def raise_descriptor_limit(wanted: int) -> None:
    """Let this process, and so the nodes that descend from it, open that many files.

    Raises:
        BadConfiguration: this host does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise BadConfiguration(
                f"limits.clients: needs {wanted} file descriptors per node, and this host allows "
                f"{hard}",
                hint=f"clients: {max(1, hard - DESCRIPTORS_BESIDE_CLIENTS)}   in cluster.yaml, "
                f"or raise the limit (ulimit -Hn {wanted})",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def still_runs(process: Process | None) -> bool:
    """Tell whether a process that was remembered, if any, is still there."""
    return process is not None and is_alive(process)


def _environment(run_id: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    environment[RUN_ID_VARIABLE] = run_id
    # -P: no folder that a node stands in can put a module in its way.
    for variable, module in (
        (_COMMAND_VARIABLE, "raftcache.node"),
        (_GATEWAY_COMMAND_VARIABLE, "raftcache.gateway"),
    ):
        environment[variable] = shlex.join([sys.executable, "-P", "-m", module])
    assert raftcache.__file__ is not None, "raftcache is a package with a file"
    environment["PYTHONPATH"] = str(Path(raftcache.__file__).resolve().parent.parent)
    return environment
