"""Clusters by shape: tests that want the same shape share one, after it was made as new.

At most ``IDLE_MAX`` clusters lie idle, the last used ones: processes are not free.
"""

import difflib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from raftcache.client import RequestError

from ..errors import BadConfiguration, OrchestratorError, UsageError
from ..throwaway import Throwaway
from .cluster import RaftCluster

IDLE_MAX = 2
ATTEMPTS = 3
"""How often a cluster is tried to be started, where another program took a port meanwhile."""
DURABILITIES = ("os", "memory", "fsync")
_OPTIONS = ("nodes", "durability", "fresh", "settings")
_OURS = ("cluster", "nodes", "base_port", "limits", "chaos", "gateway")
"""Keys of cluster.yaml that the fixture decides on."""


class Shape(msgspec.Struct, frozen=True):
    """What a test wants of its cluster."""

    nodes: int = 3
    durability: str = "os"
    """``os`` survives killed nodes; ``memory`` keeps nothing; ``fsync`` is what production has."""
    fresh: bool = False
    """Whether it must be a new one, shared with nobody."""
    settings: str = ""
    """More of its cluster.yaml, as text."""

    @property
    def text(self) -> str:
        """Its cluster.yaml but for what the throwaway cluster decides."""
        return self.settings or f"storage: {{durability: {self.durability}}}\n"


def read_shape(default: Shape, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Shape:
    """Return the shape that a marker asks for.

    Raises:
        UsageError: it asks for what there is not.
    """
    if arguments:
        raise UsageError(
            f"takes names only, not {arguments[0]!r}: "
            'for example @pytest.mark.raft_cluster(nodes=5, durability="memory")'
        )
    for name in options:
        if name not in _OPTIONS:
            near = difflib.get_close_matches(name, _OPTIONS, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"has no `{name}`: {guess}it takes {', '.join(_OPTIONS)}")
    shape = Shape(
        options.get("nodes", default.nodes),
        options.get("durability", default.durability),
        options.get("fresh", default.fresh),
        default.settings,
    )
    _check(shape)
    return msgspec.structs.replace(shape, settings=_settings(shape, options.get("settings", {})))


def _check(shape: Shape) -> None:
    if not isinstance(shape.nodes, int) or shape.nodes < 1:
        raise UsageError(f"nodes={shape.nodes!r}: expected a number from 1, mostly 1, 3 or 5")
    if shape.durability not in DURABILITIES:
        raise UsageError(
            f"durability={shape.durability!r}: expected one of {', '.join(DURABILITIES)}"
        )
    if not isinstance(shape.fresh, bool):
        raise UsageError(f"fresh={shape.fresh!r}: expected True or False")


def _settings(shape: Shape, settings: Any) -> str:
    """Return what is asked of cluster.yaml, as text."""
    if not isinstance(settings, Mapping):
        raise UsageError(
            f"settings={settings!r}: expected keys of cluster.yaml, "
            'for example {"raft": {"heartbeat": "20ms"}}'
        )
    for name in settings:
        if name in _OURS:
            raise UsageError(f"settings: `{name}` is decided by the fixture")
    storage = {"durability": shape.durability, **settings.get("storage", {})}
    asked = {**settings, "storage": storage}
    # JSON in one line is YAML; the keys are sorted so that equal shapes are equal.
    return "".join(f"{name}: {json.dumps(asked[name], sort_keys=True)}\n" for name in sorted(asked))


class Pool:
    """All clusters of a test session."""

    def __init__(self, evidence: Path, *, keep: bool = False) -> None:
        self.kept: list[Path] = []
        """Folders that were left where they are."""
        self._evidence = evidence
        self._keep = keep
        self._idle: dict[Shape, RaftCluster] = {}
        self._living: dict[int, tuple[RaftCluster, Throwaway]] = {}
        self._numbers = itertools.count(1)

    def take(self, shape: Shape) -> RaftCluster:
        """Return a cluster of this shape, as new, that is nobody else's until it is given back."""
        cluster = None if shape.fresh else self._idle.pop(shape, None)
        return cluster if cluster is not None else self.make(shape)

    def give_back(self, shape: Shape, cluster: RaftCluster) -> None:
        """Make a cluster as new for the next that wants one; end it, if that can't be done."""
        cluster.close_clients()
        if shape.fresh or shape in self._idle:
            cluster.close()
            return
        try:
            cluster.reset()
        except (OrchestratorError, RequestError, OSError):
            cluster.close()
            return
        self._idle[shape] = cluster
        while len(self._idle) > IDLE_MAX:
            self._idle.pop(next(iter(self._idle))).close()

    def make(self, shape: Shape) -> RaftCluster:
        """Start a cluster; it lives until it is closed, or the pool is.

        Raises:
            OrchestratorError: it could not be started; nothing is left of it.
        """
        for attempt in itertools.count(1):
            try:
                return self._make(shape)
            except BadConfiguration as error:
                if attempt == ATTEMPTS or "in use" not in error.message:
                    raise
        raise AssertionError("an endless loop ends only by return or raise")

    def _make(self, shape: Shape) -> RaftCluster:
        site = Throwaway(shape.nodes, prefix="raftcache-test-", shape=shape.text, signals=False)
        site.keep = self._keep
        site.__enter__()
        try:
            site.up()
        except BaseException:
            site.__exit__(None, None, None)
            raise
        cluster = RaftCluster(site, self._evidence)
        number = next(self._numbers)
        self._living[number] = (cluster, site)
        cluster.closes_with(lambda: self._end(number))
        return cluster

    def _end(self, number: int) -> None:
        living = self._living.pop(number, None)
        if living is None:
            return  # closing twice does no harm
        _, site = living
        if self._keep:
            self.kept.append(site.folder)
        site.__exit__(None, None, None)

    def close(self) -> None:
        """End all clusters, and say of the first that could not be ended why.

        Raises:
            CheckFailed: something is left; the message names it.
        """
        self._idle.clear()
        failure: BaseException | None = None
        for cluster, _ in list(self._living.values()):
            try:
                cluster.close()
            except OrchestratorError as error:
                failure = failure or error
        if failure is not None:
            raise failure
