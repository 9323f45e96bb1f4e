"""A member of PySyncObj: ``syncobj_process.py PORT OTHER OTHER``; its work comes on stdin."""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.batteries import ReplDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers.driver import say
from peers.work import VALUE, Meter, Work, key


def drive(table: Any, work: Work) -> None:
    """Keep so many calls in flight; callbacks come on its own thread."""
    meter, done, number = Meter(work, say), threading.Event(), iter(range(sys.maxsize))

    def ask() -> None:
        asked = time.perf_counter()
        table.set(key(next(number)), VALUE, callback=lambda *_: took(asked))

    def took(asked: float) -> None:
        if meter.note(asked, time.perf_counter()):
            ask()
        else:
            done.set()

    for _ in range(work.callers):
        ask()
    done.wait()
    say(msgspec.json.encode(meter.sample()).decode())


def main(own: str, others: list[str]) -> None:
    """Serve until stdin ends."""
    table: Any = ReplDict()
    member = SyncObj(
        f"127.0.0.1:{own}",
        [f"127.0.0.1:{other}" for other in others],
        consumers=[table],
        conf=SyncObjConf(appendEntriesUseBatch=False),
    )
    while member._getLeader() is None or not member.isReady():  # noqa: SLF001 - it has no other way
        time.sleep(0.05)
    leads = str(member._getLeader()) == f"127.0.0.1:{own}"  # noqa: SLF001 - likewise
    say("leader" if leads else "follower")
    for line in sys.stdin:
        drive(table, msgspec.json.decode(line, type=Work))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
