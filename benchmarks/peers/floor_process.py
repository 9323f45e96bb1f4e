"""A process of a floor: ``echo``, ``follow LOG``, or ``lead LOG FOLLOWER…``; ``-``: no log.

It prints its endpoint, and ends with its parent.
"""

import os
import sys
from collections import deque
from typing import Any

import msgspec
import zmq

_PARENT = os.getppid()
_LOOK_MS = 1_000
_LOG_BYTES = 64 * 1024 * 1024
_TURN_MAX = 1_000
_GOT = b"v" * 256

Context = zmq.Context[zmq.Socket[bytes]]


class Log:
    """A preallocated file that is overwritten and synced; or nothing at all."""

    def __init__(self, path: str) -> None:
        self._file = -1
        self._at = 0
        if path != "-":
            self._file = os.open(path, os.O_RDWR | os.O_CREAT)
            for _ in range(_LOG_BYTES >> 20):
                os.write(self._file, bytes(1 << 20))
            os.fsync(self._file)

    def add(self, data: bytes) -> None:
        """Write and sync."""
        if self._file >= 0:
            if self._at + len(data) > _LOG_BYTES:
                self._at = 0
            os.pwrite(self._file, data, self._at)
            os.fdatasync(self._file)
            self._at += len(data)


def _router(context: Context) -> "zmq.Socket[bytes]":
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    router.setsockopt(zmq.RCVHWM, 0)
    router.bind("tcp://127.0.0.1:*")
    sys.stdout.write(router.getsockopt_string(zmq.LAST_ENDPOINT) + "\n")
    sys.stdout.flush()
    return router


def _drain(socket: "zmq.Socket[bytes]") -> list[list[bytes]]:
    """Take what is there, bounded."""
    taken: list[list[bytes]] = []
    while len(taken) < _TURN_MAX:
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            break
        taken.append(frames)
    return taken


def _reply(body: bytes) -> bytes:
    """Answer a request as briefly as the real one would: its id, and a value for a get."""
    asked: dict[str, Any] = msgspec.msgpack.decode(body)
    reply = {"ok": True, "id": asked.get("id")}
    if asked["op"] == "get":
        reply["value"] = _GOT
    return msgspec.msgpack.encode(reply)


def echo() -> None:
    """Answer every request at once."""
    router = _router(zmq.Context())
    while os.getppid() == _PARENT:
        if router.poll(_LOOK_MS):
            for *envelope, body in _drain(router):
                router.send_multipart([*envelope, _reply(body)])


def follow(path: str) -> None:
    """Write what comes and acknowledge it."""
    log = Log(path)
    router = _router(zmq.Context())
    while os.getppid() == _PARENT:
        if router.poll(_LOOK_MS):
            taken = _drain(router)
            log.add(b"".join(frames[-1] for frames in taken))
            # One word for all that was there: the numbers rise.
            router.send_multipart([taken[-1][0], taken[-1][1]])


def lead(path: str, followers: list[str]) -> None:
    """Hand each turn's requests on as one batch; answer it once one follower has it."""
    log, context = Log(path), zmq.Context()
    dealers = [context.socket(zmq.DEALER) for _ in followers]
    for dealer, endpoint in zip(dealers, followers, strict=True):
        dealer.setsockopt(zmq.SNDHWM, 0)
        dealer.connect(endpoint)
    router = _router(context)
    poller = zmq.Poller()
    for socket in (router, *dealers):
        poller.register(socket, zmq.POLLIN)
    waiting: deque[tuple[int, list[list[bytes]]]] = deque()
    number = acknowledged = 0
    while os.getppid() == _PARENT:
        ready = dict(poller.poll(_LOOK_MS))
        if router in ready:
            taken = _drain(router)
            number += 1
            batch = msgspec.msgpack.encode([frames[-1] for frames in taken])
            for dealer in dealers:
                dealer.send_multipart([number.to_bytes(8, "big"), batch])
            waiting.append((number, taken))
            log.add(batch)
        told = [frames[0] for dealer in dealers if dealer in ready for frames in _drain(dealer)]
        acknowledged = max([acknowledged, *(int.from_bytes(each, "big") for each in told)])
        while waiting and waiting[0][0] <= acknowledged:
            for *envelope, body in waiting.popleft()[1]:
                router.send_multipart([*envelope, _reply(body)])


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo()
    elif sys.argv[1] == "follow":
        follow(sys.argv[2])
    else:
        lead(sys.argv[2], sys.argv[3:])
