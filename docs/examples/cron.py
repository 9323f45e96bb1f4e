"""A job that runs again and again, in one of many processes, and goes on when that one dies.

    bin/cluster up
    python docs/examples/cron.py first 5 &
    python docs/examples/cron.py second 5 &
    kill -9 %1

All processes are candidates; the one that leads runs the job every so many seconds. It notes each
run before it begins, so a run that dies halfway is not begun again before the next is due; and it
notes it *fenced*: one that was held up, and has lost its office without knowing, notes nothing.
"""

import signal
import sys
import time

from raftcache.client import Client, Fenced, RequestError
from raftcache.client.recipes import Election, Held, LeaseLost

LAST = "cron/last"
"""When the last run began, on the clock on the wall: it must last longer than any process."""
RUNS = "cron/runs"
SESSION_SECONDS = 3.0
"""So long after its death a leader's office is free; one that is held up for longer loses it."""
LOOK_SECONDS = 0.1


def job(name: str, run: int) -> None:
    """Do what is to be done; here, say so."""
    print(f"{name}: run {run}", flush=True)


def lead(cache: Client[bytes], leadership: Held, name: str, period: float) -> None:
    """Run the job whenever it is due, for as long as the office is held."""
    while not leadership.at_risk:
        due = float(cache.get(LAST) or 0) + period
        if time.time() < due:
            time.sleep(LOOK_SECONDS)
            continue
        cache.set(LAST, repr(time.time()), fence=leadership.fence)
        job(name, cache.incr(RUNS, fence=leadership.fence))


def main(arguments: list[str]) -> int:
    """Stand for election, lead, and stand again, until interrupted."""
    if len(arguments) != 2:
        print("usage: cron.py NAME SECONDS", file=sys.stderr)
        return 64
    name, period = arguments[0], float(arguments[1])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Client.local(session_ttl=SESSION_SECONDS) as cache:
        try:
            while True:
                try:
                    with Election(cache, "cron", candidate=name) as leadership:
                        print(f"{name} leads", flush=True)
                        lead(cache, leadership, name, period)
                except (Fenced, LeaseLost, RequestError) as error:
                    print(f"{name} stands again: {error}", flush=True)
                    time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            return 0  # leaving the blocks has given the office back at once


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
