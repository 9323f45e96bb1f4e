"""Clients with sessions: each mutation has a number, and is sent again until it is answered.

What they do stands in the same history as what the others do, each mutation once, however often it
was sent: so the judges of histories notice one that took effect twice. Beyond that, all answers to
one number must be one and the same, and no session may end before its time.
"""

from random import Random
from typing import Any

import msgspec

from raftcache.store.recorded import Session
from raftcache.store.sessions import ANSWER_OVERHEAD_BYTES, SESSION_BYTES

from .calls import Call
from .clock import NORMAL_RATE
from .cluster import SimulatedCluster
from .deeds import Deeds
from .histories import plain
from .kinds_of_process import CLOCK_RATES
from .loose import is_loose
from .plain import WINDOW
from .workload import (
    EBBING,
    FAILED,
    LOCKS,
    LOOSE,
    OK,
    PASSING,
    PATIENCE_US,
    UNKNOWN,
    Operation,
    Workload,
)

PASSED_MS = 3_000
PASSED_STEP_MS = 100
"""Within so long all keys with a time to live have gone in peace; and how often one looks."""
GUARDED = "fenced-unnumbered"
"""A key that is written behind a fence, without a number."""
UNSETTLED_MAX = 5
"""How many numbers a client leaves without an answer before it does nothing new."""
TOGETHER = 0.4
"""How often a client sends several at once."""
TTLS_MS = (400, 2_000, 20_000)
DEFINITE = frozenset({"conflict", "fenced", "wrong_type", "too_large"})
"""The refusals that are answers: they are told again."""
TRIES_MAX = 4 * UNSETTLED_MAX
ROUNDED_US = 2_000
"""Clocks and stamps show whole milliseconds."""
HEADER = frozenset({"ok", "id", "node", "term", "leader", "store_rev", "message"})
"""What an answer says of whoever gives it, and not of what was done."""
SHORTENED: dict[str, Any] = {"reply_dropped": True}
"""What is known of an answer that was too large to keep."""
IMPOSSIBLE = frozenset({"stale_seq", "window_full", "bad_request"})
"""What is never told of a number above `ack`, to a client that numbers well."""


class _Numbered(msgspec.Struct):
    """A mutation under its number."""

    operation: Operation
    fields: dict[str, Any]
    answer: dict[str, Any] | None = None
    """What it was answered: every answer must be this one."""


class NumberedClients:
    """As many clients with sessions as the profile says.

    Args:
        workload: has the history.
        cluster: whom they ask.
        seed: decides what they ask.
    """

    def __init__(self, workload: Workload, cluster: SimulatedCluster, seed: int | str) -> None:
        self._cluster = cluster
        first = cluster.profile.clients
        self.clients = [
            _Client(workload, cluster, Random(f"{seed}/numbered/{number}"), first + number)
            for number in range(cluster.profile.sessions)
        ]
        for client in self.clients:
            client.begin()

    def settle_all(self) -> None:
        """Send again what has no answer yet; in the end, when all is well."""
        for client in self.clients:
            client.settle_all()

    def check_passed(self) -> None:
        """Check that what has a time to live goes when it is over, nobody asking for it.

        Assumes that there is peace, and that nobody writes.
        """
        if not self.clients or not {"passing", "ebb"} & {*self._cluster.profile.deeds}:
            return
        cluster, end_ms = self._cluster, self._cluster.scheduler.now_ms + PASSED_MS
        left = [*PASSING, *EBBING]
        while left and cluster.scheduler.now_ms < end_ms:
            cluster.run_ms(PASSED_STEP_MS)
            # A read of them would let them slide on.
            keyspace = cluster.process(cluster.elect()).server.store._keyspace  # noqa: SLF001 - as below
            left = [key for key in left if keyspace.get(key.encode()) is not None]
        assert not left, f"{left} outlive their time by far, with a leader and no faults"

    def check_bound(self) -> None:
        """Check that no key has outlived its session, and that sessions know theirs."""
        for process in self._cluster.running:
            keyspace = process.server.store._keyspace  # noqa: SLF001 - nobody else asks
            sessions = keyspace.sessions
            bound = {key: one.session for key, one in keyspace.behind(None) if one.session}
            known = {
                key: number
                for number in sessions.ids()
                if (session := sessions.get(number)) is not None
                for key in session.keys
            }
            weight = sum(map(_weight_of, map(sessions.get, sessions.ids())))
            assert sessions.weight == weight, (
                f"{process.name}: the table of sessions weighs {weight}, and not {sessions.weight}"
            )
            assert bound == known, f"{process.name}: keys are bound to {bound}, and not to {known}"


