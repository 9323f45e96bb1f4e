"""How long the tests search that draw seeds or examples.

``bin/test --quick`` looks at a fifth of what ``bin/test`` does, ``--full`` at ten times as much. A
test that searches says the usual amount, as in ``range(scaled(60))``.
"""

import os

_PERCENT = {"quick": 20, "usual": 100, "full": 1_000}
_EFFORT = os.environ.get("RAFTCACHE_TEST_EFFORT", "usual")


def scaled(usual: int) -> int:
    """Return how many seeds or examples to take where ``usual`` are the usual number."""
    return max(1, usual * _PERCENT[_EFFORT] // 100)
