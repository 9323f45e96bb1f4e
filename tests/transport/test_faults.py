"""What rules do to frames, under a time of our own."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from raftcache.protocol.faults import KINDS, RULES_MAX, FaultRule, kind_named, rules_of
from raftcache.protocol.joining import JoinAnswer, JoinRequest, encode_join_frame
from raftcache.protocol.limits import FieldError
from raftcache.protocol.peer import (
    Answer,
    HandedOn,
    PeerFrame,
    SnapshotAck,
    SnapshotChunk,
    decode_peer_frame,
    encode_peer_frame,
)
from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    InstallSnapshot,
    RequestVote,
)
from raftcache.transport import faults as module
from raftcache.transport.faults import LinkFaults

HERE, PEER, OTHER = "n1#1", "n2#1", "n3#1"


class World:
    """The faults of one node, and the time."""

    def __init__(self, *rules: FaultRule, seed: int = 1) -> None:
        self.now_ms = 1_000.0
        self.faults = LinkFaults(random.Random(seed), lambda: self.now_ms)
        self.faults.replace(rules)

    def send(self, frame: bytes, peer: str = PEER, *, bulk: bool = False) -> list[bytes]:
        """Let a frame leave."""
        return self.faults.outgoing(peer, frame, bulk=bulk)

    def is_active(self) -> bool:
        """Tell what the sockets look at."""
        return self.faults.active

    def after(self, ms: float) -> list[bytes]:
        """Let time pass; return what is due then."""
        self.now_ms += ms
        return [held.frame for held in self.faults.due()]


def rule(direction: Any = "out", **what: Any) -> FaultRule:
    return FaultRule(**{"peer": "n2", "direction": direction, **what})


def frame(*messages: Any, source: str = HERE, target: str = PEER, **items: Any) -> bytes:
    return encode_peer_frame(PeerFrame("c", source, target, list(messages), **items))


def heartbeat(term: int = 1) -> AppendEntries:
    return AppendEntries(HERE, PEER, term, 0, 0, (), 0)


def ack() -> AppendEntriesResponse:
    return AppendEntriesResponse(HERE, PEER, 1, success=True, prev_log_index=0, match_index=0)


def numbered(count: int) -> list[bytes]:
    return [frame(heartbeat(number)) for number in range(1, count + 1)]


def terms(frames: Sequence[bytes]) -> list[int]:
    return [decode_peer_frame(one).messages[0].term for one in frames]


def test_a_cut_loses_everything_in_its_direction_and_nothing_else() -> None:
    """A one-way cut (failure A17)."""
    world = World(rule("out", drop=1))
    one = frame(heartbeat())
    coming = frame(ack(), source=PEER, target=HERE)

    assert world.send(one) == []
    assert world.send(one, bulk=True) == []
    assert world.send(one, OTHER) == [one]
    assert world.faults.incoming(coming) == [coming]
    assert world.faults.counts == {"lost": 2}


def test_what_comes_in_is_known_by_its_sender_whatever_the_incarnation() -> None:
    world = World(rule("in", drop=1))

    assert world.faults.incoming(frame(ack(), source="n2#7", target=HERE)) == []
    other = frame(ack(), source=OTHER, target=HERE)
    assert world.faults.incoming(other) == [other]
    assert world.send(other) == [other]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\xa1c\x01\x02", b"\x91" * 5_000])
def test_what_is_no_frame_of_ours_is_left_to_the_node(data: bytes) -> None:
    assert World(rule("in", drop=1)).faults.incoming(data) == [data]
    assert World(rule("in", drop=1, types=("PreVote",))).faults.incoming(data) == [data]
    assert World(rule("out", drop=1, types=("PreVote",))).send(data) == [data]


def test_a_drop_by_type_splits_a_frame() -> None:
    world = World(rule(drop=1, types=("AppendEntries",)))
    vote = RequestVote(HERE, PEER, 2, 0, 0)
    handed, answer = HandedOn(1, 1, 5, b"x"), Answer(2, b"y")
    whole = frame(heartbeat(), vote, handed_on=[handed], answers=[answer])

    [left] = world.send(whole)

    assert decode_peer_frame(left) == PeerFrame("c", HERE, PEER, [vote], [handed], [answer])


def test_each_part_of_a_frame_says_of_its_sender_what_the_whole_did() -> None:
    """Else a leader would hear of a node's older release, and refuse what needs the present one."""
    world = World(rule(delay_ms=5, types=("AppendEntries",)))
    told: dict[str, Any] = {"version": 2, "time_ms": 1_000, "reply_to": "tcp://127.0.0.1:7501"}
    vote = RequestVote(HERE, PEER, 2, 0, 0)

    parts = [*world.send(frame(heartbeat(), vote, **told)), *world.after(5)]

    assert [decode_peer_frame(part) for part in parts] == [
        PeerFrame("c", HERE, PEER, [vote], **told),
        PeerFrame("c", HERE, PEER, [heartbeat()], **told),
    ]


