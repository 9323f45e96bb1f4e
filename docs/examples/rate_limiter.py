"""At most so many calls per customer and time, whichever of a service's processes takes them.

    bin/cluster up
    python docs/examples/rate_limiter.py ada          as often as you like

The count is one key per customer. `incr` makes it with a time to live and counts in one step, so
that no two processes let the same call pass; when the key goes, the customer begins anew.
"""

import sys

from raftcache.client import Client, RequestError

CALLS_MAX = 5
WINDOW_SECONDS = 10.0
ANSWER_SECONDS = 1.0


class RateLimiter:
    """Says who may call: so often in a window that begins with the first call."""

    def __init__(
        self, cache: Client[bytes], *, calls: int = CALLS_MAX, window: float = WINDOW_SECONDS
    ) -> None:
        self._cache = cache
        self._calls = calls
        self._window = window

    def allows(self, customer: str) -> bool:
        """Count a call, and tell whether it is one of those that are allowed.

        Whoever limits to protect its own capacity rather serves a call too many than none at all,
        so a cache that does not answer allows; to sell calls, refuse instead.
        """
        try:
            count = self._cache.incr(f"calls/{customer}", ttl=self._window, timeout=ANSWER_SECONDS)
        except RequestError:
            return True
        return count <= self._calls


def main(arguments: list[str]) -> int:
    """Make a call for the customer who is named; exit code 1: not now."""
    if len(arguments) != 1:
        print("usage: rate_limiter.py CUSTOMER", file=sys.stderr)
        return 64
    (customer,) = arguments
    with Client.local() as cache:
        if RateLimiter(cache).allows(customer):
            print(f"{customer} is served")
            return 0
    print(f"{customer} has called {CALLS_MAX} times in {WINDOW_SECONDS:g} s: later, please")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
