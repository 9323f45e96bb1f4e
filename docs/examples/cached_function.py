"""A cache in front of a slow function: one worker in the whole cluster computes, the others wait.

    bin/cluster up
    python docs/examples/cached_function.py tea & python docs/examples/cached_function.py tea

Only one of the two computes the price. For a minute after that nobody does; for half a minute more
the old price is good enough for all but the one who computes the new one.
"""

import sys
import time

import msgspec

from raftcache.client import Client
from raftcache.client.recipes import cached

FRESH_SECONDS, STALE_SECONDS = 60.0, 30.0
SLOW_SECONDS = 1.0


class Price(msgspec.Struct):
    """What the slow function returns; it comes back from the cache as this same type."""

    product: str
    cents: int


def compute_price(product: str) -> Price:
    """Ask somebody who takes his time."""
    print(f"computing the price of {product}", flush=True)
    time.sleep(SLOW_SECONDS)
    return Price(product, sum(product.encode()))


def main(arguments: list[str]) -> int:
    """Print the price of a product."""
    if len(arguments) != 1:
        print("usage: cached_function.py PRODUCT", file=sys.stderr)
        return 64
    with Client.local() as cache:
        price_of = cached(cache, ttl=FRESH_SECONDS, stale=STALE_SECONDS)(compute_price)
        price = price_of(arguments[0])
    print(f"{price.product}: {price.cents} cents")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
