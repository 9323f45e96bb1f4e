"""A program whose settings live in the cache, and that hears of each change as it is made.

    bin/cluster up
    python docs/examples/config_watcher.py &
    bin/cluster set config/colour blue

It prints all settings whenever one has changed. No change is missed, not while the leader dies
either, since a watch goes on behind the last revision that it has seen, at whichever node is there.
"""

import json
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from raftcache.client import Client, Compacted

PREFIX = "config/"
SETTINGS_MAX = 10_000

Settings = dict[str, str]


def follow(cache: Client[bytes], on_change: Callable[[Settings], None]) -> NoReturn:
    """Call ``on_change`` with all settings, now and after each change."""
    while True:
        page = cache.range(PREFIX, limit=SETTINGS_MAX)
        settings = {name_of(item.key): item.value.decode() for item in page.items}
        on_change(settings)
        try:
            # From the revision behind the one that was read: nothing falls between the two.
            with cache.watch(prefix=PREFIX, from_rev=page.at_rev + 1) as changes:
                for change in changes:
                    if change.value is None:  # deleted, expired
                        settings.pop(name_of(change.key), None)
                    else:
                        settings[name_of(change.key)] = change.value.decode()
                    on_change(settings)
        except Compacted:
            pass  # Asleep for too long: the changes are no longer kept one by one. Read all again.


def name_of(key: bytes) -> str:
    """Return a setting's name."""
    return key.decode().removeprefix(PREFIX)


def main() -> int:
    """Print the settings until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Client.local() as cache:
        try:
            follow(cache, lambda settings: print(json.dumps(settings, sort_keys=True), flush=True))
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
