"""A whole demo: a throwaway cluster, the play on it, the account, and nothing left behind."""

import sys
import time
from collections.abc import Callable
from typing import IO

import msgspec

from ..throwaway import Throwaway
from .listener import Story
from .narration import Line, Rules
from .play import Cluster, Pace, Play, Report
from .show import Teller

INTRODUCTION = """\
Three nodes, each with its own disk log, keep one set of keys. Clients write,
the leader is killed with SIGKILL, and at the end every write is accounted for.
"""


class Performance(msgspec.Struct, frozen=True):
    """What came of a demo."""

    report: Report
    lines: list[Line]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0, or 1 if anything that was promised was not kept."""
        return 0 if self.report.is_good else 1


def perform(
    out: IO[str] | None = None,
    *,
    explain: bool = False,
    colour: bool = False,
    pace: Pace | None = None,
    spoil: Callable[[Cluster], Cluster] = lambda cluster: cluster,
) -> Performance:
    """Perform the demo on a cluster of its own, told on ``out`` (None: not told).

    ``spoil`` may put something between the play and the cluster: tests break promises with it.
    If any was broken, the cluster's folder is kept and named.
    """
    began = time.monotonic()
    teller = Teller(out, explain=explain, colour=colour) if out is not None else None
    if out is not None:
        print(INTRODUCTION, file=out, flush=True)
    with Throwaway(prefix="raftcache-demo-") as cluster:
        story = Story(cluster.events, teller.tell if teller else lambda _: None)
        try:
            story.start()
            story.add(_line(f"three nodes start, in {cluster.folder}", Rules.CRASH))
            cluster.up()
            play = Play(spoil(cluster), story, pace or Pace())
            report = play.perform(teller.count_from if teller else lambda _: None)
            cluster.keep = not report.is_good
            story.end_of_events()
            ending = time.monotonic()
            cluster.down()
            story.add(_line(_torn_down(cluster, time.monotonic() - ending)))
        except BaseException:
            if teller is not None and not isinstance(sys.exc_info()[1], KeyboardInterrupt):
                cluster.keep = True  # for whoever has to find out why
                story.add(_line(f"its logs are kept in {cluster.folder}"))
            raise
        finally:
            story.stop()
    performance = Performance(report, story.lines, time.monotonic() - began)
    if teller is not None:
        teller.account(report)
    return performance


def _torn_down(cluster: Throwaway, seconds: float) -> str:
    text = f"all nodes are stopped in {seconds:.1f} s: no process, port or socket is left"
    return f"{text}; logs and data are kept in {cluster.folder}" if cluster.keep else text


def _line(text: str, rule: str = "") -> Line:
    return Line(time.monotonic() * 1_000, text, rule)
