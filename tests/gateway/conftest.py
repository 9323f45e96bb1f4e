"""Gateways for tests: one in front of a store that works, shared; others are made by each test."""

from collections.abc import Iterator

import pytest

from tests.client.fake_node import FakeNode

from .harness import Running, Store


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    """Return a gateway in front of a node that works; tests of a module share its keys."""
    with FakeNode(Store()) as node, Running([node.endpoint]) as running:
        yield running
