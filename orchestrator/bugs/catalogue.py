"""All planted bugs, in the order in which they are told of."""

from collections.abc import Sequence
from dataclasses import replace

from ..simulation.run import SWARM
from .conditions import CONDITION_BUGS
from .detection import DETECTION_BUGS
from .elections import ELECTION_BUGS
from .identity import IDENTITY_BUGS
from .links import LINK_BUGS
from .membership import MEMBERSHIP_BUGS
from .memory import MEMORY_BUGS
from .node import NODE_BUGS
from .planting import Bug
from .reads import READ_BUGS
from .replication import REPLICATION_BUGS
from .sessions import SESSION_BUGS
from .storage import STORAGE_BUGS
from .store import STORE_BUGS
from .time import TIME_BUGS
from .watches import WATCH_BUGS


def _in(world: str, bugs: Sequence[Bug]) -> Sequence[Bug]:
    """Return bugs that are hunted in a world of their own, or in this one."""
    return [replace(bug, world=world) if bug.world == SWARM else bug for bug in bugs]


BUGS: Sequence[Bug] = (
    *ELECTION_BUGS,
    *REPLICATION_BUGS,
    *MEMBERSHIP_BUGS,
    *STORAGE_BUGS,
    *STORE_BUGS,
    *MEMORY_BUGS,
    *NODE_BUGS,
    *DETECTION_BUGS,
    *READ_BUGS,
    *TIME_BUGS,
    *IDENTITY_BUGS,
    *LINK_BUGS,
    *_in("sessions", SESSION_BUGS),
    *_in("sessions", CONDITION_BUGS),
    *_in("watch", WATCH_BUGS),
)


def bug_named(name: str) -> Bug:
    """Return the bug of this name.

    Raises:
        KeyError: there is none.
    """
    return {bug.name: bug for bug in BUGS}[name]
