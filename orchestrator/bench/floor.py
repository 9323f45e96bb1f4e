"""The floor: a plain ROUTER that answers every request at once, with a reply of the usual size.

What no server that answers through pyzmq can beat on this machine. Run as a program of its own,
with the sizes of the replies: ``floor.py set=120 get=380 batch=4000``. It prints its endpoint.
"""

import os
import sys

import zmq

OK = b"\xa2ok\xc3"
ID = b"\xa2id"
ID_BYTES = 10
"""The name, the head of a text, and six digits."""
LOOK_MS = 1_000


def main(arguments: list[str]) -> None:
    """Answer until the parent is gone."""
    parent = os.getppid()
    paddings = {}
    for argument in arguments:
        name, _, size = argument.partition("=")
        paddings[name.encode()] = bytes(max(0, int(size) - 1 - len(OK) - ID_BYTES))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.RCVTIMEO, LOOK_MS)
    router.setsockopt(zmq.SNDHWM, 0)
    router.bind("tcp://127.0.0.1:*")
    sys.stdout.write(router.getsockopt_string(zmq.LAST_ENDPOINT) + "\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        try:
            while True:
                *envelope, body = router.recv_multipart()
                at = body.find(ID)
                op = body[5 : 5 + (body[4] & 31)]  # behind the map's head, `op`, and a text's head
                reply = b"\x82" + OK + body[at : at + ID_BYTES] + paddings[op]
                router.send_multipart([*envelope, reply])
        except zmq.Again:
            continue


if __name__ == "__main__":
    main(sys.argv[1:])
