"""Recording clients: threads that write, and write down what they were told.

Each thread has its own client and its own keys, writes one key after the other, never the same
value twice, and records before it goes on. What a thread can't record ends the demo as a defect:
an unrecorded write would make the account a lie.
"""

import itertools
import threading
import time
from collections.abc import Sequence

from raftcache.client import Client, DefiniteError, IndefiniteError

from .history import Outcome, Write

PREFIX = b"demo/"
PAUSE_SECONDS = 0.002
"""Between two writes of a thread: the nodes and this process share a few cores."""
KEYS_PER_WRITER = 100


class Writers:
    """A number of recording clients, from :meth:`start` to :meth:`stop`."""

    def __init__(self, endpoints: Sequence[str], count: int) -> None:
        self._endpoints = list(endpoints)
        self._stop = threading.Event()
        self._records: list[list[Write]] = [[] for _ in range(count)]
        self._defects: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"writer {number}")
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each writer finish its write, and end. Harmless when repeated or not started."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def writes(self) -> list[Write]:
        """Return all that was recorded so far, each key's writes in their order.

        Raises:
            RuntimeError: a writer has failed at recording.
        """
        if self._defects:
            raise RuntimeError("a recording client failed") from self._defects[0]
        return [write for records in self._records for write in list(records)]

    def first_acknowledged_after(self, moment_ms: float) -> float | None:
        """Return when the first write that was sent after a moment was acknowledged."""
        return min(
            (
                write.done_ms
                for write in self.writes()
                if write.sent_ms >= moment_ms and write.outcome is Outcome.ACKNOWLEDGED
            ),
            default=None,
        )

    def _run(self, number: int) -> None:
        records = self._records[number]
        retired = [0] * KEYS_PER_WRITER
        try:
            with Client(self._endpoints, exactly_once=False) as client:
                for turn in itertools.count():
                    if self._stop.wait(PAUSE_SECONDS):
                        return
                    slot = turn % KEYS_PER_WRITER
                    key = b"%s%d/%02d.%d" % (PREFIX, number, slot, retired[slot])
                    records.append(record(client, key, b"%d:%d" % (number, turn)))
                    if records[-1].outcome is Outcome.UNKNOWN:
                        retired[slot] += 1
        except BaseException as error:  # noqa: BLE001 - `writes` raises it on the main thread
            self._defects.append(error)


def record(client: Client, key: bytes, value: bytes) -> Write:
    """Write once, and return what came of it."""
    sent_ms = time.monotonic() * 1_000
    try:
        client.set(key, value)
    except DefiniteError:
        outcome = Outcome.REFUSED
    except IndefiniteError:
        outcome = Outcome.UNKNOWN
    else:
        outcome = Outcome.ACKNOWLEDGED
    return Write(key, value, sent_ms, time.monotonic() * 1_000, outcome)
