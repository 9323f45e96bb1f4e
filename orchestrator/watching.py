"""Every change of some keys as it happens, for the command line: whatever happens to the nodes.

A watch is a long poll at one node, which answers from what it has applied itself. The answer says
with which revision to go on, and so any other node can take over: no change is missed, and none
comes twice. Where that can't be promised, the cluster says so, and this raises.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from .data import RETRY_SECONDS, TIMEOUT_SECONDS, Shot
from .errors import CheckFailed, NoCluster, OrchestratorError, TryAgain, UsageError
from .probe import Reply, is_listening
from .state import ClusterState

WAIT_SECONDS = 2.0
"""How long a node is asked to hold an answer back; then a node that is silent is found out."""
ANSWER_SECONDS = 1.0
"""How much later than that its answer may come, before another node is asked."""

_USAGE = {"bad_request", "unsupported", "too_large"}


class Watching:
    """Follows the changes of one key, or of all with a prefix.

    Args:
        shot: asks the nodes; it is closed by whoever made it.
        load: returns the cluster's state as it is now, with the nodes that it has by then.
        fields: what is watched, as the protocol has it.
        from_rev: the first revision that is wanted; None: the next one from now on.
        note: told what a person may want to know, in a sentence.
    """

    def __init__(
        self,
        shot: Shot,
        load: Callable[[], ClusterState],
        fields: dict[str, Any],
        *,
        from_rev: int | None,
        note: Callable[[str], None],
    ) -> None:
        self._shot = shot
        self._load = load
        self._fields = {"op": "watch", **fields}
        self._next_rev = from_rev
        self._note = note
        self._node = ""

    def begin(self, *, seconds: float = TIMEOUT_SECONDS) -> int:
        """Settle where it begins, and return that revision.

        Raises:
            NoCluster: no node is running.
            TryAgain: nobody could tell in time.
        """
        deadline = time.monotonic() + seconds
        while self._next_rev is None:
            if time.monotonic() >= deadline:
                raise TryAgain(f"no node answered within {seconds:g} s", hint="bin/cluster status")
            names = self._listening()
            if not names:
                raise NoCluster("no node is running", hint="bin/cluster up")
            for name in names:
                reply = self._shot.poll(
                    name,
                    {**self._fields, "wait_ms": 0},
                    seconds=max(0.1, deadline - time.monotonic()),
                )
                if self._take(name, reply):
                    break
            else:
                time.sleep(RETRY_SECONDS)
        return self._next_rev

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield every change from there on, as the protocol has it, without an end.

        Raises:
            CheckFailed: changes that are wanted are no longer kept.
            UsageError: the request was refused.
        """
        self.begin()
        silent_since: float | None = None
        while True:
            for name in self._listening():
                reply = self._ask(name)
                while self._take(name, reply):
                    assert reply is not None, "what was taken is there"
                    silent_since = None
                    yield from reply["events"]
                    if reply["leader"] is None and not reply["events"]:
                        break  # It may be cut off from the others, and these may know more.
                    reply = self._ask(name)
            if silent_since is None:
                silent_since = time.monotonic()
            elif time.monotonic() > silent_since + TIMEOUT_SECONDS:
                self._note("no node answers; it goes on as soon as one does")
                silent_since = float("inf")
            time.sleep(RETRY_SECONDS)

    def _ask(self, name: str) -> Reply | None:
        fields = {**self._fields, "from_rev": self._next_rev, "wait_ms": int(WAIT_SECONDS * 1000)}
        return self._shot.poll(name, fields, seconds=WAIT_SECONDS + ANSWER_SECONDS)

    def _take(self, name: str, reply: Reply | None) -> bool:
        """Note from where to go on; False: another node is to be asked."""
        if reply is None:
            return False
        if "next_rev" in reply:
            self._next_rev = int(reply["next_rev"])
        if reply["ok"]:
            if self._node not in {"", name}:
                self._note(f"{self._node} does not answer any more: goes on at {name}")
            self._node = name
            return True
        code, message = reply["error"], f"{reply['message']}"
        if code == "compacted":
            raise _compacted(int(reply["oldest"]), self._next_rev)
        if code in _USAGE:
            raise UsageError(message)
        return False

    def _listening(self) -> list[str]:
        """Return the nodes that accept connections, the present one first."""
        up = [node.name for node in self._load().nodes if is_listening(node.client)]
        return sorted(up, key=lambda name: (name != self._node, name))


def _compacted(oldest: int, wanted: int | None) -> OrchestratorError:
    return CheckFailed(
        f"compacted: the changes from revision {wanted} to {oldest - 1} are no longer kept, so "
        "some may have been missed",
        hint=(
            "bin/cluster keys --values              what is there now\n"
            f"bin/cluster watch --from-rev {oldest:<10} from the oldest change that is kept"
        ),
    )
