"""Where things lie: cluster.yaml, the state folder beside it, and the sockets.

A Unix socket's path must be short (about 107 bytes), which a deep checkout breaks; then the
sockets move to a short folder of their own, private to this user.
"""

import os
import stat
import zlib
from pathlib import Path

from .errors import BadConfiguration, NoCluster

FILE_NAME = "cluster.yaml"
STATE_NAME = ".cluster"
SOCKET_PATH_BYTES_MAX = 100
# supervisord binds its socket under a temporary name first: its own, a dot and its pid.
_LONGEST_SOCKET_NAME = "supervisor.sock.4194304"


class Paths:
    """All paths of one cluster's state folder; nothing is made until :meth:`make`."""

    def __init__(self, state: Path, file: Path | None) -> None:
        self.state = state
        self.file = file
        """cluster.yaml, or None when there is none to be found."""
        self.cluster_json = state / "cluster.json"
        self.lock = state / "lock"
        self.token = state / "http-token"
        """What a request that adds or removes nodes over HTTP must know."""
        self.nodes = state / "nodes"
        self.logs = state / "logs"
        self.run = state / "run"
        self.conf = self.run / "supervisord.conf"
        self.supervisor_log = self.logs / "supervisord.log"
        self.supervisor_output = self.logs / "supervisord.out"
        self.defects = self.logs / "command-line.log"
        self.sockets = _sockets_folder(self.run, state)
        self.supervisor_socket = self.sockets / "supervisor.sock"

    def data(self, node: str) -> Path:
        """Return a node's data directory."""
        return self.nodes / node

    def log(self, node: str) -> Path:
        """Return the log file of a node."""
        return self.logs / f"{node}.log"

    def settings(self, node: str) -> Path:
        """Return the settings file that a node is started with."""
        return self.run / f"{node}.json"

    def admin_socket(self, node: str) -> Path:
        """Return the socket of a node's administration."""
        return self.sockets / f"{node}.admin"

    def make(self) -> None:
        """Make the folders, private to this user, ignored by git.

        Raises:
            BadConfiguration: a folder can't be made, or is somebody else's.
        """
        try:
            for folder in (self.state, self.nodes, self.logs, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignore = self.state / ".gitignore"
            if not ignore.exists():
                ignore.write_text(
                    "# Made by bin/cluster: data, logs and sockets of one cluster.\n*\n"
                )
            self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.sockets.lstat()
        except OSError as error:
            raise BadConfiguration(
                f"{error.filename}: {error.strerror}", hint="name another place with --state DIR"
            ) from error
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not mine or found.st_mode & 0o077:
            raise BadConfiguration(
                f"{self.sockets} is not a private folder of yours (mode 0700), "
                "and whoever can write there could command the cluster",
                hint=f"chmod 700 {self.sockets}   or remove it",
            )

    def socket_files(self) -> list[Path]:
        """Return every socket that lies in the sockets' folder now."""
        try:
            return [path for path in sorted(self.sockets.iterdir()) if path.is_socket()]
        except OSError:
            return []


def locate(file: str | None, state: str | None) -> Paths:
    """Find the cluster that is meant: named, or the nearest one upward from here.

    Raises:
        NoCluster: neither a cluster.yaml nor a state folder is anywhere upward.
    """
    if file is not None:
        if not Path(file).is_file():
            raise BadConfiguration(f"{file}: there is no such file")
        found: Path | None = Path(file).absolute()
    else:
        found = _upward(Path.cwd())
    if state is not None:
        return Paths(Path(state).absolute(), found)
    if found is None:
        raise NoCluster(
            f"there is no {FILE_NAME} here or in any folder above",
            hint=f"go to the project's folder, or name one: bin/cluster --file PATH/{FILE_NAME} up",
        )
    return Paths(found.parent / STATE_NAME, found)


def _upward(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def _sockets_folder(run: Path, state: Path) -> Path:
    if _fits(run):
        return run
    name = f"{zlib.crc32(os.fsencode(state)):08x}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        short = Path(runtime) / f"raftcache-{name}"
        if short.parent.is_dir() and _fits(short):
            return short
    return Path("/tmp") / f"raftcache-{os.getuid()}-{name}"  # noqa: S108 - mode and owner checked


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _LONGEST_SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX
