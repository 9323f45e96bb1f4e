"""A pytest plugin: the fixture ``raft_cluster``, a real cluster that a test may break.

In your conftest.py (where the wheel is installed):

    pytest_plugins = ["raftcache_orchestrator.testing"]

Its fixtures:

- ``raft_cluster``: for one test. The processes are shared with other tests; what a test breaks is
  mended, and what it wrote is deleted, before the next one.
- ``raft_cluster_session``: for the whole session; nothing is mended or deleted.
- ``raft_cluster_factory``: for fixtures of your own: ``with raft_cluster_factory(nodes=5) as …``.

``@pytest.mark.raft_cluster(nodes=5, durability="memory")`` says what kind of cluster a test wants.

PYTEST_DONT_REWRITE: a conftest.py may import it before pytest does, and there is no assert here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

try:
    from ..errors import OrchestratorError, UsageError
    from .cluster import RaftCluster
    from .pool import Pool, Shape, read_shape
    from .recording import RecordingClient
except ModuleNotFoundError as error:
    raise pytest.UsageError(
        f"{__name__} runs a cluster, and `{error.name}` is missing for that: "
        "pip install 'raftcache[cluster]'"
    ) from error

__all__ = ["RaftCluster", "RecordingClient"]

_MARKER = (
    "raft_cluster(nodes=3, durability='os', fresh=False, settings={}): "
    "the kind of cluster that the fixture raft_cluster gives to this test"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest the options."""
    parser.getgroup("raftcache").addoption(
        "--raftcache-keep",
        action="store_true",
        help="leave the folders of all clusters (logs, data) where they are, and tell where",
    )
    parser.addini("raft_cluster_nodes", "how many nodes a cluster has by default", default="3")
    parser.addini(
        "raft_cluster_durability",
        "os, memory or fsync: what a cluster has by default",
        default="os",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def _raft_cluster_pool(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool]:
    """All clusters of the session; ended whatever happens."""
    pool = Pool(
        tmp_path_factory.mktemp("raft_cluster"),
        keep=pytestconfig.getoption("raftcache_keep", default=False),
    )
    try:
        yield pool
    finally:
        pytestconfig.stash[_KEPT] = pool.kept
        pool.close()


@pytest.fixture
def raft_cluster(request: pytest.FixtureRequest, _raft_cluster_pool: Pool) -> Iterator[RaftCluster]:
    """A real cluster for this test, ready and empty; break it as you like."""
    shape = _wanted(request)
    cluster = _started(lambda: _raft_cluster_pool.take(shape))
    try:
        yield cluster
    finally:
        _raft_cluster_pool.give_back(shape, cluster)


@pytest.fixture(scope="session")
def raft_cluster_session(
    pytestconfig: pytest.Config, _raft_cluster_pool: Pool
) -> Iterator[RaftCluster]:
    """A real cluster for all tests together: what one leaves there, the next one finds."""
    shape = _default(pytestconfig)
    with _started(lambda: _raft_cluster_pool.make(shape)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def raft_cluster_factory(
    pytestconfig: pytest.Config, _raft_cluster_pool: Pool
) -> Callable[..., RaftCluster]:
    """Make clusters for fixtures of your own; takes what the marker takes."""

    def make(**options: Any) -> RaftCluster:
        try:
            shape = read_shape(_default(pytestconfig), (), options)
        except UsageError as error:
            pytest.fail(f"raft_cluster_factory {error.message}", pytrace=False)
        return _started(lambda: _raft_cluster_pool.make(shape))

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show with a failure what was done to the cluster, how it is, and what its nodes say."""
    report = yield
    if report.when == "call" and report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, RaftCluster):
                report.sections.append((f"cluster of {name}", value.report()))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell where the folders are that were to be kept."""
    for folder in config.stash.get(_KEPT, []):
        terminalreporter.write_line(f"kept: {folder}")


_KEPT = pytest.StashKey[list[Any]]()


def _default(config: pytest.Config) -> Shape:
    nodes = config.getini("raft_cluster_nodes")
    if not str(nodes).isdigit():
        raise pytest.UsageError(f"raft_cluster_nodes = {nodes}: expected a number, mostly 3 or 5")
    options = {"nodes": int(nodes), "durability": config.getini("raft_cluster_durability")}
    try:
        return read_shape(Shape(), (), options)
    except UsageError as error:
        raise pytest.UsageError(f"in pytest's settings, raft_cluster: {error.message}") from error


def _wanted(request: pytest.FixtureRequest) -> Shape:
    marker = request.node.get_closest_marker("raft_cluster")
    default = _default(request.config)
    if marker is None:
        return default
    try:
        return read_shape(default, marker.args, marker.kwargs)
    except UsageError as error:
        pytest.fail(f"@pytest.mark.raft_cluster {error.message}", pytrace=False)


def _started(start: Callable[[], RaftCluster]) -> RaftCluster:
    """Turn what a person can act on into a failure that says just that."""
    try:
        return start()
    except OrchestratorError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        pytest.fail(f"the cluster could not be started: {error.message}{hint}", pytrace=False)
