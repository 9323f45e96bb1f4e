"""Starts a node whose disk fails once a file says so: ``failing_disk.py TRIGGER SETTINGS.json``.

The product has no hook for it. What stands between it and the disk is replaced before it starts.
"""

import errno
import sys
from pathlib import Path

from raftcache.parent import ParentWatch
from raftcache.storage.files import OsFiles


def fail_when(trigger: Path) -> None:
    """Let every sync fail with EIO from the moment ``trigger`` exists."""
    sync = OsFiles.sync

    def failing_sync(self: OsFiles, handle: int) -> None:
        if trigger.exists():
            raise OSError(errno.EIO, "Input/output error")
        sync(self, handle)

    setattr(OsFiles, OsFiles.sync.__name__, failing_sync)


if __name__ == "__main__":
    parent = ParentWatch()
    from raftcache.node.main import main

    fail_when(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:], parent))
