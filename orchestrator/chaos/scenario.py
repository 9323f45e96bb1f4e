"""A chaos scenario as values, and where the shipped ones lie: its reading is ``grammar``."""

import difflib
from pathlib import Path

import msgspec

from raftcache.protocol.faults import FaultRule

from ..errors import BadConfiguration, UsageError

SHIPPED = Path(__file__).resolve().parent / "scenarios"
SUFFIXES = (".yaml", ".yml")
BREAKING = ("kill", "stop", "pause")
"""Actions on processes with something to undo."""
CUTTING = ("partition", "isolate", "link")
"""Actions on links; they too have something to undo."""
LASTING = (*BREAKING, *CUTTING)
"""What may therefore last ``for`` a while."""
MENDING = {"start": "down", "resume": "paused", "heal": "all"}
"""Actions that put things right, with the nodes that they mean where none are named."""
ACTIONS = (*BREAKING, "restart", *CUTTING, *MENDING)
MIX = {"get": 4, "set": 3, "cas": 1, "incr": 2, "delete": 0}
MIXED = ("ttl", "sliding", "bind", "expire", "delete_range", "txn", "fence")
"""Operations, and fields of a set, as they are called on the wire; on keys of their own."""
OPERATIONS = (*MIX, *MIXED)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the recording clients do while the steps fire."""

    clients: int = 6
    rate: float | None = 200.0
    """Operations per second of all clients together; None: each as fast as it is answered."""
    mix: dict[str, int] = msgspec.field(default_factory=lambda: dict(MIX))
    """How often each operation is drawn, in proportion to the others."""
    keys: int = 20
    """So many registers (get, set, cas, delete), as many counters (get, incr), and of the rest."""
    value_bytes_min: int = 12
    value_bytes_max: int = 24
    timeout_ms: int = 2_000
    """The deadline of each operation."""

    @property
    def mixed(self) -> bool:
        """Whether it does more than reading, setting, counting and deleting single keys."""
        return any(self.mix.get(word) for word in MIXED)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do to nodes, once or again and again."""

    line: int
    """Where it stands in the file."""
    action: str
    selector: str
    at_ms: int | None = None
    """When it fires first, counted from the beginning of the load."""
    every_ms: int | None = None
    jitter_ms: int = 0
    """Each time after ``every_ms`` is drawn from so much earlier to so much later."""
    for_ms: int | None = None
    """After so long it is undone; None: at the end of the run."""
    repeat: int | None = None
    """How often it fires at most; None: until the end."""
    direction: str = ""
    """Of an isolation: ``in`` or ``out``; empty: both."""
    harm: FaultRule | None = None
    """What a ``link`` step does to it; the rule names no peer yet."""
    one_way: bool = False
    """Of a link: only from the first to the second."""

    @property
    def first_ms(self) -> int:
        """When it fires first, jitter apart."""
        when = self.at_ms if self.at_ms is not None else self.every_ms
        assert when is not None, "a step has `at` or `every`"
        return when


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole scenario, checked."""

    name: str
    about: str = ""
    seed: int | None = None
    """None: drawn for each run, and told."""
    duration_ms: int = 30_000
    nodes: int = 3
    shape: str = ""
    """What else it says of its cluster, as lines of a cluster.yaml."""
    load: Load = Load()
    steps: tuple[Step, ...] = ()


def find(text: str) -> Path:
    """Return the file that is meant: a path, or the name of a shipped scenario.

    Raises:
        UsageError: it is neither.
        BadConfiguration: it is a path, and nothing is there.
    """
    path = Path(text)
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        if not path.is_file():
            raise BadConfiguration(f"{text}: there is no such file")
        return path
    names = shipped()
    if text not in names:
        near = difflib.get_close_matches(text[:40], names, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"no scenario is called '{text[:40]}'{guess}",
            hint="bin/cluster chaos list   names them; a file is named with its .yaml",
        )
    return SHIPPED / f"{text}.yaml"


def shipped() -> list[str]:
    """Return the names of the scenarios that come with the program."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))
