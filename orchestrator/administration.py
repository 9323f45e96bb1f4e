"""What is asked of a running cluster about its own membership, over the nodes' admin sockets.

Any node takes these operations and hands them on to its leader (docs/protocol.md). All of them may
be repeated: one that was done already says so, and does nothing.
"""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol

import msgspec

from .errors import NoQuorum, TryAgain, UsageError
from .paths import Paths
from .probe import Prober, Reply
from .state import ClusterState

ASK_SECONDS = 10.0
LOOK_SECONDS = 0.5
PAUSE_SECONDS = 0.05
NO_SOCKET = "no node took the request"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member as the leader knows it; a name can be there twice, with two incarnations."""

    id: str
    incarnation: int
    peer: str
    client: str
    role: str
    """``voter`` or ``learner``."""
    joins: bool = False
    """It will vote once it has caught up."""
    leaves: bool = False
    """It votes until a planned change is done."""
    joined: bool = True
    """A process has taken the seat."""
    caught_up: bool | None = None
    match: int | None = None
    """Up to where its log is the leader's; None where that is not known."""

    @property
    def settled(self) -> bool:
        """Whether it votes, and goes on to."""
        return self.role == "voter" and not self.leaves


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes part, by the leader's latest configuration."""

    members: list[Member]
    joint: bool = False
    changing: bool = False
    """Whether a change is joint, or not committed yet."""
    changed: bool = True
    """False where nothing was left to be done."""

    def of(self, name: str) -> list[Member]:
        """Return the incarnations of a name that take part."""
        return [member for member in self.members if member.id == name]

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self.changing and not any(one.joins or one.leaves for one in self.members)

    @property
    def longest(self) -> int:
        """Up to where the longest log reaches, as far as the leader tells."""
        return max((member.match or 0 for member in self.members), default=0)


class Ask(Protocol):
    """Asks one node: its name, the fields, and for how long; None when no answer came."""

    def __call__(self, name: str, fields: Reply, seconds: float) -> Reply | None:
        """Return the answer."""


class Administration:
    """Asks the nodes of one cluster."""

    def __init__(
        self,
        names: Callable[[], list[str]],
        ask: Ask,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask those that ``names`` gives, the likeliest leader first."""
        self._names = names
        self._ask = ask
        self._clock = clock
        self._pause = pause

    def members(self, seconds: float = ASK_SECONDS) -> Members:
        """Return who takes part, as the leader says.

        Raises:
            NoQuorum: nobody leads.
        """
        deadline = self._clock() + seconds
        while True:
            for name in self._names():
                reply = self._ask(name, {"op": "members"}, LOOK_SECONDS)
                if reply is not None and reply.get("ok") and _leads(reply):
                    return msgspec.convert(reply, Members)
            if self._clock() >= deadline:
                raise NoQuorum(
                    "no node leads, so nobody can say who takes part",
                    hint="bin/cluster start   brings back what is down",
                )
            self._pause(PAUSE_SECONDS)

    def change(self, fields: dict[str, Any], seconds: float = ASK_SECONDS) -> Members:
        """Ask for a change; return once it is committed, or was so already.

        Raises:
            UsageError: it can't be done, now or ever; nothing was changed.
            TryAgain: it was not done in time; it may be yet, and asking again is harmless.
        """
        deadline = self._clock() + seconds
        why = NO_SOCKET
        while True:
            for name in self._names():
                left = deadline - self._clock()
                if left <= 0:
                    break
                timeout_ms = max(1, int(left * 1000))
                reply = self._ask(name, {**fields, "timeout_ms": timeout_ms}, left + 0.25)
                if reply is None:
                    why = f"{name} did not answer"
                    continue
                if reply.get("ok"):
                    return msgspec.convert(reply, Members)
                why = f"{reply.get('message')}"
                if reply.get("error") in {"bad_request", "unsupported", "forbidden"}:
                    raise UsageError(f"the cluster refused: {why}")
                break  # the leader has spoken, through this one
            if self._clock() >= deadline:
                raise TryAgain(f"not committed after {seconds:g} s: {why}")
            self._pause(PAUSE_SECONDS)


def administration(
    paths: Paths, state: ClusterState, running: Callable[[], list[str]]
) -> Administration:
    """Return the administration of a cluster; ``running`` gives the nodes that have a process."""

    def names() -> list[str]:
        led = state.leader.node if state.leader else None
        return sorted(running(), key=lambda name: (name != led, name))

    def ask(name: str, fields: Reply, seconds: float) -> Reply | None:
        with closing(Prober({name: f"ipc://{paths.admin_socket(name)}"})) as prober:
            reply = prober.ask([name], fields, seconds)[name].reply
        leader = (reply or {}).get("leader")
        if isinstance(leader, dict) and reply is not None:
            state.saw_leader(str(leader.get("id")), int(reply.get("term") or 0))
        return reply

    return Administration(names, ask)


def _leads(reply: Reply) -> bool:
    leader = reply.get("leader")
    return isinstance(leader, dict) and leader.get("id") == reply.get("node")
