"""One cluster for all tests that throw things at nodes, which must not mind."""

from collections.abc import Iterator

import pytest

from .bystander import Bystander
from .nodes import Nodes

LIMITS = {"value_bytes": 256 * 1024, "request_bytes": 1024 * 1024, "clients": 5_000}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes that live as long as the tests do."""
    with Nodes(tmp_path_factory.mktemp("bystander"), limits=LIMITS) as nodes:
        nodes.start()
        yield nodes


@pytest.fixture
def target(request: pytest.FixtureRequest, cluster: Nodes) -> Iterator[Bystander]:
    """A node to throw things at; afterwards the cluster is looked over."""
    cluster.wait_ready()
    bystander = Bystander(cluster, role=getattr(request, "param", "leader"))
    yield bystander
    bystander.assert_unharmed()
