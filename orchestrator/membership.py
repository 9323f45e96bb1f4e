"""Carries out a change of the membership, step by step, so that a kill at any step loses nothing.

Before each step it is written down how far the change has come (``state.change``), and every step
may be done again. So whoever finds an unfinished change just goes on with it (:meth:`Work.go_on`);
one that the cluster was never asked for is dropped instead.

In this order: the cluster commits, then processes start, then it is waited until the newcomers
vote; of those that go, the processes end only when the cluster does without them.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from .administration import Member, Members
from .changes import aside_name, in_order
from .demo.narration import listed
from .errors import CheckFailed, TryAgain, UsageError
from .state import ASKED, COMMITTED, PLANNED, Change, ClusterState, NodeRecord

LEARN_SECONDS = 60.0
"""How long newcomers may take to catch up: a snapshot of gigabytes takes its time."""
POLL_SECONDS = 0.05
COUNT_SECONDS = 2.0
"""How often it is told how much a newcomer still has to learn."""


class Hands(Protocol):
    """What a change needs of the world. All of it may be done again."""

    def save(self) -> None:
        """Write the state down."""

    def members(self) -> Members:
        """Return who takes part, as the leader says."""

    def ask(self, fields: dict[str, Any]) -> Members:
        """Have the cluster commit a change, or find that it has."""

    def hand_over(self, leaving: list[str]) -> None:
        """See to it that none of these leads, as far as that can be helped."""

    def start(self, names: list[str]) -> None:
        """Write the settings of all nodes, and have these started."""

    def stop(self, name: str) -> None:
        """End a node's process; it stays down."""

    def forget(self, names: list[str]) -> None:
        """Have supervisord keep only the nodes of the state; delete the settings of these."""

    def set_aside(self, name: str, where: str) -> None:
        """Move a node's directory to ``where``; nothing happens if that is there already."""

    def kept(self, where: str) -> str | None:
        """Return the path of a directory that was set aside; None if there was none to keep."""

    def drop_data(self, name: str) -> None:
        """Delete a node's directory."""

    def refresh(self) -> None:
        """Tell whoever keeps a list of nodes, as the gateway does."""

    def hopeless(self, names: list[str]) -> dict[str, str]:
        """Return which of these will not come up by waiting, and why."""

    def last_words(self, name: str) -> list[str]:
        """Return what a node printed last."""

    def up_to_date(self, names: list[str]) -> bool:
        """Tell whether these nodes themselves say that they have caught up."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change."""

    words: str
    added: list[str]
    removed: list[str]
    replaced: list[str]
    members: list[Member]
    former: dict[str, int]
    """The incarnations of those that were there before, by name."""
    kept: dict[str, str]
    """Where the directories of those that went are, by name."""
    seconds: float


