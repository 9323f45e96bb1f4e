"""Gives memory that was freed back to the system, where the C library would keep it.

What a log of many megabytes leaves behind lies between what stays, so glibc returns little of it
by itself. To give it back takes about 0.1 ms per megabyte, in which threads that want memory of
more than a few hundred bytes wait: so it is done often and for little (``shedding``), and on the
worker's thread, since ctypes lets go of the interpreter meanwhile.
"""

import ctypes
from collections.abc import Callable


def memory_returner() -> Callable[[], None] | None:
    """Return what gives freed memory back; None where there is no glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None

    def give_back() -> None:
        trim(0)

    return give_back
