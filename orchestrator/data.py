"""One-shot reads and writes for the command line.

A process that lives for a tenth of a second wants no client that learns; it asks the node that led
last, then the others. A read may be asked again anywhere. A write is asked again only when it
certainly did nothing; otherwise its outcome is unknown, and the caller is told so.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from .errors import CheckFailed, NoCluster, NoQuorum, OutcomeUnknown, TryAgain, UsageError
from .probe import Prober, Reply, is_listening
from .state import ClusterState
from .view import endpoints

TIMEOUT_SECONDS = 5.0
CONNECT_SECONDS = 0.4
READ_ATTEMPT_SECONDS = 1.0
RETRY_SECONDS = 0.05
PAGE = 1_000

_USAGE = {"bad_request", "unsupported", "too_large"}
_CHECK = {"conflict", "wrong_type", "out_of_range", "compacted"}


class Shot:
    """Asks one cluster, until :meth:`close`."""

    def __init__(self, state: ClusterState, *, seconds: float = TIMEOUT_SECONDS) -> None:
        self._state = state
        self._seconds = seconds
        self._prober = Prober(endpoints(state))

    def close(self) -> None:
        """Close the sockets."""
        self._prober.close()

    def read(self, **fields: Any) -> Reply:
        """Ask for something that changes nothing.

        Raises:
            CheckFailed: it was understood, and refused.
            UsageError: it was not.
            NoCluster: no node is running.
            NoQuorum: too few are.
            TryAgain: nobody answered in time.
        """
        return self._ask(fields, mutation=False)

    def write(self, **fields: Any) -> Reply:
        """Ask for a change, at most once.

        Raises:
            OutcomeUnknown: it was sent, and no answer tells whether it happened.
            OrchestratorError: as for :meth:`read`; it certainly did not happen.
        """
        return self._ask(fields, mutation=True)

    def _ask(self, fields: dict[str, Any], *, mutation: bool) -> Reply:
        deadline = time.monotonic() + self._seconds
        last: Reply | None = None
        while True:
            for name in self._listening():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                reply = self._try(name, fields, left, mutation=mutation)
                if reply is None:
                    continue
                if reply["ok"]:
                    return reply
                last = reply
                if not _worth_another_try(reply):
                    raise _as_error(reply)
            if time.monotonic() + RETRY_SECONDS >= deadline:
                break
            time.sleep(RETRY_SECONDS)
        if last is not None:
            raise TryAgain(f"{last['node']}: {last['message']}")
        raise TryAgain(f"no node answered within {self._seconds:g} s", hint="bin/cluster status")

    def _try(
        self, name: str, fields: dict[str, Any], left: float, *, mutation: bool
    ) -> Reply | None:
        """Ask one node; None when it certainly did nothing and another may be asked."""
        seconds = left if mutation else min(left, READ_ATTEMPT_SECONDS)
        request = {**fields, "timeout_ms": max(1, int(seconds * 1000))}
        # The node itself answers at its deadline; a little more lets that answer arrive.
        asked = self._prober.ask([name], request, seconds + 0.25, CONNECT_SECONDS)[name]
        if asked.reply is None and asked.sent and mutation:
            raise OutcomeUnknown(
                f"{name} took the request and did not answer: it may or may not have happened",
                hint="look with  bin/cluster get",
            )
        return asked.reply

    def _listening(self) -> Iterator[str]:
        """Yield the nodes that accept connections, the last known leader first.

        Raises:
            NoCluster: there is none.
            NoQuorum: too few are left for anything to be decided.
        """
        up = [node.name for node in self._state.nodes if is_listening(node.client)]
        if not up:
            raise NoCluster("no node is running", hint="bin/cluster up")
        if len(up) < self._state.quorum():
            raise NoQuorum(
                f"no quorum: {len(up)} of {len(self._state.nodes)} nodes are up, and "
                f"{self._state.quorum()} must agree; nothing was done",
                hint="bin/cluster start   brings back what is down",
            )
        led = self._state.leader.node if self._state.leader else None
        yield from sorted(up, key=lambda name: (name != led, name))

    def keys(self, prefix: bytes, *, limit: int | None = None) -> Iterator[bytes]:
        """Yield the keys with a prefix, all as of one moment, however many pages it takes."""
        after: dict[str, Any] = {}
        left = limit
        while left is None or left > 0:
            page = PAGE if left is None else min(PAGE, left)
            reply = self.read(op="range", prefix=prefix, keys_only=True, limit=page, **after)
            for item in reply["items"]:
                yield item["key"] if isinstance(item, dict) else item
            if left is not None:
                left -= len(reply["items"])
            if not reply["more"] or not reply["items"]:
                return
            last = reply["items"][-1]
            after = {
                "after": last["key"] if isinstance(last, dict) else last,
                "at_rev": reply["at_rev"],
            }


def shot(state: ClusterState, *, seconds: float = TIMEOUT_SECONDS) -> "closing[Shot]":
    """Return a :class:`Shot` for a ``with`` block."""
    return closing(Shot(state, seconds=seconds))


def _worth_another_try(reply: Reply) -> bool:
    return reply.get("applied") == "no" and reply.get("error") in {
        "no_leader",
        "not_leader",
        "overloaded",
    }


def _as_error(reply: Reply) -> Exception:
    code, message = reply.get("error"), f"{reply.get('message')}"
    if reply.get("applied") == "unknown":
        return OutcomeUnknown(
            f"{message} (it may or may not have happened)", hint="look with  bin/cluster get"
        )
    if code in _CHECK:
        return CheckFailed(message)
    if code in _USAGE:
        return UsageError(message)
    return TryAgain(f"{reply.get('node')}: {message}")
