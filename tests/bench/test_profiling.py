"""Stacks are sorted by what the loop was doing, and a missing py-spy is said in a sentence."""

import sys
from pathlib import Path

import pytest

from orchestrator.bench.profiling import KINDS, Profile, kind_of, shares
from orchestrator.errors import CheckFailed, UsageError

LOOP = "thread (0x1): MainThread;run (raftcache/node/loop.py:142);_turn (raftcache/node/loop.py:9)"


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ("Poller.poll (zmq/sugar/poll.py:106)", "idle"),
        ("ClientSocket.receive (raftcache/transport/clients.py:71);recv (zmq/x.py:1)", "receive"),
        ("ClientSocket._try_send (raftcache/transport/clients.py:99);send (zmq/x.py:1)", "reply"),
        ("PeerSockets._send (raftcache/transport/peers.py:114)", "reply"),
        ("decode_request (raftcache/protocol/requests.py:95)", "decode"),
        ("encode_reply (raftcache/protocol/replies.py:103)", "encode"),
        ("encode_peer_frame (raftcache/protocol/peer.py:80)", "encode"),
        ("Raft.ready (raftcache/raft/core.py:252);rule (raftcache/raft/quorum.py:9)", "raft"),
        ("StateMachine.apply (raftcache/store/machine.py:150)", "apply"),
        ("encode_commands (raftcache/store/commands.py:230)", "encode"),
        ("Storage.append (raftcache/storage/wal.py:80)", "wal"),
        ("Server.turn (raftcache/node/server.py:204)", "other"),
    ],
)
def test_the_innermost_frame_that_tells_decides(frames: str, kind: str) -> None:
    assert kind_of(f"{LOOP};{frames}".split(";")) == kind


def test_shares_are_those_of_the_loop_and_come_to_one() -> None:
    stacks = [
        f"{LOOP};Poller.poll (zmq/sugar/poll.py:106) 6",
        f"{LOOP};decode_request (raftcache/protocol/requests.py:95) 3",
        f"{LOOP};Server.turn (raftcache/node/server.py:204) 1",
        "thread (0x2): wal;fdatasync (raftcache/storage/files.py:20) 90",
    ]
    told = shares(stacks)
    assert tuple(told) == KINDS
    assert {kind: share for kind, share in told.items() if share} == pytest.approx(
        {"idle": 0.6, "decode": 0.3, "other": 0.1}
    )


def test_without_stacks_there_are_no_shares() -> None:
    assert set(shares([]).values()) == {0.0}


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UsageError) as caught:
        Profile(1, 1.0, tmp_path / "flames.svg")
    assert caught.value.hint == "pip install py-spy"


def test_a_refusal_of_py_spy_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "py-spy"
    program.write_text("#!/bin/sh\necho 'Error: Permission Denied' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    profile = Profile(1, 1.0, tmp_path / "flames.svg")
    profile.begin()
    with pytest.raises(CheckFailed, match="Permission Denied"):
        profile.finish()