@pytest.mark.parametrize(
    ("kind", "items"),
    [
        ("HandedOn", {"handed_on": [HandedOn(1, 1, 5, b"x")]}),
        ("Answer", {"answers": [Answer(1, b"x")]}),
        (
            "InstallSnapshot",
            {"chunks": [SnapshotChunk(InstallSnapshot(HERE, PEER, 1, 1, 1), 1, 1, 0, b"x")]},
        ),
        ("InstallSnapshotAck", {"acks": [SnapshotAck(1, 1, 1)]}),
    ],
)
def test_all_that_a_frame_can_hold_has_a_kind(kind: str, items: dict[str, Any]) -> None:
    whole = frame(ack(), **items)

    [left] = World(rule(drop=1, types=(kind,))).send(whole)

    assert left == frame(ack())
    assert World(rule(drop=1, types=("PreVote",))).send(whole) == [whole]


def test_who_asks_for_a_place_is_cut_off_like_a_member() -> None:
    """Such a frame is no peer's, and comes before its sender is one."""
    question = JoinRequest("c", "n2", 0, "lot", "tcp://127.0.0.1:7502", "tcp://127.0.0.1:7402")
    answer = JoinAnswer("c", PEER, "n1", "lot", 2, "granted")
    for one in (encode_join_frame(question), encode_join_frame(answer)):
        assert World(rule("in", drop=1)).faults.incoming(one) == []
        assert World(rule("out", drop=1)).send(one, "n2#0") == []
        assert World(rule("in", drop=1, types=("PreVote",))).faults.incoming(one) == [one]
        assert World(FaultRule(peer="n3", direction="in", drop=1)).faults.incoming(one) == [one]
    deaf_to_questions = World(rule("in", drop=1, types=("JoinRequest",)))
    assert deaf_to_questions.faults.incoming(encode_join_frame(question)) == []
    assert deaf_to_questions.faults.incoming(encode_join_frame(answer)) != []


def test_the_first_rule_that_fits_a_message_decides() -> None:
    world = World(
        rule(delay_ms=5, types=("AppendEntries",)),
        rule(drop=1),
    )

    assert world.send(frame(heartbeat(), ack())) == []
    assert world.after(5) == [frame(heartbeat())]


def test_a_delay_keeps_the_order() -> None:
    world = World(rule(delay_ms=20, jitter_ms=15))
    sent = numbered(50)

    for one in sent:
        assert world.send(one) == []
        world.now_ms += 0.5
    arrived = world.after(100)

    assert arrived == sent


def test_a_delay_is_neither_shorter_nor_longer_than_asked() -> None:
    world = World(rule(delay_ms=20))
    [one] = numbered(1)
    world.send(one)

    assert world.faults.next_due_ms == 1_020
    assert world.after(19.9) == []
    assert world.after(0.1) == [one]
    assert world.faults.next_due_ms == float("inf")


def test_loss_is_as_likely_as_asked() -> None:
    world = World(rule(drop=0.3))

    passed = sum(len(world.send(one)) for one in numbered(2_000))

    assert 1_300 < passed < 1_500


def test_reordering_lets_later_frames_overtake_and_loses_none() -> None:
    world = World(rule(reorder=0.3))
    sent = numbered(100)

    arrived = [one for each in sent for one in [*world.send(each), *world.after(1)]]
    arrived += world.after(module.LATE_MS_MAX)

    assert sorted(terms(arrived)) == terms(sent)
    assert terms(arrived) != terms(sent)


def test_a_duplicate_comes_later_and_once() -> None:
    world = World(rule(duplicate=1))
    [one] = numbered(1)

    assert world.send(one) == [one]
    assert world.after(module.LATE_MS_MAX) == [one]
    assert world.after(1_000) == []


def test_a_bandwidth_lets_so_many_bytes_through_in_a_second() -> None:
    one = frame(handed_on=[HandedOn(1, 1, 5, bytes(10_000))])
    world = World(rule(bandwidth=len(one) * 10))

    for _ in range(30):
        world.send(one)

    assert len(world.after(1_000)) == 10
    assert len(world.after(1_000)) == 10


def test_snapshots_and_messages_do_not_wait_for_each_other() -> None:
    """They have a connection each (failure F10)."""
    chunk = SnapshotChunk(InstallSnapshot(PEER, HERE, 1, 1, 1), 1, 1, 0, bytes(100_000))
    slow = {"bandwidth": 100_000}
    world = World(rule("out", **slow), rule("in", **slow))
    bulk = frame(source=PEER, target=HERE, chunks=[chunk])
    small = frame(ack(), source=PEER, target=HERE)

    world.send(bulk, bulk=True)
    world.send(small)
    world.faults.incoming(bulk)
    world.faults.incoming(small)

    assert world.after(100) == [small, small]
    assert world.after(1_100) == [bulk, bulk]


