"""Fixtures for the tests of both clients."""

import socket

import pytest


@pytest.fixture
def dead_endpoint() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"
