"""A row of loads on the cluster that runs, or on one that is made for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from raftcache.client import Client, Delete

from ..cluster import Cluster
from ..errors import NoQuorum
from ..paths import Paths
from ..state import load as load_state
from ..supervisor import Supervisor
from ..throwaway import Throwaway
from .loads import KEY_PREFIX, Load
from .measure import Row, Times, measure_both

SUITE = (
    Load(clients=1),
    Load(clients=64),
    Load(clients=4, in_flight=256),
    Load(clients=4, in_flight=8, batch=100),
    Load(clients=64, mix="get"),
    Load(clients=64, mix="90/10"),
)
SUITE_TIMES = Times(warm_up=0.5, cluster=3.0, floor=1.5)
PROFILE_TIMES = Times(warm_up=0.5, cluster=8.0, floor=1.5)
_DELETED_AT_ONCE = 500


class Site(msgspec.Struct, frozen=True):
    """The cluster that is measured."""

    endpoint: str
    """Where its leader takes clients."""
    pids: list[int]
    leader_pid: int
    durability: str
    own: bool
    """Whether it was made for the purpose, and is gone afterwards."""


@contextmanager
def site(paths: Paths | None) -> Iterator[Site]:
    """Give the cluster at ``paths`` if it runs, else one that lives so long.

    Raises:
        NoQuorum: it runs without a leader.
    """
    if paths is not None and load_state(paths) is not None and Supervisor(paths).is_running():
        found = _look(Cluster(paths), own=False)
        try:
            yield found
        finally:
            _clean(found.endpoint)
        return
    with Throwaway(prefix="raftcache-bench-") as throwaway:
        throwaway.up()
        yield _look(throwaway.cluster, own=True)


def run_suite(
    where: Site,
    loads: Sequence[Load],
    times: Times,
    *,
    begins: Callable[[Load], None],
    tick: Callable[[int, float], None] | None,
) -> Iterator[Row]:
    """Measure one load after the other; ``begins`` is told each, ``tick`` how far it is."""
    for load in loads:
        begins(load)
        yield measure_both(where.endpoint, load, where.pids, times, tick)


def _look(cluster: Cluster, *, own: bool) -> Site:
    view = cluster.status()
    leader = next((node for node in view.nodes if node.name == view.leader), None)
    if leader is None or leader.status is None or leader.pid is None:
        raise NoQuorum("nobody leads, so nothing can be measured", hint="bin/cluster status")
    pids = [node.pid for node in view.nodes if node.pid is not None]
    return Site(leader.client, pids, leader.pid, str(leader.status.get("durability")), own)


def _clean(endpoint: str) -> None:
    """Delete what was written: the cluster is somebody's."""
    with Client(endpoint, timeout=30, exactly_once=False) as client:
        keys = list(client.keys(KEY_PREFIX))
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            client.batch([Delete(key) for key in keys[start : start + _DELETED_AT_ONCE]])
