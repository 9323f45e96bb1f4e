"""What a turn has for the world, on its way out: frames, pieces of snapshots, replies."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from raftcache.node.outbox import Outgoing
from raftcache.node.sending import Bulk
from raftcache.node.values import Effects

from .world import World

if TYPE_CHECKING:
    from .process import Process


class Outputs:
    """What still waits to leave; each piece reports a place before it does, and one after.

    Args:
        process: whose they are.
        world: takes them.
    """

    def __init__(self, process: "Process", world: World) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self._process = process
        self._world = world

    def take(self, effects: Effects) -> None:
        """Take what a turn has, in the order in which ``node/loop.py`` hands it to the sockets."""
        for outgoing in effects.peer_frames:
            self.waiting.append(partial(self._send, outgoing))
        for chunk in effects.bulk:
            self.waiting.append(partial(self._send_bulk, chunk))
        for socket, envelope, reply in effects.replies:
            self.waiting.append(partial(self._reply, socket, envelope, reply))

    def put_out_one(self) -> None:
        """Let the next piece leave."""
        self.waiting.popleft()()

    def _send(self, outgoing: Outgoing) -> None:
        process = self._process
        process.point("send", outgoing.frame)
        if self._world.send_to_peer(process.name, outgoing.peer, outgoing.frame):
            process.point("sent", outgoing.frame)
        else:
            process.on_not_sent(outgoing)

    def _send_bulk(self, chunk: Bulk) -> None:
        self._process.point("send bulk", chunk.frame)
        self._world.send_bulk(self._process.name, chunk.peer, chunk.frame)

    def _reply(self, socket: int, envelope: list[bytes], reply: bytes) -> None:
        self._process.point("reply", reply)
        self._world.send_to_client(self._process.name, socket, envelope, reply)
        self._process.point("replied", reply)
