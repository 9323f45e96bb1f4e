"""The course of a run: a cluster of its own, a load, faults, the heal, final reads, the verdict.

However it ends, every fault is undone, every client stopped and the cluster taken down, in that
order; what was recorded until then is in the run's folder.
"""

import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from ..elections import Election
from ..errors import CheckFailed, OrchestratorError
from ..throwaway import Throwaway
from ..undo import Undoing
from ..verify.history import Header, History
from ..verify.judgement import judge as verify
from ..verify.linearizability import Budget
from . import results as files
from .account import count_writes, find_windows
from .faults import Fault, Faults, drive
from .journal import Journal
from .judge import compare_states, judge
from .results import Results
from .scenario import Scenario
from .timeline import chance_of_targets, plan
from .workload import Connect, Tape, Workload, connect, read_back

AFTER_HEAL_SECONDS = 1.0
"""How long the load goes on once the cluster is whole again."""
READ_BACK_SECONDS_MAX = 10.0
EARLY_MS = 300
"""A leader that is frozen between a look at its clock and a request takes that for this much older:
by an election timeout, if the default one."""
"""For each key."""
CHECK_SECONDS_MAX = 60.0


class Audience(Protocol):
    """Hears of a run as it goes; from two threads."""

    def begin(self, scenario: Scenario, seed: int) -> None:
        """The cluster is about to start."""

    def zero(self, began_ms: float) -> None:
        """The load begins: times count from here."""

    def fault(self, fault: Fault) -> None:
        """A step fired, or its fault was undone."""

    def election(self, election: Election) -> None:
        """A node was elected."""

    def say(self, text: str) -> None:
        """Something else."""

    def progress(self, tape: Tape, seconds: float, total_seconds: float) -> None:
        """It goes on."""


class Silence:
    """An audience that hears nothing."""

    def begin(self, scenario: Scenario, seed: int) -> None:
        """Not heard."""

    def zero(self, began_ms: float) -> None:
        """Not heard."""

    def fault(self, fault: Fault) -> None:
        """Not heard."""

    def election(self, election: Election) -> None:
        """Not heard."""

    def say(self, text: str) -> None:
        """Not heard."""

    def progress(self, tape: Tape, seconds: float, total_seconds: float) -> None:
        """Not heard."""


class _Course(msgspec.Struct, kw_only=True):
    """What is known once the load has ended."""

    tape: Tape
    began_ms: float
    ended_ms: float
    healed_s: float | None
    heal_failure: str
    faults: Sequence[Fault]


def run_scenario(
    scenario: Scenario,
    *,
    seed: int,
    runs: Path,
    file: Path | None = None,
    audience: Audience | None = None,
    make: Connect = connect,
) -> Results:
    """Run a scenario on a cluster of its own, and write its folder under ``runs``.

    ``file`` is what the scenario was read from, to be kept with its results; ``make`` makes the
    clients of the load.

    Raises:
        OrchestratorError: it did not come to its end; everything was undone.
    """
    hears = Silence() if audience is None else audience
    folder = files.make_folder(runs, scenario.name)
    if file is not None:
        shutil.copyfile(file, folder / files.SCENARIO)
    try:
        with (
            (folder / files.HISTORY).open("wb") as history,
            (folder / files.EVENTS).open("w+b") as events,
        ):
            return _Run(scenario, seed, folder, hears, make).perform(history, events)
    except (OrchestratorError, KeyboardInterrupt) as reason:
        why = str(reason) if isinstance(reason, OrchestratorError) else "it was interrupted"
        files.write_broken_off(folder, name=scenario.name, seed=seed, why=why)
        raise


