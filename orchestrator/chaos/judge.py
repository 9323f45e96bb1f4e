"""The verdict over a run: final reads, the checker of histories, the nodes' states, and the heal.

Three outcomes. ``violated`` needs a proof; what could not be found out is ``unknown``, never fine.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec

from raftcache.client import Client, RequestError

from ..demo.narration import listed
from ..verify.judgement import Judgement as Verified
from ..verify.linearizability import Verdict
from .account import Writes

STATES_SECONDS_MAX = 5.0
_POLL_SECONDS = 0.05


class States(msgspec.Struct, frozen=True):
    """Whether all nodes hold the same: None when that could not be found out."""

    equal: bool | None
    note: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has shown."""

    verdict: str
    """``ok``, ``violated`` or ``unknown``."""
    violations: list[str]
    doubts: list[str]
    """What could not be found out."""
    linearizable: str
    """``valid``, ``invalid`` or ``unknown``."""
    operations: int
    keys: int
    states: States

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.violations:
            return f"VIOLATED: {'; '.join(self.violations)}."
        if self.doubts:
            return f"UNKNOWN: {'; '.join(self.doubts)}. Nothing wrong was found."
        return (
            "Nothing acknowledged was lost, nothing was done twice, and all "
            f"{self.operations:,} operations fit one order: linearizable."
        )


def judge(
    verified: Verified,
    writes: Writes,
    losing: Sequence[str],
    states: States,
    *,
    heal_failure: str = "",
) -> Judgement:
    """Judge a run: by its history, as it was verified, and by all else that was found out."""
    checked = verified.check
    invalid = sum(fault.verdict is Verdict.INVALID for fault in checked.faults)
    violations = [
        *_losses(writes, losing),
        *([heal_failure] if heal_failure else []),
        *([f"the nodes' states differ: {states.note}"] if states.equal is False else []),
        *(f"not linearizable: {violation.sentence}" for violation in verified.violations),
    ]
    if invalid > len(verified.violations):
        more = invalid - len(verified.violations)
        violations.append(f"and {more} more keys are not linearizable")
    doubts = []
    if len(checked.faults) > invalid:
        undecided = len(checked.faults) - invalid
        doubts.append(f"the check of {undecided} keys took too long and was given up")
    if writes.unread:
        doubts.append(f"{writes.unread} keys could not be read at the end")
    if states.equal is None and not heal_failure:
        doubts.append(f"the nodes' states could not be compared: {states.note}")
    if not writes.acknowledged:
        doubts.append("no write was acknowledged, so there was nothing to lose")
    return Judgement(
        verdict="violated" if violations else "unknown" if doubts else "ok",
        violations=violations,
        doubts=doubts,
        linearizable=checked.verdict.value,
        operations=checked.operations,
        keys=checked.keys,
        states=states,
    )


def _losses(writes: Writes, losing: Sequence[str]) -> list[str]:
    found = []
    if writes.lost:
        shown = f"{', '.join(losing[:3])}{' and more' if len(losing) > 3 else ''}"
        plural = "writes were" if writes.lost > 1 else "write was"
        found.append(f"{writes.lost:,} acknowledged {plural} lost ({shown})")
    if writes.twice:
        found.append(f"{writes.twice:,} changes were made that nobody can have asked for")
    return found


def compare_states(endpoints: Mapping[str, str]) -> States:
    """Compare the digests of all nodes' states, once they are at the same index."""
    deadline = time.monotonic() + STATES_SECONDS_MAX
    with Client(list(endpoints.values())) as client:
        while True:
            digests = {node: _digest(client, place) for node, place in endpoints.items()}
            known = [digest for digest in digests.values() if digest is not None]
            if len(known) == len(digests) and len(set(known)) == 1:
                return States(
                    True, f"the same on {listed(list(digests))}, at index {known[0][0]:,}"
                )
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    shown = ", ".join(
        f"{node} {'does not answer' if digest is None else f'{digest[1]} at {digest[0]}'}"
        for node, digest in digests.items()
    )
    at_one_index = len(known) == len(digests) and len({digest[0] for digest in known}) == 1
    return States(False if at_one_index else None, shown)


def _digest(client: Client, endpoint: str) -> tuple[int, str] | None:
    try:
        reply = client.hash(endpoint, timeout=0.5)
    except RequestError:
        return None
    return int(reply["at"]), str(reply["digest"])
