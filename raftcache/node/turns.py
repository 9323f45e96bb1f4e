"""One turn of a node: take in all that is there, let time pass, then answer it all.

A process and a simulation turn through here; what differs is where things come from and where they
go, which are their :class:`Ports`. So the order below is the one that is tested:

1. what the disk has to say, for it may free what waits;
2. all frames of peers, before a tick counts: after a long turn, the heartbeats that wait in the
   sockets must not be taken for silence;
3. requests, so that what came in together becomes one entry of the log;
4. at most one tick, who is gone, and whatever else is due;
5. the answer to all of it.
"""

from collections.abc import Iterable
from typing import Protocol

from ..raft.types import ServerId
from .ports import Driven
from .stalls import TickClock
from .values import Effects


class Ports(Protocol):
    """What a turn needs of the world around it."""

    def disk_has_spoken(self) -> bool:
        """Tell whether there is word from the disk or from the worker.

        Raises:
            DiskFailed: a write failed; the process must end without another word.
        """

    def deliver_results(self) -> None:
        """Hand out what the worker has done."""

    def peer_frames(self, *, is_late: bool) -> Iterable[bytes]:
        """Take the frames that wait, within bounds; with wider ones after a turn that was long."""

    def requests(self) -> Iterable[tuple[int, list[bytes]]]:
        """Take the requests that wait, within bounds, each with its socket's number."""

    def begin_tick(self) -> None:
        """Do what is to be done once in a tick, before the server counts it."""

    def gone(self, *, has_ticked: bool) -> Iterable[ServerId]:
        """Take the peers whose processes are known to be gone."""

    def carry_out(self, effects: Effects) -> None:
        """Send and answer."""


def take_turn(driven: Driven, ticks: TickClock, ports: Ports) -> None:
    """Take one turn at the time that ``driven.now_ms`` tells.

    Raises:
        DiskFailed: a write failed.
    """
    if ports.disk_has_spoken():
        driven.on_persisted()
        ports.deliver_results()
    now_ms = driven.now_ms
    for frame in ports.peer_frames(is_late=ticks.is_late(now_ms)):
        driven.on_peer_frame(frame)
    for number, frames in ports.requests():
        driven.on_client(number, frames)
    has_ticked = ticks.take(now_ms)
    if has_ticked:
        ports.begin_tick()
        driven.on_tick()
    for peer in ports.gone(has_ticked=has_ticked):
        driven.on_peer_gone(peer, now_ms)
    driven.on_time(now_ms)
    ports.carry_out(driven.turn())
