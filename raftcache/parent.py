"""A server process never outlives the one that started it: nobody would be left to stop it.

On Linux the kernel sees to that; elsewhere the process looks now and then. Imports nothing heavy,
so that the very first moments of a process are covered.
"""

import ctypes
import os
import signal
import sys

EXIT_ORPHANED = 70

_PR_SET_PDEATHSIG = 1


class ParentWatch:
    """Remembers the parent, and has the kernel kill this process when that parent dies."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        self.check()  # It may have died before the kernel was asked.

    def check(self) -> None:
        """End this process at once if the parent is gone."""
        if os.getppid() != self._parent:
            os._exit(EXIT_ORPHANED)
