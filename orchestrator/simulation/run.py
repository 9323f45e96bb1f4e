"""One seed, from the first start to the verdict: the way in for everybody who runs seeds.

``run_seed`` is a pure function of its arguments: the same seed, options and code give the same
outcome, trace hash included, whatever the process and its hash seed.
"""

import re
from typing import Any

import msgspec

from .cluster import SimulatedCluster
from .draw import draw_profile
from .faults import Faults
from .forcing import watch_points
from .kinds import KINDS
from .manners import check_astray, check_manners
from .members import let_join
from .narrow import narrow_bounds
from .numbered import NumberedClients
from .peace import make_peace
from .profile import Profile
from .verdict import pass_verdict
from .watchers import Watchers
from .workload import Workload

SWARM = "swarm"
TAIL_LINES = 40


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, besides its seed."""

    profile: str = SWARM
    """Which kind of world is drawn: a name of ``draw.PROFILES``."""
    changes: dict[str, Any] = {}
    """Fields of the drawn :class:`~.profile.Profile` that are to be otherwise."""
    salt: int = 0
    """Another course of events in the same world: everything but the profile is drawn anew."""
    verbose: bool = False
    """Keep the whole trace, each message included. The run is the same."""

    def world(self, seed: int) -> Profile:
        """Return the world of a seed."""
        drawn = draw_profile(seed, self.profile)
        return msgspec.convert({**msgspec.to_builtins(drawn), **self.changes}, Profile)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run."""

    seed: int
    profile: Profile
    failure: str | None
    """The invariant that was broken, in one line; None: all promises were kept."""
    trace_hash: str
    """Equal hashes: equal runs."""
    trace: tuple[str, ...]
    """The last lines of what happened; all of them if it was to be verbose."""
    detail: str
    """All that was said of the failure; empty: there is none."""
    events: int
    """See ``record``: inputs of nodes, answers to clients, work of disks, faults."""
    operations: int
    virtual_ms: int
    strikes: tuple[tuple[int, str], ...]
    """Number and kind of each fault that did strike."""
    faults: dict[str, int]
    points: dict[str, int]
    counts: dict[str, int]
    """How often each thing happened: kinds of fault, named points, everything else."""

    @property
    def ok(self) -> bool:
        """Tell whether all promises were kept."""
        return self.failure is None


class Run:
    """A run whose parts can be looked at; ``run_seed`` is for those who want the outcome only.

    Args:
        seed: decides everything that is left to chance.
        profile: the world.
        salt: as in :class:`Options`.
        verbose: likewise.
    """

    def __init__(
        self, seed: int, profile: Profile, *, salt: int = 0, verbose: bool = False
    ) -> None:
        self.seed = seed
        self.profile = profile
        whole = f"{seed}.{salt}" if salt else seed
        self.cluster = SimulatedCluster(whole, profile, verbose=verbose).up()
        let_join(self.cluster)
        self.workload = Workload(self.cluster, whole)
        self.numbered = NumberedClients(self.workload, self.cluster, whole)
        self.watchers = Watchers(self.cluster, whole)
        self.faults = Faults(self.cluster, f"{whole}/faults", KINDS)
        watch_points(self.faults, profile.points, whole)

    def carry_out(self) -> "Run":
        """Run to the end.

        Raises:
            AssertionError: a promise was broken.
        """
        cluster, scheduler = self.cluster, self.cluster.scheduler
        end_us = self.profile.faulty_ms * 1_000
        while cluster.record.events < self.profile.events and scheduler.now_us < end_us:
            scheduler.step()
        self.faults.stop()
        self.workload.stop()
        self.watchers.stop()
        make_peace(self.faults)
        self.numbered.settle_all()
        self.workload.read_all()
        cluster.elect()
        self.watchers.verify()
        cluster.elect()  # Leaders write entries of their own: all have applied the last.
        self.numbered.check_passed()
        self.numbered.check_bound()
        check_manners(cluster)
        pass_verdict(cluster, self.workload.history)
        check_astray(cluster)
        return self

    def count(self, outcome: str) -> int:
        """Return how many operations ended so."""
        return sum(operation.outcome == outcome for operation in self.workload.history)

    def outcome(self, failure: BaseException | None) -> Outcome:
        """Return what came of it."""
        record = self.cluster.record
        detail = "" if failure is None else f"{type(failure).__name__}: {failure}"
        lines = tuple(record.lines)
        for name, kind in sorted(self.cluster.told):
            record.counts[kind] += self.cluster.told[name, kind]
        return Outcome(
            seed=self.seed,
            profile=self.profile,
            failure=None if failure is None else in_one_line(failure),
            trace_hash=record.trace_hash,
            trace=lines if record.verbose else lines[-TAIL_LINES:],
            detail=detail,
            events=record.events,
            operations=len(self.workload.history),
            virtual_ms=self.cluster.scheduler.now_ms,
            strikes=tuple(self.faults.struck),
            faults=dict(sorted(record.faults.items())),
            points=dict(sorted(record.points.items())),
            counts=dict(sorted(record.counts.items())),
        )


def run_seed(seed: int, options: Options = Options()) -> Outcome:  # noqa: B008 - a frozen value
    """Run a seed and return what came of it; never raises because of what a run finds."""
    profile = options.world(seed)
    with narrow_bounds(are_narrow=profile.narrow):
        run = Run(seed, profile, salt=options.salt, verbose=options.verbose)
        try:
            run.carry_out()
        except Exception as failure:  # noqa: BLE001 - a defect of any kind is what a run looks for
            return run.outcome(failure)
        return run.outcome(None)


def in_one_line(failure: BaseException) -> str:
    """Return the first line of a failure; of one that is no broken promise, with its type."""
    first = re.sub(r"^seed \S+: ", "", str(failure).partition("\n")[0])
    return first if isinstance(failure, AssertionError) else f"{type(failure).__name__}: {first}"
