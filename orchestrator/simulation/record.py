"""What a run leaves: its last lines, a count of all that happened, and one hash over it.

Rules: every event of a run is marked here, and nothing else goes into the hash; so two runs with
one hash were the same run. Nothing here has an influence on the run.
"""

from collections import Counter, deque
from hashlib import blake2b

from .scheduler import Scheduler

TRACE_LINES = 200


class Record:
    """Takes down what happens.

    Args:
        scheduler: the time.
        verbose: keep a line for each message too, and more lines.
    """

    def __init__(self, scheduler: Scheduler, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self.events = 0
        """Frames, requests, ticks and words of the disk that nodes took in, replies that clients
        got, pieces of work that disks did, and faults; not the mere passing of time."""
        self.lines: deque[str] = deque(maxlen=None if verbose else TRACE_LINES)
        self.faults: Counter[str] = Counter()
        """What went wrong on purpose, by kind."""
        self.points: Counter[str] = Counter()
        """The named points at which something was forced."""
        self.counts: Counter[str] = Counter()
        """Whatever else is worth knowing: elections, snapshots, answers."""
        self._scheduler = scheduler
        self._hash = blake2b(digest_size=8)

    def note(self, line: str) -> None:
        """Keep a line for those who have to understand a failure."""
        self._hash.update(self._keep(line).encode())

    def message(self, line: str) -> None:
        """Keep a line about a message; its bytes are in the hash already."""
        self._keep(line)

    def event(self, mark: bytes) -> None:
        """Count an event; ``mark`` tells it from others at the same moment."""
        self.events += 1
        self._hash.update(b"%d " % self._scheduler.now_us + mark)

    def fault(self, kind: str) -> None:
        """Count something that went wrong on purpose."""
        self.faults[kind] += 1

    def _keep(self, line: str) -> str:
        text = f"{self._scheduler.now_us:>10} {line}"
        self.lines.append(text)
        return text

    @property
    def trace_hash(self) -> str:
        """The hash of everything up to now, 16 hexadecimal digits."""
        return self._hash.hexdigest()