class Work:
    """One change, done with ``hands``; ``at`` is told each step, for tests that die there."""

    def __init__(
        self,
        state: ClusterState,
        hands: Hands,
        *,
        tell: Callable[[str], None] = lambda _: None,
        at: Callable[[str], None] = lambda _: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state = state
        self._hands = hands
        self._tell = tell
        self._at = at
        self._pause = pause

    def begin(
        self,
        change: Change,
        records: list[NodeRecord] | None = None,
        *,
        seconds: float = LEARN_SECONDS,
    ) -> Outcome:
        """Write a change down and carry it out; ``records`` are those of the nodes it adds."""
        assert self._state.change is None, "one change at a time"
        self._state.nodes = sorted(
            [*self._state.nodes, *(records or [])], key=lambda record: in_order(record.name)
        )
        self._state.change = change
        self._hands.save()
        self._at("planned")
        return self.go_on(seconds)

    def go_on(self, seconds: float = LEARN_SECONDS) -> Outcome:
        """Do all that is left of the change that is written down.

        Raises:
            TryAgain: the cluster could not do it in time. What is left stays written down.
            CheckFailed: a node can't start. What was added is taken back.
        """
        change = self._change()
        began = time.monotonic()
        former = {one.name: one.incarnation for one in self._state.nodes if one.incarnation}
        if change.step == PLANNED:
            self._hands.hand_over([*change.removed, *change.replaced])
            self._at("handed over")
            if change.replaced:
                members = self._hands.members()
                for name in change.replaced:
                    if lives := [one.incarnation for one in members.of(name)]:
                        change.former[name] = min(lives)
            self._reach(ASKED)
        if change.step == ASKED:
            self._commit_or_drop(change)
            self._at("committed")
            for name in change.removed:
                change.aside.setdefault(name, aside_name(name, "removed"))
            for name in change.replaced:
                change.aside.setdefault(name, aside_name(name, "damaged"))
            self._reach(COMMITTED)
        kept = self._realise(change)
        if change.added or change.replaced:
            self._await_votes(change, seconds)
        for name in change.removed:
            self._tell(f"{name} takes no part any more, and its process has ended")
        members = self._hands.members()
        self._remember(members)
        self._state.change = None
        self._hands.save()
        self._at("done")
        self._hands.refresh()
        return Outcome(
            words=change.words,
            added=change.added,
            removed=change.removed,
            replaced=change.replaced,
            members=members.members,
            former=former,
            kept=kept,
            seconds=time.monotonic() - began,
        )

    def drop(self) -> None:
        """Forget a change that the cluster was never asked for."""
        change = self._change()
        assert change.step == PLANNED, "what was asked for may be done"
        self._leave_out(change.added)
        self._state.change = None
        self._hands.save()

    def take_back(self) -> list[str]:
        """Undo the addition of nodes, whatever of it was done; return their names."""
        change = self._change()
        assert change.added, "only an addition can be taken back"
        present = [name for name in change.added if self._hands.members().of(name)]
        if present:
            self._hands.ask({"op": "member_change", "add": [], "remove": present})
        self._at("taken back")
        for name in change.added:
            self._hands.stop(name)
        self._leave_out(change.added)
        self._hands.forget(change.added)
        for name in change.added:
            self._hands.drop_data(name)  # it learned what all others know
        self._state.change = None
        self._hands.save()
        self._hands.refresh()
        return change.added

    def _change(self) -> Change:
        assert self._state.change is not None, "there is a change under way"
        return self._state.change

    def _reach(self, step: str) -> None:
        self._change().step = step
        self._hands.save()
        self._at(step)

    def _commit_or_drop(self, change: Change) -> None:
        try:
            self._commit(change)
        except UsageError:  # what was done already is never refused: so nothing of it was
            change.step = PLANNED
            self.drop()
            raise

    def _commit(self, change: Change) -> None:
        for name in change.replaced:
            record = self._state.node(name)
            fields: dict[str, Any] = {"id": name, "peer": record.peer, "client": record.client}
            if name in change.former:  # else an `up` of an older version wrote the change down
                fields["incarnation"] = change.former[name]
            self._hands.ask({"op": "member_replace", **fields})
            self._tell(f"{name} gets a new life: the cluster has agreed")
        if change.added or change.removed:
            records = [self._state.node(name) for name in change.added]
            add = [{"id": r.name, "peer": r.peer, "client": r.client} for r in records]
            self._hands.ask({"op": "member_change", "add": add, "remove": change.removed})
        if change.added:
            learn = "learns" if len(change.added) == 1 else "learn"
            self._tell(f"{listed(change.added)} {learn} from now on: the cluster has agreed")
        if change.removed:
            self._tell(f"{listed(change.removed)} removed: the cluster has agreed")

    def _realise(self, change: Change) -> dict[str, str]:
        """Bring processes and directories in line with what the cluster has agreed upon."""
        kept = {}
        for name in [*change.removed, *change.replaced]:
            if name not in change.cleared:
                self._hands.stop(name)
                self._at("stopped")
                self._hands.set_aside(name, change.aside[name])
                self._at("set aside")
                change.cleared.append(name)
                self._hands.save()
            path = self._hands.kept(change.aside[name])
            if path is not None:
                kept[name] = path
        if change.removed:
            self._leave_out(change.removed)
            self._hands.forget(change.removed)
            self._hands.save()
            self._at("forgotten")
        newcomers = [*change.added, *change.replaced]
        if newcomers:
            self._hands.start(newcomers)
            self._at("started")
        return kept

    def _leave_out(self, names: list[str]) -> None:
        self._state.nodes = [one for one in self._state.nodes if one.name not in names]

    def _await_votes(self, change: Change, seconds: float) -> None:
        """Wait until all newcomers vote and have caught up, and say how they come along."""
        newcomers = [*change.added, *change.replaced]
        progress = _Progress(newcomers, self._tell)
        deadline = time.monotonic() + seconds
        while True:
            members = self._hands.members()
            waiting = progress.look(members)
            if not waiting and members.quiet and self._hands.up_to_date(newcomers):
                self._at("voting")
                return
            hopeless = self._hands.hopeless(waiting)
            if hopeless:
                raise self._give_up(change, hopeless)
            if time.monotonic() > deadline:
                raise self._out_of_patience(change, waiting or newcomers, seconds)
            self._pause(POLL_SECONDS)

    def _out_of_patience(self, change: Change, names: list[str], seconds: float) -> TryAgain:
        late = f"{listed(names)} did not catch up within {seconds:g} s; `{change.words}` goes on"
        said = [f"\n  | {line}" for name in names for line in self._hands.last_words(name)]
        taking_back = (
            f"bin/cluster remove {','.join(change.added)}   takes it back"
            if change.added
            else f"bin/cluster logs {','.join(names)}   may tell more"
        )
        return TryAgain(
            late + "".join(said), hint=f"bin/cluster up   waits for it again\n{taking_back}"
        )

    def _give_up(self, change: Change, hopeless: dict[str, str]) -> CheckFailed:
        why = "\n".join(f"{name} does not come up: {words}" for name, words in hopeless.items())
        if not change.added:
            names = ",".join(hopeless)
            return CheckFailed(why, hint=f"bin/cluster logs {names}   says more")
        taken = listed(self.take_back())
        return CheckFailed(f"{why}\n{taken}: taken back, and the cluster is as it was before")

    def _remember(self, members: Members) -> None:
        for record in self._state.nodes:
            for member in members.of(record.name):
                if member.settled:
                    record.voter = True
                    record.incarnation = member.incarnation


class _Progress:
    """Tells how newcomers come along: a line for each thing that is new, and now and then one."""

    def __init__(self, names: list[str], tell: Callable[[str], None]) -> None:
        self._names = names
        self._tell = tell
        self._said: dict[str, str] = {}
        self._next_count = time.monotonic() + COUNT_SECONDS

    def look(self, members: Members) -> list[str]:
        """Say what is new; return those that do not vote yet."""
        waiting = []
        counting = time.monotonic() >= self._next_count
        for name in self._names:
            latest = max(members.of(name), key=lambda one: one.incarnation, default=None)
            if latest is not None and latest.settled and len(members.of(name)) == 1:
                self._say(name, f"{name} has caught up, and votes")
                continue
            waiting.append(name)
            if latest is None or not latest.joined:
                continue
            self._say(name, f"{name} runs, and learns what it missed")
            behind = members.longest - (latest.match or 0)
            if counting and behind > 0:
                self._tell(f"{name} has {behind:,} log entries to go")
        if counting:
            self._next_count = time.monotonic() + COUNT_SECONDS
        return waiting

    def _say(self, name: str, words: str) -> None:
        if self._said.get(name) != words:
            self._said[name] = words
            self._tell(words)
