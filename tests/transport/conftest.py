"""What the tests of sockets stand on."""

from collections.abc import Iterator

import pytest
import zmq

from raftcache.transport.options import Socket


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    """A context of the test's own: what it forgets to close ends with it."""
    made: zmq.Context[Socket] = zmq.Context()
    yield made
    made.destroy(linger=0)