def _weight_of(session: Session | None) -> int:
    """Return what a session weighs, by what is in it."""
    assert session is not None, "it is in the table"
    kept = [*(one.answer for one in session.answers.values())]
    kept += [one.digests + one.answer for one in session.runs]
    return SESSION_BYTES + ANSWER_OVERHEAD_BYTES * len(kept) + sum(map(len, kept))


class _Client:
    """One client: asks, waits, thinks, asks."""

    def __init__(
        self, workload: Workload, cluster: SimulatedCluster, random: Random, number: int
    ) -> None:
        self._random = random
        self._workload = workload
        self._cluster = cluster
        self._number = number
        self._turn = 0
        self._deeds = Deeds(random, number, cluster.profile.deeds)
        self._session = 0
        self._ttl_ms = 0
        self._kept_us = 0
        """When the last request that kept the session alive was sent."""
        self._seq = 0
        self._ack = 0
        self._numbered: dict[tuple[int, int], _Numbered] = {}
        """By session and number; what is settled too, as late answers must be the same."""

    def begin(self) -> None:
        """Ask for the first time, soon."""
        self._think()

    def settle_all(self) -> None:
        """Ask until every number of the present session has its answer."""
        cluster = self._cluster
        for _ in range(TRIES_MAX):
            unsettled = self._unsettled()
            if not unsettled:
                return  # Or the session has ended: nobody will ever know.
            numbered = self._numbered[self._session, unsettled[0]]
            node = self._random.choice(cluster.names)
            reply = cluster.ask(node, numbered.operation.op, **numbered.fields)
            self._on_numbered(numbered, reply)
            if reply.get("error") == "over_quota":
                return  # It may stay so for ever.
            if numbered.answer is None:
                cluster.elect()  # Whoever led was just handing over.
        raise AssertionError(f"all is well, and no answer to {numbered}")

    def _think(self) -> None:
        pause_us = self._random.randint(*self._cluster.profile.think_us)
        self._cluster.scheduler.after(pause_us, self._ask)

    def _unsettled(self) -> list[int]:
        numbers = range(self._ack + 1, self._seq + 1)
        return [seq for seq in numbers if self._numbered[self._session, seq].answer is None]

    def _ask(self) -> None:
        if not self._workload.running:
            return
        random = self._random
        unsettled = self._unsettled()
        number = random.random()
        if not self._session:
            self._open()
        elif number < 0.1:
            self._keep_alive()
        elif number < 0.12 and not unsettled:
            self._close()
        elif self._seq and self._is_rude():
            self._be_rude()
        elif self._deeds.wants_to_look():
            self._look()
        elif len(unsettled) >= UNSETTLED_MAX or (unsettled and number < 0.6):
            again = [random.choice(unsettled)]
            if random.random() < TOGETHER:
                again = unsettled  # what of it was done, and what was not, nobody knows
            self._send_all([self._numbered[self._session, seq] for seq in again])
        else:
            count = random.randint(2, 4) if random.random() < TOGETHER else 1
            self._send_all([self._new() for _ in range(count)])

    def _open(self) -> None:
        ttl_ms, sent_us = self._random.choice(TTLS_MS), self._cluster.scheduler.now_us

        def opened(reply: dict[str, Any]) -> None:
            if reply["ok"] and not self._session:
                self._session, self._ttl_ms, self._kept_us = reply["session"], ttl_ms, sent_us
                self._seq = self._ack = 0

        self._send("session_open", {"ttl_ms": ttl_ms}, opened)

    def _keep_alive(self) -> None:
        session, sent_us = self._session, self._cluster.scheduler.now_us

        def kept(reply: dict[str, Any]) -> None:
            if session != self._session:
                return
            if reply["ok"]:
                self._kept_us = max(self._kept_us, sent_us)
            else:
                self._look_for_the_end(reply)

        self._send("session_keepalive", {"session": session}, kept)

    def _close(self) -> None:
        # Whatever is answered: nothing is asked for under it any more.
        session, self._session = self._session, 0
        self._seq = self._ack = 0
        self._send("session_close", {"session": session}, lambda _reply: None)

    def _new(self) -> _Numbered:
        op, asked = self._deeds.next()
        self._seq += 1
        if is_loose(asked):
            operation = self._workload.operation(self._number, "", op, asked)
        else:
            operation = self._workload.invoke(self._number, "", op, asked)
        numbered = _Numbered(operation, {**asked, "session": self._session, "seq": self._seq})
        self._numbered[self._session, self._seq] = numbered
        return numbered

    def _look(self) -> None:
        """Read what only such clients write."""
        asked = self._deeds.look()
        operation = self._workload.invoke(self._number, "", "get", asked)

        def seen(reply: dict[str, Any]) -> None:
            self._workload.settle(operation, reply)
            self._deeds.learn(operation.key, "get", reply)

        operation.node = self._send("get", asked, seen)

    def _is_rude(self) -> bool:
        rude = self._cluster.profile.rude
        return rude > 0 and self._random.random() * 1_000 < rude

    def _be_rude(self) -> None:
        """Use a number as nobody should: it is refused, and has no effect."""
        random, session = self._random, self._session
        if self._deeds.lock_rev and random.random() < 0.5:
            # Without any number: whether it was done nobody will ever know.
            fence = {"key": LOCKS[0], "create_rev": self._deeds.lock_rev}
            guarded: dict[str, Any] = {"key": GUARDED, "value": "rude", "fence": fence}
            self._send("set", guarded, lambda _reply: None)
            return
        settled = [
            seq
            for seq in range(max(1, self._ack - 1), self._seq + 1)
            if self._numbered[session, seq].answer is not None
        ]
        fields: dict[str, Any] = {"session": session, "key": LOOSE[0], "value": "rude"}
        if not settled or random.random() < 0.3:
            seq, ack = self._ack + WINDOW + random.randint(1, 9), self._ack
        else:
            seq = random.choice(settled)
            ack = min(self._ack, seq - random.randrange(2))
            fields["key"] = self._numbered[session, seq].operation.key or LOOSE[0]

        def refused(reply: dict[str, Any]) -> None:
            assert not reply["ok"], f"what is asked for under `seq` {seq} is refused: {reply}"

        self._send("set", {**fields, "seq": seq, "ack": ack}, refused)

    def _send_numbered(self, numbered: _Numbered) -> None:
        numbered.operation.node = self._send(
            numbered.operation.op,
            {**numbered.fields, "ack": self._ack},
            lambda reply: self._on_numbered(numbered, reply),
        )

    def _send_all(self, some: list[_Numbered]) -> None:
        """Send one, or several as a batch, as a busy client does: each has its own number."""
        # A transaction goes alone; what is not sent now is unsettled, and its turn will come.
        alone = [one for one in some if one.operation.op == "txn"]
        if alone or len(some) == 1:
            self._send_numbered((alone or some)[0])
            return
        whole = {"session": self._session, "ack": self._ack}
        ops = [
            {"op": one.operation.op, **{k: v for k, v in one.fields.items() if k not in whole}}
            for one in some
        ]

        def answered(reply: dict[str, Any]) -> None:
            for one, result in zip(some, reply.get("results") or [reply] * len(some), strict=True):
                self._on_numbered(one, result)

        node = self._send("batch", {"ops": ops, **whole}, answered)
        for one in some:
            one.operation.node = node

    def _send(self, op: str, fields: dict[str, Any], on_reply: Any) -> str:
        """Ask one node; go on when it has answered, or when it is too late."""
        self._turn += 1
        turn, random = self._turn, self._random
        node = random.choice(self._cluster.names)
        timeout_ms = random.choice((50, 200, 1_000))
        json = random.random() < 0.2
        call = self._cluster.request(node, op, json=json, timeout_ms=timeout_ms, **fields)

        def answered(call: Call) -> None:
            self._cluster.record.counts[f"{op} numbered {call.outcome}"] += 1
            on_reply(call.reply)  # A late answer is an answer.
            go_on()

        def go_on() -> None:
            if turn == self._turn:
                self._turn += 1
                self._think()

        call.on_answer = answered
        self._cluster.scheduler.after(timeout_ms * 1_000 + PATIENCE_US, go_on)
        return node

    def _on_numbered(self, numbered: _Numbered, reply: dict[str, Any]) -> None:
        error = reply.get("error")
        session, seq = numbered.fields["session"], numbered.fields["seq"]
        if reply["ok"] or error in DEFINITE:
            self._settle(numbered, reply)
        elif session == self._session and error == "session_expired":
            self._look_for_the_end(reply)
        elif session == self._session and seq > self._ack:
            assert error not in IMPOSSIBLE, f"{numbered.fields} has no answer yet: {reply}"

    def _settle(self, numbered: _Numbered, reply: dict[str, Any]) -> None:
        operation = numbered.operation
        answer = {name: plain(reply[name]) for name in sorted(reply) if name not in HEADER}
        if reply.get("reply_dropped") or reply.get("value_omitted"):
            # What it came to is no longer kept: who has not heard it by now never will.
            numbered.answer = numbered.answer or SHORTENED
            self._raise_ack(numbered)
            return
        if numbered.answer is not None and numbered.answer is not SHORTENED:
            assert answer == numbered.answer, (
                f"every send of a number gets one answer: {numbered}, then {reply}"
            )
            return
        numbered.answer = answer
        if operation.outcome == UNKNOWN:
            operation.fields = reply
            operation.outcome = OK if reply["ok"] else FAILED
            operation.returned_us = self._cluster.scheduler.now_us
        self._deeds.learn(operation.key, operation.op, reply)
        self._raise_ack(numbered)

    def _raise_ack(self, numbered: _Numbered) -> None:
        """Take note of all that is settled, now that something is."""
        if numbered.fields["session"] == self._session:
            while self._ack < self._seq and (
                self._numbered[self._session, self._ack + 1].answer is not None
            ):
                self._ack += 1

    def _look_for_the_end(self, reply: dict[str, Any]) -> None:
        """Take note that the session is gone; it must have had its time, by the fastest clock."""
        if reply.get("error") != "session_expired":
            return
        profile = self._cluster.profile
        rates = (*profile.clock_rates, *(CLOCK_RATES if "clock_rate" in profile.faults else ()))
        passed_us = self._cluster.scheduler.now_us - self._kept_us
        # Of a jump, cluster time takes one election timeout at most.
        jumps = self._cluster.record.faults["clock_jump"]
        jumped_us = jumps * profile.election_ticks_min * profile.tick_ms * 1_000
        most_us = passed_us * max(rates) // NORMAL_RATE + jumped_us
        assert most_us + ROUNDED_US >= self._ttl_ms * 1_000, (
            f"session {self._session} of {self._ttl_ms} ms ended {passed_us} us after it was kept "
            "alive"
        )
        self._session = self._seq = self._ack = 0
