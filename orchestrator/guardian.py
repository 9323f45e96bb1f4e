"""Ends a throwaway cluster whose owner was killed: no `finally` runs after a SIGKILL.

The owner holds the only other end of this process's standard input. However the owner ends, the
kernel closes it; if nothing was said before, the cluster is taken down from here, and its folder
deleted, as the owner would have done it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

DISMISSED = b"done"
"""What an owner says that has cleaned up by itself."""
ATTEMPTS = 5


class Guardian:
    """The owner's side."""

    def __init__(self, folder: Path) -> None:
        source = str(Path(__file__).resolve().parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(folder)],
            env={**os.environ, "PYTHONPATH": source},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what kills the owner's whole group must not kill this too
        )

    def dismiss(self) -> None:
        """Say that nothing is left to be ended, and see it gone."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(DISMISSED)
        self._process.wait()


def main(arguments: list[str]) -> int:
    """Wait for the owner's end; return 0 when nothing is left of its cluster."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    (folder,) = arguments
    if sys.stdin.buffer.read() == DISMISSED:
        return 0
    return 0 if _take_down(Path(folder)) else 1


def _take_down(folder: Path) -> bool:
    """End the cluster in this folder; it may have been killed while it was being started."""
    # Only now: while all is well, this process costs as little as it can.
    from .cluster import Cluster  # noqa: PLC0415 - see above
    from .errors import NoCluster, OrchestratorError  # noqa: PLC0415 - likewise
    from .paths import FILE_NAME  # noqa: PLC0415 - likewise

    for attempt in range(ATTEMPTS):
        time.sleep(0.2 * attempt)
        try:
            if not Cluster.at(folder / FILE_NAME).down(wipe=True).proof.holds:
                continue
        except NoCluster:
            pass  # It never came so far as to start anything.
        except (OrchestratorError, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