def test_what_is_held_back_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_FRAMES_MAX", 5)
    world = World(rule(delay_ms=10))
    for one in numbered(8):
        world.send(one)
    assert terms(world.after(10)) == [1, 2, 3, 4, 5]

    monkeypatch.setattr(module, "HELD_BYTES_MAX", 10)
    world.send(frame(heartbeat()))

    assert world.after(10) == []
    assert world.faults.counts["lost"] == 4


def test_a_cut_also_takes_what_is_under_way() -> None:
    world = World(rule(delay_ms=10), FaultRule(peer="n3", direction="out", delay_ms=10))
    there = frame(heartbeat(), target=OTHER)
    world.send(frame(heartbeat()))
    world.send(there, OTHER)

    world.faults.replace([rule(drop=1)])

    assert world.after(10) == [there]


def test_without_rules_all_that_is_held_back_arrives_at_once_in_its_order() -> None:
    world = World(rule(delay_ms=60_000))
    sent = numbered(20)
    for one in sent:
        world.send(one)
        world.now_ms += 1

    world.faults.replace([])

    assert world.is_active()
    assert world.after(0) == sent
    assert not world.is_active()


def test_without_a_rule_there_is_nothing_to_do() -> None:
    world = World()

    assert not world.is_active()
    assert world.faults.due() == []
    world.faults.replace([rule(drop=1)])
    assert world.is_active()
    world.faults.replace([])
    assert not world.is_active()


def test_the_same_seed_does_the_same() -> None:
    def course(seed: int) -> list[list[bytes]]:
        world = World(
            rule(drop=0.2, delay_ms=3, jitter_ms=3, duplicate=0.2, reorder=0.2), seed=seed
        )
        return [[*world.send(one), *world.after(1)] for one in numbered(200)]

    assert course(7) == course(7)
    assert course(7) != course(8)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"peer": "n2"}, "Expected `array`"),
        ([{"direction": "in"}], "required field `peer`"),
        ([{"peer": "n2", "direction": "up"}], "Invalid enum value 'up'"),
        ([{"peer": "n2", "direction": "in", "dorp": 1}], "unknown field `dorp`"),
        ([{"peer": "n2", "direction": "in", "drop": 2}], "<= 1.0"),
        ([{"peer": "n2", "direction": "in", "delay_ms": -1}], ">= 0.0"),
        ([{"peer": "n2", "direction": "in", "bandwidth": 0}], ">= 1"),
        (
            [{"peer": "n2", "direction": "in", "types": ["AppendEntrys"]}],
            "did you mean AppendEntries?",
        ),
        ([{"peer": "n2", "direction": "in", "types": ["prevote"]}], "is written PreVote"),
    ],
)
@pytest.mark.parametrize("json", [True, False])
def test_rules_that_are_wrong_are_refused_by_name(rules: Any, complaint: str, json: bool) -> None:  # noqa: FBT001 - a parameter
    encode = msgspec.json.encode if json else msgspec.msgpack.encode

    with pytest.raises(FieldError, match=r"`rules`") as refused:
        rules_of(msgspec.Raw(encode(rules)), json=json)

    assert refused.value.code == "bad_request"
    assert complaint in refused.value.message


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["drop", "delay_ms", "reorder"])
def test_a_number_that_is_none_is_refused(field: str, number: float) -> None:
    raw = msgspec.msgpack.encode([{"peer": "n2", "direction": "in", field: number}])

    with pytest.raises(FieldError):
        rules_of(msgspec.Raw(raw), json=False)


def test_there_is_a_bound_on_rules() -> None:
    raw = msgspec.json.encode([{"peer": "n2", "direction": "in"}] * (RULES_MAX + 1))

    with pytest.raises(FieldError) as refused:
        rules_of(msgspec.Raw(raw), json=True)

    assert refused.value.code == "too_large"


def test_kinds_are_found_in_whichever_case_they_are_written() -> None:
    assert {kind_named(kind.upper()) for kind in KINDS} == set(KINDS)
    assert {"AppendEntries", "HandedOn", "Answer", "InstallSnapshot"} < set(KINDS)


def test_a_cut_is_known_to_those_who_would_look_behind_it() -> None:
    """A node must not learn through a cut that the process behind it has died."""
    assert World(rule(drop=1.0)).faults.is_cut(PEER)
    assert World(rule("in", drop=1.0)).faults.is_cut(PEER)
    assert not World(rule(drop=0.5)).faults.is_cut(PEER)
    assert not World(rule(drop=1.0, types=("AppendEntries",))).faults.is_cut(PEER)
    assert not World(rule(drop=1.0)).faults.is_cut(OTHER)