class _Run:
    """One run."""

    def __init__(
        self, scenario: Scenario, seed: int, folder: Path, hears: Audience, make: Connect
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.folder = folder
        self.hears = hears
        self.make = make

    def perform(self, history: BinaryIO, events: BinaryIO) -> Results:
        """Do it all."""
        scenario = self.scenario
        with Throwaway(scenario.nodes, prefix="raftcache-chaos-", shape=scenario.shape) as site:
            journal = Journal(site.events, events, self.hears.election)
            try:
                self.hears.begin(scenario, self.seed)
                journal.start()
                site.up()
                course = self._break(site, journal, history)
                results = self._judge(site, journal, course)
            finally:
                journal.stop()
                shutil.copytree(
                    site.cluster.paths.logs, self.folder / files.LOGS, dirs_exist_ok=True
                )
            files.write(results)
        return results

    def _break(self, site: Throwaway, journal: Journal, history: BinaryIO) -> _Course:
        """Load the cluster while the steps fire, and heal it."""
        began_ns = time.monotonic_ns()
        began_ms = began_ns / 1_000_000
        header = Header(name=self.scenario.name, started_ns=began_ns, early_ms=EARLY_MS)
        tape = Tape(header, history)
        endpoints = list(site.endpoints.values())
        load = Workload(self.scenario.load, endpoints, tape, seed=self.seed, make=self.make)

        def tell(fault: Fault) -> None:
            if fault.undone_ms is not None:
                journal.add(fault.undone_ms, "undone", fault=msgspec.to_builtins(fault))
            self.hears.fault(fault)

        def note(fault: Fault) -> None:
            journal.add(fault.at_ms, "fault", fault=msgspec.to_builtins(fault))

        faults = Faults(site.cluster, chance_of_targets(self.seed), tell, note)
        with Undoing() as undoing:
            undoing.register(load.stop)
            undoing.register(faults.undo_all)
            journal.count_from(began_ms)
            self.hears.zero(began_ms)
            load.start()
            drive(
                faults,
                plan(self.scenario, self.seed),
                began_ms=began_ms,
                end_ms=self.scenario.duration_ms,
                go_on=partial(self._go_on, load, tape),
            )
            healing_ms = time.monotonic() * 1_000
            failure = self._heal(faults)
            healed_ms = time.monotonic() * 1_000
            time.sleep(AFTER_HEAL_SECONDS)
        load.check()
        return _Course(
            tape=tape,
            began_ms=began_ms,
            ended_ms=time.monotonic() * 1_000,
            healed_s=None if failure else round((healed_ms - healing_ms) / 1_000, 3),
            heal_failure=failure,
            faults=faults.faults,
        )

    def _go_on(self, load: Workload, tape: Tape, now_ms: float) -> bool:
        load.check()
        self.hears.progress(tape, now_ms / 1_000, self.scenario.duration_ms / 1_000)
        return True

    def _heal(self, faults: Faults) -> str:
        self.hears.say("the end: every fault is undone, every node brought back")
        try:
            view = faults.heal()
        except CheckFailed as failure:
            self.hears.say(failure.message)
            return failure.message
        self.hears.say(f"whole again: {view.leader} leads in term {view.term}, all are ready")
        return ""

    def _judge(self, site: Throwaway, journal: Journal, course: _Course) -> Results:
        self.hears.say("the load has ended; every key is read back")
        tape = course.tape
        endpoints = list(site.endpoints.values())
        found = read_back(endpoints, tape, make=self.make, seconds=READ_BACK_SECONDS_MAX)
        states = compare_states(site.endpoints)
        journal.stop()
        self.hears.say(f"{len(tape.operations):,} operations are judged")
        history = History(tape.header, tuple(tape.operations))
        verified = verify(history, Budget(seconds=CHECK_SECONDS_MAX))
        writes, losing = count_writes(tape.operations, found)
        writes = msgspec.structs.replace(writes, lost=max(writes.lost, verified.summary.lost))
        return Results(
            name=self.scenario.name,
            seed=self.seed,
            nodes=self.scenario.nodes,
            folder=self.folder,
            seconds=(course.ended_ms - course.began_ms) / 1_000,
            began_ms=course.began_ms,
            judgement=judge(verified, writes, losing, states, heal_failure=course.heal_failure),
            writes=writes,
            windows=find_windows(
                tape.operations,
                course.faults,
                journal.elections,
                began_ms=course.began_ms,
                ended_ms=course.ended_ms,
            ),
            elections=[one for one in journal.elections if one.won_ms >= course.began_ms],
            faults=list(course.faults),
            healed_s=course.healed_s,
        )
